"""What the server says, as values.

Fields that this version does not know are ignored, so that a newer server does not break an older client.
"""

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Item = TypeVar("Item")

Direction = Literal["incoming", "outgoing"]
Role = Literal["admin", "member"]
FilePurpose = Literal["avatar", "image", "file", "voice"]
Purpose = Literal["register", "login", "change_phone", "reset_password"]


class Model(BaseModel):
    """An immutable value of the API."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Endpoints(Model):
    """Where the deployment's APIs are: ``/v1/...`` is appended to ``rest_url``."""

    rest_url: str
    websocket_url: str
    version: str


class Problem(Model):
    """A problem object (RFC 9457). ``errors`` are ``{"loc": [...], "msg": ...}``, where a request is wrong and how."""

    status: int
    code: str
    title: str = ""
    detail: str = ""
    request_id: str | None = None
    errors: Sequence[dict[str, Any]] | None = None


class Page(Model, Generic[Item]):
    """A part of a list; ``next_cursor`` asks for the next one, None at the end."""

    items: Sequence[Item]
    next_cursor: str | None = None


class Avatar(Model):
    """A person's picture; ``url`` is short-lived."""

    file_id: str
    url: str


class User(Model):
    """A public profile."""

    id: str
    username: str
    nickname: str
    description: str
    avatar: Avatar | None = None


class Me(User):
    """One's own profile."""

    phone: str | None = None
    created_at: AwareDatetime


class FoundUser(User):
    """A public profile that a search found.

    ``relation`` to oneself is none, requested (by oneself), incoming (a request to oneself), friend, blocked or self.
    """

    relation: str


class SentCode(Model):
    """A code that is on its way by SMS: good for ``expires_in`` s; another may be had after ``resend_after`` s."""

    code_id: str
    expires_in: int
    resend_after: int


class Device(Model):
    """What logs in: a new login with the same ``id`` ends the session that the device had."""

    id: str
    platform: Literal["web", "ios", "android", "desktop", "cli"]
    name: str


class Session(Model):
    """A logged-in device. Its tokens are secrets: ``repr`` does not show them."""

    access_token: str = Field(repr=False)
    expires_in: int  # seconds, counted from the server's answer
    refresh_token: str = Field(repr=False)
    session_id: str
    user: User


class SessionDevice(Model):
    """What a session runs on; ``platform`` is one of Device's, or one that a newer server knows."""

    id: str
    platform: str
    name: str


class OwnSession(Model):
    """One of one's own sessions; ``current`` marks the one that asks."""

    id: str
    device: SessionDevice
    current: bool
    created_at: AwareDatetime


class Ticket(Model):
    """Opens one WebSocket at ``url``, once, within 30 s."""

    ticket: str = Field(repr=False)
    url: str


class FriendRequest(Model):
    """A request of ``from_user`` to ``to_user``; ``status`` is pending, accepted, rejected or withdrawn."""

    id: str
    from_user: User
    to_user: User
    message: str
    status: str
    created_at: AwareDatetime
    decided_at: AwareDatetime | None = None


class Friend(Model):
    """A friend, what one calls them (``remark``), whether they are connected, and since when it is so."""

    user: User
    remark: str | None = None
    since: AwareDatetime
    online: bool = False
    last_seen_at: AwareDatetime | None = None


class Blocked(Model):
    """Somebody whom one has blocked."""

    user: User
    since: AwareDatetime


class Reaction(Model):
    """How many people reacted to a message with ``emoji``, and who: the first of them."""

    emoji: str
    count: int
    user_ids: Sequence[str] = ()


class Put(Model):
    """One request that stores a whole file, with exactly these headers."""

    url: str
    headers: dict[str, str]


class Part(Model):
    """A part of a file, in bytes, and where it is stored by a PUT."""

    number: int
    offset: int
    size: int
    url: str


class CompletedPart(Model):
    """A part as the storage has it."""

    number: int
    etag: str


class Upload(Model):
    """How to store what is not there yet of a file: at once, or by parts."""

    file_id: str
    upload: Put | None = None
    parts: Sequence[Part] = ()
    stored_parts: Sequence[CompletedPart] = ()


