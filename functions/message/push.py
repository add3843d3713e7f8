"""The push: events from the queue to every open socket of everyone concerned (architecture, decision 7)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from hongyan import connections
from hongyan.clock import now
from hongyan.connections import Connection
from hongyan.events import ConversationAudience, Event, FriendsAudience, SessionAudience, UsersAudience
from hongyan.failures import is_store_out_of_reach
from hongyan.observability import logger
from hongyan.unit_of_work import read
from pydantic import ValidationError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from functions.message import repository
from functions.message.delivery import DeliveryError, Outgoing, deliver

SqsEvent = dict[str, Any]

_TYPING_LASTS = timedelta(seconds=10)

# Shorter than a redelivery (the queue's visibility time-out) and than the function's own time-out.
_RIDE_OUT_SECONDS = 4


@logger.inject_lambda_context(clear_state=True)
def handler(event: SqsEvent, context: Any) -> PartialItemFailureResponse:  # noqa: ARG001  # Lambda's signature
    """Deliver a batch together, then answer for each record alone: what failed comes again, what did not is done."""
    events = {record["messageId"]: parsed for record in event["Records"] if (parsed := _parse(record)) is not None}
    undelivered = _push_or_give_back(list(events.values()))

    def settle(record: SQSRecord) -> None:
        parsed = events.get(record.message_id)
        if parsed is None:
            raise ValueError(f"record {record.message_id} is not an event")
        if parsed.event_id in undelivered:
            raise DeliveryError(parsed.event_id)

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(records=event["Records"], handler=settle):
        processor.process()
    return processor.response()


def push(events: Sequence[Event]) -> set[str]:
    """Deliver the events to whoever is online and return the ids of those that did not arrive everywhere.

    One statement finds the members of all conversations, one the messages, one the friends of all who have changed, and
    one round trip to Redis the connections of all people.

    Raises:
        redis.RedisError: it cannot be told who is online.
        sqlalchemy.exc.DBAPIError: it cannot be told who is in a conversation.

    """
    unique = _coalesced(sorted(filter(_still_matters, events), key=lambda e: e.event_id))
    audiences = _people(unique)
    online = connections.of_users(sorted({user_id for people in audiences.values() for user_id in people}))
    outgoing: dict[tuple[str, Connection], Outgoing] = defaultdict(Outgoing)
    for e in _with_messages(unique):
        for user_id in audiences[e.event_id]:
            for connection in _concerned(e, online[user_id]):
                outgoing[user_id, connection].add(e)
    return deliver(outgoing)


@retry(
    retry=retry_if_exception(lambda error: isinstance(error, Exception) and is_store_out_of_reach(error)),
    wait=wait_random_exponential(multiplier=0.05, max=0.5),
    stop=stop_after_delay(_RIDE_OUT_SECONDS),
    retry_error_callback=lambda _: None,
)
def _push_riding_out(events: Sequence[Event]) -> set[str] | None:
    return push(events)


def _push_or_give_back(events: Sequence[Event]) -> set[str]:
    """Push, riding out a store that restarts; one that stays away gives everything back to the queue."""
    undelivered = _push_riding_out(events)
    if undelivered is None:
        logger.error("a store is out of reach", undelivered=len(events))
        return {e.event_id for e in events}
    return undelivered


def _parse(record: dict[str, Any]) -> Event | None:
    try:
        return Event.model_validate_json(record["body"])
    except ValidationError:
        logger.exception("a record is not an event", message_id=record["messageId"])
        return None


def _still_matters(e: Event) -> bool:
    """Tell whether it is worth telling: that somebody was typing a while ago is not."""
    return e.type != "typing" or now() - e.at < _TYPING_LASTS


def _with_messages(events: Sequence[Event]) -> list[Event]:
    references = {reference for e in events for reference in e.references()}
    found = read(lambda c: repository.find_messages(c, references)) if references else {}
    whole = [e for e in events if all(reference in found for reference in e.references())]
    if len(whole) < len(events):
        logger.error("events of messages that are not there", events=len(events) - len(whole))
    return [e.with_messages(found) for e in whole]


def _coalesced(events: Iterable[Event]) -> list[Event]:
    """Return the events in their order, without those that a later one of the batch makes superfluous.

    Of one's readings of a conversation the furthest counts; all changes of a message show it as it is now.
    """
    latest: dict[tuple[str, ...], Event] = {}
    for e in events:
        key = _superseded_by(e)
        before = latest.get(key)
        if before is None or e.type != "message.read" or e.data["seq"] >= before.data["seq"]:
            latest[key] = e
    return sorted(latest.values(), key=lambda e: e.event_id)


def _superseded_by(e: Event) -> tuple[str, ...]:
    match e.type:
        case "message.read":
            return (e.type, e.data["conversation_id"], e.data["user_id"])
        case "message.updated":
            return (e.type, *(str(part) for part in e.references()[0]))
        case _:
            return (e.event_id,)


def _people(events: Iterable[Event]) -> dict[str, list[str]]:
    conversation_ids = {e.audience.conversation_id for e in events if isinstance(e.audience, ConversationAudience)}
    members = read(lambda c: repository.list_members(c, sorted(conversation_ids))) if conversation_ids else {}
    friends = _friends([e for e in events if e.type != "presence.changed"], repository.list_friends)
    watchers = _friends([e for e in events if e.type == "presence.changed"], repository.list_watchers)
    return {e.event_id: _people_of(e, members, watchers if e.type == "presence.changed" else friends) for e in events}


def _friends(
    events: Iterable[Event], find: Callable[[sa.Connection, Sequence[str]], dict[str, list[str]]]
) -> dict[str, list[str]]:
    user_ids = sorted({e.audience.user_id for e in events if isinstance(e.audience, FriendsAudience)})
    return read(lambda connection: find(connection, user_ids)) if user_ids else {}


def _people_of(e: Event, members: dict[str, list[repository.Row]], friends: dict[str, list[str]]) -> list[str]:
    match e.audience:
        case ConversationAudience(conversation_id=conversation_id, seq=seq):
            return [member.user_id for member in members[conversation_id] if _is_told(member, seq)]
        case UsersAudience(user_ids=user_ids):
            return user_ids
        case FriendsAudience(user_id=user_id, with_own_devices=with_own_devices):
            return [user_id, *friends[user_id]] if with_own_devices else friends[user_id]
        case SessionAudience(user_id=user_id):
            return [user_id]


def _is_told(member: repository.Row, seq: int | None) -> bool:
    """Tell whether it concerns the member: a message who may read it, all else who is in the conversation now."""
    if seq is None:
        return member.left_seq is None
    return bool(member.joined_seq < seq and (member.left_seq is None or seq <= member.left_seq))


def _concerned(e: Event, open_connections: Iterable[Connection]) -> list[Connection]:
    if isinstance(e.audience, SessionAudience):
        return [c for c in open_connections if c.session_id == e.audience.session_id]
    return list(open_connections)
