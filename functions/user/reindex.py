"""Makes the search index of people anew from MySQL, while the old one answers.

Called with ``{"rebuild": true}`` it always does; else, every minute, only when no index of the present shape is there:
after the engine was lost, and after a release that changed the shape.

Changes during the filling reach both indices, since a change is read from its row after its event came, and the event
comes after the commit: either the new index was there by then, and the change is written to it, or it was not, and
the filling, which began later, reads the changed row. Killed at any step it leaves the old index answering, or the new
one complete; what else is left the next run removes.
"""

from typing import Any

import sqlalchemy as sa
from hongyan import stores
from hongyan.observability import logger

from functions.user import repository, user_index

PAGE = 1_000

_LOCK_SECONDS = 5


class ReindexUnderWayError(Exception):
    """Another call is making the index anew."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Make the index anew if asked to or needed, one caller at a time, and return how many people were read.

    Raises:
        ReindexUnderWayError: another call is at it, and this one was asked to do it in any case.
        SearchUnavailable: the engine does not answer, or did not take everything.

    """
    rebuild = event.get("rebuild") is True
    with stores.engine().connect() as connection:
        lock = sa.text("SELECT GET_LOCK('hongyan.user_index', :seconds)")
        if connection.scalar(lock, {"seconds": _LOCK_SECONDS}) != 1:
            if rebuild:
                raise ReindexUnderWayError
            return {"users": 0}
        try:
            return {"users": _renew(connection, rebuild=rebuild)}
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK('hongyan.user_index')"))


def _renew(connection: sa.Connection, *, rebuild: bool) -> int:
    user_index.remove_leftovers()
    if not rebuild and user_index.is_there():
        return 0
    name = user_index.begin()
    filled = _fill(connection)
    user_index.finish(name)
    logger.info("the search index of people is made anew", index=name, users=filled)
    return filled


def _fill(connection: sa.Connection) -> int:
    """Read all users on the connection that holds the lock: whoever loses the one loses the other and stops."""
    filled, after_id = 0, ""
    while rows := repository.list_users(connection, after_id, PAGE):
        user_index.fill(rows)
        filled, after_id = filled + len(rows), rows[-1].id
    return filled
