"""What the message module takes and answers (contract, Message)."""

from typing import Annotated, Literal

from hongyan.ids import Id
from hongyan.schemas import ClientKey, MessageText, RequestBody, Seq
from pydantic import Field


class TextContent(RequestBody):
    """The content of a text."""

    text: MessageText


class NewMessage(RequestBody):
    """POST .../messages. ``client_id`` makes sending idempotent: the same one again is the same message."""

    client_id: ClientKey
    type: Literal["text"]
    content: TextContent
    reply_to_seq: Seq | None = None
    mentions: Annotated[list[Id], Field(max_length=100, default_factory=list)]


class SendFrame(RequestBody):
    """The fields of a `send` frame."""

    conversation_id: Id
    message: NewMessage


class ReadMark(RequestBody):
    """PUT .../read."""

    seq: Seq


class ReadFrame(ReadMark):
    """The fields of a `read` frame."""

    conversation_id: Id


class TypingFrame(RequestBody):
    """The fields of a `typing` frame."""

    conversation_id: Id
