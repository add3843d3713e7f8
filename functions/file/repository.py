"""The file module's SQL."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from hongyan.tables import file_accounts, files, message_files, messages
from sqlalchemy.dialects import mysql

Row = sa.Row[Any]


def find(connection: sa.Connection, file_ids: Collection[str]) -> Sequence[Row]:
    """Return files, expired ones too."""
    return connection.execute(sa.select(files).where(files.c.id.in_(file_ids))).all()


def insert(connection: sa.Connection, **values: Any) -> None:
    """Insert a file."""
    connection.execute(sa.insert(files).values(values))


def update(connection: sa.Connection, file_id: str, **values: Any) -> None:
    """Change what is known of a file."""
    connection.execute(sa.update(files).where(files.c.id == file_id).values(values))


def delete(connection: sa.Connection, file_id: str) -> None:
    """Delete what is known of a file."""
    connection.execute(sa.delete(files).where(files.c.id == file_id))


def lock_account(connection: sa.Connection, user_id: str, today: date) -> Row:
    """Lock and return how much somebody stores, and uploaded on the day they last did."""
    begun = mysql.insert(file_accounts).values(user_id=user_id, stored_bytes=0, day=today, day_bytes=0)
    connection.execute(begun.on_duplicate_key_update(user_id=begun.inserted.user_id))
    statement: sa.Select[Any] = sa.select(file_accounts).where(file_accounts.c.user_id == user_id)
    return connection.execute(statement.with_for_update()).one()


def set_account(connection: sa.Connection, user_id: str, **values: Any) -> None:
    """Write a locked account."""
    connection.execute(sa.update(file_accounts).where(file_accounts.c.user_id == user_id).values(values))


def add_stored(connection: sa.Connection, user_id: str, size: int) -> None:
    """Count bytes that somebody stores more, or fewer."""
    stored = file_accounts.c.stored_bytes + size
    connection.execute(sa.update(file_accounts).where(file_accounts.c.user_id == user_id).values(stored_bytes=stored))


def list_expired(connection: sa.Connection, before: datetime, after_id: str, limit: int) -> Sequence[str]:
    """Return the ids of files that expired before a moment."""
    statement = (
        sa.select(files.c.id)
        .where(files.c.expires_at < before, files.c.id > after_id)
        .order_by(files.c.id)
        .limit(limit)
    )
    return connection.scalars(statement).all()


def list_messages(connection: sa.Connection, file_id: str) -> Sequence[Row]:
    """Return which messages carry a file, and who sent them, by conversation."""
    carried = sa.and_(
        messages.c.conversation_id == message_files.c.conversation_id, messages.c.seq == message_files.c.seq
    )
    statement: sa.Select[Any] = (
        sa.select(message_files.c.conversation_id, message_files.c.seq, messages.c.sender_id)
        .join(messages, carried)
        .where(message_files.c.file_id == file_id)
        .order_by(message_files.c.conversation_id, message_files.c.seq)
    )
    return connection.execute(statement).all()
