"""Who is asking: access tokens and sessions, in MySQL, cached in Redis for half a minute (architecture, decision 9).

API Gateway caches the authorizer's answer for another half, so an ended session's token stops working within 60 s
(contract, Conventions). A Redis that is lost or empty costs a query and logs nobody out.
"""

import json
from datetime import datetime
from typing import Any, NamedTuple

import redis
import sqlalchemy as sa

from hongyan import stores, tokens, unit_of_work
from hongyan.clock import now
from hongyan.observability import logger
from hongyan.schemas import LiveSession, SessionDevice
from hongyan.tables import sessions

CACHE_SECONDS = 30

# Stands in the cache for what has ended. Whoever read the database just before cannot put it back.
_ENDED = "ended"


class Principal(NamedTuple):
    """The person and the session that a request comes from."""

    user_id: str
    session_id: str


def authenticate(access_token: str) -> Principal | None:
    """Return who holds the token, or nothing when it is malformed, unknown, expired or of an ended session.

    Raises:
        sqlalchemy.exc.DBAPIError: it is not cached and the database is out of reach.

    """
    if not tokens.is_token("hya", access_token):
        return None
    token_hash = tokens.digest(access_token)
    cached = _cached(_token_key(token_hash))
    if cached is not None:
        return None if cached == _ENDED else Principal(*json.loads(cached))
    found = unit_of_work.read(lambda connection: _find_by_token(connection, token_hash))
    if found is None:
        return None
    principal, expires_at = found
    _cache(_token_key(token_hash), json.dumps(principal), _seconds_until(expires_at))
    return principal


def show_session(row: sa.Row[Any], principal: Principal) -> LiveSession:
    """Return the live session of a row as it is shown to its owner, who asks from one of theirs."""
    return LiveSession(
        id=row.id,
        device=SessionDevice(id=row.live_device_id, platform=row.platform, name=row.device_name),
        current=row.id == principal.session_id,
        created_at=row.created_at,
    )


def is_live(session_id: str) -> bool:
    """Tell whether a session has not ended: of an open socket, or of a request that the gateway let in by its cache.

    Raises:
        sqlalchemy.exc.DBAPIError: it is not cached and the database is out of reach.

    """
    cached = _cached(_session_key(session_id))
    if cached is not None:
        return cached != _ENDED
    expires_at = unit_of_work.read(lambda connection: _find_live(connection, session_id))
    if expires_at is None:
        return False
    _cache(_session_key(session_id), "live", _seconds_until(expires_at))
    return True


def forget(session_id: str, access_token_hash: bytes) -> None:
    """Let the cache say of a session that it has ended."""
    _end(_session_key(session_id))
    forget_token(access_token_hash)


def forget_token(access_token_hash: bytes) -> None:
    """Let the cache say of a token that it was replaced."""
    _end(_token_key(access_token_hash))


def _find_by_token(connection: sa.Connection, token_hash: bytes) -> tuple[Principal, datetime] | None:
    row = connection.execute(
        sa.select(sessions.c.user_id, sessions.c.id, sessions.c.access_expires_at).where(
            sessions.c.access_token_hash == token_hash,
            sessions.c.ended_at.is_(None),
            sessions.c.access_expires_at > now(),
        )
    ).first()
    return None if row is None else (Principal(row.user_id, row.id), row.access_expires_at)


def _find_live(connection: sa.Connection, session_id: str) -> datetime | None:
    return connection.scalar(
        sa.select(sessions.c.refresh_expires_at).where(
            sessions.c.id == session_id, sessions.c.ended_at.is_(None), sessions.c.refresh_expires_at > now()
        )
    )


def _seconds_until(expires_at: datetime) -> int:
    return min(CACHE_SECONDS, int((expires_at - now()).total_seconds()))


def _cached(key: str) -> str | None:
    try:
        kept = stores.cache_client().get(key)
    except redis.RedisError as error:
        logger.warning("Redis is out of reach, asking the database", error=str(error))
        return None
    return None if kept is None else str(kept)


def _end(key: str) -> None:
    try:
        stores.cache_client().set(key, _ENDED, ex=CACHE_SECONDS)
    except redis.RedisError as error:
        logger.warning("what has ended stays cached until it expires", error=str(error))


def _cache(key: str, value: str, seconds: int) -> None:
    if seconds < 1:
        return
    try:
        stores.cache_client().set(key, value, ex=seconds, nx=True)
    except redis.RedisError as error:
        logger.warning("session not cached", error=str(error))


def _token_key(token_hash: bytes) -> str:
    return f"hongyan:token:{token_hash.hex()}"


def _session_key(session_id: str) -> str:
    return f"hongyan:session:{session_id}"
