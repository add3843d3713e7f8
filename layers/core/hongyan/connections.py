"""Who is online, on which connections: a sorted set in Redis per person, scored by the connection's last frame.

One more set holds the connections of everybody by their last frame, so that those which fell silent are found. And a
hash holds whose first connection came, or whose last one went, from that very step until it was announced.

All of it can be lost: a connection registers again with its next frame (architecture, decision 1).
"""

import itertools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from hongyan import stores
from hongyan.sessions import Principal

# API Gateway closes a connection that was silent for 10 minutes, so one not heard of for longer is gone (AWS quota).
_SILENCE_SECONDS = 11 * 60

# The longest that a connection can be opening: so long API Gateway waits for `$connect` (its IntegrationTimeout).
_OPENING_SECONDS = 20
# The same from when `$connect` answers: what is left is the gateway's own work.
_ANSWERED_SECONDS = 2

# A client pings every 20 to 30 s (docs/asyncapi.yaml): by then whoever is connected is known again.
_COMPLETE_AFTER_SECONDS = 60

_HEARD, _UNSETTLED = "hongyan:heard", "hongyan:unsettled"
_SINCE, _LOOKED_AT = "hongyan:connections-since", "hongyan:connections-looked-at"

# In one step each, so that whatever dies, the change of who is there is left behind with what changed it.
# KEYS: the person's connections, the heard ones, the unsettled people, that the connection is opening. ARGV: entry,
# person, now, and for registering before when others were silent for too long, how long to keep, and how long it may be
# opening from now on.
_REGISTER = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
local added = redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
local count = redis.call('ZCARD', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2] .. ':' .. ARGV[1])
if ARGV[6] == '0' then redis.call('DEL', KEYS[4]) else redis.call('SET', KEYS[4], 1, 'EX', ARGV[6]) end
local first = added == 1 and count == 1
if first then redis.call('HSET', KEYS[3], ARGV[2], ARGV[3]) end
return {added, first and 1 or 0}
"""
_REMOVE = """
local removed = redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2] .. ':' .. ARGV[1])
redis.call('DEL', KEYS[4])
local last = removed == 1 and redis.call('ZCARD', KEYS[1]) == 0
if last then redis.call('HSET', KEYS[3], ARGV[2], ARGV[3]) end
return last and 1 or 0
"""
# KEYS: the unsettled people. ARGV: the person, and the mark that was seen.
_FORGET_UNSETTLED = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""


class Registered(NamedTuple):
    """Whether Redis did not know the connection, and whether it is its owner's only one."""

    was_unknown: bool
    is_first: bool


class Connection(NamedTuple):
    """An open socket of a session."""

    session_id: str
    connection_id: str


def register(principal: Principal, connection_id: str, *, is_opening: bool) -> Registered:
    """Note that the connection is open, or will be at once, and forget the same person's silent ones.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    moment = time.time()
    added, is_first = _in_one_step(
        _REGISTER,
        principal.user_id,
        Connection(principal.session_id, connection_id),
        moment,
        moment - _SILENCE_SECONDS,
        _SILENCE_SECONDS,
        _OPENING_SECONDS if is_opening else 0,
    )
    return Registered(was_unknown=bool(added), is_first=bool(is_first))


def refresh(principal: Principal, connection_id: str) -> None:
    """Note that a connection is open if it is still known: one that was removed meanwhile stays so.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    key, moment = _key(principal.user_id), time.time()
    entry = _entry(Connection(principal.session_id, connection_id))
    with stores.cache_client().pipeline(transaction=True) as pipe:
        pipe.zadd(key, {entry: moment}, xx=True)
        pipe.expire(key, _SILENCE_SECONDS)
        pipe.zadd(_HEARD, {f"{principal.user_id}:{entry}": moment}, xx=True)
        pipe.execute()


def note_answered(connection_id: str) -> None:
    """Note that `$connect` is answered, so that the connection opens at once or never.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    stores.cache_client().expire(_opening_key(connection_id), _ANSWERED_SECONDS)


def is_opening(connection_id: str) -> bool:
    """Tell whether a connection was registered before it is open, and has not shown since that it is.

    API Gateway opens it once it has the answer of `$connect`, and until then calls it gone.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    return bool(stores.cache_client().exists(_opening_key(connection_id)))


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
    return bool(_in_one_step(_REMOVE, user_id, connection, time.time()))


def unsettled(limit: int) -> list[str]:
    """Return up to ``limit`` people who came or went and of whom that was not announced yet.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    found = stores.cache_client().hscan_iter(_UNSETTLED, count=limit)
    return [str(user_id) for user_id, _ in itertools.islice(found, limit)]


def unsettled_mark(user_id: str) -> str | None:
    """Return by what it is known that somebody's coming or going is still to be announced.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    mark = stores.cache_client().hget(_UNSETTLED, user_id)
    return None if mark is None else str(mark)


def forget_unsettled(user_id: str, mark: str | None) -> None:
    """Note that it was announced, unless they came or went again after the mark.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    if mark is not None:
        stores.cache_client().eval(_FORGET_UNSETTLED, 1, _UNSETTLED, user_id, mark)


def is_complete() -> bool:
    """Tell whether Redis has been there for so long that it knows again of everybody who is connected.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    client = stores.cache_client()
    client.set(_SINCE, time.time(), nx=True)
    return time.time() - float(client.get(_SINCE) or time.time()) >= _COMPLETE_AFTER_SECONDS


def looked_at_until() -> str:
    """Return the id of the person up to whom it was last looked whether they are still there; "" to begin with.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    return str(stores.cache_client().get(_LOOKED_AT) or "")


def look_on_from(user_id: str) -> None:
    """Note up to whom it was looked.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    stores.cache_client().set(_LOOKED_AT, user_id)


def count() -> int:
    """Return how many connections are open, as far as is known.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    return int(stores.cache_client().zcard(_HEARD))


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


def _in_one_step(script: str, user_id: str, connection: Connection, *arguments: float) -> Any:
    keys = (_key(user_id), _HEARD, _UNSETTLED, _opening_key(connection.connection_id))
    numbers = [repr(one) for one in arguments]
    return stores.cache_client().eval(script, len(keys), *keys, _entry(connection), user_id, *numbers)


def _key(user_id: str) -> str:
    return f"hongyan:connections:{user_id}"


def _opening_key(connection_id: str) -> str:
    return f"hongyan:opening:{connection_id}"


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
