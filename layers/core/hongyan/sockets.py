"""Frames of the WebSocket API: parsing them, answering them as route responses (contract, WebSocket)."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import redis
from pydantic import BaseModel, ValidationError

from hongyan import connections, metrics, presence, sessions
from hongyan.catalogue import Language, language_of
from hongyan.connections import Connection
from hongyan.errors import (
    FrameTooLarge,
    InvalidFrame,
    SessionEnded,
    UnknownAction,
    ValidationFailed,
)
from hongyan.failures import problem_for
from hongyan.metrics import Metric
from hongyan.observability import logger
from hongyan.sessions import Principal
from hongyan.validation import field_errors

MAX_FRAME_BYTES = 32 * 1024
_MAX_ID_LENGTH = 64
_SERVER_ERROR = 500

M = TypeVar("M", bound=BaseModel)


class Frame(NamedTuple):
    """What a client sent: its action, its own id for the answer, the other fields, and who sent it from where."""

    action: str
    id: str | None
    fields: dict[str, Any]
    principal: Principal
    connection_id: str
    source_address: str

    def parse(self, model: type[M]) -> M:
        """Read the fields as ``model``.

        Raises:
            ValidationFailed: a field is missing, unknown or wrong.

        """
        try:
            return model.model_validate(self.fields)
        except ValidationError as error:
            raise ValidationFailed(errors=field_errors(error.errors())) from error


class Answer(NamedTuple):
    """The answer to a frame: ``ack``, ``pong`` or ``sync`` with its data. Some frames have none."""

    type: str
    data: dict[str, Any]


Action = Callable[[Frame], Answer | None]
LambdaEvent = dict[str, Any]


def principal_of(event: LambdaEvent) -> Principal:
    """Return who opened the socket: API Gateway keeps what the authorizer said at ``$connect``."""
    context = event["requestContext"]["authorizer"]
    return Principal(context["user_id"], context["session_id"])


def handle_frame(event: LambdaEvent, actions: Mapping[str, Action]) -> dict[str, Any]:
    """Run the action that a frame asks for and return the route response that answers it.

    Each frame also registers its connection, so that one which Redis forgot is found again; the next pong then tells
    the client to catch up on what passed it by meanwhile.
    """
    context = event["requestContext"]
    frame_id: str | None = None
    try:
        body = _object_in(event)
        frame_id = _id_in(body)
        principal = principal_of(event)
        _ensure_live(principal, context["connectionId"])
        action = actions.get(str(body.get("action")))
        if action is None:
            raise UnknownAction  # noqa: TRY301  # answered below, as every problem of a frame
        fields = {name: value for name, value in body.items() if name not in ("action", "id")}
        address = context["identity"]["sourceIp"]
        answer = action(Frame(body["action"], frame_id, fields, principal, context["connectionId"], address))
    except Exception as error:  # noqa: BLE001  # whatever it was, the client waits for an answer
        problem = problem_for(error)
        metrics.count(Metric.FRAMES_FAILED, int(problem.status >= _SERVER_ERROR))
        data = problem.body(_language_of(event), context["requestId"])
        return _route_response("error", frame_id, data, problem.status)
    return {"statusCode": 200} if answer is None else _route_response(answer.type, frame_id, answer.data, 200)


def _object_in(event: LambdaEvent) -> dict[str, Any]:
    text = event.get("body") or ""
    if event.get("isBase64Encoded"):
        raise InvalidFrame
    if len(text) > MAX_FRAME_BYTES or len(text.encode(errors="surrogatepass")) > MAX_FRAME_BYTES:
        raise FrameTooLarge
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFrame from error
    if not isinstance(body, dict):
        raise InvalidFrame
    return body


def _id_in(body: dict[str, Any]) -> str | None:
    frame_id = body.get("id")
    if frame_id is None:
        return None
    if not isinstance(frame_id, str) or len(frame_id) > _MAX_ID_LENGTH or not frame_id.isprintable():
        raise ValidationFailed.at(["id"], f"must be text of at most {_MAX_ID_LENGTH} characters")
    return frame_id


def _ensure_live(principal: Principal, connection_id: str) -> None:
    if not sessions.is_live(principal.session_id):
        _forget(principal, connection_id)
        raise SessionEnded
    try:
        if presence.arrive(principal, connection_id):
            connections.note_missed(connection_id)
    except redis.RedisError as error:
        logger.warning("connection not registered, its next frame will", connection_id=connection_id, error=str(error))


def _forget(principal: Principal, connection_id: str) -> None:
    """Push no more to a socket that opened while its session ended, and so was not there to be closed."""
    try:
        presence.leave(principal.user_id, Connection(principal.session_id, connection_id))
    except redis.RedisError as error:
        logger.warning("connection of an ended session stays listed", connection_id=connection_id, error=str(error))


def _language_of(event: LambdaEvent) -> Language:
    return language_of(event["requestContext"]["authorizer"].get("language"))


def fits(answer: Answer, frame_id: str | None) -> bool:
    """Tell whether an answer fits into a frame."""
    return len(_body(answer.type, frame_id, answer.data).encode()) <= MAX_FRAME_BYTES


def _route_response(answer_type: str, frame_id: str | None, data: dict[str, Any], status: int) -> dict[str, Any]:
    return {"statusCode": status, "body": _body(answer_type, frame_id, data)}


def _body(answer_type: str, frame_id: str | None, data: dict[str, Any]) -> str:
    return json.dumps({"type": answer_type, "id": frame_id, "data": data}, ensure_ascii=False)
