"""Sending: a message under the next seq of its conversation, once, whatever is tried again."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import files, metrics, rate_limits, timeline
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
from hongyan.metrics import Metric
from hongyan.permissions import may
from hongyan.schemas import Message
from hongyan.timeline import Place
from hongyan.unit_of_work import UnitOfWork, perform
from sqlalchemy.exc import IntegrityError

from functions.message import repository
from functions.message.schemas import NewMessage, NewText

EVERYONE = "all"

# A recorder measures a length by its clock, and the encoder pads.
_LONGER_BY_MS = 1_000

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
    sent = perform(lambda unit: _send(unit, sender_id, conversation_id, draft))
    if sent.is_new:
        metrics.count(Metric.MESSAGES_ACCEPTED)
    return sent


def take_turn(sender_id: str, address: str, messages: int = 1) -> None:
    """Count messages about to be sent.

    Raises:
        RateLimited: the sender, or the source address, sends too much; without Redis nobody does.

    """
    for _ in range(messages):
        rate_limits.take_if_counted(SENDING, sender_id)
        rate_limits.take_if_counted(SENDING_FROM_ADDRESS, rate_limits.subscriber(address))


def send_to(unit: UnitOfWork, place: Place, draft: NewMessage, forwarded: dict[str, Any] | None = None) -> Sent:
    """Store a message of whose locked place it is, unless its ``client_id`` shows that this was done before.

    ``forwarded`` is the content of another message, when this one passes it on.

    Raises:
        ClientIdConflict: the sender has used the ``client_id`` for another message.
        FileNotFound, FileNotUsable: it refers to no completed upload of the sender's for such a message.
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

    content = _content(unit.connection, sender_id, draft, forwarded)
    message = _new_message(place, draft, content)
    try:
        timeline.append(unit, place, message, request_hash)
    except IntegrityError:
        first = repository.find_by_client_id(unit.connection, sender_id, draft.client_id)
        if first is None:
            raise
        return _sent_before(first, request_hash)
    if "file_id" in content:
        files.attach(unit.connection, content["file_id"], place.conversation_id, message.seq)
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


def _content(
    connection: sa.Connection, sender_id: str, draft: NewMessage, forwarded: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what a message holds: a text as it was given, and of an upload what is known of it."""
    if forwarded is not None:
        return _passed_on(connection, forwarded)
    if isinstance(draft, NewText):
        return draft.content.model_dump()
    file = files.use(connection, sender_id, draft.content.file_id, draft.type)
    content = {"file_id": file.id, "name": file.name, "mime": file.mime, "size": file.size}
    match draft.type:
        case "image":
            return content | {"width": file.width, "height": file.height, "thumbnail": file.thumbnails}
        case "voice":
            _check_duration(draft.content.duration_ms, file.duration_ms)
            return content | {"duration_ms": file.duration_ms, "transcript": None}
        case "file":
            return content


def _check_duration(said: int | None, heard: int) -> None:
    if said is not None and abs(said - heard) > _LONGER_BY_MS:
        raise ValidationFailed.at(["body", "content", "duration_ms"], f"the recording lasts {heard} ms")


def _passed_on(connection: sa.Connection, content: dict[str, Any]) -> dict[str, Any]:
    if "file_id" in content:
        files.use_again(connection, content["file_id"])
    return content


def _new_message(place: Place, draft: NewMessage, content: dict[str, Any]) -> Message:
    return Message(
        id=new_id(),
        conversation_id=place.conversation_id,
        seq=place.last_seq + 1,
        client_id=draft.client_id,
        sender_id=place.user_id,
        type=draft.type,
        content=content,
        reply_to_seq=draft.reply_to_seq,
        mentions=draft.mentions,
        created_at=timeline.moment(place),
        change_seq=place.change_seq + 1,
    )


def _request_hash(conversation_id: str, draft: NewMessage) -> bytes:
    asked = {"conversation_id": conversation_id, **draft.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
