"""The speech module's SQL."""

from typing import Any

import sqlalchemy as sa
from hongyan.tables import files

Row = sa.Row[Any]


def find_file(connection: sa.Connection, file_id: str) -> Row | None:
    """Return an upload."""
    columns = (files.c.owner_id, files.c.purpose, files.c.mime, files.c.completed_at)
    statement: sa.Select[Any] = sa.select(*columns).where(files.c.id == file_id)
    return connection.execute(statement).first()
