"""The socket routes `send`, `read` and `typing` (contract, WebSocket)."""

from typing import Any

from hongyan.observability import logger
from hongyan.sockets import Answer, Frame, LambdaEvent, handle_frame

from functions.message import sending, service
from functions.message.schemas import ReadFrame, SendFrame, TypingFrame


@logger.inject_lambda_context(clear_state=True)
def handler(event: LambdaEvent, context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Answer a frame with an `ack`, after what it asks for is stored; `typing` is not stored and has no answer."""
    return handle_frame(event, {"send": _send, "read": _read, "typing": _typing})


def _send(frame: Frame) -> Answer:
    wanted = frame.parse(SendFrame)
    sent = sending.send(frame.principal.user_id, wanted.conversation_id, wanted.message, frame.source_address)
    return Answer("ack", {"message": sent.message.model_dump(mode="json")})


def _read(frame: Frame) -> Answer:
    wanted = frame.parse(ReadFrame)
    receipt = service.mark_read(frame.principal.user_id, wanted.conversation_id, wanted.seq)
    return Answer("ack", receipt.model_dump())


def _typing(frame: Frame) -> None:
    wanted = frame.parse(TypingFrame)
    service.show_typing(frame.principal.user_id, wanted.conversation_id, frame.connection_id)
