"""What a live connection tells, typed."""

from typing import Any

from pydantic import AwareDatetime

from hongyan_client.models import Conversation, FriendRequest, Message, Model, Reading, User


class MessageEvent(Model):
    """The next message of a conversation, one's own too: in order of ``seq``, each exactly once."""

    message: Message


class MessageUpdated(Model):
    """A message has changed: it was edited, recalled or reacted to. May be old: the higher ``change_seq`` counts."""

    message: Message


class MessageRead(Model):
    """Somebody, or oneself elsewhere, has read further. May be old: a ``seq`` below a known one says nothing."""

    reading: Reading


class FriendRequested(Model):
    """A friend request that was made by or to oneself."""

    friend_request: FriendRequest


class FriendAccepted(Model):
    """Two people, one of them oneself, have become friends: ``user`` is the other one."""

    friend_request_id: str
    user: User
    conversation: Conversation


class ConversationCreated(Model):
    """A conversation that one is now in. Its first messages may come before this."""

    conversation: Conversation


class UserUpdated(Model):
    """A friend, or oneself on another device, has changed their profile. May be old when it comes late."""

    user: User


class FriendRemoved(Model):
    """One is no longer friends with this person, whoever ended it."""

    user_id: str


class ConversationUpdated(Model):
    """A conversation has changed, and is now so; e.g. two people are friends again."""

    conversation: Conversation


class PresenceChanged(Model):
    """A friend came online or went. May be old when it comes late: the later ``last_seen_at`` counts."""

    user_id: str
    online: bool
    last_seen_at: AwareDatetime


class Typing(Model):
    """Somebody is typing in a conversation; to be shown for some seconds."""

    conversation_id: str
    user_id: str


class ConnectionLost(Model):
    """The connection broke for ``reason`` and is being made again; what happens meanwhile comes after that."""

    reason: str


class ConnectionRestored(Model):
    """The connection is there again."""


class OtherEvent(Model):
    """An event that this version has no type for, as the server sent it."""

    type: str
    event_id: str
    data: dict[str, Any]


LiveEvent = (
    MessageEvent
    | MessageUpdated
    | MessageRead
    | FriendRequested
    | FriendAccepted
    | ConversationCreated
    | UserUpdated
    | FriendRemoved
    | ConversationUpdated
    | PresenceChanged
    | Typing
    | ConnectionLost
    | ConnectionRestored
    | OtherEvent
)
