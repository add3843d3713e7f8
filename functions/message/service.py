"""Sending, reading, history."""

import hashlib
import json
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import outbox, rate_limits, timeline
from hongyan.clock import now
from hongyan.errors import (
    ClientIdConflict,
    ConversationNotFound,
    GroupDissolved,
    NotAMember,
    NotFriends,
    RateLimited,
    UserBlocked,
    ValidationFailed,
)
from hongyan.events import ConversationAudience, UsersAudience, event
from hongyan.ids import new_id
from hongyan.pagination import Page, decode_cursor, encode_cursor
from hongyan.schemas import Message, ReadReceipt
from hongyan.timeline import SMALL_GROUP, Place
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

# 40 a second for half a minute: twice what one connection may send, and more than anybody types.
SENDING = rate_limits.at_most(1_200, 30, "sending")
SENDING_FROM_ADDRESS = rate_limits.at_most(12_000, 30, "sending-from-address")  # an office shares one


def send(sender_id: str, conversation_id: str, draft: NewMessage, address: str) -> Sent:
    """Store a message under the conversation's next seq. The same ``client_id`` again returns the first message.

    Raises:
        ConversationNotFound: there is none such, or the sender is not in it.
        ClientIdConflict: the sender has used the ``client_id`` for another message.
        NotFriends: it is a single, and the two are not friends, or the other side has blocked the sender.
        UserBlocked: it is a single, and the sender has blocked the other side.
        NotAMember: it is a group, and the sender has left it.
        GroupDissolved: it is a group, and it is over.
        ValidationFailed: it replies to a seq that the sender cannot read, or mentions somebody who is not there.
        RateLimited: the sender, or the source address, sends too much; without Redis nobody does.

    """
    rate_limits.take_if_counted(SENDING, sender_id)
    rate_limits.take_if_counted(SENDING_FROM_ADDRESS, rate_limits.subscriber(address))
    return perform(lambda unit: _send(unit, sender_id, conversation_id, draft))


def show_typing(user_id: str, conversation_id: str, connection_id: str) -> None:
    """Show the others who are online that somebody is typing. It is not stored, nor sent again when it is lost.

    Raises:
        ConversationNotFound: there is none such, or the user was never in it.
        NotFriends, UserBlocked, NotAMember, GroupDissolved: as for a message.

    """
    try:
        rate_limits.take_if_counted(TYPING, connection_id)
    except RateLimited:
        return  # a hint too many is no mistake of the client's
    others = read(lambda connection: _others_who_see_typing(connection, user_id, conversation_id))
    if others:
        audience = UsersAudience(user_ids=others)
        outbox.announce_unstored(event("typing", audience, conversation_id=conversation_id, user_id=user_id))


def mark_read(user_id: str, conversation_id: str, seq: int) -> ReadReceipt:
    """Note that the user has read up to ``seq``, and return how far they have: it never goes back.

    Raises:
        ConversationNotFound: there is none such, or the user is not in it.
        ValidationFailed: the conversation does not go that far, or not for the user, who has left it.

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
    place = timeline.lock(unit.connection, conversation_id, sender_id)
    if place is None:
        raise ConversationNotFound
    request_hash = _request_hash(conversation_id, draft)
    first = repository.find_by_client_id(unit.connection, sender_id, draft.client_id)
    if first is not None:
        return _sent_before(first, request_hash)
    _check_may_send(unit.connection, place)
    _check_references(unit, place, draft)

    message = _new_message(sender_id, conversation_id, place.last_seq + 1, draft)
    try:
        timeline.append(unit, place, message, request_hash)
    except IntegrityError:
        first = repository.find_by_client_id(unit.connection, sender_id, draft.client_id)
        if first is None:
            raise
        return _sent_before(first, request_hash)
    return Sent(message, is_new=True)


def _sent_before(first: sa.Row[Any], request_hash: bytes) -> Sent:
    if first.request_hash != request_hash:
        raise ClientIdConflict
    return Sent(_message(first), is_new=False)


def _others_who_see_typing(connection: sa.Connection, user_id: str, conversation_id: str) -> list[str]:
    place = timeline.find(connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    _check_may_send(connection, place)
    if (place.member_count or 0) > SMALL_GROUP:
        return []
    known = repository.list_members(connection, [conversation_id])[conversation_id]
    return [member.user_id for member in known if member.left_seq is None and member.user_id != user_id]


def _check_may_send(connection: sa.Connection, place: Place) -> None:
    if place.left_seq is not None:
        raise NotAMember
    if place.is_open:
        return
    if place.kind == "group":
        raise GroupDissolved
    has_blocked = repository.has_blocked_peer(connection, place.conversation_id, place.user_id)
    raise UserBlocked if has_blocked else NotFriends


def _check_references(unit: UnitOfWork, place: Place, draft: NewMessage) -> None:
    if draft.reply_to_seq is not None and not place.joined_seq < draft.reply_to_seq <= place.last_seq:
        raise ValidationFailed.at(["body", "reply_to_seq"], "there is no such message")
    mentioned = set(draft.mentions)
    if mentioned and repository.count_present(unit.connection, place.conversation_id, mentioned) < len(mentioned):
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
    extent = repository.find_extent(unit.connection, conversation_id)
    has_left = place.left_seq is not None
    if seq > (place.left_seq if has_left else extent.last_seq):
        raise ValidationFailed.at(["body", "seq"], "the conversation does not go that far")
    if seq <= place.read_seq:
        return ReadReceipt(conversation_id=conversation_id, user_id=user_id, seq=place.read_seq)

    own_after = (
        repository.count_own_after(unit.connection, conversation_id, user_id, seq) if place.own_after_read else 0
    )
    repository.mark_read(unit.connection, conversation_id, user_id, seq, own_after)
    receipt = ReadReceipt(conversation_id=conversation_id, user_id=user_id, seq=seq)
    is_own_affair = has_left or (extent.member_count or 0) > SMALL_GROUP
    audience = (
        UsersAudience(user_ids=[user_id]) if is_own_affair else ConversationAudience(conversation_id=conversation_id)
    )
    unit.announce(event("message.read", audience, **receipt.model_dump()))
    return receipt


def _history(
    connection: sa.Connection, user_id: str, conversation_id: str, wanted: Range, limit: int
) -> list[sa.Row[Any]]:
    window = repository.find_window(connection, conversation_id, user_id)
    if window is None:
        raise ConversationNotFound
    if wanted.direction == "after" and wanted.seq is not None:
        return list(repository.list_after(connection, conversation_id, window, wanted.seq, limit))
    return list(repository.list_before(connection, conversation_id, window, wanted.seq, limit))


def _request_hash(conversation_id: str, draft: NewMessage) -> bytes:
    asked = {"conversation_id": conversation_id, **draft.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


def _message(row: sa.Row[Any]) -> Message:
    return Message.model_validate(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it


def _list_name(conversation_id: str) -> str:
    return f"history:{conversation_id}"
