"""Makes the search index of people anew from MySQL (`hongyan.reindexing`).

Called with ``{"rebuild": true}`` it always does; else, every minute, only when no index of the present shape is there.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from hongyan.observability import logger
from hongyan.reindexing import Rows, make_anew

from functions.user import repository, user_index

PAGE = 1_000


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Make the index anew if asked to or needed, one caller at a time, and return how many people were read.

    Raises:
        ReindexUnderWayError: another call is at it, and this one was asked to do it in any case.
        SearchUnavailable: the engine does not answer, or did not take everything.

    """
    return {
        "users": make_anew(
            user_index.PEOPLE, Rows(_pages, lambda user: [user.id]), rebuild=event.get("rebuild") is True
        )
    }


def _pages(connection: sa.Connection, after: list[Any] | None) -> Iterator[Sequence[repository.Row]]:
    after_id = "" if after is None else after[0]
    while rows := repository.list_users(connection, after_id, PAGE):
        yield rows
        after_id = rows[-1].id
