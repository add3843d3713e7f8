"""Friends, requests and blocks as one side of them sees them: in lists, in answers, in sync."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import redis
import sqlalchemy as sa

from hongyan import connections
from hongyan.observability import logger
from hongyan.profiles import profile_columns, public_profile
from hongyan.schemas import Blocked, Friend, FriendRequest
from hongyan.tables import blocks, friend_requests, friendships, users

Row = sa.Row[Any]

_from_user, _to_user = users.alias("from_user"), users.alias("to_user")


def select_friends(user_id: str) -> sa.Select[Any]:
    """Return the statement of somebody's friends; what it finds is for :func:`show_friends`."""
    return (
        sa.select(
            friendships.c.remark,
            friendships.c.since,
            users.c.last_seen_at,
            blocks.c.created_at.label("blocked_at"),
            *profile_columns(),
        )
        .join(users, users.c.id == friendships.c.friend_id)
        .outerjoin(blocks, sa.and_(blocks.c.user_id == users.c.id, blocks.c.blocked_id == friendships.c.user_id))
        .where(friendships.c.user_id == user_id)
    )


def show_friends(rows: Sequence[Row]) -> list[Friend]:
    """Return the friends of the rows, with who of them is there now.

    Whoever has blocked the other side seems to have gone then, and not to have come back.
    """
    online = _online([row.id for row in rows])
    return [
        Friend(
            user=public_profile(row),
            remark=row.remark,
            since=row.since,
            online=row.id in online and row.blocked_at is None,
            last_seen_at=_last_seen(row),
        )
        for row in rows
    ]


def _last_seen(row: Row) -> datetime | None:
    seen_at: datetime | None = row.last_seen_at
    return seen_at if seen_at is None or row.blocked_at is None else min(seen_at, row.blocked_at)


def select_requests() -> sa.Select[Any]:
    """Return the statement of friend requests; what it finds is for :func:`show_request`."""
    return (
        sa.select(friend_requests, *profile_columns(_from_user, "from_"), *profile_columns(_to_user, "to_"))
        .join(_from_user, _from_user.c.id == friend_requests.c.from_user_id)
        .join(_to_user, _to_user.c.id == friend_requests.c.to_user_id)
    )


def is_heard_by(user_id: str) -> sa.ColumnElement[bool]:
    """Tell of a request whether the user hears of it: who was blocked is not told, and asks nobody."""
    from_blocked = sa.exists().where(blocks.c.user_id == user_id, blocks.c.blocked_id == friend_requests.c.from_user_id)
    return sa.or_(friend_requests.c.from_user_id == user_id, ~from_blocked)


def show_request(row: Row) -> FriendRequest:
    """Return the friend request of a row."""
    return FriendRequest(
        id=row.id,
        from_user=public_profile(row, "from_"),
        to_user=public_profile(row, "to_"),
        message=row.message,
        status=row.status,
        created_at=row.created_at,
        decided_at=row.decided_at,
    )


def select_blocked(user_id: str) -> sa.Select[Any]:
    """Return the statement of whom somebody has blocked; what it finds is for :func:`show_blocked`."""
    return (
        sa.select(blocks.c.created_at.label("since"), *profile_columns())
        .join(users, users.c.id == blocks.c.blocked_id)
        .where(blocks.c.user_id == user_id)
    )


def show_blocked(row: Row) -> Blocked:
    """Return the blocked person of a row."""
    return Blocked(user=public_profile(row), since=row.since)


def _online(user_ids: Sequence[str]) -> set[str]:
    """Return who of the users is connected; without Redis nobody is known to be."""
    try:
        return {user_id for user_id, open_ones in connections.of_users(user_ids).items() if open_ones}
    except redis.RedisError as error:
        logger.warning("it is not known who is online", error=str(error))
        return set()
