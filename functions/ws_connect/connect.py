"""Sockets that open, close, ping, and say what nobody understands (contract, WebSocket)."""

from typing import Any

import redis
from hongyan import connections, metrics, presence
from hongyan.connections import Connection
from hongyan.observability import REQUEST, logger
from hongyan.schemas import RequestBody
from hongyan.sockets import Answer, Frame, LambdaEvent, handle_frame, principal_of


@logger.inject_lambda_context(clear_state=True, correlation_id_path=REQUEST)
def connect(event: LambdaEvent, context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Register the connection, which opens with the answer.

    With Redis out of reach it opens all the same: its next frame registers it.
    """
    connection_id = event["requestContext"]["connectionId"]
    try:
        presence.arrive(principal_of(event), connection_id, is_opening=True)
        connections.note_answered(connection_id)
    except redis.RedisError as error:
        logger.warning("connection not registered, its next frame will", connection_id=connection_id, error=str(error))
    return {"statusCode": 200}


@logger.inject_lambda_context(clear_state=True, correlation_id_path=REQUEST)
def disconnect(event: LambdaEvent, context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Forget the connection. One that stays listed because Redis is out of reach goes with its first 410."""
    principal = principal_of(event)
    connection = Connection(principal.session_id, event["requestContext"]["connectionId"])
    try:
        presence.leave(principal.user_id, connection)
    except redis.RedisError as error:
        logger.warning("connection not removed", connection_id=connection.connection_id, error=str(error))
    return {"statusCode": 200}


@logger.inject_lambda_context(clear_state=True, correlation_id_path=REQUEST)
@metrics.emitted
def frame(event: LambdaEvent, context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Answer `ping`, and everything that no other route takes."""
    return handle_frame(event, {"ping": _pong})


def _pong(frame: Frame) -> Answer:
    frame.parse(RequestBody)  # a ping has no fields
    return Answer("pong", {"resync": _may_have_missed(frame.connection_id)})


def _may_have_missed(connection_id: str) -> bool:
    try:
        return connections.take_missed(connection_id)
    except redis.RedisError as error:
        logger.warning("not known whether events passed by", connection_id=connection_id, error=str(error))
        return False
