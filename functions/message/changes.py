"""What becomes of a message after it was sent: edited, recalled, hidden, reacted to, forwarded.

Each takes the conversation's lock as sending does, and the next number of its changes, by which sync finds it. Asking
again for what is so already changes nothing and tells nobody.
"""

import hashlib
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import feed, files, metrics, timeline
from hongyan.clock import now
from hongyan.errors import (
    ConversationNotFound,
    EditWindowOver,
    MessageNotEditable,
    MessageNotFound,
    MessageRecalled,
    NotAMember,
    NotPermitted,
    Problem,
    RecallWindowOver,
    TooManyReactions,
    ValidationFailed,
)
from hongyan.events import UsersAudience, event
from hongyan.metrics import Metric
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.permissions import may
from hongyan.profiles import public_profile
from hongyan.schemas import Message, Reaction
from hongyan.timeline import Place
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.message import repository, sending
from functions.message.schemas import NEW_MESSAGE, Edited, Forward, Forwarded, Reader

EDIT_WINDOW = timedelta(minutes=15)
RECALL_WINDOW = timedelta(minutes=2)
MAX_REACTIONS = 20

# Shown with a message; who else reacted is only counted. The longest message fits into a frame with 20 times these.
_SHOWN_REACTORS = 10


class Found(NamedTuple):
    """A message that somebody may see, and their place in its conversation, which is locked."""

    place: Place
    message: Message


class Sent(NamedTuple):
    """What was forwarded, and how many messages of it this call sent."""

    forwarded: Forwarded
    new: int


def edit(user_id: str, conversation_id: str, seq: int, edited: Edited) -> Message:
    """Change a text of the user's own, within 15 minutes.

    Raises:
        ConversationNotFound, MessageNotFound: there is none such, or the user does not see it.
        NotPermitted: somebody else said it, or the user may not mention everyone.
        MessageRecalled, MessageNotEditable, EditWindowOver: it is not to be edited any more, or never was.
        ValidationFailed: it mentions somebody who is not there.
        Problem: as for sending, when the conversation takes no messages from the user.

    """
    return perform(lambda unit: _edit(unit, user_id, conversation_id, seq, edited))


def recall(user_id: str, conversation_id: str, seq: int) -> Message:
    """Take back what was said, for everybody: one's own within two minutes, a group's owner and admins any, any time.

    Raises:
        ConversationNotFound, MessageNotFound: there is none such, or the user does not see it.
        NotAMember: it is a group, and the user has left it.
        NotPermitted: somebody else said it.
        MessageNotEditable: the server said it.
        RecallWindowOver: it was said too long ago.

    """
    return perform(lambda unit: _recall(unit, user_id, conversation_id, seq))


def hide(user_id: str, conversation_id: str, seq: int) -> None:
    """Hide a message from the user alone, on all their devices, for good.

    Raises:
        ConversationNotFound, MessageNotFound: there is none such, or the user does not see it.

    """
    perform(lambda unit: _hide(unit, user_id, conversation_id, seq))


def react(user_id: str, conversation_id: str, seq: int, emoji: str) -> Message:
    """Let the user's reaction be among those to a message.

    Raises:
        ConversationNotFound, MessageNotFound: there is none such, or the user does not see it.
        MessageRecalled: there is nothing to react to.
        TooManyReactions: it has 20 different ones.
        Problem: as for sending, when the conversation takes no messages from the user.

    """
    return perform(lambda unit: _react(unit, user_id, conversation_id, seq, emoji))


def take_reaction_back(user_id: str, conversation_id: str, seq: int, emoji: str) -> Message:
    """Let the user's reaction not be among those to a message.

    Raises:
        Problem: as for :func:`react`, whether there was one or not.

    """
    return perform(lambda unit: _take_reaction_back(unit, user_id, conversation_id, seq, emoji))


