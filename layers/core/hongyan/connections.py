"""Who is online, on which connections: a sorted set in Redis per person, scored by the connection's last frame.

One more set holds the connections of everybody by their last frame, so that those which fell silent are found.

All of it can be lost: a connection registers again with its next frame (architecture, decision 1).
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from hongyan import stores
from hongyan.sessions import Principal

# API Gateway closes a connection that was silent for 10 minutes, so one not heard of for longer is gone (AWS quota).
_SILENCE_SECONDS = 11 * 60


_HEARD = "hongyan:heard"


class Registered(NamedTuple):
    """Whether Redis did not know the connection, and whether it is its owner's only one."""

    was_unknown: bool
    is_first: bool


class Connection(NamedTuple):
    """An open socket of a session."""

    session_id: str
    connection_id: str


def register(principal: Principal, connection_id: str) -> Registered:
    """Note that the connection is open, and forget the same person's silent ones.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    key = _key(principal.user_id)
    moment = time.time()
    entry = _entry(Connection(principal.session_id, connection_id))
    with stores.cache_client().pipeline(transaction=True) as pipe:
        pipe.zremrangebyscore(key, "-inf", moment - _SILENCE_SECONDS)
        pipe.zadd(key, {entry: moment})
        pipe.zcard(key)
        pipe.expire(key, _SILENCE_SECONDS)
        pipe.zadd(_HEARD, {f"{principal.user_id}:{entry}": moment})
        _, added, count, *_ = pipe.execute()
    return Registered(was_unknown=bool(added), is_first=bool(added) and count == 1)


def note_missed(connection_id: str) -> None:
    """Note that the connection was unknown for a while, so that events may have passed it by.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    stores.cache_client().set(_missed_key(connection_id), 1, ex=_SILENCE_SECONDS)


def take_missed(connection_id: str) -> bool:
    """Tell, once, whether events may have passed the connection by.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    return stores.cache_client().getdel(_missed_key(connection_id)) is not None


def remove(user_id: str, connection: Connection) -> bool:
    """Forget a connection that has closed, and tell whether it was known and its owner's last.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    with stores.cache_client().pipeline(transaction=True) as pipe:
        pipe.zrem(_key(user_id), _entry(connection))
        pipe.zcard(_key(user_id))
        pipe.zrem(_HEARD, f"{user_id}:{_entry(connection)}")
        removed, left, _ = pipe.execute()
    return bool(removed) and left == 0


def silent_for(seconds: float, limit: int) -> list[tuple[Principal, str]]:
    """Return who opened them, and the ids, of up to ``limit`` connections not heard of lately, the longest first.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    entries = stores.cache_client().zrangebyscore(_HEARD, "-inf", time.time() - seconds, start=0, num=limit)
    return [_owned(str(entry)) for entry in entries]


def of_users(user_ids: Sequence[str]) -> dict[str, list[Connection]]:
    """Return the open connections of each of the users, in one round trip.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    with stores.cache_client().pipeline(transaction=False) as pipe:
        for user_id in user_ids:
            pipe.zrange(_key(user_id), 0, -1)
        found = pipe.execute()
    return {
        user_id: [_connection(entry) for entry in entries] for user_id, entries in zip(user_ids, found, strict=True)
    }


def _key(user_id: str) -> str:
    return f"hongyan:connections:{user_id}"


def _missed_key(connection_id: str) -> str:
    return f"hongyan:missed:{connection_id}"


def _entry(connection: Connection) -> str:
    return f"{connection.session_id}:{connection.connection_id}"


def _owned(entry: str) -> tuple[Principal, str]:
    user_id, _, rest = entry.partition(":")
    connection = _connection(rest)
    return Principal(user_id, connection.session_id), connection.connection_id


def _connection(entry: str) -> Connection:
    session_id, _, connection_id = entry.partition(":")
    return Connection(session_id, connection_id)
