"""One logger: JSON lines with the service, the function's own request and what caused it all.

``correlation_id`` is the id of the request or frame that began it: the one that its client sees as X-Request-Id. Events
bear it through the outbox, the topic and the queues, so one query over the functions' logs follows a message from the
request to the push. What is done for several at once bears the ids of all of them.

Bodies, tokens, tickets and passwords are never logged; ids are.
"""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging import correlation_paths

logger = Logger()

# Where a function finds what caused its call; in the same place for requests, frames and authorizers.
REQUEST = correlation_paths.API_GATEWAY_REST
SCHEDULE = correlation_paths.EVENT_BRIDGE

_MOST = 20  # ids in a line: SQS brings at most 10 records at once here, and a shard is of one such batch


def correlation_id() -> str | None:
    """Return what caused the present work."""
    known: str | None = logger.get_correlation_id()
    return known


def follow(*correlation_ids: str | None) -> None:
    """Let whatever is logged and announced from here on bear these ids, and no others. None are known of old events."""
    known = {one for some in correlation_ids if some for one in some.split(",")}
    logger.set_correlation_id(",".join(sorted(known)[:_MOST]) or None)
