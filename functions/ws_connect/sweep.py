"""Finds connections that died without a word, every few seconds (contract, presence.changed).

API Gateway calls `$disconnect` at its best effort. So a connection that was silent for a while is asked after: one that
is still open counts as heard, one that is gone is forgotten, and its owner's friends are told. They are told too of who
came or went and whose function died before it told them.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from hongyan import connections, management, metrics, presence
from hongyan.connections import Connection
from hongyan.discovery import UnresolvedError
from hongyan.management import CALLS_AT_ONCE
from hongyan.metrics import Metric
from hongyan.observability import SCHEDULE, logger
from hongyan.sessions import Principal

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

# Together below 15 s, within which presence is right: silent so long, found at the next round, asked after.
SILENT_SECONDS = 8.0
ROUND_SECONDS = 4.0
# EventBridge calls once a minute at the most (AWS quota), so each call goes round until the next one comes.
MINUTE_SECONDS = 58.0

_AT_ONCE = 500

_State = Literal["open", "gone", "unknown"]

_pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="probe")


@logger.inject_lambda_context(clear_state=True, correlation_id_path=SCHEDULE)
@metrics.emitted
def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001  # Lambda's signature
    """Go round for a minute.

    Raises:
        redis.RedisError: it cannot be told who is connected. The next call begins anew.
        sqlalchemy.exc.SQLAlchemyError: it cannot be told who is announced as there.

    """
    metrics.record(Metric.OPEN_CONNECTIONS, connections.count())
    presence.settle_absent()
    go_round(time.monotonic() + MINUTE_SECONDS, time.sleep)


def go_round(until: float, pause: Callable[[float], None]) -> None:
    """Ask after silent connections, and again after a pause, until a moment of the monotonic clock."""
    while True:
        began = time.monotonic()
        probe_silent()
        presence.settle_left_behind()
        if began + ROUND_SECONDS >= until:
            return
        pause(max(0.0, began + ROUND_SECONDS - time.monotonic()))


def probe_silent() -> None:
    """Ask after every connection that was silent for a while.

    Raises:
        redis.RedisError: it cannot be told who is connected.

    """
    try:
        client = management.client()
    except UnresolvedError as error:
        logger.warning("not known where sockets are", error=repr(error))
        return
    while silent := connections.silent_for(SILENT_SECONDS, _AT_ONCE):
        states = list(_pool.map(lambda found: _probe(client, *found), silent))
        metrics.count(Metric.STALE_CONNECTIONS, states.count("gone"))
        if "unknown" in states or len(silent) < _AT_ONCE:
            return


def _probe(client: "ApiGatewayManagementApiClient", owner: Principal, connection_id: str) -> _State:
    """Ask after one connection, note what it is, and return that."""
    try:
        client.get_connection(ConnectionId=connection_id)
    except client.exceptions.GoneException:
        if connections.is_opening(connection_id):
            return "unknown"
        presence.leave(owner.user_id, Connection(owner.session_id, connection_id))
        return "gone"
    except (BotoCoreError, ClientError) as error:
        logger.warning("not known whether a connection is open", connection_id=connection_id, error=str(error))
        return "unknown"
    connections.refresh(owner, connection_id)
    return "open"
