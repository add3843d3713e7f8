"""The consumer of `user.updated`: what changed of people, from the queue to the search index.

An event only says whose row to read. So late, doubled and reordered events write what is true now, and the row's
version keeps an older reading from replacing a newer one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from hongyan import metrics
from hongyan.batches import PartialItemFailureResponse, SQSRecord, settle_each
from hongyan.errors import SearchUnavailable
from hongyan.events import Event
from hongyan.ids import Id
from hongyan.metrics import Metric
from hongyan.observability import follow, logger
from hongyan.unit_of_work import read
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError

from functions.user import repository, user_index

SqsEvent = dict[str, Any]


class NotIndexedError(Exception):
    """The index has not taken what changed; the record comes again."""


class _Updated(BaseModel):
    """What matters here of the event's data."""

    class Who(BaseModel):
        id: Id

    user: Who


class _Change(NamedTuple):
    """Who changed, when, and what caused it."""

    user_id: str
    at: datetime
    correlation_id: str | None


@logger.inject_lambda_context(clear_state=True)
@metrics.emitted
def handler(event: SqsEvent, context: Any) -> PartialItemFailureResponse:  # noqa: ARG001  # Lambda's signature
    """Index a batch together, then answer for each record alone: what failed comes again, what did not is done."""
    changes = {record["messageId"]: change for record in event["Records"] if (change := _parse(record)) is not None}
    follow(*(change.correlation_id for change in changes.values()))
    unindexed = _index_or_give_back(sorted({change.user_id for change in changes.values()}))

    def settle(record: SQSRecord) -> None:
        change = changes.get(record.message_id)
        follow(None if change is None else change.correlation_id)
        if change is None or change.user_id in unindexed:
            raise NotIndexedError(record.message_id)
        metrics.record_since(Metric.PERSON_INDEX_LAG, change.at)

    return settle_each(event, settle)


def _index_or_give_back(user_ids: Sequence[str]) -> set[str]:
    """Index the people and return those who were not; a store that is away gives all of them back to the queue."""
    try:
        return user_index.PEOPLE.write(read(lambda connection: repository.find_users(connection, user_ids)))
    except (SearchUnavailable, DBAPIError) as error:
        logger.warning("changes of people wait for a store", users=len(user_ids), kind=type(error).__name__)
        return set(user_ids)


def _parse(record: dict[str, Any]) -> _Change | None:
    try:
        event = Event.model_validate_json(record["body"])
        return _Change(_Updated.model_validate(event.data).user.id, event.at, event.correlation_id)
    except ValidationError:
        logger.error("a record is not a change of somebody", message_id=record["messageId"])
        return None
