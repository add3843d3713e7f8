"""The message module's routes (contract, Message)."""

from typing import Annotated

from fastapi import Depends, Path, Query, Response
from hongyan.errors import (
    ClientIdConflict,
    ConversationNotFound,
    EditWindowOver,
    ExportNotFound,
    GroupDissolved,
    InvalidCursor,
    MessageNotEditable,
    MessageNotFound,
    MessageRecalled,
    NotAMember,
    NotFriends,
    NotPermitted,
    Problem,
    RateLimited,
    RecallWindowOver,
    SyncCursorExpired,
    TokenInvalid,
    TooManyReactions,
    UserBlocked,
    ValidationFailed,
)
from hongyan.pagination import Page
from hongyan.schemas import Message, ReadReceipt, Seq
from hongyan.web import Caller, CursorParameter, Limit, SourceAddress, create_app, known_id, lambda_handler, problems
from pydantic import AfterValidator, AwareDatetime

from functions.message import changes, exports, sending, service, sync
from functions.message.emojis import one_emoji
from functions.message.schemas import Edited, Export, Forward, Forwarded, NewMessage, Reader, ReadMark, Sync
from functions.message.service import NEWEST, Range

app = create_app("message")
handler = lambda_handler(app)

MessageSeq = Annotated[int, Path(ge=1, lt=2**63)]
OneEmoji = Annotated[str, Path(max_length=64), AfterValidator(one_emoji)]

# Why a conversation takes no messages, nor anything like them.
_CLOSED: tuple[type[Problem], ...] = (NotFriends, NotAMember, UserBlocked, GroupDissolved)


@app.post(
    "/v1/conversations/{conversation_id}/messages",
    status_code=201,
    responses={
        200: {"model": Message, "description": "Sent before under this `client_id`; nothing is sent twice."},
        **problems(
            TokenInvalid,
            *_CLOSED,
            NotPermitted,
            ConversationNotFound,
            ClientIdConflict,
            ValidationFailed,
            RateLimited,
        ),
    },
)
def send(conversation_id: str, body: NewMessage, caller: Caller, address: SourceAddress, response: Response) -> Message:
    """Send a message. It is stored before the answer."""
    sent = sending.send(caller.user_id, known_id(conversation_id, ConversationNotFound), body, address)
    response.status_code = 201 if sent.is_new else 200
    return sent.message


def _asked(
    before_seq: Annotated[Seq | None, Query()] = None,
    after_seq: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    since: Annotated[AwareDatetime | None, Query(alias="from", description="Sent at this time or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Sent before this time.")] = None,
) -> Range:
    times = "to" if since is None else "from"
    given = [
        name
        for name, value in (("before_seq", before_seq), ("after_seq", after_seq), (times, since or until))
        if value is not None
    ]
    if len(given) > 1:
        raise ValidationFailed.at(["query", given[1]], f"does not go with {given[0]}")
    if since is not None and until is not None and since > until:
        raise ValidationFailed.at(["query", "to"], "is before from")
    if after_seq is not None or since is not None:
        return Range("after", after_seq, since, until)
    return Range("before", before_seq, None, until)


Asked = Annotated[Range, Depends(_asked)]


@app.get(
    "/v1/conversations/{conversation_id}/messages",
    responses=problems(TokenInvalid, ConversationNotFound, InvalidCursor, ValidationFailed),
)
def get_history(
    conversation_id: str, caller: Caller, asked: Asked, cursor: CursorParameter = None, limit: Limit = 20
) -> Page[Message]:
    """Return messages before or after a seq, or within times, or the newest, always in ascending seq.

    With `from` pages begin there and go on to newer ones; otherwise they begin at the end and go back.
    """
    known_id(conversation_id, ConversationNotFound)
    if cursor is None:
        return service.history(caller.user_id, conversation_id, asked, limit)
    if asked != NEWEST:
        raise ValidationFailed.at(["query", "cursor"], "says all that the other parameters could")
    return service.history(
        caller.user_id, conversation_id, service.range_of(caller.user_id, conversation_id, cursor), limit
    )


@app.patch(
    "/v1/conversations/{conversation_id}/messages/{seq}",
    responses=problems(
        TokenInvalid,
        *_CLOSED,
        NotPermitted,
        ConversationNotFound,
        MessageNotFound,
        MessageRecalled,
        MessageNotEditable,
        EditWindowOver,
        ValidationFailed,
    ),
)
def edit(conversation_id: str, seq: MessageSeq, body: Edited, caller: Caller) -> Message:
    """Change a text of the caller's own, within 15 minutes."""
    known_id(conversation_id, ConversationNotFound)
    return changes.edit(caller.user_id, conversation_id, seq, body)


@app.post(
    "/v1/conversations/{conversation_id}/messages/{seq}/recall",
    responses=problems(
        TokenInvalid,
        NotAMember,
        NotPermitted,
        ConversationNotFound,
        MessageNotFound,
        MessageNotEditable,
        RecallWindowOver,
        ValidationFailed,
    ),
)
def recall(conversation_id: str, seq: MessageSeq, caller: Caller) -> Message:
    """Take back what was said, for everybody: one's own within 2 minutes, a group's owner and admins any, any time."""
    known_id(conversation_id, ConversationNotFound)
    return changes.recall(caller.user_id, conversation_id, seq)


