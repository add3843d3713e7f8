"""The socket routes `send`, `read`, `typing` and `sync` (contract, WebSocket)."""

from typing import Any

from hongyan import metrics
from hongyan.errors import FrameTooLarge
from hongyan.observability import REQUEST, logger
from hongyan.sockets import Answer, Frame, LambdaEvent, fits, handle_frame

from functions.message import sending, service, sync
from functions.message.schemas import ReadFrame, SendFrame, SyncFrame, TypingFrame

# How many changes an answer holds, until it fits into a frame.
_FEWER_AND_FEWER = (100, 20, 4, 1)


@logger.inject_lambda_context(clear_state=True, correlation_id_path=REQUEST)
@metrics.emitted
def handler(event: LambdaEvent, context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Answer a frame with an `ack`, after what it asks for is stored; `typing` is not stored and has no answer."""
    return handle_frame(event, {"send": _send, "read": _read, "typing": _typing, "sync": _sync})


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


def _sync(frame: Frame) -> Answer:
    """Answer with as many changes as fit into a frame.

    Raises:
        FrameTooLarge: a single one does not; REST has it.

    """
    wanted = frame.parse(SyncFrame)
    for limit in _FEWER_AND_FEWER:
        answer = Answer("sync", sync.sync(frame.principal, wanted.cursor, limit).model_dump(mode="json"))
        if fits(answer, frame.id):
            return answer
    raise FrameTooLarge
