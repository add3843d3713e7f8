"""Tickets: how a browser, which cannot set headers, opens a socket. Single use, 30 s (contract, User).

They live in Redis alone: one that is lost with it costs the client a second request.
"""

import json

from hongyan import stores, tokens
from hongyan.sessions import Principal

TICKET_SECONDS = 30


def issue(principal: Principal) -> str:
    """Return a ticket for the principal.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    ticket = tokens.new_token("hyt")
    stores.cache_client().set(_key(ticket), json.dumps(principal), ex=TICKET_SECONDS)
    return ticket


def redeem(ticket: str) -> Principal | None:
    """Take the ticket and return whose it was, or nothing when it is malformed, unknown, expired or used.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    if not tokens.is_token("hyt", ticket):
        return None
    kept = stores.cache_client().getdel(_key(ticket))
    return None if kept is None else Principal(*json.loads(str(kept)))


def _key(ticket: str) -> str:
    return f"hongyan:ticket:{tokens.digest(ticket).hex()}"
