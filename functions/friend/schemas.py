"""What the friend module takes and answers (contract, Friend and conversation)."""

from typing import Annotated, Literal

from hongyan.clock import Timestamp
from hongyan.ids import Id
from hongyan.schemas import Conversation, FriendRequest, GroupName, Nickname, Prose, RequestBody, Role, User, distinct
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

Direction = Literal["incoming", "outgoing"]


class NewFriendRequest(RequestBody):
    """POST /v1/friend-requests."""

    user_id: Id
    message: Annotated[Prose, StringConstraints(max_length=200)] = ""


class Acceptance(BaseModel):
    """An accepted request and the conversation that it opened, as the accepting side sees it."""

    friend_request: FriendRequest
    conversation: Conversation


class Remark(RequestBody):
    """PATCH /v1/friends/{user_id}; null takes it away."""

    remark: Nickname | None


class NewGroup(RequestBody):
    """POST /v1/conversations. The caller becomes the owner and is not among the ``member_ids``."""

    name: GroupName
    member_ids: Annotated[list[Id], Field(min_length=2, max_length=499), AfterValidator(distinct)]


class GroupChange(RequestBody):
    """PATCH /v1/conversations/{id}. What is left out stays as it is; a null avatar shows none."""

    name: GroupName | None = None
    announcement: Annotated[Prose, StringConstraints(max_length=2_000)] | None = None
    avatar_file_id: Id | None = None


class Settings(RequestBody):
    """PATCH /v1/conversations/{id}/settings. What is left out stays as it is."""

    muted: bool | None = None
    pinned: bool | None = None


class NewMembers(RequestBody):
    """POST /v1/conversations/{id}/members."""

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=500), AfterValidator(distinct)]


class Member(BaseModel):
    """Somebody who is in a group."""

    user: User
    role: Role
    joined_at: Timestamp


class AddedMembers(BaseModel):
    """Whom a request added: those who were in the group before are not among them."""

    items: list[Member]


class RoleChange(RequestBody):
    """PATCH /v1/conversations/{id}/members/{user_id}."""

    role: Literal["admin", "member"]


class NewOwner(RequestBody):
    """PUT /v1/conversations/{id}/owner."""

    user_id: Id
