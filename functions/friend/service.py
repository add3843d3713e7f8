"""Friend requests, friendships and blocks."""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import feed
from hongyan.cards import find_card
from hongyan.clock import now, rfc3339
from hongyan.errors import (
    AlreadyFriends,
    FriendNotFound,
    FriendRequestDecided,
    FriendRequestNotFound,
    SelfBlock,
    SelfFriendship,
    UserBlocked,
    UserNotFound,
)
from hongyan.events import EventType, UsersAudience, event
from hongyan.friends import show_blocked, show_friends, show_request
from hongyan.ids import new_id
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.schemas import Blocked, Friend, FriendRequest
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.friend import repository
from functions.friend.repository import Decision, RequestsPosition
from functions.friend.schemas import Acceptance, Direction, NewFriendRequest

_FRIENDS, _BLOCKS = "friends", "blocks"
_SIDE_OF_CALLER = {"incoming": "to_user_id", "outgoing": "from_user_id"}


class Asked(NamedTuple):
    """The request as it stands, and whether this call made it."""

    friend_request: FriendRequest
    is_new: bool


def ask(user_id: str, asked: NewFriendRequest) -> Asked:
    """Ask somebody to be friends. Asked twice, the first request stands; asked by both sides, both become friends.

    Raises:
        SelfFriendship: one cannot befriend oneself.
        UserNotFound: there is no such user.
        AlreadyFriends: they are friends.
        UserBlocked: the caller has blocked them. The other way round nothing is different for the caller, and the
            request is shown to nobody else while the block lasts.

    """
    if asked.user_id == user_id:
        raise SelfFriendship
    return perform(lambda unit: _ask(unit, user_id, asked))


def accept(user_id: str, request_id: str) -> Acceptance:
    """Accept a request to the caller: friendship and conversation at once, once. Accepting again answers the same.

    Raises:
        FriendRequestNotFound: there is no such request to the caller, or the caller has blocked who made it.
        FriendRequestDecided: it was rejected or withdrawn before.

    """
    return perform(lambda unit: _accept_as(unit, user_id, request_id))


def reject(user_id: str, request_id: str) -> FriendRequest:
    """Reject a request to the caller, once. Rejecting again answers the same.

    Raises:
        FriendRequestNotFound: there is no such request to the caller, or the caller has blocked who made it.
        FriendRequestDecided: it was accepted or withdrawn before.

    """
    return perform(lambda unit: _reject_as(unit, user_id, request_id))


def withdraw(user_id: str, request_id: str) -> None:
    """Take back a request of the caller's that is pending. Taking it back again changes nothing.

    Raises:
        FriendRequestNotFound: there is no such request of the caller's.
        FriendRequestDecided: it was accepted or rejected before.

    """
    perform(lambda unit: _withdraw(unit, user_id, request_id))


def set_remark(user_id: str, friend_id: str, remark: str | None) -> Friend:
    """Call a friend by another name; only the caller sees it.

    Raises:
        FriendNotFound: they are not friends.

    """
    return perform(lambda unit: _set_remark(unit, user_id, friend_id, remark))


def remove_friend(user_id: str, friend_id: str) -> None:
    """End a friendship, for both. Their conversation stays readable and takes no more messages until they are friends.

    Raises:
        FriendNotFound: they are not friends.

    """
    perform(lambda unit: _remove_friend(unit, user_id, friend_id))


def block(user_id: str, blocked_id: str) -> None:
    """Block somebody: they can neither ask the caller nor write to them, and are not told.

    It changes nothing between them in groups. A request of the caller's to them is withdrawn.

    Raises:
        SelfBlock: one cannot block oneself.
        UserNotFound: there is no such user.

    """
    if blocked_id == user_id:
        raise SelfBlock
    perform(lambda unit: _block(unit, user_id, blocked_id))


