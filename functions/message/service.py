"""Reading: history, how far somebody has read, and who is typing."""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import feed, outbox, rate_limits, timeline
from hongyan.errors import ConversationNotFound, RateLimited, ValidationFailed
from hongyan.events import ConversationAudience, UsersAudience, event
from hongyan.pagination import Page, decode_cursor, encode_cursor
from hongyan.schemas import Message, ReadReceipt
from hongyan.timeline import SMALL_GROUP, Place
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.message import repository, sending


class Range(NamedTuple):
    """Which way to read history, from a seq or from that end, and between which times."""

    direction: str
    seq: int | None = None
    since: datetime | None = None
    until: datetime | None = None


NEWEST = Range("before")

# Enough to show that somebody goes on typing; what is over it is not shown and not refused.
TYPING = rate_limits.at_most(5, 10, "typing")


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

    What was recalled, and what the user has hidden, is in its place and says nothing: seqs stay dense.

    Raises:
        ConversationNotFound: there is none such, or the user is not in it.

    """
    found = read(lambda connection: _history(connection, user_id, conversation_id, wanted, limit + 1))
    shown = found[:limit]
    cursor = None
    if len(found) > limit:
        cursor = encode_cursor(_list_name(conversation_id), user_id, _position(wanted._replace(seq=shown[-1].seq)))
    if wanted.direction == "before":
        shown = shown[::-1]
    return Page(items=shown, next_cursor=cursor)


def range_of(user_id: str, conversation_id: str, cursor: str) -> Range:
    """Return where the page of a history cursor starts.

    Raises:
        InvalidCursor: it is not of this conversation's history and this user.

    """
    direction, seq, *times = decode_cursor(_list_name(conversation_id), user_id, cursor)
    since, until = (time and datetime.fromisoformat(time) for time in times)
    return Range(direction, seq, since, until)


def _position(wanted: Range) -> list[Any]:
    times = [time and time.isoformat() for time in (wanted.since, wanted.until)]
    return [wanted.direction, wanted.seq, *times]


def _others_who_see_typing(connection: sa.Connection, user_id: str, conversation_id: str) -> list[str]:
    place = timeline.find(connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    sending.check_may_send(connection, place)
    if (place.member_count or 0) > SMALL_GROUP:
        return []
    known = repository.list_members(connection, [conversation_id])[conversation_id]
    return [member.user_id for member in known if member.left_seq is None and member.user_id != user_id]


def _mark_read(unit: UnitOfWork, user_id: str, conversation_id: str, seq: int) -> ReadReceipt:
    place = _lock_to_read(unit.connection, user_id, conversation_id)
    if seq > (place.last_seq if place.left_seq is None else place.left_seq):
        raise ValidationFailed.at(["body", "seq"], "the conversation does not go that far")
    receipt = ReadReceipt(conversation_id=conversation_id, user_id=user_id, seq=max(seq, place.read_seq))
    if seq <= place.read_seq:
        return receipt

    own_after = (
        repository.count_own_after(unit.connection, conversation_id, user_id, seq) if place.own_after_read else 0
    )
    if _reads_alone(place):
        repository.mark_read(unit.connection, place, seq, own_after)
        feed.note(unit.connection, [user_id], "conversation", conversation_id)
        unit.announce(event("message.read", UsersAudience(user_ids=[user_id]), **receipt.model_dump()))
        return receipt
    after = timeline.change(unit.connection, place)
    repository.mark_read(unit.connection, place, seq, own_after, change_seq=after.change_seq)
    everyone = ConversationAudience(conversation_id=conversation_id)
    unit.announce(event("message.read", everyone, **receipt.model_dump()))
    return receipt


def _lock_to_read(connection: sa.Connection, user_id: str, conversation_id: str) -> Place:
    """Lock a member's place; the conversation too where the others are told, which is a change of it.

    In a large group thousands read at once, and must not wait for each other and for who sends.
    """
    place = timeline.find(connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    if _reads_alone(place):
        return repository.lock_reading(connection, place)
    return timeline.lock(connection, conversation_id, user_id) or place


def _reads_alone(place: Place) -> bool:
    return place.left_seq is not None or (place.member_count or 0) > SMALL_GROUP


def _history(connection: sa.Connection, user_id: str, conversation_id: str, wanted: Range, limit: int) -> list[Message]:
    place = timeline.find(connection, conversation_id, user_id)
    if place is None:
        raise ConversationNotFound
    window = _window(connection, place, wanted)
    if wanted.direction == "after":
        return repository.list_after(connection, place, window, wanted.seq, limit)
    return repository.list_before(connection, place, window, wanted.seq, limit)


def _window(connection: sa.Connection, place: Place, wanted: Range) -> repository.Window:
    """Return the seqs that the user may read and that lie between the times: times rise with seqs."""
    after, end = place.joined_seq, place.last_seq if place.left_seq is None else place.left_seq
    if wanted.since is not None:
        after = max(after, repository.last_seq_before(connection, place.conversation_id, wanted.since))
    if wanted.until is not None:
        end = min(end, repository.last_seq_before(connection, place.conversation_id, wanted.until))
    return repository.Window(after, end)


def _list_name(conversation_id: str) -> str:
    return f"history:{conversation_id}"