@app.delete(
    "/v1/conversations/{conversation_id}/messages/{seq}",
    status_code=204,
    responses=problems(TokenInvalid, ConversationNotFound, MessageNotFound, ValidationFailed),
)
def hide(conversation_id: str, seq: MessageSeq, caller: Caller) -> None:
    """Hide a message from the caller alone, on all their devices."""
    known_id(conversation_id, ConversationNotFound)
    changes.hide(caller.user_id, conversation_id, seq)


@app.put(
    "/v1/conversations/{conversation_id}/messages/{seq}/reactions/{emoji}",
    responses=problems(
        TokenInvalid,
        *_CLOSED,
        ConversationNotFound,
        MessageNotFound,
        MessageRecalled,
        TooManyReactions,
        ValidationFailed,
    ),
)
def react(conversation_id: str, seq: MessageSeq, emoji: OneEmoji, caller: Caller) -> Message:
    """Let the caller's reaction be among those to a message."""
    known_id(conversation_id, ConversationNotFound)
    return changes.react(caller.user_id, conversation_id, seq, emoji)


@app.delete(
    "/v1/conversations/{conversation_id}/messages/{seq}/reactions/{emoji}",
    responses=problems(
        TokenInvalid, *_CLOSED, ConversationNotFound, MessageNotFound, MessageRecalled, ValidationFailed
    ),
)
def take_reaction_back(conversation_id: str, seq: MessageSeq, emoji: OneEmoji, caller: Caller) -> Message:
    """Let the caller's reaction not be among those to a message."""
    known_id(conversation_id, ConversationNotFound)
    return changes.take_reaction_back(caller.user_id, conversation_id, seq, emoji)


@app.post(
    "/v1/conversations/{conversation_id}/messages/{seq}/forward",
    status_code=201,
    responses={
        200: {"model": Forwarded, "description": "Sent before under this `client_id`; nothing is sent twice."},
        **problems(
            TokenInvalid,
            ConversationNotFound,
            MessageNotFound,
            MessageRecalled,
            MessageNotEditable,
            ValidationFailed,
            RateLimited,
        ),
    },
)
def forward(
    conversation_id: str, seq: MessageSeq, body: Forward, caller: Caller, address: SourceAddress, response: Response
) -> Forwarded:
    """Send a message's content on into other conversations, into all of them or none."""
    known_id(conversation_id, ConversationNotFound)
    sent = changes.forward(caller.user_id, conversation_id, seq, body, address)
    response.status_code = 201 if sent.new else 200
    return sent.forwarded


@app.get(
    "/v1/conversations/{conversation_id}/messages/{seq}/receipts",
    responses=problems(TokenInvalid, ConversationNotFound, MessageNotFound, InvalidCursor, ValidationFailed),
)
def list_readers(
    conversation_id: str, seq: MessageSeq, caller: Caller, cursor: CursorParameter = None, limit: Limit = 20
) -> Page[Reader]:
    """Return who has read a message, of those who are in the conversation; its sender is not among them."""
    known_id(conversation_id, ConversationNotFound)
    return changes.list_readers(caller.user_id, conversation_id, seq, cursor, limit)


@app.put(
    "/v1/conversations/{conversation_id}/read",
    responses=problems(TokenInvalid, ConversationNotFound, ValidationFailed),
)
def mark_read(conversation_id: str, body: ReadMark, caller: Caller) -> ReadReceipt:
    """Note how far the caller has read; it never goes back."""
    return service.mark_read(caller.user_id, known_id(conversation_id, ConversationNotFound), body.seq)


@app.get("/v1/sync", responses=problems(TokenInvalid, InvalidCursor, SyncCursorExpired, ValidationFailed))
def get_changes(
    caller: Caller,
    cursor: CursorParameter = None,
    limit: Annotated[int, Query(ge=1, le=100, description="About how many changes a page holds.")] = 100,
) -> Sync:
    """Return everything that changed for the caller since the cursor; without one, the state as it is."""
    return sync.sync(caller, cursor, limit)


@app.post(
    "/v1/exports",
    status_code=202,
    responses={
        200: {"model": Export, "description": "Asked for within the last day; it is that one."},
        **problems(TokenInvalid),
    },
)
def ask_for_export(caller: Caller, response: Response) -> Export:
    """Ask for an archive of all that is the caller's own. It is made within minutes."""
    export, is_new = exports.ask(caller.user_id)
    response.status_code = 202 if is_new else 200
    return export


@app.get("/v1/exports/{export_id}", responses=problems(TokenInvalid, ExportNotFound))
def get_export(export_id: str, caller: Caller) -> Export:
    """Return how far an archive is; once it is ready, with a link."""
    return exports.find(caller.user_id, known_id(export_id, ExportNotFound))
