"""The friend module's SQL: requests, friendships, blocks and the singles that follow from them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from hongyan.friends import is_heard_by, select_blocked, select_friends, select_requests
from hongyan.tables import blocks, conversations, friend_requests, friendships, members, users

Row = sa.Row[Any]

Decision = Literal["accepted", "rejected", "withdrawn"]


class RequestsPosition(NamedTuple):
    """Where a page of friend requests ended: pending ones come first, the newest of each kind before the older."""

    pending: int
    id: str


def lock_users(connection: sa.Connection, *user_ids: str) -> list[Row]:
    """Lock and return the users in the order of their ids: whatever a pair does to each other happens one at a time.

    Those whose accounts are closed are locked too and left out.
    """
    statement = sa.select(users).where(users.c.id.in_(user_ids)).order_by(users.c.id).with_for_update()
    return [row for row in connection.execute(statement) if row.closed_at is None]


def are_friends(connection: sa.Connection, user_id: str, other_id: str) -> bool:
    """Tell whether the two are friends."""
    statement = sa.select(friendships.c.since).where(
        friendships.c.user_id == user_id, friendships.c.friend_id == other_id
    )
    return connection.execute(statement).first() is not None


def insert_friendship(connection: sa.Connection, user_id: str, other_id: str, since: datetime) -> None:
    """Make two people friends: a row for each."""
    pairs = ((user_id, other_id), (other_id, user_id))
    rows = [{"user_id": one, "friend_id": other, "remark": None, "since": since} for one, other in pairs]
    connection.execute(sa.insert(friendships).values(rows))


def delete_friendship(connection: sa.Connection, user_id: str, other_id: str) -> None:
    """End a friendship, on both sides."""
    connection.execute(
        sa.delete(friendships).where(
            sa.or_(
                sa.and_(friendships.c.user_id == user_id, friendships.c.friend_id == other_id),
                sa.and_(friendships.c.user_id == other_id, friendships.c.friend_id == user_id),
            )
        )
    )


def set_remark(connection: sa.Connection, user_id: str, friend_id: str, remark: str | None) -> None:
    """Note what the user calls a friend."""
    connection.execute(
        sa.update(friendships)
        .where(friendships.c.user_id == user_id, friendships.c.friend_id == friend_id)
        .values(remark=remark)
    )


def find_friend(connection: sa.Connection, user_id: str, friend_id: str) -> Row | None:
    """Return a friend with the profile."""
    return connection.execute(select_friends(user_id).where(friendships.c.friend_id == friend_id)).first()


def list_friends(connection: sa.Connection, user_id: str, after_id: str | None, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` friends in the order of their ids."""
    statement = select_friends(user_id).order_by(friendships.c.friend_id).limit(limit)
    if after_id is not None:
        statement = statement.where(friendships.c.friend_id > after_id)
    return connection.execute(statement).all()


def find_request(connection: sa.Connection, request_id: str) -> Row | None:
    """Return a friend request with both profiles."""
    return connection.execute(select_requests().where(friend_requests.c.id == request_id)).first()


def has_blocked(connection: sa.Connection, user_id: str, other_id: str) -> bool:
    """Tell whether the user has blocked the other."""
    statement = sa.select(blocks.c.created_at).where(blocks.c.user_id == user_id, blocks.c.blocked_id == other_id)
    return connection.execute(statement).first() is not None


def is_announced_online(connection: sa.Connection, user_id: str) -> bool:
    """Tell whether the user's friends were told that they are there."""
    return bool(connection.scalar(sa.select(users.c.announced_online).where(users.c.id == user_id)))


def set_last_seen(connection: sa.Connection, user_id: str, at: datetime) -> None:
    """Note that the user was there at this time."""
    connection.execute(sa.update(users).where(users.c.id == user_id).values(last_seen_at=at))


def insert_block(connection: sa.Connection, user_id: str, blocked_id: str, at: datetime) -> None:
    """Note that the user has blocked somebody."""
    connection.execute(sa.insert(blocks).values(user_id=user_id, blocked_id=blocked_id, created_at=at))


def delete_block(connection: sa.Connection, user_id: str, blocked_id: str) -> None:
    """Note that the user has unblocked somebody."""
    connection.execute(sa.delete(blocks).where(blocks.c.user_id == user_id, blocks.c.blocked_id == blocked_id))


def list_blocked(connection: sa.Connection, user_id: str, after_id: str | None, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` of the people whom the user has blocked, in the order of their ids."""
    statement = select_blocked(user_id).order_by(blocks.c.blocked_id).limit(limit)
    if after_id is not None:
        statement = statement.where(blocks.c.blocked_id > after_id)
    return connection.execute(statement).all()


def find_pending_request(connection: sa.Connection, from_user_id: str, to_user_id: str) -> Row | None:
    """Return the pending request of one person to another."""
    statement = select_requests().where(
        friend_requests.c.from_user_id == from_user_id,
        friend_requests.c.to_user_id == to_user_id,
        friend_requests.c.pending == 1,
    )
    return connection.execute(statement).first()


def list_requests(
    connection: sa.Connection, side: str, user_id: str, after: RequestsPosition | None, limit: int
) -> Sequence[Row]:
    """Return up to ``limit`` requests whose ``side`` column is the user, pending ones first, newest first."""
    pending = sa.func.coalesce(friend_requests.c.pending, 0)
    statement = (
        select_requests()
        .where(friend_requests.c[side] == user_id)
        .order_by(pending.desc(), friend_requests.c.id.desc())
        .limit(limit)
    )
    if side == "to_user_id":
        statement = statement.where(is_heard_by(user_id))
    if after is not None:
        statement = statement.where(
            sa.or_(pending < after.pending, sa.and_(pending == after.pending, friend_requests.c.id < after.id))
        )
    return connection.execute(statement).all()


def insert_request(connection: sa.Connection, **values: Any) -> None:
    """Insert a pending friend request."""
    connection.execute(sa.insert(friend_requests).values(**values, status="pending", pending=1))


def decide_request(connection: sa.Connection, request_id: str, status: Decision, at: datetime) -> None:
    """Mark a pending request as decided."""
    statement = sa.update(friend_requests).where(friend_requests.c.id == request_id)
    connection.execute(statement.values(status=status, pending=None, decided_at=at))


def find_single(connection: sa.Connection, pair: str) -> str | None:
    """Return the id of the single conversation of a pair."""
    return connection.scalar(sa.select(conversations.c.id).where(conversations.c.pair == pair))


def set_open(connection: sa.Connection, pair: str, *, is_open: bool) -> None:
    """Open or close the single of a pair. It waits for a send under way, and no send comes between."""
    connection.execute(sa.update(conversations).where(conversations.c.pair == pair).values(is_open=is_open))


def insert_single(
    connection: sa.Connection, conversation_id: str, pair: str, user_ids: Sequence[str], at: datetime
) -> None:
    """Insert a single conversation and its two members."""
    connection.execute(
        sa.insert(conversations).values(
            id=conversation_id,
            kind="single",
            pair=pair,
            last_seq=0,
            change_seq=1,
            last_activity_at=at,
            created_at=at,
        )
    )
    member = {"conversation_id": conversation_id, "read_seq": 0, "own_after_read": 0, "muted": False, "pinned": False}
    rows = [{**member, "user_id": user_id, "joined_at": at, "change_seq": 1} for user_id in user_ids]
    connection.execute(sa.insert(members).values(rows))
