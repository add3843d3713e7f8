"""What the message module takes and answers (contract, Message)."""

from typing import Annotated, Any, Literal

from hongyan.clock import Timestamp
from hongyan.ids import Id
from hongyan.schemas import (
    Blocked,
    ClientKey,
    ConversationCard,
    Friend,
    FriendRequest,
    LiveSession,
    Message,
    MessageText,
    ReadReceipt,
    RequestBody,
    Role,
    Seq,
    User,
    distinct,
)
from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, TypeAdapter

# Ids of members, or `all` for everyone, by who may.
Mentions = Annotated[list[Id | Literal["all"]], Field(max_length=100)]


class TextContent(RequestBody):
    """The content of a text."""

    text: MessageText


class FileContent(RequestBody):
    """The content of an image or a file: a completed upload of the sender's, for that purpose."""

    file_id: Id


class VoiceContent(FileContent):
    """The content of a voice message. The length that is kept is the recording's; one that is another is refused."""

    duration_ms: Annotated[int, Field(ge=0)] | None = None


class _New(RequestBody):
    """``client_id`` makes sending idempotent: the same one again is the same message."""

    client_id: ClientKey
    reply_to_seq: Seq | None = None
    mentions: Annotated[Mentions, Field(default_factory=list)]


class NewText(_New):
    """A text to send."""

    type: Literal["text"]
    content: TextContent


class NewFile(_New):
    """A picture or a file to send."""

    type: Literal["image", "file"]
    content: FileContent


class NewVoice(_New):
    """A recording to send."""

    type: Literal["voice"]
    content: VoiceContent


def _form(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return {"image": "<file>", "file": "<file>", "voice": "<voice>"}.get(str(kind), "<text>")


# POST .../messages.
NewMessage = Annotated[
    Annotated[NewText, Tag("<text>")] | Annotated[NewFile, Tag("<file>")] | Annotated[NewVoice, Tag("<voice>")],
    Discriminator(_form),
]
NEW_MESSAGE: TypeAdapter[NewMessage] = TypeAdapter(NewMessage)


class Edited(RequestBody):
    """PATCH .../messages/{seq}. Mentions that are left out stay as they are."""

    content: TextContent
    mentions: Mentions | None = None


class Forward(RequestBody):
    """POST .../messages/{seq}/forward. The same ``client_id`` again sends nothing twice."""

    client_id: ClientKey
    conversation_ids: Annotated[list[Id], Field(min_length=1, max_length=20), AfterValidator(distinct)]


class Forwarded(BaseModel):
    """What was sent, in the order of the conversations that were asked for."""

    items: list[Message]


class Reader(BaseModel):
    """Somebody who has read a message."""

    user: User


class MemberState(BaseModel):
    """What somebody is in a conversation; a role is of those present in a group."""

    conversation_id: str
    user_id: str
    role: Role | None
    is_present: bool


class HiddenMessage(BaseModel):
    """A message that the caller has hidden."""

    conversation_id: str
    seq: int


class Sync(BaseModel):
    """What changed for the caller. Whatever is told is told as it is now; what did not change is not there.

    ``sessions`` are all of the caller's, when any began or ended.
    """

    conversations: list[ConversationCard] = []
    messages: list[Message] = []
    hidden: list[HiddenMessage] = []
    members: list[MemberState] = []
    receipts: list[ReadReceipt] = []
    friends: list[Friend] = []
    removed_friend_ids: list[str] = []
    friend_requests: list[FriendRequest] = []
    blocks: list[Blocked] = []
    unblocked_ids: list[str] = []
    sessions: list[LiveSession] | None = None
    next_cursor: str
    has_more: bool


class Export(BaseModel):
    """An archive of the caller's own data, a ZIP of JSON. Once it is ready it has a link, for a quarter of an hour."""

    id: str
    status: Literal["pending", "ready", "failed"]
    created_at: Timestamp
    expires_at: Timestamp
    size: int | None
    download_url: str | None


class SyncFrame(RequestBody):
    """The fields of a `sync` frame."""

    cursor: Annotated[str, Field(max_length=512)] | None = None


class SendFrame(RequestBody):
    """The fields of a `send` frame."""

    conversation_id: Id
    message: NewMessage


class ReadMark(RequestBody):
    """PUT .../read."""

    seq: Seq


class ReadFrame(ReadMark):
    """The fields of a `read` frame."""

    conversation_id: Id


class TypingFrame(RequestBody):
    """The fields of a `typing` frame."""

    conversation_id: Id


class Highlight(BaseModel):
    """A part of a text, of a voice's `transcript` or of a file's `name`: code points, without the one at `end`."""

    start: int
    end: int


class FoundMessage(BaseModel):
    """A message that was found, as it is now, and where in its text."""

    message: Message
    highlights: list[Highlight]
