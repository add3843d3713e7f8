"""Who is there: people come with their first open connection and go with their last (contract, presence.changed).

Redis says who is connected, MySQL what was announced of it last. The two are compared under the lock of the person's
row, and time is taken there: so of two changes the one announced later is the later one, whoever died in between, and
what was not announced is found to be different the next time somebody looks.
"""

from datetime import timedelta

import redis
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from hongyan import connections
from hongyan.clock import now, rfc3339
from hongyan.connections import Connection
from hongyan.events import FriendsAudience, event
from hongyan.observability import logger
from hongyan.sessions import Principal
from hongyan.tables import users
from hongyan.unit_of_work import UnitOfWork, perform, read

# The precision of times.
_TICK = timedelta(milliseconds=1)

# How many people are looked at in one go.
_AT_ONCE = 500


def arrive(principal: Principal, connection_id: str, *, is_opening: bool = False) -> bool:
    """Note that a connection is open, or will be at once, and tell whether it was unknown. Friends hear of one's first.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    registered = connections.register(principal, connection_id, is_opening=is_opening)
    if registered.is_first:
        settle(principal.user_id)
    return registered.was_unknown


def leave(user_id: str, connection: Connection) -> None:
    """Forget a connection that has closed. Friends hear of somebody's last.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    if connections.remove(user_id, connection):
        settle(user_id)


def settle_left_behind() -> None:
    """Announce what nobody did: whoever noted that somebody came or went died, or did not reach the database.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    for user_id in connections.unsettled(_AT_ONCE):
        settle(user_id)


def settle_absent() -> None:
    """Announce that those are gone who were announced as there, and of whom Redis knows no connection.

    That is so after Redis was lost while they went. One page of all people who are there each time, and only once Redis
    has been there for so long that whoever is still connected has sent a frame.

    Raises:
        redis.RedisError: Redis is out of reach.
        sqlalchemy.exc.SQLAlchemyError: the database is out of reach.

    """
    if not connections.is_complete():
        return
    after_id = connections.looked_at_until()
    user_ids = read(lambda connection: _list_announced(connection, after_id))
    connections.look_on_from(user_ids[-1] if len(user_ids) == _AT_ONCE else "")
    for user_id, open_ones in connections.of_users(user_ids).items():
        if not open_ones:
            settle(user_id)


def settle(user_id: str) -> None:
    """Announce whether somebody is there, if that is not what was announced last.

    It never fails what it is part of: a socket opens and closes without the database too. What is left is found later.
    """
    try:
        mark = connections.unsettled_mark(user_id)
        perform(lambda unit: _settle(unit, user_id))
        connections.forget_unsettled(user_id, mark)
    except (SQLAlchemyError, redis.RedisError) as error:
        logger.warning("friends are not told who is there", user_id=user_id, error=str(error))


def is_there(user_id: str) -> bool:
    """Tell whether somebody has an open connection.

    Raises:
        redis.RedisError: Redis is out of reach.

    """
    return bool(connections.of_users([user_id])[user_id])


def _settle(unit: UnitOfWork, user_id: str) -> None:
    announced = unit.connection.execute(
        sa.select(users.c.announced_online, users.c.last_seen_at, users.c.closed_at)
        .where(users.c.id == user_id)
        .with_for_update()
    ).first()
    # Only now: what was read before the lock may be older than what somebody else announces under it.
    online = is_there(user_id)
    if announced is None or announced.announced_online == online:
        return
    # Rising, though the clocks of machines differ: of two events the one with the later `at` counts.
    moment = now() if announced.last_seen_at is None else max(now(), announced.last_seen_at + _TICK)
    statement = sa.update(users).where(users.c.id == user_id)
    if announced.closed_at is not None:  # nobody's friend, and last seen by nobody
        unit.connection.execute(statement.values(announced_online=online))
        return
    unit.connection.execute(statement.values(announced_online=online, last_seen_at=moment))
    data = {"user_id": user_id, "online": online, "last_seen_at": rfc3339(moment)}
    friends = FriendsAudience(user_id=user_id, with_own_devices=False)
    unit.announce(event("presence.changed", friends, **data).model_copy(update={"at": moment}))


def _list_announced(connection: sa.Connection, after_id: str) -> list[str]:
    statement = (
        sa.select(users.c.id)
        .where(users.c.announced_online, users.c.id > after_id)
        .order_by(users.c.id)
        .limit(_AT_ONCE)
    )
    return list(connection.scalars(statement))
