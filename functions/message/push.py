"""The push: events from the queue to every open socket of everyone concerned (architecture, decision 7)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from hongyan import connections, management, metrics
from hongyan.batches import PartialItemFailureResponse, SQSRecord, settle_each
from hongyan.clock import now
from hongyan.connections import Connection
from hongyan.events import ConnectionAudience, Event, Identity, SessionAudience
from hongyan.failures import is_out_of_reach
from hongyan.observability import follow, logger
from hongyan.unit_of_work import read
from pydantic import TypeAdapter, ValidationError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from functions.message import audiences, queues, repository
from functions.message.delivery import DeliveryError, Outgoing, Socket, deliver
from functions.message.settings import settings

SqsEvent = dict[str, Any]

_TYPING_LASTS = timedelta(seconds=10)

_BODY: TypeAdapter[Event | list[Event]] = TypeAdapter(Event | list[Event])

# Shorter than a redelivery (the queue's visibility time-out) and than the function's own time-out.
_RIDE_OUT_SECONDS = 4


@logger.inject_lambda_context(clear_state=True)
@metrics.emitted
def handler(event: SqsEvent, context: Any) -> PartialItemFailureResponse:  # noqa: ARG001  # Lambda's signature
    """Deliver a batch together, then answer for each record alone: what failed comes again, what did not is done."""
    events = {record["messageId"]: _parse(record) for record in event["Records"]}
    together = [e for parsed in events.values() for e in parsed]
    follow(*(e.correlation_id for e in together))
    undelivered = _push_or_give_back(together)

    def settle(record: SQSRecord) -> None:
        parsed = events[record.message_id]
        follow(*(e.correlation_id for e in parsed))
        if not parsed:
            raise ValueError(f"record {record.message_id} holds no events")
        if failed := [e.event_id for e in parsed if e.identity in undelivered]:
            raise DeliveryError(failed)

    return settle_each(event, settle)


def push(events: Sequence[Event]) -> set[Identity]:
    """Deliver the events to whoever is online and return the identities of those that must come again.

    What is for a large crowd goes on in shards, and what a socket was not told goes on for that socket alone, each by a
    queue of its own. One statement finds the members of all conversations, one the messages, one the friends of all who
    have changed, and one round trip to Redis the connections of all people.

    Raises:
        redis.RedisError: it cannot be told who is online.
        hongyan.discovery.UnresolvedError: it cannot be told where the sockets are.
        sqlalchemy.exc.DBAPIError: it cannot be told who is in a conversation.

    """
    unique = _coalesced(sorted(filter(_still_matters, events), key=lambda e: e.event_id))
    people, crowded = audiences.find(unique)
    open_connections = connections.of_users(sorted({user_id for e in unique for user_id in _looked_up(e, people)}))
    outgoing: dict[Socket, Outgoing] = defaultdict(Outgoing)
    for e in _with_messages([e for e in unique if e.identity in people]):
        for user_id in people[e.identity]:
            for connection in _concerned(e, open_connections.get(user_id, [])):
                outgoing[Socket(user_id, connection)].add(e)
    if outgoing:
        management.client()  # fails, when it is nowhere, before shards are put on their queue once more with each try
    refused = queues.put(settings().message_shard_queue_url, audiences.shards(crowded)) if crowded else set()
    untold = [(socket, e) for socket in deliver(outgoing) for e in outgoing[socket].events]
    refused |= _leave_to_retries(untold, {e.identity: e for e in unique})
    late_again = {e.identity for _, e in untold if isinstance(e.audience, ConnectionAudience)}
    return late_again | {e.identity for e in unique if e.event_id in refused}


def _leave_to_retries(untold: Iterable[tuple[Socket, Event]], as_queued: Mapping[Identity, Event]) -> set[str]:
    """Let sockets that could not be told be told alone, and return the ids of the events for which that failed too.

    What fails there comes again from that queue itself.
    """
    parcels: dict[Socket, list[Event]] = defaultdict(list)
    for socket, e in untold:
        if not isinstance(e.audience, ConnectionAudience):
            parcels[socket].append(as_queued[e.identity].to(socket.audience()))
    return queues.put(settings().message_retry_queue_url, parcels.values()) if parcels else set()


@retry(
    retry=retry_if_exception(lambda error: isinstance(error, Exception) and is_out_of_reach(error)),
    wait=wait_random_exponential(multiplier=0.05, max=0.5),
    stop=stop_after_delay(_RIDE_OUT_SECONDS),
    retry_error_callback=lambda _: None,
)
def _push_riding_out(events: Sequence[Event]) -> set[Identity] | None:
    return push(events)


def _push_or_give_back(events: Sequence[Event]) -> set[Identity]:
    """Push, riding out what is away for a moment; what stays away gives everything back to the queue."""
    undelivered = _push_riding_out(events)
    if undelivered is None:
        logger.error("a part of the service is out of reach", undelivered=len(events))
        return {e.identity for e in events}
    return undelivered


def _parse(record: dict[str, Any]) -> list[Event]:
    """Return what a record says: one event from the topic, or what the push itself put on a queue."""
    try:
        parsed = _BODY.validate_json(record["body"])
    except ValidationError:
        logger.exception("a record is not an event", message_id=record["messageId"])
        return []
    return parsed if isinstance(parsed, list) else [parsed]


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
    _, told = e.identity
    match e.type:
        case "message.read":
            return (told, e.data["conversation_id"], e.data["user_id"])
        case "message.updated":
            return (told, *(str(part) for part in e.references()[0]))
        case _:
            return e.identity


def _looked_up(e: Event, people: Mapping[Identity, list[str]]) -> list[str]:
    """Return whose connections must be asked for."""
    return [] if isinstance(e.audience, ConnectionAudience) else people.get(e.identity, [])


def _concerned(e: Event, open_connections: Iterable[Connection]) -> list[Connection]:
    match e.audience:
        case ConnectionAudience(session_id=session_id, connection_id=connection_id):
            return [Connection(session_id, connection_id)]
        case SessionAudience(session_id=session_id):
            return [c for c in open_connections if c.session_id == session_id]
        case _:
            return list(open_connections)
