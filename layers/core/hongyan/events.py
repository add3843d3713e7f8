"""Facts that others must hear of, and who hears them (contract, WebSocket, server events)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hongyan.clock import Timestamp, now
from hongyan.ids import new_id

EventType = Literal[
    "friend.requested",
    "friend.accepted",
    "friend.rejected",
    "friend.removed",
    "conversation.created",
    "conversation.updated",
    "conversation.removed",
    "member.changed",
    "message.created",
    "message.read",
    "presence.changed",
    "session.ended",
    "typing",
    "user.updated",
]


class ConversationAudience(BaseModel):
    """Whoever is in the conversation when the event is pushed: one row, however large the group.

    With a ``seq`` it is about that message, and for those who may read it: not for who joined after it was sent, and
    still for who left between.
    """

    kind: Literal["conversation"] = "conversation"
    conversation_id: str
    seq: int | None = None


class UsersAudience(BaseModel):
    """These people, on all their devices."""

    kind: Literal["users"] = "users"
    user_ids: list[str]


class FriendsAudience(BaseModel):
    """Whoever is somebody's friend when the event is pushed, and perhaps their own devices."""

    kind: Literal["friends"] = "friends"
    user_id: str
    with_own_devices: bool


class SessionAudience(BaseModel):
    """The sockets of one session."""

    kind: Literal["session"] = "session"
    user_id: str
    session_id: str


Audience = Annotated[
    ConversationAudience | UsersAudience | FriendsAudience | SessionAudience, Field(discriminator="kind")
]


class Event(BaseModel):
    """One fact. ``data`` is JSON as the contract gives it for ``type``; ``event_id`` tells a repeat from a new one."""

    event_id: str = Field(default_factory=new_id)
    type: EventType
    at: Timestamp = Field(default_factory=now)
    audience: Audience
    data: dict[str, Any]

    def shown(self) -> dict[str, Any]:
        """Return the event as clients see it: without its audience."""
        return self.model_dump(mode="json", exclude={"audience"})


def event(
    event_type: EventType,
    audience: ConversationAudience | UsersAudience | FriendsAudience | SessionAudience,
    **data: Any,
) -> Event:
    """Name a fact. Models among ``data`` are dumped as JSON."""
    return Event(type=event_type, audience=audience, data={name: _json(value) for name, value in data.items()})


def _json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