def unblock(user_id: str, blocked_id: str) -> None:
    """Unblock somebody, whether they were blocked or not. What they asked meanwhile is then shown."""
    perform(lambda unit: _unblock(unit, user_id, blocked_id))


def list_blocked(user_id: str, cursor: str | None, limit: int) -> Page[Blocked]:
    """Return a page of the people whom the caller has blocked."""
    after = None if cursor is None else decode_cursor(_BLOCKS, user_id, cursor)[0]
    rows = read(lambda connection: repository.list_blocked(connection, user_id, after, limit + 1))
    return page_of(
        rows,
        limit,
        show_blocked,
        lambda row: encode_cursor(_BLOCKS, user_id, [row.id]),
    )


def list_requests(user_id: str, direction: Direction, cursor: str | None, limit: int) -> Page[FriendRequest]:
    """Return a page of the caller's requests in one direction, pending ones first."""
    side, list_name = _SIDE_OF_CALLER[direction], f"friend-requests:{direction}"
    after = None if cursor is None else RequestsPosition(*decode_cursor(list_name, user_id, cursor))
    rows = read(lambda connection: repository.list_requests(connection, side, user_id, after, limit + 1))
    return page_of(rows, limit, show_request, lambda row: encode_cursor(list_name, user_id, [row.pending or 0, row.id]))


def list_friends(user_id: str, cursor: str | None, limit: int) -> Page[Friend]:
    """Return a page of the caller's friends."""
    after = None if cursor is None else decode_cursor(_FRIENDS, user_id, cursor)[0]
    rows = read(lambda connection: repository.list_friends(connection, user_id, after, limit + 1))
    shown = {friend.user.id: friend for friend in show_friends(rows[:limit])}
    return page_of(rows, limit, lambda row: shown[row.id], lambda row: encode_cursor(_FRIENDS, user_id, [row.id]))


def _ask(unit: UnitOfWork, user_id: str, asked: NewFriendRequest) -> Asked:
    locked = {row.id for row in repository.lock_users(unit.connection, user_id, asked.user_id)}
    if not {user_id, asked.user_id} <= locked:
        raise UserNotFound
    if repository.has_blocked(unit.connection, user_id, asked.user_id):
        raise UserBlocked
    if repository.are_friends(unit.connection, user_id, asked.user_id):
        raise AlreadyFriends
    first = repository.find_pending_request(unit.connection, user_id, asked.user_id)
    if first is not None:
        return Asked(show_request(first), is_new=False)
    crossing = repository.find_pending_request(unit.connection, asked.user_id, user_id)
    if crossing is not None:
        return Asked(_befriend(unit, crossing).friend_request, is_new=False)

    request_id = new_id()
    repository.insert_request(
        unit.connection,
        id=request_id,
        from_user_id=user_id,
        to_user_id=asked.user_id,
        message=asked.message,
        created_at=now(),
    )
    friend_request = _request(unit.connection, request_id)
    is_heard = not repository.has_blocked(unit.connection, asked.user_id, user_id)
    audience = UsersAudience(user_ids=[user_id, asked.user_id] if is_heard else [user_id])
    unit.announce(event("friend.requested", audience, friend_request=friend_request))
    feed.note(unit.connection, audience.user_ids, "friend_request", request_id)
    return Asked(friend_request, is_new=True)


def _accept_as(unit: UnitOfWork, user_id: str, request_id: str) -> Acceptance:
    row = _lock_request_to(unit, user_id, request_id)
    if row.pending:
        return _befriend(unit, row)
    if row.status != "accepted":
        raise FriendRequestDecided
    conversation_id = repository.find_single(unit.connection, _pair(row.from_user_id, user_id))
    if conversation_id is None:
        raise FriendRequestNotFound
    return Acceptance(
        friend_request=show_request(row), conversation=find_card(unit.connection, user_id, conversation_id)
    )


