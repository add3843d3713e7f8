"""How often something may be done: moving windows in Redis, so that all functions count together.

Counts can be lost with Redis, whole (architecture, decision 1): that forgives what was counted and harms nobody.
"""

import ipaddress
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import redis
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from snapshot_restore_py import register_before_snapshot

from hongyan import stores
from hongyan.errors import RateLimited
from hongyan.observability import logger

Count = tuple[RateLimitItem, str]  # of what, and of whom

_PREFIX = "hongyan:limit"


def at_most(times: int, seconds: int, name: str) -> RateLimitItem:
    """Return the limit ``times`` in any ``seconds``, counted under ``name``."""
    return RateLimitItemPerSecond(times, seconds, namespace=name)


def take(limit: RateLimitItem, who: str) -> None:
    """Count one, in one step with asking whether it is allowed.

    Raises:
        RateLimited: the window is full; nothing was counted.
        redis.RedisError: it cannot be told.

    """
    if not _limiter().hit(limit, who):
        raise _limited(limit, who)


def take_all(*counts: Count) -> None:
    """Count one of each, or none at all.

    Raises:
        RateLimited: a window is full; nothing stays counted.
        redis.RedisError: it cannot be told.

    """
    for number, count in enumerate(counts):
        try:
            take(*count)
        except RateLimited:
            give_back(*counts[:number])
            raise


def give_back(*counts: Count) -> None:
    """Forget one of each: the last one that was counted, which is as good as any.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    for limit, who in counts:
        stores.cache_client().lpop(f"{_PREFIX}:{limit.key_for(who)}")


def forgive(limit: RateLimitItem, who: str) -> None:
    """Forget all that was counted.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    _limiter().clear(limit, who)


def take_if_counted(limit: RateLimitItem, who: str) -> None:
    """Count one; without Redis it passes: better to be late in refusing somebody than to refuse everybody.

    Raises:
        RateLimited: the window is full.

    """
    take_all_if_counted((limit, who))


def take_all_if_counted(*counts: Count) -> None:
    """Count one of each, or none at all; without Redis it passes.

    Raises:
        RateLimited: a window is full; nothing stays counted.

    """
    with _open_without_redis(counts):
        take_all(*counts)


def give_back_if_counted(*counts: Count) -> None:
    """Forget one of each, if Redis is there to remember."""
    with _open_without_redis(counts):
        give_back(*counts)


def forgive_if_counted(limit: RateLimitItem, who: str) -> None:
    """Forget all that was counted, if Redis is there to remember."""
    with _open_without_redis([(limit, who)]):
        forgive(limit, who)


def subscriber(address: str) -> str:
    """Return who is counted for a source address: with IPv6 the /64, of which one subscriber has all 2^64 addresses.

    >>> subscriber("203.0.113.7"), subscriber("2001:db8::1:2:3:4")
    ('203.0.113.7', '2001:db8::/64')
    """
    try:
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    except ValueError:  # not of version 6
        return address


@contextmanager
def _open_without_redis(counts: Iterable[Count]) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        names = [limit.namespace for limit, _ in counts]
        logger.warning("not counted, Redis is out of reach", limits=names, error=str(error))


@cache
def _limiter() -> MovingWindowRateLimiter:
    client = stores.cache_client()
    return MovingWindowRateLimiter(RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix=_PREFIX))


register_before_snapshot(_limiter.cache_clear)  # it holds the connections of `stores`


def _limited(limit: RateLimitItem, who: str) -> RateLimited:
    free_at = _limiter().get_window_stats(limit, who).reset_time
    return RateLimited(max(1, math.ceil(free_at - time.time())))
