"""From any exception to the problem that a client is told, with the rest in the log."""

import redis
from sqlalchemy.exc import DBAPIError

from hongyan.discovery import UnresolvedError
from hongyan.errors import InternalError, Problem, ServiceUnavailable
from hongyan.observability import logger

# MySQL and MariaDB error numbers, as PyMySQL gives them first among an error's arguments.
_OUT_OF_REACH = {
    (1040,),  # too many connections
    (1053,),  # shutting down
    (1205,),  # lock wait timed out
    (1213,),  # deadlock, still after all tries
    (1927,),  # connection killed
    (2003,),  # cannot connect
    (2006,),  # server has gone away
    (2013,),  # connection lost
}


def problem_for(error: Exception) -> Problem:
    """Return the problem to answer with: what was meant for the client as it is, else 503 or 500 without internals."""
    if isinstance(error, Problem):
        return error
    if is_out_of_reach(error):
        logger.exception("a part of the service is out of reach", exc_info=error)
        return ServiceUnavailable()
    logger.exception("an unexpected failure", exc_info=error)
    return InternalError()


def is_out_of_reach(error: Exception) -> bool:
    """Tell whether a store or a module could not be reached, or a row stayed locked: trying again may help."""
    if isinstance(error, redis.RedisError | UnresolvedError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or (error.orig is not None and error.orig.args[:1] in _OUT_OF_REACH)