def _reject_as(unit: UnitOfWork, user_id: str, request_id: str) -> FriendRequest:
    row = _lock_request_to(unit, user_id, request_id)
    if row.pending:
        _end_request(unit, row, "rejected")
    elif row.status != "rejected":
        raise FriendRequestDecided
    return _request(unit.connection, request_id)


def _withdraw(unit: UnitOfWork, user_id: str, request_id: str) -> None:
    row = _lock_request(unit, request_id, "from_user_id", user_id)
    if row.pending:
        _end_request(unit, row, "withdrawn")
    elif row.status != "withdrawn":
        raise FriendRequestDecided


def _end_request(unit: UnitOfWork, row: sa.Row[Any], decision: Decision) -> None:
    """Decide a pending request that makes no friends, and tell whoever saw it."""
    repository.decide_request(unit.connection, row.id, decision, now())
    is_unseen = repository.has_blocked(unit.connection, row.to_user_id, row.from_user_id)
    audience = UsersAudience(user_ids=[row.from_user_id] if is_unseen else [row.from_user_id, row.to_user_id])
    unit.announce(event("friend.rejected", audience, friend_request_id=row.id))
    feed.note(unit.connection, audience.user_ids, "friend_request", row.id)


def _set_remark(unit: UnitOfWork, user_id: str, friend_id: str, remark: str | None) -> Friend:
    repository.set_remark(unit.connection, user_id, friend_id, remark)
    row = repository.find_friend(unit.connection, user_id, friend_id)
    if row is None:
        raise FriendNotFound
    friend = show_friends([row])[0]
    feed.note(unit.connection, [user_id], "friend", friend_id)
    unit.announce(event("friend.updated", UsersAudience(user_ids=[user_id]), friend=friend))
    return friend


def _remove_friend(unit: UnitOfWork, user_id: str, friend_id: str) -> None:
    repository.lock_users(unit.connection, user_id, friend_id)
    if not repository.are_friends(unit.connection, user_id, friend_id):
        raise FriendNotFound
    repository.delete_friendship(unit.connection, user_id, friend_id)
    repository.set_open(unit.connection, _pair(user_id, friend_id), is_open=False)
    for told, other in ((user_id, friend_id), (friend_id, user_id)):
        unit.announce(event("friend.removed", UsersAudience(user_ids=[told]), user_id=other))
        feed.note(unit.connection, [told], "friend", other)


def _block(unit: UnitOfWork, user_id: str, blocked_id: str) -> None:
    locked = {row.id for row in repository.lock_users(unit.connection, user_id, blocked_id)}
    if not {user_id, blocked_id} <= locked:
        raise UserNotFound
    if repository.has_blocked(unit.connection, user_id, blocked_id):
        return
    own = repository.find_pending_request(unit.connection, user_id, blocked_id)
    if own is not None:
        _end_request(unit, own, "withdrawn")
    moment = now()
    _show_presence(unit, user_id, blocked_id, moment, online=False)
    repository.insert_block(unit.connection, user_id, blocked_id, moment)
    _tell_block(unit, user_id, blocked_id, blocked=True)
    repository.set_open(unit.connection, _pair(user_id, blocked_id), is_open=False)


def _unblock(unit: UnitOfWork, user_id: str, blocked_id: str) -> None:
    repository.lock_users(unit.connection, user_id, blocked_id)
    if not repository.has_blocked(unit.connection, user_id, blocked_id):
        return
    repository.delete_block(unit.connection, user_id, blocked_id)
    _show_presence(unit, user_id, blocked_id, now(), online=True)
    _tell_block(unit, user_id, blocked_id, blocked=False)
    asked = repository.find_pending_request(unit.connection, blocked_id, user_id)
    if asked is not None:
        feed.note(unit.connection, [user_id], "friend_request", asked.id)
    may_write = repository.are_friends(unit.connection, user_id, blocked_id) and not repository.has_blocked(
        unit.connection, blocked_id, user_id
    )
    repository.set_open(unit.connection, _pair(user_id, blocked_id), is_open=may_write)