def forward(user_id: str, conversation_id: str, seq: int, wanted: Forward, address: str) -> Sent:
    """Send a message's content on into other conversations, into all or none.

    Raises:
        ConversationNotFound, MessageNotFound: there is none such, or the user does not see it.
        MessageRecalled: there is nothing to forward.
        MessageNotEditable: the server said it.
        ClientIdConflict: the user has used the ``client_id`` for something else.
        ValidationFailed: the user cannot write to one of the conversations; ``errors`` says why.
        RateLimited: as for sending.

    """
    sending.take_turn(user_id, address, len(wanted.conversation_ids))
    sent = perform(lambda unit: _forward(unit, user_id, conversation_id, seq, wanted))
    metrics.count(Metric.MESSAGES_ACCEPTED, sent.new)
    return sent


def list_readers(user_id: str, conversation_id: str, seq: int, cursor: str | None, limit: int) -> Page[Reader]:
    """Return a page of those who are in the conversation and have read a message; its sender is not among them.

    Raises:
        ConversationNotFound, MessageNotFound: there is none such, or the user does not see it.
        InvalidCursor: the cursor is not of this list.

    """
    list_name = f"readers:{conversation_id}:{seq}"
    after = None if cursor is None else decode_cursor(list_name, user_id, cursor)[0]
    rows = read(lambda connection: _list_readers(connection, user_id, conversation_id, seq, after, limit + 1))
    return page_of(
        rows,
        limit,
        lambda row: Reader(user=public_profile(row)),
        lambda row: encode_cursor(list_name, user_id, [row.id]),
    )


