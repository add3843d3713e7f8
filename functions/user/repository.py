"""The user module's SQL."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from hongyan.clock import now
from hongyan.tables import (
    blocks,
    conversations,
    friend_requests,
    friendships,
    members,
    refresh_tokens,
    sessions,
    users,
    verification_codes,
)

Row = sa.Row[Any]

WRONG_TRIES = 5
_OLD_CODES_AT_ONCE = 100
_USERNAME = re.compile(r"[A-Za-z0-9_-]{3,32}")


def insert_user(connection: sa.Connection, **values: Any) -> Row:
    """Insert a user and return the row.

    Raises:
        sqlalchemy.exc.IntegrityError: the username or the phone is taken.

    """
    connection.execute(sa.insert(users).values(values))
    return connection.execute(sa.select(users).where(users.c.id == values["id"])).one()


def find_user(connection: sa.Connection, user_id: str) -> Row | None:
    """Return the user's row."""
    return connection.execute(sa.select(users).where(users.c.id == user_id)).first()


def find_user_by_username(connection: sa.Connection, username: str) -> Row | None:
    """Return the user's row, whatever the letter case.

    What has not the form of a username is nobody's: the column's collation takes ``"alice  "`` for ``"alice"``, which
    tries of a password would be counted apart from, and knows no character outside ASCII.
    """
    if not _USERNAME.fullmatch(username):
        return None
    return connection.execute(sa.select(users).where(users.c.username == username)).first()


def find_user_by_phone(connection: sa.Connection, phone: str) -> Row | None:
    """Return the row of whoever has the phone."""
    return connection.execute(sa.select(users).where(users.c.phone == phone)).first()


def find_users(connection: sa.Connection, user_ids: Sequence[str]) -> Sequence[Row]:
    """Return the rows of those of the users that there are, in the order of their ids."""
    return connection.execute(sa.select(users).where(users.c.id.in_(user_ids)).order_by(users.c.id)).all()


