"""Makes the search index of messages anew from MySQL (`hongyan.reindexing`).

Called with ``{"rebuild": true}`` it always does; else, every minute, only when no index of the present shape is there.
"""

from functools import partial
from typing import Any

from hongyan.observability import logger
from hongyan.reindexing import Rows, make_anew

from functions.message import message_index, search_repository

PAGE = 1_000


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Make the index anew if asked to or needed, one caller at a time, and return how many messages were read.

    Raises:
        ReindexUnderWayError: another call is at it, and this one was asked to do it in any case.
        SearchUnavailable: the engine does not answer, or did not take everything.

    """
    pages = partial(search_repository.pages_of_messages, limit=PAGE)
    rows = Rows(pages, lambda message: [message.conversation_id, message.seq])
    return {"messages": make_anew(message_index.MESSAGES, rows, rebuild=event.get("rebuild") is True)}
