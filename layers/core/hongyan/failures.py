"""From any exception to the problem that a client is told, with the rest in the log."""

import redis
from sqlalchemy.exc import DBAPIError, OperationalError

from hongyan.errors import InternalError, Problem, ServiceUnavailable
from hongyan.observability import logger


def problem_for(error: Exception) -> Problem:
    """Return the problem to answer with: what was meant for the client as it is, else 503 or 500 without internals."""
    if isinstance(error, Problem):
        return error
    if is_store_out_of_reach(error):
        logger.exception("a store is out of reach", exc_info=error)
        return ServiceUnavailable()
    logger.exception("an unexpected failure", exc_info=error)
    return InternalError()


def is_store_out_of_reach(error: Exception) -> bool:
    """Tell whether a store could not be reached or stayed locked, rather than refused something as wrong."""
    if isinstance(error, redis.RedisError):
        return True
    return isinstance(error, DBAPIError) and (isinstance(error, OperationalError) or error.connection_invalidated)
