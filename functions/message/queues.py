"""Work that the push puts on queues of its own: shards of large crowds, and sockets that could not be told at once.

A message is a JSON array of events. Each kind has a queue, so that neither delays the other nor what is for few.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from hongyan import aws
from hongyan.events import Event
from hongyan.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# SQS: at most 10 messages and 256 KiB a batch.
_BATCH_MESSAGES = 10
_BATCH_BYTES = 256 * 1024
_MESSAGE_BYTES = _BATCH_BYTES - len("[]")


class _Message(NamedTuple):
    body: str
    event_ids: list[str]

    @property
    def size(self) -> int:
        return len(self.body.encode())


def put(queue_url: str, parcels: Iterable[Sequence[Event]]) -> set[str]:
    """Put each parcel on the queue, in as few messages as hold it; return the ids of events that it did not take."""
    refused: set[str] = set()
    for batch in _batches(message for parcel in parcels for message in _messages(parcel)):
        refused |= _send(queue_url, batch)
    return refused


def _send(queue_url: str, batch: Sequence[_Message]) -> set[str]:
    entries: list[SendMessageBatchRequestEntryTypeDef] = [
        {"Id": str(n), "MessageBody": message.body} for n, message in enumerate(batch)
    ]
    try:
        answer = aws.sqs().send_message_batch(QueueUrl=queue_url, Entries=entries)
    except (BotoCoreError, ClientError):
        logger.exception("a queue is out of reach", queue_url=queue_url)
        return {event_id for message in batch for event_id in message.event_ids}
    failed = answer.get("Failed", [])
    if failed:
        logger.error("a queue refused events", queue_url=queue_url, failed=failed)
    return {event_id for entry in failed for event_id in batch[int(entry["Id"])].event_ids}


def _messages(parcel: Sequence[Event]) -> Iterator[_Message]:
    held: list[tuple[str, str]] = []
    size = 0
    for e in parcel:
        body = e.model_dump_json()
        body_size = len(body.encode()) + len(",")
        if held and size + body_size > _MESSAGE_BYTES:
            yield _message(held)
            held, size = [], 0
        held.append((e.event_id, body))
        size += body_size
    if held:
        yield _message(held)


def _message(held: Sequence[tuple[str, str]]) -> _Message:
    return _Message(f"[{','.join(body for _, body in held)}]", [event_id for event_id, _ in held])


def _batches(messages: Iterable[_Message]) -> Iterator[list[_Message]]:
    batch: list[_Message] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == _BATCH_MESSAGES or size + message.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.size
    if batch:
        yield batch
