"""The friend module's routes (contract, Friend and conversation)."""

from typing import Annotated

from fastapi import Query, Response
from hongyan.errors import (
    AlreadyFriends,
    ConversationNotFound,
    FileNotFound,
    FileNotUsable,
    FriendNotFound,
    FriendRequestDecided,
    FriendRequestNotFound,
    GroupDissolved,
    GroupFull,
    IdempotencyKeyConflict,
    InvalidCursor,
    MemberNotFound,
    NotAGroup,
    NotAMember,
    NotPermitted,
    OwnerMustHandOver,
    SelfBlock,
    SelfFriendship,
    TokenInvalid,
    UserBlocked,
    UserNotFound,
    ValidationFailed,
)
from hongyan.pagination import Page
from hongyan.schemas import Blocked, Conversation, Friend, FriendRequest
from hongyan.web import Caller, CursorParameter, IdempotencyKey, Limit, create_app, known_id, lambda_handler, problems

from functions.friend import conversations, groups, service
from functions.friend.schemas import (
    Acceptance,
    AddedMembers,
    Direction,
    GroupChange,
    Member,
    NewFriendRequest,
    NewGroup,
    NewMembers,
    NewOwner,
    Remark,
    RoleChange,
    Settings,
)

app = create_app("friend")
handler = lambda_handler(app)

_LISTS = problems(TokenInvalid, InvalidCursor, ValidationFailed)


@app.post(
    "/v1/friend-requests",
    status_code=201,
    responses={
        200: {"model": FriendRequest, "description": "Asked before, or the other side had asked: then `accepted`."},
        **problems(TokenInvalid, UserNotFound, AlreadyFriends, UserBlocked, SelfFriendship, ValidationFailed),
    },
)
def ask(body: NewFriendRequest, caller: Caller, response: Response) -> FriendRequest:
    """Ask somebody to be friends."""
    asked = service.ask(caller.user_id, body)
    response.status_code = 201 if asked.is_new else 200
    return asked.friend_request


@app.get("/v1/friend-requests", responses=_LISTS)
def list_requests(
    caller: Caller, direction: Annotated[Direction, Query()], limit: Limit = 20, cursor: CursorParameter = None
) -> Page[FriendRequest]:
    """List the requests to or by the caller, pending ones first."""
    return service.list_requests(caller.user_id, direction, cursor, limit)


_DECISIONS = problems(TokenInvalid, FriendRequestNotFound, FriendRequestDecided)


@app.post("/v1/friend-requests/{request_id}/accept", responses=_DECISIONS)
def accept(request_id: str, caller: Caller) -> Acceptance:
    """Accept a request to the caller."""
    return service.accept(caller.user_id, known_id(request_id, FriendRequestNotFound))


@app.post("/v1/friend-requests/{request_id}/reject", responses=_DECISIONS)
def reject(request_id: str, caller: Caller) -> FriendRequest:
    """Reject a request to the caller."""
    return service.reject(caller.user_id, known_id(request_id, FriendRequestNotFound))


@app.delete("/v1/friend-requests/{request_id}", status_code=204, responses=_DECISIONS)
def withdraw(request_id: str, caller: Caller) -> None:
    """Take back a pending request of the caller's."""
    service.withdraw(caller.user_id, known_id(request_id, FriendRequestNotFound))


@app.get("/v1/friends", responses=_LISTS)
def list_friends(caller: Caller, limit: Limit = 20, cursor: CursorParameter = None) -> Page[Friend]:
    """List the caller's friends."""
    return service.list_friends(caller.user_id, cursor, limit)


@app.patch("/v1/friends/{user_id}", responses=problems(TokenInvalid, FriendNotFound, ValidationFailed))
def set_remark(user_id: str, body: Remark, caller: Caller) -> Friend:
    """Call a friend by another name, which only the caller sees; null takes it away."""
    return service.set_remark(caller.user_id, known_id(user_id, FriendNotFound), body.remark)


@app.delete("/v1/friends/{user_id}", status_code=204, responses=problems(TokenInvalid, FriendNotFound))
def remove_friend(user_id: str, caller: Caller) -> None:
    """End a friendship. The conversation stays readable and takes no message until the two are friends again."""
    service.remove_friend(caller.user_id, known_id(user_id, FriendNotFound))


@app.get("/v1/blocks", responses=_LISTS)
def list_blocked(caller: Caller, limit: Limit = 20, cursor: CursorParameter = None) -> Page[Blocked]:
    """List the people whom the caller has blocked."""
    return service.list_blocked(caller.user_id, cursor, limit)


@app.put("/v1/blocks/{user_id}", status_code=204, responses=problems(TokenInvalid, UserNotFound, SelfBlock))
def block(user_id: str, caller: Caller) -> None:
    """Block somebody: they can neither ask nor write, and are not told."""
    service.block(caller.user_id, known_id(user_id, UserNotFound))


