"""Posting frames to open sockets through API Gateway's `@connections`."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import redis
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError
from hongyan import connections, management, metrics, presence
from hongyan.clock import now
from hongyan.connections import Connection
from hongyan.events import ConnectionAudience, Event
from hongyan.management import CALLS_AT_ONCE
from hongyan.metrics import Metric
from hongyan.observability import logger
from hongyan.sockets import MAX_FRAME_BYTES
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

_OPENING, _CLOSING = '{"type":"events","events":[', "]}"

# No post begins later than this after the first: with the last one's own time-out it bounds what a batch can take.
_BEGIN_WITHIN_SECONDS = 4.0
# So long a post waits for a connection that is opening; usually it is milliseconds.
_OPENS_WITHIN_SECONDS = 2.0
# A socket that took too long is left to the retries for so long, and holds nothing else up meanwhile.
_AVOIDED_SECONDS = 30.0

_pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="post")
_avoided_until: dict[str, float] = {}


class DeliveryError(Exception):
    """An event did not reach everyone, nor could it be left to the retries; it will be tried again."""


class _OpeningError(Exception):
    """The gateway has not opened the connection yet."""


class Socket(NamedTuple):
    """An open connection and whose it is."""

    user_id: str
    connection: Connection

    def audience(self) -> ConnectionAudience:
        """Return the audience that is this socket alone."""
        return ConnectionAudience(user_id=self.user_id, **self.connection._asdict())


class _Outcome(NamedTuple):
    """What became of a connection: how many posts it took, when it took the last of all, or whether it is gone."""

    posts: int
    told_at: datetime | None = None
    is_gone: bool = False

    @property
    def is_settled(self) -> bool:
        return self.is_gone or self.told_at is not None


class Outgoing:
    """What one connection is to be told, and whether it is to be closed after."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closes = False
        self.is_retry = False

    def add(self, event: Event) -> None:
        """Add an event. The one that ends a session is the last that its sockets hear."""
        self.events.append(event)
        self.closes = self.closes or event.type == "session.ended"
        self.is_retry = self.is_retry or isinstance(event.audience, ConnectionAudience)

    def frames(self) -> Iterator[str]:
        """Pack the events, in their order, into as few frames of at most 32 KiB as they need (contract, WebSocket)."""
        packed: list[str] = []
        size = len(_OPENING) + len(_CLOSING)
        for event in self.events:
            text = json.dumps(event.shown(), ensure_ascii=False, separators=(",", ":"))
            text_size = len(text.encode()) + len(",")
            if packed and size + text_size > MAX_FRAME_BYTES:
                yield _frame(packed)
                packed, size = [], len(_OPENING) + len(_CLOSING)
            packed.append(text)
            size += text_size
        yield _frame(packed)


def deliver(outgoing: Mapping[Socket, Outgoing]) -> list[Socket]:
    """Post to all connections side by side, within a bound, and return those that were not told all.

    A connection that is gone counts as told: its owner catches up by sync. One that is opening is waited for. One that
    has just taken too long is not tried: it would hold this batch up as it did the one before.
    """
    if not outgoing:
        return []
    client = management.client()
    begin_until = time.monotonic() + _BEGIN_WITHIN_SECONDS
    outcomes = list(_pool.map(lambda item: _tell(client, item[0], item[1], begin_until), outgoing.items()))
    _measure(list(outgoing.values()), outcomes)
    return [socket for socket, outcome in zip(outgoing, outcomes, strict=True) if not outcome.is_settled]


def _measure(outgoing: Sequence[Outgoing], outcomes: Sequence[_Outcome]) -> None:
    """Record what became of a batch.

    An event has one latency, that of its last socket, however large the group is. A socket that is told by a retry has
    none, as it was the socket that took its time.
    """
    metrics.count(Metric.POSTS_TAKEN, sum(outcome.posts for outcome in outcomes))
    metrics.count(Metric.STALE_CONNECTIONS, sum(outcome.is_gone for outcome in outcomes))
    metrics.count(Metric.POSTS_PUT_OFF, sum(not outcome.is_settled for outcome in outcomes))
    told = [
        (outcome.told_at, e, one.is_retry)
        for one, outcome in zip(outgoing, outcomes, strict=True)
        if outcome.told_at is not None
        for e in one.events
    ]
    metrics.count(Metric.MESSAGES_DELIVERED, sum(e.type == "message.created" for _, e, _ in told))
    told.sort(key=lambda each: each[0])
    for e, last_told_at in {e.event_id: (e, told_at) for told_at, e, is_retry in told if not is_retry}.values():
        metrics.record_since(Metric.PUSH_LATENCY, e.at, last_told_at)


def _tell(client: "ApiGatewayManagementApiClient", socket: Socket, outgoing: Outgoing, begin_until: float) -> _Outcome:
    connection_id = socket.connection.connection_id
    posts = 0
    if not outgoing.is_retry and _is_avoided(connection_id):
        return _Outcome(posts)
    try:
        for frame in outgoing.frames():
            if time.monotonic() > begin_until:
                return _Outcome(posts)
            _post(client, connection_id, frame)
            posts += 1
        if outgoing.closes:
            client.delete_connection(ConnectionId=connection_id)
            _remove(socket)
    except client.exceptions.GoneException:
        _remove(socket)
        return _Outcome(posts, is_gone=True)
    except (ReadTimeoutError, ConnectTimeoutError, _OpeningError):
        logger.warning("a connection takes too long", connection_id=connection_id)
        _avoid(connection_id)
        return _Outcome(posts)
    except (BotoCoreError, ClientError, redis.RedisError):
        logger.exception("a connection was not told", connection_id=connection_id)
        return _Outcome(posts)
    return _Outcome(posts, now())


@retry(
    retry=retry_if_exception_type(_OpeningError),
    wait=wait_random_exponential(multiplier=0.02, max=0.2),
    stop=stop_after_delay(_OPENS_WITHIN_SECONDS),
    reraise=True,
)
def _post(client: "ApiGatewayManagementApiClient", connection_id: str, frame: str) -> None:
    """Post a frame, once the connection is open: until the answer of `$connect` is there, the gateway calls it gone.

    Raises:
        GoneException: it is gone.
        _OpeningError: it is still opening.
        redis.RedisError: it cannot be told which of them it is.

    """
    try:
        client.post_to_connection(ConnectionId=connection_id, Data=frame.encode())
    except client.exceptions.GoneException as gone:
        if connections.is_opening(connection_id):
            raise _OpeningError from gone
        raise


def _is_avoided(connection_id: str) -> bool:
    return _avoided_until.get(connection_id, 0.0) > time.monotonic()


def _avoid(connection_id: str) -> None:
    moment = time.monotonic()
    for known, until in list(_avoided_until.items()):
        if until <= moment:
            _avoided_until.pop(known, None)
    _avoided_until[connection_id] = moment + _AVOIDED_SECONDS


def _remove(socket: Socket) -> None:
    _avoided_until.pop(socket.connection.connection_id, None)
    try:
        presence.leave(socket.user_id, socket.connection)
    except redis.RedisError as error:
        connection_id = socket.connection.connection_id
        logger.warning("connection stays listed until the next push", connection_id=connection_id, error=str(error))


def _frame(packed: list[str]) -> str:
    return _OPENING + ",".join(packed) + _CLOSING
