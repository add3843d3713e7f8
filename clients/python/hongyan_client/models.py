"""What the server says, as values.

Fields that this version does not know are ignored, so that a newer server does not break an older client.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Model(BaseModel):
    """An immutable value of the API."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Avatar(Model):
    """A person's picture; `url` is short-lived."""

    file_id: str
    url: str


class User(Model):
    """A public profile; `phone` and `created_at` are filled only in one's own."""

    id: str
    username: str
    nickname: str
    description: str = ""
    avatar: Avatar | None = None
    phone: str | None = None
    created_at: AwareDatetime | None = None


class Device(Model):
    """What logs in. A new login with the same `id` ends the session that this device had before."""

    id: str
    platform: Literal["web", "ios", "android", "desktop", "cli"] = "cli"
    name: str


class Session(Model):
    """A logged-in device's tokens. They are secrets: neither `repr` nor `str` shows them."""

    access_token: str = Field(repr=False)
    expires_in: int  # seconds, from the moment the tokens were given
    refresh_token: str = Field(repr=False)
    session_id: str
    user: User


class Message(Model):
    """A stored message. `content` is `{"text": ...}` when `type` is `text`."""

    id: str
    conversation_id: str
    seq: int
    client_id: str
    sender_id: str
    type: str
    content: dict[str, Any]
    reply_to_seq: int | None = None
    mentions: list[str] = Field(default_factory=list)
    created_at: AwareDatetime
    edited_at: AwareDatetime | None = None
    recalled_at: AwareDatetime | None = None

    @property
    def text(self) -> str | None:
        """The words of a text message, None for any other type and for one that was recalled."""
        text = self.content.get("text")
        return text if self.type == "text" and isinstance(text, str) else None


class Conversation(Model):
    """A conversation as the caller sees it; `peer` is the other person of a single one."""

    id: str
    kind: str
    peer: User | None = None
    last_message: Message | None = None
    last_seq: int
    read_seq: int
    unread_count: int
    muted: bool = False
    pinned: bool = False
    created_at: AwareDatetime
    last_activity_at: AwareDatetime


class FriendRequest(Model):
    """A request of `from_user` to `to_user`; `status` is pending, accepted or rejected."""

    id: str
    from_user: User
    to_user: User
    message: str = ""
    status: str
    created_at: AwareDatetime
    decided_at: AwareDatetime | None = None


class Friend(Model):
    """A friend of the caller, and what the caller calls them (`remark`)."""

    user: User
    remark: str | None = None
    since: AwareDatetime


class Acceptance(Model):
    """The answer to accepting: the request, and the conversation that the two now have."""

    friend_request: FriendRequest
    conversation: Conversation


class Receipt(Model):
    """`user_id` has read the conversation up to and including `seq`."""

    conversation_id: str
    user_id: str
    seq: int


class Ticket(Model):
    """Opens one WebSocket, once, within 30 s."""

    ticket: str = Field(repr=False)
    url: str


class MessagePage(Model):
    """Messages in ascending `seq`; `next_cursor` goes on in the direction asked for, None at the end."""

    items: list[Message]
    next_cursor: str | None = None


class MessageEvent(Model):
    """A message took its place in its conversation: in order, once, however it reached this client."""

    message: Message


class Event(Model):
    """What every event of the server carries besides its own fields."""

    type: str
    event_id: str
    at: AwareDatetime


class MessageRead(Event):
    """Somebody, perhaps oneself on another device, has read up to `seq`."""

    conversation_id: str
    user_id: str
    seq: int


class FriendRequested(Event):
    """Somebody has asked somebody; goes to both."""

    friend_request: FriendRequest


class FriendAccepted(Event):
    """The caller and `user` have become friends."""

    friend_request_id: str
    user: User
    conversation: Conversation


class ConversationCreated(Event):
    """The caller is in a new conversation."""

    conversation: Conversation


class OtherEvent(Event):
    """An event of a type that this version does not know."""

    data: dict[str, Any]


_EVENTS: Mapping[str, type[Event]] = {
    "message.read": MessageRead,
    "friend.requested": FriendRequested,
    "friend.accepted": FriendAccepted,
    "conversation.created": ConversationCreated,
}

LiveEvent = MessageEvent | Event


def parse_event(raw: Mapping[str, Any]) -> Event:
    """Read an event of the server; one of an unknown type becomes an `OtherEvent`.

    Raises `pydantic.ValidationError` when fields are missing.
    """
    envelope = {name: raw.get(name) for name in ("type", "event_id", "at")}
    data = raw.get("data")
    kind = _EVENTS.get(str(raw.get("type")))
    if kind is None or not isinstance(data, dict):
        return OtherEvent.model_validate({**envelope, "data": data})
    return kind.model_validate({**data, **envelope})
