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
        rest_url=discovery.attributes_of("user")["url"],
        websocket_url=discovery.attributes_of("ws_connect")["url"],
        version=hongyan.__version__,
    )


def health() -> Health:
    """Ask each store, and the registry for each module. Only without the database can nothing be served at all."""
    database = _database()
    return Health(
        status=database,
        dependencies={"database": database, "redis": _redis(), "opensearch": _opensearch()},
        modules={module: _registered(module) for module in discovery.MODULES},
    )


def _registered(module: discovery.Module) -> State:
    try:
        discovery.attributes_of(module)
    except discovery.UnresolvedError as error:
        logger.warning("a module is nowhere to be found", module_name=module, error=repr(error))
        return "unavailable"
    return "ok"


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
