"""What the friend module takes and answers (contract, Friend and conversation)."""

from typing import Annotated, Literal

from hongyan.clock import Timestamp
from hongyan.ids import Id
from hongyan.schemas import Conversation, Nickname, Prose, RequestBody, User
from pydantic import BaseModel, StringConstraints

Direction = Literal["incoming", "outgoing"]


class NewFriendRequest(RequestBody):
    """POST /v1/friend-requests."""

    user_id: Id
    message: Annotated[Prose, StringConstraints(max_length=200)] = ""


class FriendRequest(BaseModel):
    """One person asking another."""

    id: str
    from_user: User
    to_user: User
    message: str
    status: Literal["pending", "accepted", "rejected", "withdrawn"]
    created_at: Timestamp
    decided_at: Timestamp | None


class Acceptance(BaseModel):
    """An accepted request and the conversation that it opened, as the accepting side sees it."""

    friend_request: FriendRequest
    conversation: Conversation


class Remark(RequestBody):
    """PATCH /v1/friends/{user_id}; null takes it away."""

    remark: Nickname | None


class Blocked(BaseModel):
    """Somebody whom the caller has blocked."""

    user: User
    since: Timestamp


class Friend(BaseModel):
    """A friend, with the caller's own name for them."""

    user: User
    remark: str | None
    since: Timestamp
    online: bool
    last_seen_at: Timestamp | None
