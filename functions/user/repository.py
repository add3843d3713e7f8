"""The user module's SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from hongyan.clock import now
from hongyan.tables import refresh_tokens, sessions, users

Row = sa.Row[Any]


def insert_user(connection: sa.Connection, **values: Any) -> None:
    """Insert a user.

    Raises:
        sqlalchemy.exc.IntegrityError: the username is taken.

    """
    connection.execute(sa.insert(users).values(values))


def find_user(connection: sa.Connection, user_id: str) -> Row | None:
    """Return the user's row."""
    return connection.execute(sa.select(users).where(users.c.id == user_id)).first()


def find_user_by_username(connection: sa.Connection, username: str) -> Row | None:
    """Return the user's row, whatever the letter case. A name outside ASCII is nobody's, and not for that column."""
    if not username.isascii():
        return None
    return connection.execute(sa.select(users).where(users.c.username == username)).first()


def find_users(connection: sa.Connection, user_ids: Sequence[str]) -> Sequence[Row]:
    """Return the rows of those of the users that there are, in the order of their ids."""
    return connection.execute(sa.select(users).where(users.c.id.in_(user_ids)).order_by(users.c.id)).all()


def update_user(connection: sa.Connection, user_id: str, **values: Any) -> None:
    """Change columns of a user."""
    connection.execute(sa.update(users).where(users.c.id == user_id).values(values))


def list_live_sessions(connection: sa.Connection, user_id: str, after_id: str | None, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` of the user's sessions that live, newest first."""
    statement = (
        sa.select(sessions)
        .where(
            sessions.c.user_id == user_id,
            sessions.c.live_device_id.is_not(None),
            sessions.c.refresh_expires_at > now(),
        )
        .order_by(sessions.c.id.desc())
        .limit(limit)
    )
    if after_id is not None:
        statement = statement.where(sessions.c.id < after_id)
    return connection.execute(statement).all()


def list_other_live_sessions(connection: sa.Connection, user_id: str, session_id: str) -> Sequence[str]:
    """Return the ids of the user's live sessions but one."""
    statement = sa.select(sessions.c.id).where(
        sessions.c.user_id == user_id, sessions.c.live_device_id.is_not(None), sessions.c.id != session_id
    )
    return connection.scalars(statement.order_by(sessions.c.id)).all()


def lock_user(connection: sa.Connection, user_id: str) -> None:
    """Lock the user's row: what a person's devices do to their sessions happens one at a time."""
    connection.execute(sa.select(users.c.id).where(users.c.id == user_id).with_for_update())


def lock_live_session_on(connection: sa.Connection, user_id: str, device_id: str) -> Row | None:
    """Lock and return the live session of a device."""
    return connection.execute(
        sa.select(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.live_device_id == device_id)
        .with_for_update()
    ).first()


def lock_session(connection: sa.Connection, session_id: str) -> Row | None:
    """Lock and return a session, ended or not."""
    return connection.execute(sa.select(sessions).where(sessions.c.id == session_id).with_for_update()).first()


def insert_session(connection: sa.Connection, **values: Any) -> None:
    """Insert a session."""
    connection.execute(sa.insert(sessions).values(values))


def renew_session(
    connection: sa.Connection,
    session_id: str,
    *,
    access_token_hash: bytes,
    access_expires_at: datetime,
    refresh_expires_at: datetime,
) -> None:
    """Give a session its next access token."""
    connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == session_id)
        .values(
            access_token_hash=access_token_hash,
            access_expires_at=access_expires_at,
            refresh_expires_at=refresh_expires_at,
        )
    )


def end_session(connection: sa.Connection, session_id: str, *, at: datetime, reason: str) -> None:
    """Mark a session as ended and free its device."""
    connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == session_id)
        .values(live_device_id=None, ended_at=at, ended_reason=reason)
    )


def insert_refresh_token(connection: sa.Connection, session_id: str, token_hash: bytes) -> None:
    """Keep a session's next refresh token."""
    connection.execute(sa.insert(refresh_tokens).values(session_id=session_id, token_hash=token_hash))


def lock_refresh_token(connection: sa.Connection, token_hash: bytes) -> Row | None:
    """Lock and return a refresh token, spent or not."""
    return connection.execute(
        sa.select(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).with_for_update()
    ).first()


def spend_refresh_token(connection: sa.Connection, token_hash: bytes, at: datetime) -> None:
    """Mark a refresh token as used."""
    connection.execute(sa.update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).values(spent_at=at))