@app.delete("/v1/blocks/{user_id}", status_code=204, responses=problems(TokenInvalid, UserNotFound))
def unblock(user_id: str, caller: Caller) -> None:
    """Unblock somebody, whether they were blocked or not."""
    service.unblock(caller.user_id, known_id(user_id, UserNotFound))


@app.get("/v1/conversations", responses=_LISTS)
def list_conversations(caller: Caller, limit: Limit = 20, cursor: CursorParameter = None) -> Page[Conversation]:
    """List the caller's conversations, newest activity first; pages keep the order that the first one had."""
    return conversations.list_conversations(caller.user_id, cursor, limit)


@app.post(
    "/v1/conversations",
    status_code=201,
    responses=problems(TokenInvalid, ConversationNotFound, IdempotencyKeyConflict, ValidationFailed),
)
def create_group(body: NewGroup, caller: Caller, idempotency_key: IdempotencyKey = None) -> Conversation:
    """Make a group of the caller and friends of theirs."""
    return groups.create(caller.user_id, body, idempotency_key)


@app.get("/v1/conversations/{conversation_id}", responses=problems(TokenInvalid, ConversationNotFound))
def get_conversation(conversation_id: str, caller: Caller) -> Conversation:
    """Return one conversation of the caller."""
    return conversations.conversation(caller.user_id, known_id(conversation_id, ConversationNotFound))


_IN_GROUP = (TokenInvalid, ConversationNotFound, NotAGroup, NotAMember)
_CHANGING = (*_IN_GROUP, GroupDissolved, NotPermitted)


@app.patch(
    "/v1/conversations/{conversation_id}", responses=problems(*_CHANGING, FileNotFound, FileNotUsable, ValidationFailed)
)
def change_group(conversation_id: str, body: GroupChange, caller: Caller) -> Conversation:
    """Change a group's name, announcement or avatar. What is left out stays as it is."""
    return groups.change_card(caller.user_id, known_id(conversation_id, ConversationNotFound), body)


@app.delete("/v1/conversations/{conversation_id}", status_code=204, responses=problems(*_CHANGING))
def dissolve_group(conversation_id: str, caller: Caller) -> None:
    """Dissolve a group, for good. It stays readable."""
    groups.dissolve(caller.user_id, known_id(conversation_id, ConversationNotFound))


@app.patch(
    "/v1/conversations/{conversation_id}/settings",
    responses=problems(TokenInvalid, ConversationNotFound, ValidationFailed),
)
def change_settings(conversation_id: str, body: Settings, caller: Caller) -> Conversation:
    """Mute or pin a conversation, for the caller alone."""
    return conversations.change_settings(caller.user_id, known_id(conversation_id, ConversationNotFound), body)


@app.get("/v1/conversations/{conversation_id}/members", responses=problems(*_IN_GROUP, InvalidCursor, ValidationFailed))
def list_members(
    conversation_id: str, caller: Caller, limit: Limit = 20, cursor: CursorParameter = None
) -> Page[Member]:
    """List a group's members."""
    return groups.list_members(caller.user_id, known_id(conversation_id, ConversationNotFound), cursor, limit)


@app.post("/v1/conversations/{conversation_id}/members", responses=problems(*_CHANGING, GroupFull, ValidationFailed))
def add_members(conversation_id: str, body: NewMembers, caller: Caller) -> AddedMembers:
    """Add friends of the caller to a group, all or none. Who is in it already is left out of the answer."""
    return groups.add_members(caller.user_id, known_id(conversation_id, ConversationNotFound), body.user_ids)


@app.patch(
    "/v1/conversations/{conversation_id}/members/{user_id}",
    responses=problems(*_CHANGING, MemberNotFound, OwnerMustHandOver, ValidationFailed),
)
def change_role(conversation_id: str, user_id: str, body: RoleChange, caller: Caller) -> Member:
    """Make a member an admin, or an admin a member."""
    known_id(conversation_id, ConversationNotFound)
    return groups.change_role(caller.user_id, conversation_id, known_id(user_id, MemberNotFound), body.role)


@app.delete(
    "/v1/conversations/{conversation_id}/members/{user_id}",
    status_code=204,
    responses=problems(*_CHANGING, MemberNotFound, OwnerMustHandOver),
)
def remove_member(conversation_id: str, user_id: str, caller: Caller) -> None:
    """Remove somebody from a group; oneself: leave it."""
    known_id(conversation_id, ConversationNotFound)
    groups.remove(caller.user_id, conversation_id, known_id(user_id, MemberNotFound))


@app.put("/v1/conversations/{conversation_id}/owner", responses=problems(*_CHANGING, ValidationFailed))
def hand_over(conversation_id: str, body: NewOwner, caller: Caller) -> Conversation:
    """Make another member the owner of a group; the caller becomes an admin."""
    return groups.hand_over(caller.user_id, known_id(conversation_id, ConversationNotFound), body.user_id)
