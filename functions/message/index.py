"""The consumer of `message.created` and `message.updated`: what was said and changed, from the queue to the index.

An event only says which message to read. So late, doubled and reordered events write what is true now, and the
message's ``change_seq`` keeps an older reading from replacing a newer one.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from hongyan import metrics
from hongyan.batches import PartialItemFailureResponse, SQSRecord, settle_each
from hongyan.errors import SearchUnavailable
from hongyan.events import Event, Reference
from hongyan.ids import Id
from hongyan.metrics import Metric
from hongyan.observability import follow, logger
from hongyan.schemas import Seq
from hongyan.unit_of_work import read
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError

from functions.message import message_index, repository

SqsEvent = dict[str, Any]


class NotIndexedError(Exception):
    """The index has not taken what changed; the record comes again."""


class _Changed(BaseModel):
    """What matters here of the event's data."""

    class Which(BaseModel):
        conversation_id: Id
        seq: Seq

    message: Which


class _Change(NamedTuple):
    """Which message changed, when, and what caused it."""

    which: Reference
    at: datetime
    correlation_id: str | None


@logger.inject_lambda_context(clear_state=True)
@metrics.emitted
def handler(event: SqsEvent, context: Any) -> PartialItemFailureResponse:  # noqa: ARG001  # Lambda's signature
    """Index a batch together, then answer for each record alone: what failed comes again, what did not is done."""
    changes = {record["messageId"]: change for record in event["Records"] if (change := _parse(record)) is not None}
    follow(*(change.correlation_id for change in changes.values()))
    unindexed = _index_or_give_back({change.which for change in changes.values()})

    def settle(record: SQSRecord) -> None:
        change = changes.get(record.message_id)
        follow(None if change is None else change.correlation_id)
        if change is None or change.which in unindexed:
            raise NotIndexedError(record.message_id)
        metrics.record_since(Metric.MESSAGE_INDEX_LAG, change.at)

    return settle_each(event, settle)


def _index_or_give_back(references: Collection[Reference]) -> Collection[Reference]:
    """Index the messages and return those that were not; a store that is away gives all of them back to the queue."""
    if not references:
        return []
    try:
        found = read(lambda connection: repository.find_messages(connection, references))
        refused = message_index.MESSAGES.write(list(found.values()))
    except (SearchUnavailable, DBAPIError) as error:
        logger.warning("changes of messages wait for a store", messages=len(references), kind=type(error).__name__)
        return references
    return {reference for reference, message in found.items() if message.id in refused}


def _parse(record: dict[str, Any]) -> _Change | None:
    try:
        event = Event.model_validate_json(record["body"])
        which = _Changed.model_validate(event.data).message
    except ValidationError:
        logger.error("a record is not a change of a message", message_id=record["messageId"])
        return None
    return _Change(Reference(which.conversation_id, which.seq), event.at, event.correlation_id)
