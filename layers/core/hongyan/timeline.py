"""A conversation's timeline: who holds its lock takes the next seq (architecture, decision 2).

People's messages and those that the server makes of what happens in a group go the same way. Whatever its members are
shown of a conversation takes the next number of its changes too, under the same lock: sync goes by those.
"""

import hashlib
from datetime import datetime
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from hongyan.clock import now
from hongyan.events import ConversationAudience, Event, event
from hongyan.ids import new_id
from hongyan.schemas import Message, Role
from hongyan.tables import conversations, members, messages
from hongyan.unit_of_work import UnitOfWork

Happening = Literal[
    "group_created",
    "members_added",
    "member_left",
    "member_removed",
    "role_changed",
    "owner_changed",
    "group_renamed",
    "announcement_changed",
    "avatar_changed",
    "group_dissolved",
]

# Up to here everyone in a group is told of what concerns one of them; in larger ones it would be a flood.
SMALL_GROUP = 50


class Place(NamedTuple):
    """A conversation as it stands under its lock, and somebody's place in it."""

    conversation_id: str
    user_id: str
    kind: str
    is_open: bool
    last_seq: int
    change_seq: int
    last_activity_at: datetime
    member_count: int | None
    role: Role | None
    joined_seq: int
    left_seq: int | None
    read_seq: int
    own_after_read: int


def lock(connection: sa.Connection, conversation_id: str, user_id: str) -> Place | None:
    """Lock a conversation and the place of somebody who is or was in it."""
    return _place(connection, _places(conversation_id, user_id).with_for_update())


def find(connection: sa.Connection, conversation_id: str, user_id: str) -> Place | None:
    """Return the place of somebody who is or was in a conversation."""
    return _place(connection, _places(conversation_id, user_id))


def _places(conversation_id: str, user_id: str) -> sa.Select[Any]:
    return (
        sa.select(
            members.c.conversation_id,
            members.c.user_id,
            conversations.c.kind,
            conversations.c.is_open,
            conversations.c.last_seq,
            conversations.c.change_seq,
            conversations.c.last_activity_at,
            conversations.c.member_count,
            members.c.role,
            members.c.joined_seq,
            members.c.left_seq,
            members.c.read_seq,
            members.c.own_after_read,
        )
        .select_from(conversations)
        .join(members, members.c.conversation_id == conversations.c.id)
        .where(conversations.c.id == conversation_id, members.c.user_id == user_id)
    )


def _place(connection: sa.Connection, statement: sa.Select[Any]) -> Place | None:
    row = connection.execute(statement).first()
    return None if row is None else Place(*row)


def change(connection: sa.Connection, place: Place) -> Place:
    """Take the number of a change that is no new message, and return the place after it. The place is locked."""
    after = place._replace(change_seq=place.change_seq + 1)
    connection.execute(
        sa.update(conversations).where(conversations.c.id == place.conversation_id).values(change_seq=after.change_seq)
    )
    return after


def moment(place: Place) -> datetime:
    """Return when a message is sent under the lock: not before the last one, whatever this machine's clock says."""
    return max(now(), place.last_activity_at)


def append(unit: UnitOfWork, place: Place, message: Message, request_hash: bytes) -> Place:
    """Store a message of whose place it is under the next seq and change, which it bears; return the place after it.

    Raises:
        sqlalchemy.exc.IntegrityError: the sender used the ``client_id`` in another conversation at this very moment.

    """
    columns = message.model_dump(exclude={"reactions", "edited_at", "recalled_at", "hidden"})
    unit.connection.execute(sa.insert(messages).values(**columns, request_hash=request_hash))
    # Whoever had read to the end has read their own message too; otherwise it only does not count as unread.
    has_read_all = place.read_seq == place.last_seq
    after = place._replace(
        last_seq=message.seq,
        change_seq=message.change_seq,
        last_activity_at=message.created_at,
        read_seq=message.seq if has_read_all else place.read_seq,
        own_after_read=0 if has_read_all else place.own_after_read + 1,
    )
    _advance(unit.connection, after, message)
    created = about(message.conversation_id, message.seq, "message.created")
    unit.announce(created.model_copy(update={"message_type": message.type}))
    return after


def about(conversation_id: str, seq: int, event_type: Literal["message.created", "message.updated"]) -> Event:
    """Return the event that a message came or changed.

    It only says which. Whoever consumes it reads the message as it is then, so what was recalled is in no queue.
    """
    audience = ConversationAudience(conversation_id=conversation_id, seq=seq)
    return event(event_type, audience, message={"conversation_id": conversation_id, "seq": seq})


def note(unit: UnitOfWork, place: Place, happening: Happening, **content: Any) -> Place:
    """Store what somebody did to a group as a `system` message of theirs, and return the place after it."""
    message_id = new_id()
    message = Message(
        id=message_id,
        conversation_id=place.conversation_id,
        seq=place.last_seq + 1,
        client_id=message_id,
        sender_id=place.user_id,
        type="system",
        content={"event": happening, "by_user_id": place.user_id, **content},
        reply_to_seq=None,
        mentions=[],
        created_at=moment(place),
        change_seq=place.change_seq + 1,
    )
    # Nobody asked for this message, so no request is taken for a repetition of it.
    return append(unit, place, message, hashlib.sha256(message_id.encode()).digest())


def _advance(connection: sa.Connection, after: Place, message: Message) -> None:
    """Note the conversation's new end and the sender's place in it, in one statement."""
    connection.execute(
        sa.update(conversations)
        .where(
            conversations.c.id == after.conversation_id,
            members.c.conversation_id == conversations.c.id,
            members.c.user_id == after.user_id,
        )
        .values(
            {
                conversations.c.last_seq: after.last_seq,
                conversations.c.change_seq: after.change_seq,
                conversations.c.last_activity_at: message.created_at,
                members.c.read_seq: after.read_seq,
                members.c.own_after_read: after.own_after_read,
            }
        )
    )
