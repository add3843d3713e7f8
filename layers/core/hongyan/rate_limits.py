"""How often something may be done: moving windows in Redis, so that all functions count together.

Counts can be lost with Redis, whole (architecture, decision 1): that forgives what was counted and harms nobody.
"""

import ipaddress
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import redis
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from hongyan import stores
from hongyan.errors import RateLimited
from hongyan.observability import logger


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


def check(limit: RateLimitItem, who: str) -> None:
    """Ask whether one more would be allowed, and count nothing.

    Raises:
        RateLimited: the window is full.
        redis.RedisError: it cannot be told.

    """
    if not _limiter().test(limit, who):
        raise _limited(limit, who)


def forgive(limit: RateLimitItem, who: str) -> None:
    """Forget what was counted.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    _limiter().clear(limit, who)


def take_if_counted(limit: RateLimitItem, who: str) -> None:
    """Count one; without Redis it passes: better to be late in refusing somebody than to refuse everybody.

    Raises:
        RateLimited: the window is full.

    """
    with _open_without_redis(limit):
        take(limit, who)


def check_if_counted(limit: RateLimitItem, who: str) -> None:
    """Ask whether one more would be allowed; without Redis it is.

    Raises:
        RateLimited: the window is full.

    """
    with _open_without_redis(limit):
        check(limit, who)


def forgive_if_counted(limit: RateLimitItem, who: str) -> None:
    """Forget what was counted, if Redis is there to remember."""
    with _open_without_redis(limit):
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
def _open_without_redis(limit: RateLimitItem) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        logger.warning("not counted, Redis is out of reach", limit=limit.namespace, error=str(error))


@cache
def _limiter() -> MovingWindowRateLimiter:
    client = stores.cache_client()
    return MovingWindowRateLimiter(
        RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix="hongyan:limit")
    )


def _limited(limit: RateLimitItem, who: str) -> RateLimited:
    free_at = _limiter().get_window_stats(limit, who).reset_time
    return RateLimited(max(1, math.ceil(free_at - time.time())))
