"""The message module's SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from hongyan.tables import blocks, conversations, friendships, members, messages

Row = sa.Row[Any]


def lock_conversation(connection: sa.Connection, conversation_id: str, user_id: str) -> Row | None:
    """Lock the conversation and the member's place in it: who holds the lock takes the next seq."""
    statement: sa.Select[Any] = (
        sa.select(conversations.c.is_open, conversations.c.last_seq, members.c.read_seq, members.c.own_after_read)
        .select_from(conversations)
        .join(members, members.c.conversation_id == conversations.c.id)
        .where(conversations.c.id == conversation_id, members.c.user_id == user_id)
        .with_for_update()
    )
    return connection.execute(statement).first()


def lock_place(connection: sa.Connection, conversation_id: str, user_id: str) -> Row | None:
    """Lock a member's place in a conversation, and not the conversation: reading does not wait for sending."""
    statement: sa.Select[Any] = (
        sa.select(members.c.read_seq, members.c.own_after_read)
        .where(members.c.conversation_id == conversation_id, members.c.user_id == user_id)
        .with_for_update()
    )
    return connection.execute(statement).first()


def has_blocked_peer(connection: sa.Connection, conversation_id: str, user_id: str) -> bool:
    """Tell whether the user has blocked the other side of a single."""
    statement = (
        sa.select(blocks.c.created_at)
        .join(members, members.c.user_id == blocks.c.blocked_id)
        .where(blocks.c.user_id == user_id, members.c.conversation_id == conversation_id)
    )
    return connection.execute(statement).first() is not None


def find_last_seq(connection: sa.Connection, conversation_id: str) -> int:
    """Return how far the conversation goes."""
    statement = sa.select(conversations.c.last_seq).where(conversations.c.id == conversation_id)
    last_seq: int = connection.execute(statement).scalar_one()
    return last_seq


def is_member(connection: sa.Connection, conversation_id: str, user_id: str) -> bool:
    """Tell whether the user is in the conversation."""
    statement = sa.select(members.c.read_seq).where(
        members.c.conversation_id == conversation_id, members.c.user_id == user_id
    )
    return connection.execute(statement).first() is not None


def find_by_client_id(connection: sa.Connection, sender_id: str, client_id: str) -> Row | None:
    """Return the message that the sender sent under this id."""
    statement = sa.select(messages).where(messages.c.sender_id == sender_id, messages.c.client_id == client_id)
    return connection.execute(statement).first()


def insert_message(connection: sa.Connection, **values: Any) -> None:
    """Insert a message.

    Raises:
        sqlalchemy.exc.IntegrityError: the sender used the ``client_id`` in another conversation at this very moment.

    """
    connection.execute(sa.insert(messages).values(values))


def advance(
    connection: sa.Connection,
    conversation_id: str,
    sender_id: str,
    *,
    last_seq: int,
    at: datetime,
    read_seq: int,
    own_after_read: int,
) -> None:
    """Note the conversation's new end and the sender's place in it, in one statement."""
    connection.execute(
        sa.update(conversations)
        .where(
            conversations.c.id == conversation_id,
            members.c.conversation_id == conversations.c.id,
            members.c.user_id == sender_id,
        )
        .values(
            {
                conversations.c.last_seq: last_seq,
                conversations.c.last_activity_at: at,
                members.c.read_seq: read_seq,
                members.c.own_after_read: own_after_read,
            }
        )
    )


def list_before(connection: sa.Connection, conversation_id: str, before_seq: int | None, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` messages before a seq, or the newest, from new to old."""
    statement = (
        sa.select(messages)
        .where(messages.c.conversation_id == conversation_id)
        .order_by(messages.c.seq.desc())
        .limit(limit)
    )
    if before_seq is not None:
        statement = statement.where(messages.c.seq < before_seq)
    return connection.execute(statement).all()


def list_after(connection: sa.Connection, conversation_id: str, after_seq: int, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` messages after a seq, from old to new."""
    statement = (
        sa.select(messages)
        .where(messages.c.conversation_id == conversation_id, messages.c.seq > after_seq)
        .order_by(messages.c.seq)
        .limit(limit)
    )
    return connection.execute(statement).all()


def count_own_after(connection: sa.Connection, conversation_id: str, sender_id: str, seq: int) -> int:
    """Count the sender's messages after a seq."""
    statement = (
        sa.select(sa.func.count())
        .select_from(messages)
        .where(messages.c.conversation_id == conversation_id, messages.c.seq > seq, messages.c.sender_id == sender_id)
    )
    return connection.scalar(statement) or 0


def mark_read(connection: sa.Connection, conversation_id: str, user_id: str, seq: int, own_after_read: int) -> None:
    """Note how far a member has read."""
    connection.execute(
        sa.update(members)
        .where(members.c.conversation_id == conversation_id, members.c.user_id == user_id)
        .values(read_seq=seq, own_after_read=own_after_read)
    )


def list_members(connection: sa.Connection, conversation_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the people in each of the conversations, in one statement."""
    statement = sa.select(members.c.conversation_id, members.c.user_id).where(
        members.c.conversation_id.in_(conversation_ids)
    )
    found: dict[str, list[str]] = {conversation_id: [] for conversation_id in conversation_ids}
    for row in connection.execute(statement):
        found[row.conversation_id].append(row.user_id)
    return found


def list_friends(connection: sa.Connection, user_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the friends of each of the people, in one statement."""
    statement = sa.select(friendships.c.user_id, friendships.c.friend_id).where(friendships.c.user_id.in_(user_ids))
    found: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    for row in connection.execute(statement):
        found[row.user_id].append(row.friend_id)
    return found