def list_users(connection: sa.Connection, after_id: str, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` rows behind an id, closed accounts too."""
    return connection.execute(sa.select(users).where(users.c.id > after_id).order_by(users.c.id).limit(limit)).all()


def update_user(connection: sa.Connection, user_id: str, **values: Any) -> Row:
    """Change columns of a user whose row is locked, counting the change, and return the row."""
    changed = sa.update(users).where(users.c.id == user_id).values(**values, version=users.c.version + 1)
    connection.execute(changed)
    return connection.execute(sa.select(users).where(users.c.id == user_id)).one()


def _people_as_seen_by(user_id: str) -> sa.Select[Any]:
    """Return the select of open accounts and of what is between each and the user; each join finds one row at most."""
    asked, was_asked = friend_requests.alias("asked"), friend_requests.alias("was_asked")
    blocked, blocks_user = blocks.alias("blocked"), blocks.alias("blocks_user")
    return (
        sa.select(
            users,
            blocked.c.user_id.is_not(None).label("is_blocked"),
            blocks_user.c.user_id.is_not(None).label("blocks_user"),
            friendships.c.since.is_not(None).label("is_friend"),
            asked.c.id.is_not(None).label("was_requested"),
            was_asked.c.id.is_not(None).label("has_requested"),
        )
        .outerjoin(friendships, sa.and_(friendships.c.user_id == user_id, friendships.c.friend_id == users.c.id))
        .outerjoin(
            asked,
            sa.and_(asked.c.from_user_id == user_id, asked.c.to_user_id == users.c.id, asked.c.pending == 1),
        )
        .outerjoin(
            was_asked,
            sa.and_(
                was_asked.c.from_user_id == users.c.id, was_asked.c.to_user_id == user_id, was_asked.c.pending == 1
            ),
        )
        .outerjoin(blocked, sa.and_(blocked.c.user_id == user_id, blocked.c.blocked_id == users.c.id))
        .outerjoin(blocks_user, sa.and_(blocks_user.c.user_id == users.c.id, blocks_user.c.blocked_id == user_id))
        .where(users.c.closed_at.is_(None))
    )


def find_people(connection: sa.Connection, seen_by: str, user_ids: Sequence[str]) -> Sequence[Row]:
    """Return those of the users whose accounts are open, with what is between each and the user who sees them."""
    return connection.execute(_people_as_seen_by(seen_by).where(users.c.id.in_(user_ids))).all()


def find_person_by_phone(connection: sa.Connection, seen_by: str, phone: str) -> Row | None:
    """Return whose phone it is, with what is between them and the user who sees them."""
    return connection.execute(_people_as_seen_by(seen_by).where(users.c.phone == phone)).first()


def list_blockers(connection: sa.Connection, user_id: str, limit: int) -> Sequence[str]:
    """Return the ids of who has blocked the user, up to ``limit`` of the latest."""
    statement = sa.select(blocks.c.user_id).where(blocks.c.blocked_id == user_id)
    return connection.scalars(statement.order_by(blocks.c.created_at.desc()).limit(limit)).all()


def list_friend_ids(connection: sa.Connection, user_id: str) -> list[str]:
    """Return the ids of the user's friends."""
    return list(connection.scalars(sa.select(friendships.c.friend_id).where(friendships.c.user_id == user_id)))


def lock_groups(connection: sa.Connection, user_id: str) -> Sequence[Row]:
    """Lock and return the groups that go on and that the user is in, and their role in each."""
    statement: sa.Select[Any] = (
        sa.select(conversations.c.id, members.c.role)
        .select_from(conversations)
        .join(members, members.c.conversation_id == conversations.c.id)
        .where(
            members.c.user_id == user_id,
            members.c.left_seq.is_(None),
            conversations.c.kind == "group",
            conversations.c.is_open,
        )
        .order_by(conversations.c.id)
        .with_for_update()
    )
    return connection.execute(statement).all()


def leave_groups(connection: sa.Connection, user_id: str, group_ids: Sequence[str], at: datetime) -> None:
    """End the user's membership of locked groups, where each now stands, with a change of each."""
    connection.execute(
        sa.update(conversations)
        .where(conversations.c.id.in_(group_ids))
        .values(member_count=conversations.c.member_count - 1, change_seq=conversations.c.change_seq + 1)
    )
    connection.execute(
        sa.update(members)
        .where(
            members.c.conversation_id.in_(group_ids),
            members.c.user_id == user_id,
            conversations.c.id == members.c.conversation_id,
        )
        .values(
            {
                members.c.left_seq: conversations.c.last_seq,
                members.c.left_at: at,
                members.c.role: None,
                members.c.change_seq: conversations.c.change_seq,
            }
        )
    )


def leave_everybody(connection: sa.Connection, user_id: str, at: datetime) -> None:
    """End the user's friendships on both sides, their open requests both ways, and the blocks that they made.

    Their singles take no more messages.
    """
    connection.execute(
        sa.update(conversations)
        .where(
            conversations.c.kind == "single",
            members.c.conversation_id == conversations.c.id,
            members.c.user_id == user_id,
        )
        .values({conversations.c.is_open: False})
    )
    connection.execute(
        sa.delete(friendships).where(sa.or_(friendships.c.user_id == user_id, friendships.c.friend_id == user_id))
    )
    connection.execute(
        sa.update(friend_requests)
        .where(
            sa.or_(friend_requests.c.from_user_id == user_id, friend_requests.c.to_user_id == user_id),
            friend_requests.c.pending == 1,
        )
        .values(status="withdrawn", pending=None, decided_at=at)
    )
    connection.execute(sa.delete(blocks).where(blocks.c.user_id == user_id))


def find_code(connection: sa.Connection, code_id: str) -> Row | None:
    """Return what is kept of a verification code."""
    return connection.execute(sa.select(verification_codes).where(verification_codes.c.id == code_id)).first()


def insert_code(connection: sa.Connection, **values: Any) -> None:
    """Insert a verification code."""
    connection.execute(sa.insert(verification_codes).values(values))


def delete_code(connection: sa.Connection, code_id: str) -> None:
    """Delete a verification code that was not sent."""
    connection.execute(sa.delete(verification_codes).where(verification_codes.c.id == code_id))


def delete_old_codes(connection: sa.Connection, ended_before: datetime) -> None:
    """Delete some of the codes that ended long ago; each new one pays for a share."""
    connection.execute(
        sa.delete(verification_codes)
        .where(verification_codes.c.expires_at < ended_before)
        .with_dialect_options(mysql_limit=_OLD_CODES_AT_ONCE)
    )


def forget_traces(connection: sa.Connection, user_id: str, phone: str | None) -> None:
    """Delete the codes sent to a phone, and blank a user's own words in requests and the names of their devices."""
    if phone is not None:
        connection.execute(sa.delete(verification_codes).where(verification_codes.c.phone == phone))
    connection.execute(
        sa.update(friend_requests)
        .where(friend_requests.c.from_user_id == user_id, friend_requests.c.message != "")
        .values(message="")
    )
    connection.execute(
        sa.update(sessions).where(sessions.c.user_id == user_id, sessions.c.device_name != "").values(device_name="")
    )


def spend_code(connection: sa.Connection, code_id: str, at: datetime) -> bool:
    """Mark a code as used and tell whether it was good until now."""
    return connection.execute(_of_good_code(code_id, at).values(spent_at=at)).rowcount == 1


def count_wrong_try(connection: sa.Connection, code_id: str, at: datetime) -> bool:
    """Count a wrong try of a code and tell whether the code was good until now."""
    tries = verification_codes.c.wrong_tries + 1
    return connection.execute(_of_good_code(code_id, at).values(wrong_tries=tries)).rowcount == 1


def _of_good_code(code_id: str, at: datetime) -> sa.Update:
    return sa.update(verification_codes).where(
        verification_codes.c.id == code_id,
        verification_codes.c.spent_at.is_(None),
        verification_codes.c.wrong_tries < WRONG_TRIES,
        verification_codes.c.expires_at > at,
    )


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


def list_live_session_ids(connection: sa.Connection, user_id: str) -> Sequence[str]:
    """Return the ids of the user's sessions that have not ended."""
    statement = sa.select(sessions.c.id).where(sessions.c.user_id == user_id, sessions.c.live_device_id.is_not(None))
    return connection.scalars(statement.order_by(sessions.c.id)).all()


def lock_user(connection: sa.Connection, user_id: str) -> Row | None:
    """Lock and return the row of an account that is open: what a person's devices do to it happens one at a time."""
    statement = sa.select(users).where(users.c.id == user_id, users.c.closed_at.is_(None)).with_for_update()
    return connection.execute(statement).first()


def lock_user_by_phone(connection: sa.Connection, phone: str) -> Row | None:
    """Lock and return the row of whoever has the phone."""
    return connection.execute(sa.select(users).where(users.c.phone == phone).with_for_update()).first()


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
