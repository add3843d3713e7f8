"""Sending: a message under the next seq of its conversation, once, whatever is tried again."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import rate_limits, timeline
from hongyan.errors import (
    ClientIdConflict,
    ConversationNotFound,
    GroupDissolved,
    NotAMember,
    NotFriends,
    NotPermitted,
    UserBlocked,
    ValidationFailed,
)
from hongyan.ids import new_id
from hongyan.permissions import may
from hongyan.schemas import Message
from hongyan.timeline import Place
from hongyan.unit_of_work import UnitOfWork, perform
from sqlalchemy.exc import IntegrityError

from functions.message import repository
from functions.message.schemas import NewMessage

EVERYONE = "all"

# 40 a second for half a minute: twice what one connection may send, and more than anybody types.
SENDING = rate_limits.at_most(1_200, 30, "sending")
SENDING_FROM_ADDRESS = rate_limits.at_most(12_000, 30, "sending-from-address")  # an office shares one


class Sent(NamedTuple):
    """The message as it is stored, and whether this call stored it."""

    message: Message
    is_new: bool


def send(sender_id: str, conversation_id: str, draft: NewMessage, address: str) -> Sent:
    """Store a message under the conversation's next seq. The same ``client_id`` again returns the first message.

    Raises:
        ConversationNotFound: there is none such, or the sender is not in it.
        RateLimited: the sender, or the source address, sends too much; without Redis nobody does.
        Problem: as :func:`send_to`.

    """
    take_turn(sender_id, address)
    return perform(lambda unit: _send(unit, sender_id, conversation_id, draft))


def take_turn(sender_id: str, address: str, messages: int = 1) -> None:
    """Count messages about to be sent.

    Raises:
        RateLimited: the sender, or the source address, sends too much; without Redis nobody does.

    """
    for _ in range(messages):
        rate_limits.take_if_counted(SENDING, sender_id)
        rate_limits.take_if_counted(SENDING_FROM_ADDRESS, rate_limits.subscriber(address))


def send_to(unit: UnitOfWork, place: Place, draft: NewMessage) -> Sent:
    """Store a message of whose locked place it is, unless its ``client_id`` shows that this was done before.

    Raises:
        ClientIdConflict: the sender has used the ``client_id`` for another message.
        NotPermitted: the sender may not mention everyone.
        ValidationFailed: it replies to a seq that the sender cannot read, or mentions somebody who is not there.
        Problem: as :func:`check_may_send`.

    """
    sender_id = place.user_id
    request_hash = _request_hash(place.conversation_id, draft)
    first = repository.find_by_client_id(unit.connection, sender_id, draft.client_id)
    if first is not None:
        return _sent_before(first, request_hash)
    check_may_send(unit.connection, place)
    if draft.reply_to_seq is not None and not place.joined_seq < draft.reply_to_seq <= place.last_seq:
        raise ValidationFailed.at(["body", "reply_to_seq"], "there is no such message")
    check_mentions(unit.connection, place, draft.mentions)

    message = _new_message(place, draft)
    try:
        timeline.append(unit, place, message, request_hash)
    except IntegrityError:
        first = repository.find_by_client_id(unit.connection, sender_id, draft.client_id)
        if first is None:
            raise
        return _sent_before(first, request_hash)
    return Sent(message, is_new=True)


def check_may_send(connection: sa.Connection, place: Place) -> None:
    """Check that a conversation takes messages from whose place it is.

    Raises:
        NotFriends: it is a single, and the two are not friends, or the other side has blocked the sender.
        UserBlocked: it is a single, and the sender has blocked the other side.
        NotAMember: it is a group, and the sender has left it.
        GroupDissolved: it is a group, and it is over.

    """
    if place.left_seq is not None:
        raise NotAMember
    if place.is_open:
        return
    if place.kind == "group":
        raise GroupDissolved
    has_blocked = repository.has_blocked_peer(connection, place.conversation_id, place.user_id)
    raise UserBlocked if has_blocked else NotFriends


def check_mentions(connection: sa.Connection, place: Place, mentions: Sequence[str]) -> None:
    """Check that everybody mentioned is there, and that the sender may mention everyone when they do.

    Raises:
        NotPermitted: they may not.
        ValidationFailed: somebody is not there.

    """
    mentioned = set(mentions) - {EVERYONE}
    if EVERYONE in mentions and not may(place.role, "mention everyone"):
        raise NotPermitted
    if mentioned and repository.count_present(connection, place.conversation_id, mentioned) < len(mentioned):
        raise ValidationFailed.at(["body", "mentions"], "mentions somebody who is not in the conversation")


def _send(unit: UnitOfWork, sender_id: str, conversation_id: str, draft: NewMessage) -> Sent:
    place = timeline.lock(unit.connection, conversation_id, sender_id)
    if place is None:
        raise ConversationNotFound
    return send_to(unit, place, draft)


def _sent_before(first: sa.Row[Any], request_hash: bytes) -> Sent:
    # What a recalled message said is forgotten, and with it what was asked for.
    if first.recalled_at is None and first.request_hash != request_hash:
        raise ClientIdConflict
    return Sent(repository.message(first), is_new=False)


def _new_message(place: Place, draft: NewMessage) -> Message:
    return Message(
        id=new_id(),
        conversation_id=place.conversation_id,
        seq=place.last_seq + 1,
        client_id=draft.client_id,
        sender_id=place.user_id,
        type=draft.type,
        content=draft.content.model_dump(),
        reply_to_seq=draft.reply_to_seq,
        mentions=draft.mentions,
        created_at=timeline.moment(place),
        change_seq=place.change_seq + 1,
    )


def _request_hash(conversation_id: str, draft: NewMessage) -> bytes:
    asked = {"conversation_id": conversation_id, **draft.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
