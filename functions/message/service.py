"""Sending, reading, history."""

import hashlib
import json
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import outbox, rate_limits
from hongyan.clock import now
from hongyan.errors import (
    ClientIdConflict,
    ConversationNotFound,
    NotFriends,
    RateLimited,
    UserBlocked,
    ValidationFailed,
)
from hongyan.events import ConversationAudience, UsersAudience, event
from hongyan.ids import new_id
from hongyan.pagination import Page, decode_cursor, encode_cursor
from hongyan.schemas import Message, ReadReceipt
from hongyan.unit_of_work import UnitOfWork, perform, read
from sqlalchemy.exc import IntegrityError

from functions.message import repository
from functions.message.schemas import NewMessage


class Sent(NamedTuple):
    """The message as it is stored, and whether this call stored it."""

    message: Message
    is_new: bool


class Range(NamedTuple):
    """Which way to read history, and from where; without a seq, backwards from the newest."""

    direction: str
    seq: int | None


NEWEST = Range("before", None)

# Enough to show that somebody goes on typing; what is over it is not shown and not refused.
TYPING = rate_limits.at_most(5, 10, "typing")
_TYPING_SHOWN_UP_TO = 50  # members (contract, WebSocket, typing)

# 40 a second for half a minute: twice what one connection may send, and more than anybody types.
SENDING = rate_limits.at_most(1_200, 30, "sending")


def send(sender_id: str, conversation_id: str, draft: NewMessage) -> Sent:
    """Store a message under the conversation's next seq. The same ``client_id`` again returns the first message.

    Raises:
        ConversationNotFound: there is none such, or the sender is not in it.
        ClientIdConflict: the sender has used the ``client_id`` for another message.
        NotFriends: it is a single, and the two are not friends, or the other side has blocked the sender.
        UserBlocked: it is a single, and the sender has blocked the other side.
        ValidationFailed: it replies to a seq that is not there, or mentions somebody who is not in the conversation.
        RateLimited: the sender sends too much; without Redis nobody does.

    """
    rate_limits.take_if_counted(SENDING, sender_id)
    return perform(lambda unit: _send(unit, sender_id, conversation_id, draft))


def show_typing(user_id: str, conversation_id: str, connection_id: str) -> None:
    """Show the others who are online that somebody is typing. It is not stored, nor sent again when it is lost.

    Raises:
        ConversationNotFound: there is none such, or the user is not in it.

    """
    present = read(lambda connection: repository.list_members(connection, [conversation_id]))[conversation_id]
    if user_id not in present:
        raise ConversationNotFound
    if len(present) > _TYPING_SHOWN_UP_TO:
        return
    try:
        rate_limits.take_if_counted(TYPING, connection_id)
    except RateLimited:
        return  # a hint too many is no mistake of the client's
    others = UsersAudience(user_ids=[member for member in present if member != user_id])
    outbox.announce_unstored(event("typing", others, conversation_id=conversation_id, user_id=user_id))


def mark_read(user_id: str, conversation_id: str, seq: int) -> ReadReceipt:
    """Note that the user has read up to ``seq``, and return how far they have: it never goes back.

    Raises:
        ConversationNotFound: there is none such, or the user is not in it.
        ValidationFailed: the conversation does not go that far.

    """
    return perform(lambda unit: _mark_read(unit, user_id, conversation_id, seq))


def history(user_id: str, conversation_id: str, wanted: Range, limit: int) -> Page[Message]:
    """Return a page of messages in ascending seq; its cursor continues in the same direction.

    Raises:
        ConversationNotFound: there is none such, or the user is not in it.

    """
    rows = read(lambda connection: _history(connection, user_id, conversation_id, wanted, limit + 1))
    shown = rows[:limit]
    cursor = None
    if len(rows) > limit:
        cursor = encode_cursor(_list_name(conversation_id), user_id, [wanted.direction, shown[-1].seq])
    if wanted.direction == "before":
        shown = shown[::-1]
    return Page(items=[_message(row) for row in shown], next_cursor=cursor)


def range_of(user_id: str, conversation_id: str, cursor: str) -> Range:
    """Return where the page of a history cursor starts.

    Raises:
        InvalidCursor: it is not of this conversation's history and this user.

    """
    return Range(*decode_cursor(_list_name(conversation_id), user_id, cursor))


