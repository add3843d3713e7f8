"""Posting frames to open sockets through API Gateway's `@connections`."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import redis
from botocore.exceptions import BotoCoreError, ClientError
from hongyan import management, presence
from hongyan.connections import Connection
from hongyan.events import Event
from hongyan.management import CALLS_AT_ONCE
from hongyan.observability import logger
from hongyan.sockets import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

_OPENING, _CLOSING = '{"type":"events","events":[', "]}"

_pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="post")


class DeliveryError(Exception):
    """An event did not reach every open connection; it will be tried again."""


class Outgoing:
    """What one connection is to be told, and whether it is to be closed after."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closes = False

    def add(self, event: Event) -> None:
        """Add an event. The one that ends a session is the last that its sockets hear."""
        self.events.append(event)
        self.closes = self.closes or event.type == "session.ended"

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


def deliver(outgoing: Mapping[tuple[str, Connection], Outgoing]) -> set[str]:
    """Post to all connections side by side and return the ids of the events that did not reach every one of them.

    A connection that is gone counts as told: its owner catches up by sync.
    """
    if not outgoing:
        return set()
    client = management.client()
    told = _pool.map(lambda item: _tell(client, *item), outgoing.items())
    return {
        event.event_id for item, done in zip(outgoing.values(), told, strict=True) if not done for event in item.events
    }


def _tell(client: "ApiGatewayManagementApiClient", whom: tuple[str, Connection], outgoing: Outgoing) -> bool:
    user_id, connection = whom
    try:
        for frame in outgoing.frames():
            client.post_to_connection(ConnectionId=connection.connection_id, Data=frame.encode())
        if outgoing.closes:
            client.delete_connection(ConnectionId=connection.connection_id)
            _remove(user_id, connection)
    except client.exceptions.GoneException:
        _remove(user_id, connection)
    except (BotoCoreError, ClientError):
        logger.exception("a connection was not told", connection_id=connection.connection_id)
        return False
    return True


def _remove(user_id: str, connection: Connection) -> None:
    try:
        presence.leave(user_id, connection)
    except redis.RedisError as error:
        logger.warning(
            "connection stays listed until the next push", connection_id=connection.connection_id, error=str(error)
        )


def _frame(packed: list[str]) -> str:
    return _OPENING + ",".join(packed) + _CLOSING
