"""The outbox: what was committed is announced at least once, whatever dies in between (architecture, decision 3).

A unit of work writes its events beside its rows. Once committed, the same function publishes them to the SNS topic and
deletes their rows. If it dies or the topic refuses, the rows stay and the sweeper publishes them: an event can come
twice, never not at all.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import ValidationError

from hongyan import aws, stores
from hongyan.clock import now
from hongyan.events import Event
from hongyan.observability import logger
from hongyan.settings import settings
from hongyan.tables import outbox

# Older rows were left behind; younger ones may be in the hands of the function that wrote them.
LEFT_BEHIND_AFTER = timedelta(seconds=10)

# SNS: at most 10 entries and 256 KiB a batch. The rest of the 256 KiB is for attributes.
_BATCH_ENTRIES = 10
_BATCH_BYTES = 240 * 1024

_SWEEP_ROWS = 200


def write(connection: sa.Connection, events: Sequence[Event]) -> None:
    """Insert the events in one statement, in the transaction that makes them true."""
    if not events:
        return
    rows = [{"event_id": e.event_id, "body": e.model_dump_json(), "created_at": e.at} for e in events]
    connection.execute(sa.insert(outbox).values(rows))


def announce(events: Sequence[Event]) -> None:
    """Publish committed events and forget those that the topic took. Failing is logged only: the sweeper goes on."""
    if not events:
        return
    try:
        taken = _publish(events)
        logger.info("events are announced", event_ids=taken)
        if taken:
            with stores.engine().begin() as connection:
                _forget(connection, taken)
    except Exception:  # noqa: BLE001  # whatever it was: what is committed stays acknowledged
        logger.exception("events left in the outbox", event_ids=[e.event_id for e in events])


def announce_unstored(event: Event) -> None:
    """Publish an event that nobody misses. Failing is logged only."""
    try:
        _publish([event])
    except Exception:  # noqa: BLE001  # as above
        logger.exception("an event is lost", type=event.type)


def waiting_since() -> datetime | None:
    """Return when the oldest event that is not announced yet was written, if there is one."""
    with stores.engine().connect() as connection:
        return connection.scalar(sa.select(outbox.c.created_at).order_by(outbox.c.created_at).limit(1))


def sweep(passed_by: set[str]) -> int:
    """Publish one batch of rows that were left behind, oldest first, and return how many the topic took.

    Rows are locked while they are published and skipped where another sweeper holds them. A row that cannot be read is
    of a later release, which was rolled back: it is for that release, stays, and holds nothing up behind it.

    Args:
        passed_by: the events that are left out; those that are found to be of a later release are added.

    Raises:
        botocore.exceptions.ClientError: the topic cannot be reached; the rows stay.

    """
    left_behind = (
        sa.select(outbox.c.event_id, outbox.c.body)
        .where(outbox.c.created_at < now() - LEFT_BEHIND_AFTER, outbox.c.event_id.not_in(passed_by))
        .order_by(outbox.c.created_at)
        .limit(_SWEEP_ROWS)
        .with_for_update(skip_locked=True)
    )
    with stores.engine().begin() as connection:
        rows = connection.execute(left_behind).all()
        events = [known for row in rows if (known := _read(row.event_id, row.body)) is not None]
        taken = _publish(events)
        _forget(connection, taken)
    passed_by.update({row.event_id for row in rows} - {known.event_id for known in events})
    return len(taken)


def _read(event_id: str, body: str) -> Event | None:
    try:
        return Event.model_validate_json(body)
    except ValidationError:
        logger.error("an event is of another release", event_id=event_id)  # not what it is about
        return None


def _forget(connection: sa.Connection, event_ids: Sequence[str]) -> None:
    if event_ids:
        connection.execute(sa.delete(outbox).where(outbox.c.event_id.in_(event_ids)))


def _publish(events: Sequence[Event]) -> list[str]:
    taken: list[str] = []
    for batch in _batches(events):
        answer = aws.sns().publish_batch(
            TopicArn=settings().events_topic_arn,
            PublishBatchRequestEntries=[
                {
                    "Id": e.event_id,
                    "Message": body,
                    "MessageAttributes": {
                        name: {"DataType": "String", "StringValue": value} for name, value in e.attributes.items()
                    },
                }
                for e, body in batch
            ],
        )
        taken += [entry["Id"] for entry in answer.get("Successful", [])]
        if refused := answer.get("Failed"):
            logger.error("the topic refused events", failed=refused)
    return taken


def _batches(events: Sequence[Event]) -> Iterator[list[tuple[Event, str]]]:
    batch: list[tuple[Event, str]] = []
    size = 0
    for e in events:
        body = e.model_dump_json()
        body_size = len(body.encode())
        if batch and (len(batch) == _BATCH_ENTRIES or size + body_size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((e, body))
        size += body_size
    if batch:
        yield batch
