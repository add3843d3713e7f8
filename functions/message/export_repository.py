"""SQL of archives: who asked, who makes them, and what goes in."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from hongyan.clock import now
from hongyan.tables import exports, users

Row = sa.Row[Any]


def lock_last(connection: sa.Connection, user_id: str) -> Row | None:
    """Lock the user, so that two requests do not both ask, and return what was asked for last."""
    connection.execute(sa.select(users.c.id).where(users.c.id == user_id).with_for_update())
    statement = sa.select(exports).where(exports.c.user_id == user_id).order_by(exports.c.id.desc()).limit(1)
    return connection.execute(statement).first()


def insert(connection: sa.Connection, export_id: str, user_id: str, at: datetime) -> None:
    """Note that an archive is to be made."""
    values = {"id": export_id, "user_id": user_id, "status": "pending", "attempts": 0, "created_at": at}
    connection.execute(sa.insert(exports).values(values))


def find(connection: sa.Connection, user_id: str, export_id: str) -> Row | None:
    """Return one of the user's."""
    return connection.execute(sa.select(exports).where(exports.c.id == export_id, exports.c.user_id == user_id)).first()


def lease(connection: sa.Connection, time: timedelta) -> Row | None:
    """Take the oldest archive that is to be made and that nobody is making, for a time, and count the attempt."""
    statement = (
        sa.select(exports)
        .where(
            exports.c.status == "pending",
            sa.or_(exports.c.leased_until.is_(None), exports.c.leased_until < now()),
        )
        .order_by(exports.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(statement).first()
    if row is not None:
        _change(connection, row.id, leased_until=now() + time, attempts=row.attempts + 1)
    return row


def finish(connection: sa.Connection, export_id: str, size: int) -> None:
    """Note that an archive is ready, and how many bytes it has."""
    _change(connection, export_id, status="ready", size=size)


def give_up(connection: sa.Connection, export_id: str) -> None:
    """Note that an archive could not be made."""
    _change(connection, export_id, status="failed")


def _change(connection: sa.Connection, export_id: str, **values: Any) -> None:
    connection.execute(sa.update(exports).where(exports.c.id == export_id).values(**values))


def find_profile(connection: sa.Connection, user_id: str) -> Row | None:
    """Return what is kept of an open account that its owner gave or sees."""
    columns = (users.c.id, users.c.username, users.c.nickname, users.c.description, users.c.phone, users.c.created_at)
    statement: sa.Select[Any] = sa.select(*columns).where(users.c.id == user_id, users.c.closed_at.is_(None))
    return connection.execute(statement).first()