def _tell_block(unit: UnitOfWork, user_id: str, blocked_id: str, *, blocked: bool) -> None:
    """Tell the devices of whoever blocks, and nobody else."""
    feed.note(unit.connection, [user_id], "block", blocked_id)
    unit.announce(event("block.changed", UsersAudience(user_ids=[user_id]), user_id=blocked_id, blocked=blocked))


def _show_presence(unit: UnitOfWork, user_id: str, blocked_id: str, moment: datetime, *, online: bool) -> None:
    """Let somebody who is there seem to go as they block a friend, and seem to come as they unblock them."""
    is_friend = repository.are_friends(unit.connection, user_id, blocked_id)
    if not is_friend or not repository.is_announced_online(unit.connection, user_id):
        return
    repository.set_last_seen(unit.connection, user_id, moment)
    data = {"user_id": user_id, "online": online, "last_seen_at": rfc3339(moment)}
    unit.announce(event("presence.changed", UsersAudience(user_ids=[blocked_id]), **data))


def _lock_request_to(unit: UnitOfWork, user_id: str, request_id: str) -> sa.Row[Any]:
    """Lock both sides of a request to the user, and return it as it stands then: another device may have been first."""
    row = _lock_request(unit, request_id, "to_user_id", user_id)
    if repository.has_blocked(unit.connection, user_id, row.from_user_id):
        raise FriendRequestNotFound
    return row


def _lock_request(unit: UnitOfWork, request_id: str, side: str, user_id: str) -> sa.Row[Any]:
    """Lock both sides of a request, one of which is the user, and return it as it stands then."""
    known = repository.find_request(unit.connection, request_id)
    if known is None or known._mapping[side] != user_id:  # noqa: SLF001  # SQLAlchemy's public name for it
        raise FriendRequestNotFound
    repository.lock_users(unit.connection, known.from_user_id, known.to_user_id)
    row = repository.find_request(unit.connection, request_id)
    if row is None:
        raise FriendRequestNotFound
    return row


def _befriend(unit: UnitOfWork, row: sa.Row[Any]) -> Acceptance:
    """Make friends of the two sides of a pending request. Both users' rows are locked."""
    asker, accepter, moment = row.from_user_id, row.to_user_id, now()
    repository.decide_request(unit.connection, row.id, "accepted", moment)
    repository.insert_friendship(unit.connection, asker, accepter, moment)
    conversation_id = repository.find_single(unit.connection, _pair(asker, accepter))
    came_about: EventType = "conversation.created" if conversation_id is None else "conversation.updated"
    if conversation_id is None:
        conversation_id = new_id()
        repository.insert_single(unit.connection, conversation_id, _pair(asker, accepter), [asker, accepter], moment)
    else:  # they were friends before: it goes on with its history
        repository.set_open(unit.connection, _pair(asker, accepter), is_open=True)

    seen_by_accepter = find_card(unit.connection, accepter, conversation_id)
    seen_by_asker = find_card(unit.connection, asker, conversation_id)
    feed.note(unit.connection, [asker, accepter], "friend_request", row.id)
    for user_id, seen, friend_id in ((asker, seen_by_asker, accepter), (accepter, seen_by_accepter, asker)):
        alone = UsersAudience(user_ids=[user_id])
        feed.note(unit.connection, [user_id], "friend", friend_id)
        unit.announce(
            event("friend.accepted", alone, friend_request_id=row.id, user=seen.peer, conversation=seen),
            event(came_about, alone, conversation=seen),
        )
    return Acceptance(friend_request=_request(unit.connection, row.id), conversation=seen_by_accepter)


def _request(connection: sa.Connection, request_id: str) -> FriendRequest:
    row = repository.find_request(connection, request_id)
    if row is None:
        raise FriendRequestNotFound
    return show_request(row)


def _pair(one: str, other: str) -> str:
    return ":".join(sorted((one, other)))
