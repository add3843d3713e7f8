"""The message module's routes (contract, Message)."""

from typing import Annotated

from fastapi import Query, Response
from hongyan.errors import (
    ClientIdConflict,
    ConversationNotFound,
    GroupDissolved,
    InvalidCursor,
    NotAMember,
    NotFriends,
    RateLimited,
    TokenInvalid,
    UserBlocked,
    ValidationFailed,
)
from hongyan.pagination import Page
from hongyan.schemas import Message, ReadReceipt, Seq
from hongyan.web import Caller, CursorParameter, Limit, SourceAddress, create_app, known_id, lambda_handler, problems

from functions.message import service
from functions.message.schemas import NewMessage, ReadMark
from functions.message.service import NEWEST, Range

app = create_app("message")
handler = lambda_handler(app)


@app.post(
    "/v1/conversations/{conversation_id}/messages",
    status_code=201,
    responses={
        200: {"model": Message, "description": "Sent before under this `client_id`; nothing is sent twice."},
        **problems(
            TokenInvalid,
            NotFriends,
            NotAMember,
            ConversationNotFound,
            ClientIdConflict,
            UserBlocked,
            GroupDissolved,
            ValidationFailed,
            RateLimited,
        ),
    },
)
def send(conversation_id: str, body: NewMessage, caller: Caller, address: SourceAddress, response: Response) -> Message:
    """Send a message. It is stored before the answer."""
    sent = service.send(caller.user_id, known_id(conversation_id, ConversationNotFound), body, address)
    response.status_code = 201 if sent.is_new else 200
    return sent.message


@app.get(
    "/v1/conversations/{conversation_id}/messages",
    responses=problems(TokenInvalid, ConversationNotFound, InvalidCursor, ValidationFailed),
)
def get_history(
    conversation_id: str,
    caller: Caller,
    before_seq: Annotated[Seq | None, Query()] = None,
    after_seq: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    cursor: CursorParameter = None,
    limit: Limit = 20,
) -> Page[Message]:
    """Return messages before or after a seq, or the newest, always in ascending seq."""
    wanted = [
        name
        for name, value in (("before_seq", before_seq), ("after_seq", after_seq), ("cursor", cursor))
        if value is not None
    ]
    if len(wanted) > 1:
        raise ValidationFailed.at(["query", wanted[1]], f"does not go with {wanted[0]}")
    known_id(conversation_id, ConversationNotFound)
    return service.history(
        caller.user_id, conversation_id, _range(conversation_id, caller.user_id, before_seq, after_seq, cursor), limit
    )


@app.put(
    "/v1/conversations/{conversation_id}/read",
    responses=problems(TokenInvalid, ConversationNotFound, ValidationFailed),
)
def mark_read(conversation_id: str, body: ReadMark, caller: Caller) -> ReadReceipt:
    """Note how far the caller has read; it never goes back."""
    return service.mark_read(caller.user_id, known_id(conversation_id, ConversationNotFound), body.seq)


def _range(
    conversation_id: str, user_id: str, before_seq: int | None, after_seq: int | None, cursor: str | None
) -> Range:
    if cursor is not None:
        return service.range_of(user_id, conversation_id, cursor)
    if after_seq is not None:
        return Range("after", after_seq)
    return NEWEST if before_seq is None else Range("before", before_seq)
