"""Makes the search index of messages anew from MySQL (`hongyan.reindexing`).

Called with ``{"rebuild": true}`` it always does, from the beginning; else, every minute, it goes on with an index that
is half made, or makes one when none of the present shape is there.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from hongyan.observability import SCHEDULE, logger
from hongyan.reindexing import Walk, make_anew
from hongyan.schemas import Message

from functions.message import message_index, search_repository

PAGE = 1_000


@logger.inject_lambda_context(clear_state=True, correlation_id_path=SCHEDULE)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Make the index anew if asked to or needed, one caller at a time, and return how many messages were read.

    Raises:
        ReindexUnderWayError: another call is at it, and this one was asked to do it in any case.
        SearchUnavailable: the engine does not answer, or did not take everything.

    """
    return {"messages": make_anew(message_index.MESSAGES, _WALK, rebuild=event.get("rebuild") is True)}


def _page_behind(connection: sa.Connection, position: list[Any]) -> Sequence[Message]:
    conversation_id, seq = position
    return search_repository.list_messages(connection, conversation_id, seq, PAGE)


_WALK: Walk[Message] = Walk(["", 0], _page_behind, lambda message: [message.conversation_id, message.seq])
