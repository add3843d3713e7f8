"""Who is there: people come with their first open connection and go with their last (contract, presence.changed).

Redis says who is connected, and decides in one step who came and who went; MySQL keeps when somebody was last seen. An
event carries the time at which it was true: of two that arrive in the wrong order, the later ``at`` counts.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from hongyan import connections
from hongyan.clock import now, rfc3339
from hongyan.connections import Connection
from hongyan.events import FriendsAudience, event
from hongyan.observability import logger
from hongyan.sessions import Principal
from hongyan.tables import users
from hongyan.unit_of_work import UnitOfWork, perform


def arrive(principal: Principal, connection_id: str) -> bool:
    """Note that a connection is open, and tell whether it was unknown. Friends hear of somebody's first.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    registered = connections.register(principal, connection_id)
    if registered.is_first:
        _announce(principal.user_id, online=True)
    return registered.was_unknown


def leave(user_id: str, connection: Connection) -> None:
    """Forget a connection that has closed. Friends hear of somebody's last.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    if connections.remove(user_id, connection):
        _announce(user_id, online=False)


def _announce(user_id: str, *, online: bool) -> None:
    """Tell friends. It never fails what it is part of: a socket opens and closes without the database too."""
    try:
        perform(lambda unit: _change(unit, user_id, now(), online=online))
    except SQLAlchemyError as error:
        logger.warning("friends are not told who is there", user_id=user_id, online=online, error=str(error))


def _change(unit: UnitOfWork, user_id: str, moment: datetime, *, online: bool) -> None:
    unit.connection.execute(
        sa.update(users).where(users.c.id == user_id, users.c.closed_at.is_(None)).values(last_seen_at=moment)
    )
    data = {"user_id": user_id, "online": online, "last_seen_at": rfc3339(moment)}
    unit.announce(event("presence.changed", FriendsAudience(user_id=user_id, with_own_devices=False), **data))
