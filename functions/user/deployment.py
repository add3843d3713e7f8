"""What a client asks before it is anyone: where the parts are, and whether they work."""

from typing import Literal

import hongyan
import redis
import sqlalchemy as sa
from hongyan import discovery, stores
from hongyan.observability import logger
from hongyan.unit_of_work import read
from sqlalchemy.exc import SQLAlchemyError

from functions.user.schemas import Endpoints, Health

State = Literal["ok", "unavailable"]


def endpoints() -> Endpoints:
    """Return the public addresses, as the deployment registered them."""
    return Endpoints(
        rest_url=discovery.attributes_of("rest")["url"],
        websocket_url=discovery.attributes_of("websocket")["url"],
        version=hongyan.__version__,
    )


def health() -> Health:
    """Ask each store. Only without the database can nothing be served; the others are derived from it."""
    database = _database()
    return Health(status=database, dependencies={"database": database, "redis": _redis(), "opensearch": _opensearch()})


def _database() -> State:
    try:
        read(lambda connection: connection.execute(sa.text("SELECT 1")))
    except SQLAlchemyError as error:
        logger.warning("the database does not answer", error=str(error))
        return "unavailable"
    return "ok"


def _redis() -> State:
    try:
        stores.cache_client().ping()
    except redis.RedisError as error:
        logger.warning("Redis does not answer", error=str(error))
        return "unavailable"
    return "ok"


def _opensearch() -> State:
    return "ok" if stores.search_client().ping() else "unavailable"