def _find(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int) -> Found:
    place = timeline.lock(unit.connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    return Found(place, _seen(unit.connection, place, seq))


def _seen(connection: sa.Connection, place: Place, seq: int) -> Message:
    end = place.last_seq if place.left_seq is None else place.left_seq
    if not place.joined_seq < seq <= end:
        raise MessageNotFound
    message = repository.find_message(connection, place.user_id, place.conversation_id, seq)
    if message is None or message.hidden:
        raise MessageNotFound
    return message


def _edit(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int, edited: Edited) -> Message:
    place, message = _find(unit, user_id, conversation_id, seq)
    if message.sender_id != user_id:
        raise NotPermitted
    if message.type != "text":
        raise MessageNotEditable
    if message.recalled_at is not None:
        raise MessageRecalled
    sending.check_may_send(unit.connection, place)
    content = edited.content.model_dump()
    mentions = message.mentions if edited.mentions is None else edited.mentions
    if content == message.content and mentions == message.mentions:
        return message
    if now() - message.created_at > EDIT_WINDOW:
        raise EditWindowOver
    sending.check_mentions(unit.connection, place, [one for one in mentions if one not in message.mentions])
    return _change(unit, place, message, content=content, mentions=mentions, edited_at=now())


def _recall(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int) -> Message:
    place, message = _find(unit, user_id, conversation_id, seq)
    if place.left_seq is not None:
        raise NotAMember
    if message.type == "system":
        raise MessageNotEditable
    may_any = may(place.role, "recall what others said")
    if message.sender_id != user_id and not may_any:
        raise NotPermitted
    if message.recalled_at is not None:
        return message
    if not may_any and now() - message.created_at > RECALL_WINDOW:
        raise RecallWindowOver
    repository.delete_reactions(unit.connection, conversation_id, seq)
    repository.forget_request(unit.connection, conversation_id, seq)
    files.detach(unit.connection, conversation_id, seq, seq)
    return _change(
        unit, place, message, content={}, mentions=[], reactions=[], recalled_at=now(), recalled_seq=message.seq
    )


def _hide(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int) -> None:
    place = timeline.find(unit.connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    end = place.last_seq if place.left_seq is None else place.left_seq
    if not place.joined_seq < seq <= end:
        raise MessageNotFound
    if repository.insert_hidden(unit.connection, user_id, conversation_id, seq, now()):
        feed.note(unit.connection, [user_id], "hidden", conversation_id, seq)
        feed.note(unit.connection, [user_id], "conversation", conversation_id)
        own_devices = UsersAudience(user_ids=[user_id])
        unit.announce(event("message.hidden", own_devices, conversation_id=conversation_id, seq=seq))


def _react(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int, emoji: str) -> Message:
    place, message = _find_open(unit, user_id, conversation_id, seq)
    if len(message.reactions) >= MAX_REACTIONS and emoji not in {reaction.emoji for reaction in message.reactions}:
        raise TooManyReactions
    if not repository.insert_reaction(unit.connection, conversation_id, seq, emoji, user_id, now()):
        return message
    return _recount(unit, place, message, emoji)


def _take_reaction_back(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int, emoji: str) -> Message:
    place, message = _find_open(unit, user_id, conversation_id, seq)
    if not repository.delete_reaction(unit.connection, conversation_id, seq, emoji, user_id):
        return message
    return _recount(unit, place, message, emoji)


def _find_open(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int) -> Found:
    found = _find(unit, user_id, conversation_id, seq)
    if found.message.recalled_at is not None:
        raise MessageRecalled
    sending.check_may_send(unit.connection, found.place)
    return found


def _recount(unit: UnitOfWork, place: Place, message: Message, emoji: str) -> Message:
    """Let the message show how often there is now this reaction; the others stay in their order."""
    count, user_ids = repository.count_reactions(
        unit.connection, message.conversation_id, message.seq, emoji, _SHOWN_REACTORS
    )
    now_there = Reaction(emoji=emoji, count=count, user_ids=user_ids)
    if emoji in {reaction.emoji for reaction in message.reactions}:
        shown = [now_there if reaction.emoji == emoji else reaction for reaction in message.reactions]
    else:
        shown = [*message.reactions, now_there]
    return _change(unit, place, message, reactions=[reaction for reaction in shown if reaction.count])


def _change(unit: UnitOfWork, place: Place, message: Message, **values: Any) -> Message:
    """Change a message with the next change of its conversation, and tell whoever may read it."""
    after = timeline.change(unit.connection, place)
    values["change_seq"] = after.change_seq
    repository.update_message(unit.connection, message.conversation_id, message.seq, **values)
    unit.announce(timeline.about(message.conversation_id, message.seq, "message.updated"))
    return message.model_copy(update={name: value for name, value in values.items() if name != "recalled_seq"})


def _forward(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int, wanted: Forward) -> Sent:
    # In the order of their ids, so that two who forward to and fro do not wait for each other.
    places = {
        target: timeline.lock(unit.connection, target, user_id)
        for target in sorted({*wanted.conversation_ids, conversation_id})
    }
    source = places[conversation_id]
    if source is None:
        raise ConversationNotFound
    message = _seen(unit.connection, source, seq)
    if message.recalled_at is not None:
        raise MessageRecalled
    if message.type == "system":
        raise MessageNotEditable
    refused, sent = [], []
    for index, target in enumerate(wanted.conversation_ids):
        try:
            sent.append(_send_on(unit, places[target], message, wanted.client_id))
        except Problem as problem:
            refused.append((index, problem.code))
    if refused:
        raise ValidationFailed(
            errors=[{"loc": ["body", "conversation_ids", index], "msg": code} for index, code in refused]
        )
    return Sent(Forwarded(items=[one.message for one in sent]), new=sum(one.is_new for one in sent))


def _send_on(unit: UnitOfWork, place: Place | None, message: Message, client_id: str) -> sending.Sent:
    if place is None:
        raise ConversationNotFound
    shown = {"text": message.content["text"]} if message.type == "text" else {"file_id": message.content["file_id"]}
    own_client_id = _client_id_in(place.conversation_id, client_id)
    draft = NEW_MESSAGE.validate_python({"client_id": own_client_id, "type": message.type, "content": shown})
    return sending.send_to(unit, place, draft, message.content)


def _client_id_in(conversation_id: str, client_id: str) -> str:
    """Return the key of one of the messages that a request sends: each conversation's is its own."""
    return hashlib.sha256(f"{conversation_id}:{client_id}".encode()).hexdigest()


def _list_readers(
    connection: sa.Connection, user_id: str, conversation_id: str, seq: int, after_id: str | None, limit: int
) -> list[sa.Row[Any]]:
    place = timeline.find(connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    message = _seen(connection, place, seq)
    return list(repository.list_readers(connection, conversation_id, seq, message.sender_id, after_id, limit))
