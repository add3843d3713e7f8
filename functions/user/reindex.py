"""Makes the search index of people anew from MySQL (`hongyan.reindexing`).

Called with ``{"rebuild": true}`` it always does, from the beginning; else, every minute, it goes on with an index that
is half made, or makes one when none of the present shape is there.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from hongyan.observability import SCHEDULE, logger
from hongyan.reindexing import Walk, make_anew

from functions.user import repository, user_index

PAGE = 1_000


@logger.inject_lambda_context(clear_state=True, correlation_id_path=SCHEDULE)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Make the index anew if asked to or needed, one caller at a time, and return how many people were read.

    Raises:
        ReindexUnderWayError: another call is at it, and this one was asked to do it in any case.
        SearchUnavailable: the engine does not answer, or did not take everything.

    """
    return {"users": make_anew(user_index.PEOPLE, _WALK, rebuild=event.get("rebuild") is True)}


def _page_behind(connection: sa.Connection, position: list[Any]) -> Sequence[repository.Row]:
    [after_id] = position
    return repository.list_users(connection, after_id, PAGE)


_WALK: Walk[repository.Row] = Walk([""], _page_behind, lambda row: [row.id])
