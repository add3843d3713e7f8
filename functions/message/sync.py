"""Sync: everything that changed for somebody since a cursor; without one, the state as it is (contract, GET /v1/sync).

A cursor says up to which position of one's feed a device has come. It names the entry there too, so a cursor from
before the database was restored from a backup is found out, and the device begins anew.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import cards, friends
from hongyan.errors import SyncCursorExpired
from hongyan.pagination import decode_cursor, encode_cursor
from hongyan.schemas import Conversation, ConversationCard
from hongyan.sessions import Principal
from hongyan.unit_of_work import read

from functions.message import feed, feed_repository
from functions.message import sync_repository as repository
from functions.message.feed_repository import End
from functions.message.schemas import HiddenMessage, Sync
from functions.message.stretches import Stretch

_LIST = "sync"


class _Position(NamedTuple):
    """How far a device has come.

    ``cut`` is up to which change it has of the entry after ``end``, of which one page could not hold all. ``stage`` and
    ``after`` tell how far it has come in taking over the state as it was at ``end``.
    """

    end: End
    cut: int | None = None
    stage: str | None = None
    after: str | None = None


class _Changed(NamedTuple):
    """What the entries of a page are about."""

    stretches: dict[str, Stretch]
    subjects: dict[str, list[str]]
    hidden: list[HiddenMessage]


def sync(caller: Principal, cursor: str | None, limit: int) -> Sync:
    """Return up to about ``limit`` changes that the caller has not seen, and the cursor behind them.

    Raises:
        InvalidCursor: the cursor was changed, or is somebody else's.
        SyncCursorExpired: what the cursor continues is not there any more.

    """
    position = None if cursor is None else _position(caller.user_id, cursor)
    feed.gather(caller.user_id)
    return read(lambda connection: _page(connection, caller, position, limit))


def _page(connection: sa.Connection, caller: Principal, position: _Position | None, limit: int) -> Sync:
    user_id = caller.user_id
    if position is None:
        position = _Position(feed_repository.find_end(connection, user_id), stage=_STAGES[0][0])
    if not feed_repository.is_there(connection, user_id, position.end):
        raise SyncCursorExpired
    if position.stage is not None:
        return _state(connection, caller, position, limit)
    return _changes(connection, caller, position, limit)


def _changes(connection: sa.Connection, caller: Principal, position: _Position, limit: int) -> Sync:
    user_id = caller.user_id
    entries = feed_repository.list_entries(connection, user_id, position.end.position, limit + 1)
    changed, after, has_more = _take(entries, position, limit)
    page = Sync(hidden=changed.hidden, next_cursor=_cursor(user_id, after), has_more=has_more)
    _tell_conversations(connection, user_id, changed, page)
    _tell_people(connection, caller, changed.subjects, page)
    return page


def _take(entries: Iterable[sa.Row[Any]], position: _Position, limit: int) -> tuple[_Changed, _Position, bool]:
    """Take entries for up to ``limit`` changes; of one that holds more, a part.

    A conversation's changes are numbered without gaps, so the numbers say how many there are at most.
    """
    changed, left = _Changed({}, {}, []), limit
    for entry in entries:
        if left == 0:
            return changed, position, True
        if entry.from_change is None:
            _note(changed, entry)
            left -= 1
            position = _Position(End(entry.position, entry.id))
            continue
        begin = entry.from_change if position.cut is None else position.cut
        until = min(entry.to_change, begin + left)
        changed.stretches[entry.subject_id] = _joined(
            changed.stretches.get(entry.subject_id), Stretch(entry.subject_id, begin, until)
        )
        left -= until - begin
        if until < entry.to_change:
            return changed, position._replace(cut=until), True
        position = _Position(End(entry.position, entry.id))
    return changed, position, False


def _note(changed: _Changed, entry: sa.Row[Any]) -> None:
    if entry.kind == "hidden":
        changed.hidden.append(HiddenMessage(conversation_id=entry.subject_id, seq=entry.to_change))
    else:
        changed.subjects.setdefault(entry.kind, []).append(entry.subject_id)


def _joined(earlier: Stretch | None, later: Stretch) -> Stretch:
    return later if earlier is None else later._replace(from_change=min(earlier.from_change, later.from_change))


def _tell_conversations(connection: sa.Connection, user_id: str, changed: _Changed, page: Sync) -> None:
    stretches = list(changed.stretches.values())
    ids = sorted({*changed.stretches, *changed.subjects.get("conversation", [])})
    if ids:
        page.conversations = [_without_message(card) for card in cards.find_cards(connection, user_id, ids)]
    if stretches:
        page.messages = repository.list_messages(connection, user_id, stretches)
        page.members, page.receipts = repository.list_members(connection, user_id, stretches)


def _tell_people(connection: sa.Connection, caller: Principal, subjects: dict[str, list[str]], page: Sync) -> None:
    user_id = caller.user_id
    if ids := set(subjects.get("friend", [])):
        page.friends = friends.show_friends(repository.find_friends(connection, user_id, ids))
        page.removed_friend_ids = sorted(ids - {friend.user.id for friend in page.friends})
    if ids := set(subjects.get("friend_request", [])):
        page.friend_requests = repository.find_requests(connection, user_id, ids)
    if ids := set(subjects.get("block", [])):
        page.blocks = repository.find_blocked(connection, user_id, ids)
        page.unblocked_ids = sorted(ids - {blocked.user.id for blocked in page.blocks})
    if "sessions" in subjects:
        page.sessions = repository.list_sessions(connection, caller)


def _state(connection: sa.Connection, caller: Principal, position: _Position, limit: int) -> Sync:
    """Return a page of the state. What changes meanwhile comes behind ``position.end``."""
    user_id = caller.user_id
    names = [name for name, _ in _STAGES]
    index, after = names.index(str(position.stage)), position.after
    page = Sync(next_cursor="", has_more=True)
    left = limit
    while index < len(names) and left > 0:
        name, tell = _STAGES[index]
        told, last_id = tell(connection, caller, after, left, page)
        if last_id is not None:
            page.next_cursor = _cursor(user_id, position._replace(stage=name, after=last_id))
            return page
        left, index, after = left - told, index + 1, None
    done = index == len(names)
    page.next_cursor = _cursor(
        user_id, _Position(position.end) if done else _Position(position.end, None, names[index])
    )
    page.has_more = not done or feed_repository.find_end(connection, user_id) != position.end
    return page


_Told = tuple[int, str | None]


def _tell_all_conversations(
    connection: sa.Connection, caller: Principal, after: str | None, limit: int, page: Sync
) -> _Told:
    found = repository.list_conversations(connection, caller.user_id, after, limit + 1)
    page.conversations = [_without_message(card) for card in found[:limit]]
    page.messages = [card.last_message for card in found[:limit] if card.last_message is not None]
    page.receipts = repository.list_receipts(connection, caller.user_id, found[:limit])
    page.hidden = repository.list_hidden_ends(connection, caller.user_id, found[:limit])
    return _told(found, limit, lambda card: card.id)


def _tell_all_friends(connection: sa.Connection, caller: Principal, after: str | None, limit: int, page: Sync) -> _Told:
    found = repository.list_friends(connection, caller.user_id, after, limit + 1)
    page.friends = friends.show_friends(found[:limit])
    return _told(found, limit, lambda row: row.id)


def _tell_open_requests(
    connection: sa.Connection, caller: Principal, after: str | None, limit: int, page: Sync
) -> _Told:
    found = repository.list_open_requests(connection, caller.user_id, after, limit + 1)
    page.friend_requests = found[:limit]
    return _told(found, limit, lambda request: request.id)


def _tell_all_blocked(connection: sa.Connection, caller: Principal, after: str | None, limit: int, page: Sync) -> _Told:
    found = repository.list_blocked(connection, caller.user_id, after, limit + 1)
    page.blocks = found[:limit]
    return _told(found, limit, lambda blocked: blocked.user.id)


def _tell_sessions(connection: sa.Connection, caller: Principal, after: str | None, limit: int, page: Sync) -> _Told:  # noqa: ARG001  # all at once
    page.sessions = repository.list_sessions(connection, caller)
    return len(page.sessions), None


def _told(found: list[Any], limit: int, id_of: Callable[[Any], str]) -> _Told:
    return (limit, id_of(found[limit - 1])) if len(found) > limit else (len(found), None)


_STAGES: list[tuple[str, Callable[[sa.Connection, Principal, str | None, int, Sync], _Told]]] = [
    ("conversations", _tell_all_conversations),
    ("friends", _tell_all_friends),
    ("friend_requests", _tell_open_requests),
    ("blocks", _tell_all_blocked),
    ("sessions", _tell_sessions),
]


def _without_message(card: Conversation) -> ConversationCard:
    return ConversationCard.model_validate(card.model_dump(exclude={"last_message"}))


def _position(user_id: str, cursor: str) -> _Position:
    position, entry_id, cut, stage, after = decode_cursor(_LIST, user_id, cursor)
    return _Position(End(position, entry_id), cut, stage, after)


def _cursor(user_id: str, position: _Position) -> str:
    return encode_cursor(_LIST, user_id, [*position.end, position.cut, position.stage, position.after])
