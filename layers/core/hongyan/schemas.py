"""The shapes that more than one module answers with, and that events carry (contract, tables of User to Message)."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_serializer,
    field_validator,
)

from hongyan import links
from hongyan.clock import Timestamp

# General categories of Unicode: controls, formats, separators. Not "Cn": what this Python does not know may be the
# newest emoji on the sender's phone.
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp", "Zs"}
_NOT_OF_ONE_LINE = {"Cc", "Zl", "Zp"}


class RequestBody(BaseModel):
    """Base of what clients send: unknown fields are refused, so that a misspelt one is an error and not silence."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _without_controls(text: str) -> str:
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise ValueError("holds half a character")  # a lone surrogate, which JSON can name and UTF-8 cannot hold
    if any(unicodedata.category(character) == "Cc" and character not in "\n\r\t" for character in text):
        raise ValueError("holds a control character")
    return text


def _not_blank(text: str) -> str:
    if all(unicodedata.category(character) in _INVISIBLE for character in text):
        raise ValueError("is blank")
    return text


def _one_line(text: str) -> str:
    if any(unicodedata.category(character) in _NOT_OF_ONE_LINE for character in text):
        raise ValueError("holds a line break or a control character")
    return text


def distinct(values: list[str]) -> list[str]:
    """Return the values if none is there twice.

    Raises:
        ValueError: one is.

    """
    if len(set(values)) < len(values):
        raise ValueError("names something twice")
    return values


# Text that people read. NUL and its like have no meaning in it and break the tools behind; line breaks and tabs stay.
Prose = Annotated[str, AfterValidator(_without_controls)]
# Text of a message: what could not be seen (blanks, zero-width characters only) is not a message.
MessageText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=5_000),
    AfterValidator(_without_controls),
    AfterValidator(_not_blank),
]
Nickname = Annotated[
    str, StringConstraints(min_length=1, max_length=32), AfterValidator(_one_line), AfterValidator(_not_blank)
]
# What is searched for.
SearchText = Annotated[
    str, StringConstraints(min_length=1, max_length=64), AfterValidator(_one_line), AfterValidator(_not_blank)
]
GroupName = Annotated[
    str, StringConstraints(min_length=1, max_length=64), AfterValidator(_one_line), AfterValidator(_not_blank)
]
# A key that a client chose: an id of a message or a device.
ClientKey = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_one_line)]
Seq = Annotated[int, Field(ge=1, lt=2**63)]


class Avatar(BaseModel):
    """A picture, and a link to it that works for a while."""

    file_id: str
    url: str


class User(BaseModel):
    """A public profile."""

    id: str
    username: str
    nickname: str
    description: str
    avatar: Avatar | None


class Reaction(BaseModel):
    """How many people reacted to a message in one way, and who: the first of them, in the order of their ids."""

    emoji: str
    count: int
    user_ids: list[str]


MessageType = Literal["text", "image", "file", "voice", "system"]


class Message(BaseModel):
    """One message of a conversation.

    ``change_seq`` rises with each change of the message: of two states of it the one with the higher counts. A recalled
    one has lost what it said, for everybody; one that is ``hidden`` says nothing to whom it is shown here.
    """

    id: str
    conversation_id: str
    seq: int
    client_id: str
    sender_id: str
    type: MessageType
    content: dict[str, Any]
    reply_to_seq: int | None
    mentions: list[str]
    reactions: list[Reaction] = []
    created_at: Timestamp
    edited_at: Timestamp | None = None
    recalled_at: Timestamp | None = None
    change_seq: int
    hidden: bool = False

    @field_validator("reactions", mode="before")
    @classmethod
    def _none_are_no_reactions(cls, value: Any) -> Any:
        return [] if value is None else value

    @field_serializer("content", when_used="json")
    def _content_with_links(self, content: dict[str, Any]) -> dict[str, Any]:
        """Show thumbnails by links, which work for a while and are therefore never stored."""
        thumbnail = content.get("thumbnail")
        if thumbnail is None:
            return content
        return content | {"thumbnail": links.shown(content["file_id"], thumbnail)}

    def hide(self) -> "Message":
        """Return the message as it is shown to who has hidden it."""
        return self.model_copy(update={"content": {}, "mentions": [], "reactions": [], "hidden": True})


Role = Literal["owner", "admin", "member"]


class ConversationCard(BaseModel):
    """A conversation as one member sees it, without what was said in it.

    A single has a ``peer``; a group has a ``name`` and an ``avatar``, and for its members a ``member_count``, an
    ``announcement`` and their own ``role``. What one does not have is null. They read from ``first_seq`` on, which no
    message may have yet; what a device holds from before they came back into a group is no longer theirs.
    """

    id: str
    kind: Literal["single", "group"]
    peer: User | None
    name: str | None
    avatar: Avatar | None
    member_count: int | None
    announcement: str | None
    role: Role | None
    first_seq: int
    last_seq: int
    read_seq: int
    unread_count: int
    muted: bool
    pinned: bool
    created_at: Timestamp
    last_activity_at: Timestamp


class Conversation(ConversationCard):
    """A conversation as one member sees it."""

    last_message: Message | None


class ReadReceipt(BaseModel):
    """How far a member has read a conversation."""

    conversation_id: str
    user_id: str
    seq: int


class FriendRequest(BaseModel):
    """One person asking another."""

    id: str
    from_user: User
    to_user: User
    message: str
    status: Literal["pending", "accepted", "rejected", "withdrawn"]
    created_at: Timestamp
    decided_at: Timestamp | None


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


class SessionDevice(BaseModel):
    """What a session runs on."""

    id: str
    platform: str
    name: str


class LiveSession(BaseModel):
    """One of the caller's sessions; ``current`` marks the one that asks."""

    id: str
    device: SessionDevice
    current: bool
    created_at: Timestamp
