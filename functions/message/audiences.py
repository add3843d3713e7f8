"""Who hears of an event. A crowd of many is cut into shards, so that no function ever holds a large group."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from hongyan.events import ConversationAudience, Event, FriendsAudience, Identity, UsersAudience
from hongyan.unit_of_work import read

from functions.message import repository
from functions.message.repository import Row, Span

# What one function reads and asks Redis for at once. Ten thousand are twenty shards.
SHARD_SIZE = 500

_Lists = Callable[[sa.Connection, Sequence[Span], int], dict[Span, list[Row]]]
_Cuts = Callable[[sa.Connection, Span, int], list[Span]]


class Told(NamedTuple):
    """Whom to tell of each event, by its identity, and the events that are for more people than one shard holds."""

    people: dict[Identity, list[str]]
    crowded: list[Event]


def find(events: Sequence[Event]) -> Told:
    """Find who hears of the events: one statement for all conversations, one for all friends.

    Each reads one person more than a shard holds, and so shows which crowds are larger.
    """
    members = _list(events, ConversationAudience, repository.list_in_conversations)
    friends = _list(events, FriendsAudience, repository.list_friends)
    crowds = {e.identity: _crowd(e, {**members, **friends}) for e in events}
    return Told(
        {e.identity: _people(e, crowds[e.identity]) for e in events if len(crowds[e.identity]) <= SHARD_SIZE},
        [e for e in events if len(crowds[e.identity]) > SHARD_SIZE],
    )


def shards(crowded: Sequence[Event]) -> Iterator[list[Event]]:
    """Return the events for each shard of their crowds, together where they are for the same people.

    The last shard is open to whoever comes later. Should one have grown beyond its size until it is read, it is cut
    again.
    """
    by_crowd: dict[tuple[type, Span], list[Event]] = defaultdict(list)
    for e in crowded:
        by_crowd[type(e.audience), _span(e)].append(e)
    for (kind, span), events in by_crowd.items():
        cut = repository.cut_conversation if kind is ConversationAudience else repository.cut_friends
        for part in _parts(cut, span):
            yield [_narrowed(e, part) for e in events]


def _parts(cut: _Cuts, span: Span) -> list[Span]:
    return read(lambda connection: cut(connection, span, SHARD_SIZE))


def _list(events: Sequence[Event], kind: type, list_people: _Lists) -> dict[Span, list[Row]]:
    spans = sorted({_span(e) for e in events if isinstance(e.audience, kind)}, key=str)
    return read(lambda connection: list_people(connection, spans, SHARD_SIZE + 1)) if spans else {}


def _crowd(e: Event, found: Mapping[Span, list[Row]]) -> list[Row]:
    return found[_span(e)] if isinstance(e.audience, ConversationAudience | FriendsAudience) else []


def _span(e: Event) -> Span:
    """Return whom the event is for, of a crowd."""
    match e.audience:
        case ConversationAudience(conversation_id=of_id, after_user_id=after, up_to_user_id=up_to):
            return Span(of_id, after, up_to)
        case FriendsAudience(user_id=of_id, after_user_id=after, up_to_user_id=up_to):
            return Span(of_id, after, up_to)
        case _:
            raise TypeError(f"{e.audience.kind} is no crowd")


def _narrowed(e: Event, part: Span) -> Event:
    update = {"after_user_id": part.after_user_id, "up_to_user_id": part.up_to_user_id}
    match e.audience:
        case FriendsAudience(with_own_devices=True, after_user_id=after) if after != part.after_user_id:
            return e.to(e.audience.model_copy(update={**update, "with_own_devices": False}))
        case _:
            return e.to(e.audience.model_copy(update=update))


def _people(e: Event, crowd: Sequence[Row]) -> list[str]:
    match e.audience:
        case ConversationAudience(seq=seq):
            return [member.user_id for member in crowd if _is_told(member, seq)]
        case FriendsAudience(user_id=user_id, with_own_devices=with_own_devices):
            friends = [friend.user_id for friend in crowd if e.type != "presence.changed" or not friend.is_blocked]
            return [user_id, *friends] if with_own_devices else friends
        case UsersAudience(user_ids=user_ids):
            return user_ids
        case _:
            return [e.audience.user_id]


def _is_told(member: Row, seq: int | None) -> bool:
    """Tell whether it concerns the member: a message who may read it, all else who is in the conversation now."""
    if seq is None:
        return member.left_seq is None
    return bool(member.joined_seq < seq and (member.left_seq is None or seq <= member.left_seq))
