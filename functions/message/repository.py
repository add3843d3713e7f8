"""The message module's SQL."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan.tables import blocks, conversations, friendships, members, messages

Row = sa.Row[Any]


class Window(NamedTuple):
    """What somebody may read of a conversation: what comes after one seq, up to and including another."""

    joined_seq: int
    end_seq: int


def lock_place(connection: sa.Connection, conversation_id: str, user_id: str) -> Row | None:
    """Lock a member's place in a conversation, and not the conversation: reading does not wait for sending."""
    statement: sa.Select[Any] = (
        sa.select(members.c.read_seq, members.c.own_after_read, members.c.left_seq)
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


def find_extent(connection: sa.Connection, conversation_id: str) -> Row:
    """Return how far the conversation goes, and how many are in it when it is a group."""
    statement: sa.Select[Any] = sa.select(conversations.c.last_seq, conversations.c.member_count)
    return connection.execute(statement.where(conversations.c.id == conversation_id)).one()


def find_window(connection: sa.Connection, conversation_id: str, user_id: str) -> Window | None:
    """Return what the user may read of a conversation, if they are or were in it."""
    statement = (
        sa.select(members.c.joined_seq, sa.func.coalesce(members.c.left_seq, conversations.c.last_seq))
        .select_from(members)
        .join(conversations, conversations.c.id == members.c.conversation_id)
        .where(members.c.conversation_id == conversation_id, members.c.user_id == user_id)
    )
    row = connection.execute(statement).first()
    return None if row is None else Window(*row)


def count_present(connection: sa.Connection, conversation_id: str, user_ids: Iterable[str]) -> int:
    """Count those of the people who are in the conversation now."""
    statement = (
        sa.select(sa.func.count())
        .select_from(members)
        .where(
            members.c.conversation_id == conversation_id,
            members.c.user_id.in_(user_ids),
            members.c.left_seq.is_(None),
        )
    )
    return connection.scalar(statement) or 0


def find_by_client_id(connection: sa.Connection, sender_id: str, client_id: str) -> Row | None:
    """Return the message that the sender sent under this id."""
    statement = sa.select(messages).where(messages.c.sender_id == sender_id, messages.c.client_id == client_id)
    return connection.execute(statement).first()


def list_before(
    connection: sa.Connection, conversation_id: str, window: Window, before_seq: int | None, limit: int
) -> Sequence[Row]:
    """Return up to ``limit`` messages of a window before a seq, or the newest, from new to old."""
    statement = _messages_in(conversation_id, window).order_by(messages.c.seq.desc()).limit(limit)
    if before_seq is not None:
        statement = statement.where(messages.c.seq < before_seq)
    return connection.execute(statement).all()


def list_after(
    connection: sa.Connection, conversation_id: str, window: Window, after_seq: int, limit: int
) -> Sequence[Row]:
    """Return up to ``limit`` messages of a window after a seq, from old to new."""
    statement = _messages_in(conversation_id, window).order_by(messages.c.seq).limit(limit)
    return connection.execute(statement.where(messages.c.seq > after_seq)).all()


def _messages_in(conversation_id: str, window: Window) -> sa.Select[Any]:
    return sa.select(messages).where(
        messages.c.conversation_id == conversation_id,
        messages.c.seq > window.joined_seq,
        messages.c.seq <= window.end_seq,
    )


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


def list_members(connection: sa.Connection, conversation_ids: Sequence[str]) -> dict[str, list[Row]]:
    """Return who is or was in each of the conversations, and what they may read of it, in one statement."""
    columns = (members.c.conversation_id, members.c.user_id, members.c.joined_seq, members.c.left_seq)
    statement: sa.Select[Any] = sa.select(*columns).where(members.c.conversation_id.in_(conversation_ids))
    found: dict[str, list[Row]] = {conversation_id: [] for conversation_id in conversation_ids}
    for row in connection.execute(statement):
        found[row.conversation_id].append(row)
    return found


def list_friends(connection: sa.Connection, user_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the friends of each of the people, in one statement."""
    statement = sa.select(friendships.c.user_id, friendships.c.friend_id).where(friendships.c.user_id.in_(user_ids))
    found: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    for row in connection.execute(statement):
        found[row.user_id].append(row.friend_id)
    return found