def _send(unit: UnitOfWork, sender_id: str, conversation_id: str, draft: NewMessage) -> Sent:
    place = repository.lock_conversation(unit.connection, conversation_id, sender_id)
    if place is None:
        raise ConversationNotFound
    request_hash = _request_hash(conversation_id, draft)
    first = repository.find_by_client_id(unit.connection, sender_id, draft.client_id)
    if first is not None:
        return _sent_before(first, request_hash)
    if not place.is_open:
        has_blocked = repository.has_blocked_peer(unit.connection, conversation_id, sender_id)
        raise UserBlocked if has_blocked else NotFriends
    _check_references(unit, conversation_id, place.last_seq, draft)

    message = _new_message(sender_id, conversation_id, place.last_seq + 1, draft)
    try:
        repository.insert_message(unit.connection, **_columns(message), request_hash=request_hash)
    except IntegrityError:
        first = repository.find_by_client_id(unit.connection, sender_id, draft.client_id)
        if first is None:
            raise
        return _sent_before(first, request_hash)
    # Whoever had read to the end has read their own message too; otherwise it only does not count as unread.
    has_read_all = place.read_seq == place.last_seq
    repository.advance(
        unit.connection,
        conversation_id,
        sender_id,
        last_seq=message.seq,
        at=message.created_at,
        read_seq=message.seq if has_read_all else place.read_seq,
        own_after_read=0 if has_read_all else place.own_after_read + 1,
    )
    unit.announce(event("message.created", ConversationAudience(conversation_id=conversation_id), message=message))
    return Sent(message, is_new=True)


def _sent_before(first: sa.Row[Any], request_hash: bytes) -> Sent:
    if first.request_hash != request_hash:
        raise ClientIdConflict
    return Sent(_message(first), is_new=False)


def _check_references(unit: UnitOfWork, conversation_id: str, last_seq: int, draft: NewMessage) -> None:
    if draft.reply_to_seq is not None and draft.reply_to_seq > last_seq:
        raise ValidationFailed.at(["body", "reply_to_seq"], "there is no such message")
    if not draft.mentions:
        return
    present = repository.list_members(unit.connection, [conversation_id])[conversation_id]
    if not set(draft.mentions) <= set(present):
        raise ValidationFailed.at(["body", "mentions"], "mentions somebody who is not in the conversation")


def _new_message(sender_id: str, conversation_id: str, seq: int, draft: NewMessage) -> Message:
    return Message(
        id=new_id(),
        conversation_id=conversation_id,
        seq=seq,
        client_id=draft.client_id,
        sender_id=sender_id,
        type=draft.type,
        content=draft.content.model_dump(),
        reply_to_seq=draft.reply_to_seq,
        mentions=draft.mentions,
        created_at=now(),
    )


def _mark_read(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int) -> ReadReceipt:
    place = repository.lock_place(unit.connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    if seq > repository.find_last_seq(unit.connection, conversation_id):
        raise ValidationFailed.at(["body", "seq"], "the conversation does not go that far")
    if seq <= place.read_seq:
        return ReadReceipt(conversation_id=conversation_id, user_id=user_id, seq=place.read_seq)

    own_after = (
        repository.count_own_after(unit.connection, conversation_id, user_id, seq) if place.own_after_read else 0
    )
    repository.mark_read(unit.connection, conversation_id, user_id, seq, own_after)
    receipt = ReadReceipt(conversation_id=conversation_id, user_id=user_id, seq=seq)
    audience = ConversationAudience(conversation_id=conversation_id)
    unit.announce(event("message.read", audience, **receipt.model_dump()))
    return receipt


def _history(
    connection: sa.Connection, user_id: str, conversation_id: str, wanted: Range, limit: int
) -> list[sa.Row[Any]]:
    if not repository.is_member(connection, conversation_id, user_id):
        raise ConversationNotFound
    if wanted.direction == "after" and wanted.seq is not None:
        return list(repository.list_after(connection, conversation_id, wanted.seq, limit))
    return list(repository.list_before(connection, conversation_id, wanted.seq, limit))


def _request_hash(conversation_id: str, draft: NewMessage) -> bytes:
    asked = {"conversation_id": conversation_id, **draft.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


def _columns(message: Message) -> dict[str, Any]:
    return message.model_dump(exclude={"reactions", "edited_at", "recalled_at"})


def _message(row: sa.Row[Any]) -> Message:
    return Message.model_validate(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it


def _list_name(conversation_id: str) -> str:
    return f"history:{conversation_id}"