class File(Model):
    """A file; ``status`` is uploading, verifying or ready. ``download_url`` is short-lived."""

    id: str
    owner_id: str
    purpose: str
    name: str
    mime: str
    size: int
    sha256: str
    status: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    download_url: str | None = None


class Message(Model):
    """A stored message; ``content`` is what ``type`` says, ``{"text": ...}`` for "text".

    ``change_seq`` rises with each change: of two states of a message the one with the higher counts. What was recalled,
    or is ``hidden`` from oneself, has no content any more.
    """

    id: str
    conversation_id: str
    seq: int
    client_id: str
    sender_id: str
    type: str
    content: dict[str, Any]
    reply_to_seq: int | None = None
    mentions: Sequence[str] = ()
    reactions: Sequence[Reaction] = ()
    created_at: AwareDatetime
    edited_at: AwareDatetime | None = None
    recalled_at: AwareDatetime | None = None
    change_seq: int = 0
    hidden: bool = False

    @property
    def text(self) -> str | None:
        """The words of a text message; None for any other type and for one that was recalled."""
        text = self.content.get("text")
        return text if self.type == "text" and isinstance(text, str) else None

    def hide(self) -> "Message":
        """Return the message as the server shows it to who has hidden it."""
        return self.model_copy(update={"content": {}, "mentions": (), "reactions": (), "hidden": True})


class Conversation(Model):
    """A conversation as one sees it oneself.

    ``peer`` is the other person of a single one. A group has ``name`` and ``avatar``, and while one is in it
    ``member_count``, ``announcement`` and one's own ``role``: owner, admin or member. One reads from ``first_seq`` on.
    """

    id: str
    kind: str
    peer: User | None = None
    name: str | None = None
    avatar: Avatar | None = None
    member_count: int | None = None
    announcement: str | None = None
    role: str | None = None
    last_message: Message | None = None
    first_seq: int
    last_seq: int
    read_seq: int
    unread_count: int
    muted: bool
    pinned: bool
    created_at: AwareDatetime
    last_activity_at: AwareDatetime


class Member(Model):
    """Somebody who is in a group; ``role`` is owner, admin or member."""

    user: User
    role: str
    joined_at: AwareDatetime


class Added(Model):
    """Whom a request has added to a group."""

    items: Sequence[Member]


class Accepted(Model):
    """The answer to accepting: the request, and the conversation that both are in now."""

    friend_request: FriendRequest
    conversation: Conversation


class Reading(Model):
    """``user_id`` has read the conversation up to and including ``seq``."""

    conversation_id: str
    user_id: str
    seq: int


class Forwarded(Model):
    """What forwarding has sent, in the order of the conversations that were asked for."""

    items: Sequence[Message]


class Reader(Model):
    """Somebody who has read a message."""

    user: User


class HiddenMessage(Model):
    """A message that one has hidden from oneself."""

    conversation_id: str
    seq: int


class MemberState(Model):
    """What somebody is in a conversation; who is in a group has a ``role``: owner, admin or member."""

    conversation_id: str
    user_id: str
    role: str | None = None
    is_present: bool


class Changes(Model):
    """A page of what changed for oneself, each thing as it is now; ``next_cursor`` asks for what comes after it.

    ``sessions`` are all of one's own, when any began or ended. Who is in ``removed_friend_ids`` is no friend any more,
    who is in ``unblocked_ids`` not blocked.
    """

    conversations: Sequence[Conversation] = ()
    messages: Sequence[Message] = ()
    hidden: Sequence[HiddenMessage] = ()
    members: Sequence[MemberState] = ()
    receipts: Sequence[Reading] = ()
    friends: Sequence[Friend] = ()
    removed_friend_ids: Sequence[str] = ()
    friend_requests: Sequence[FriendRequest] = ()
    blocks: Sequence[Blocked] = ()
    unblocked_ids: Sequence[str] = ()
    sessions: Sequence[OwnSession] | None = None
    next_cursor: str
    has_more: bool
