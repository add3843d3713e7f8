"""Facts that others must hear of, and who hears them (contract, WebSocket, server events)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from hongyan.clock import Timestamp, now
from hongyan.ids import new_id
from hongyan.observability import correlation_id
from hongyan.schemas import Conversation, Message, MessageType

EventType = Literal[
    "block.changed",
    "friend.requested",
    "friend.accepted",
    "friend.rejected",
    "friend.removed",
    "friend.updated",
    "conversation.created",
    "conversation.updated",
    "conversation.removed",
    "member.changed",
    "message.created",
    "message.hidden",
    "message.read",
    "message.updated",
    "presence.changed",
    "session.ended",
    "typing",
    "user.updated",
]


class Crowd(BaseModel):
    """People who are found when the event is pushed, in the order of their ids: all of them, or one shard of them."""

    after_user_id: str = ""
    up_to_user_id: str | None = None


class ConversationAudience(Crowd):
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


class FriendsAudience(Crowd):
    """Whoever is somebody's friend when the event is pushed, and perhaps their own devices."""

    kind: Literal["friends"] = "friends"
    user_id: str
    with_own_devices: bool


class SessionAudience(BaseModel):
    """The sockets of one session."""

    kind: Literal["session"] = "session"
    user_id: str
    session_id: str


class ConnectionAudience(BaseModel):
    """One socket: it could not be told when the others were."""

    kind: Literal["connection"] = "connection"
    user_id: str
    session_id: str
    connection_id: str


Audience = Annotated[
    ConversationAudience | UsersAudience | FriendsAudience | SessionAudience | ConnectionAudience,
    Field(discriminator="kind"),
]


# What tells an event, to certain people, from any other: an event goes to several shards and sockets one by one.
Identity = tuple[str, str]


class Reference(NamedTuple):
    """Which message an event is about."""

    conversation_id: str
    seq: int


class Event(BaseModel):
    """One fact. ``data`` is JSON as the contract gives it for ``type``; ``event_id`` tells a repeat from a new one.

    But a message is only referred to while the event is on its way: ``{"conversation_id", "seq"}``. Whoever consumes
    it reads the message as it is then: what was recalled is in no queue, and no late event shows an old state. Only
    what type of message came is told beside it, for queues that want one type and no others, and what caused the event,
    for the logs.
    """

    event_id: str = Field(default_factory=new_id)
    type: EventType
    at: Timestamp = Field(default_factory=now)
    audience: Audience
    data: dict[str, Any]
    message_type: MessageType | None = None
    correlation_id: str | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """Return what subscriptions choose by (template.yaml, FilterPolicy)."""
        return {"type": self.type} | ({} if self.message_type is None else {"message_type": self.message_type})

    @property
    def identity(self) -> Identity:
        """Return the event's id and who is told."""
        return self.event_id, self.audience.model_dump_json()

    def to(self, audience: Audience) -> "Event":
        """Return the event for other people."""
        return self.model_copy(update={"audience": audience})

    def references(self) -> list[Reference]:
        """Return which messages the event refers to."""
        return [
            Reference(message["conversation_id"], message["seq"])
            for message in (self.data.get("message"), self.data.get("conversation", {}).get("last_message"))
            if message is not None
        ]

    def with_messages(self, found: Mapping[Reference, Message]) -> "Event":
        """Return the event with the messages in the place of the references to them."""
        data = dict(self.data)
        if "message" in data:
            data["message"] = _found(data["message"], found)
        if data.get("conversation", {}).get("last_message") is not None:
            conversation = data["conversation"]
            data["conversation"] = {**conversation, "last_message": _found(conversation["last_message"], found)}
        return self.model_copy(update={"data": data})

    def shown(self) -> dict[str, Any]:
        """Return the event as clients see it: without what is there for queues."""
        return self.model_dump(mode="json", exclude={"audience", "message_type", "correlation_id"})


def event(
    event_type: EventType,
    audience: ConversationAudience | UsersAudience | FriendsAudience | SessionAudience,
    **data: Any,
) -> Event:
    """Name a fact. Models among ``data`` are dumped as JSON."""
    return Event(
        type=event_type,
        audience=audience,
        data={name: _json(value) for name, value in data.items()},
        correlation_id=correlation_id(),
    )


def _json(value: Any) -> Any:
    if isinstance(value, Conversation) and value.last_message is not None:
        last = Reference(value.id, value.last_message.seq)
        return {**value.model_dump(mode="json", exclude={"last_message"}), "last_message": last._asdict()}
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _found(reference: dict[str, Any], found: Mapping[Reference, Message]) -> dict[str, Any]:
    return found[Reference(reference["conversation_id"], reference["seq"])].model_dump(mode="json")
