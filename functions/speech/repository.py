"""The speech module's SQL."""

from typing import Any

import sqlalchemy as sa
from hongyan.tables import files, messages

Row = sa.Row[Any]


def find_file(connection: sa.Connection, file_id: str) -> Row | None:
    """Return an upload."""
    columns = (files.c.owner_id, files.c.purpose, files.c.mime, files.c.completed_at)
    statement: sa.Select[Any] = sa.select(*columns).where(files.c.id == file_id)
    return connection.execute(statement).first()


def find_message(connection: sa.Connection, conversation_id: str, seq: int) -> Row | None:
    """Return what transcribing needs of a message."""
    columns = (messages.c.sender_id, messages.c.type, messages.c.content, messages.c.recalled_at)
    statement: sa.Select[Any] = sa.select(*columns).where(_is(conversation_id, seq))
    return connection.execute(statement).first()


def update_content(
    connection: sa.Connection, conversation_id: str, seq: int, content: dict[str, Any], change_seq: int
) -> None:
    """Change what a message holds. Its conversation is locked."""
    statement = sa.update(messages).where(_is(conversation_id, seq))
    connection.execute(statement.values(content=content, change_seq=change_seq))


def _is(conversation_id: str, seq: int) -> sa.ColumnElement[bool]:
    return sa.and_(messages.c.conversation_id == conversation_id, messages.c.seq == seq)
