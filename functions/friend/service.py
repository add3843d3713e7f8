"""Friend requests, friendships, and the list of conversations."""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan.clock import now, rfc3339
from hongyan.errors import (
    AlreadyFriends,
    ConversationNotFound,
    FriendRequestDecided,
    FriendRequestNotFound,
    SelfFriendship,
    UserNotFound,
)
from hongyan.events import UsersAudience, event
from hongyan.ids import new_id
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.profiles import public_profile
from hongyan.schemas import Conversation, Message
from hongyan.tables import messages
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.friend import repository
from functions.friend.repository import ConversationsPosition, RequestsPosition
from functions.friend.schemas import Acceptance, Direction, Friend, FriendRequest, NewFriendRequest

_FRIENDS, _CONVERSATIONS = "friends", "conversations"
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

    """
    if asked.user_id == user_id:
        raise SelfFriendship
    return perform(lambda unit: _ask(unit, user_id, asked))


def accept(user_id: str, request_id: str) -> Acceptance:
    """Accept a request to the caller: friendship and conversation at once, once. Accepting again answers the same.

    Raises:
        FriendRequestNotFound: there is no such request to the caller.
        FriendRequestDecided: it was rejected before.

    """
    return perform(lambda unit: _accept_as(unit, user_id, request_id))


def reject(user_id: str, request_id: str) -> FriendRequest:
    """Reject a request to the caller, once. Rejecting again answers the same.

    Raises:
        FriendRequestNotFound: there is no such request to the caller.
        FriendRequestDecided: it was accepted before.

    """
    return perform(lambda unit: _reject_as(unit, user_id, request_id))


def list_requests(user_id: str, direction: Direction, cursor: str | None, limit: int) -> Page[FriendRequest]:
    """Return a page of the caller's requests in one direction, pending ones first."""
    side, list_name = _SIDE_OF_CALLER[direction], f"friend-requests:{direction}"
    after = None if cursor is None else RequestsPosition(*decode_cursor(list_name, user_id, cursor))
    rows = read(lambda connection: repository.list_requests(connection, side, user_id, after, limit + 1))
    return page_of(
        rows, limit, _friend_request, lambda row: encode_cursor(list_name, user_id, [row.pending or 0, row.id])
    )


def list_friends(user_id: str, cursor: str | None, limit: int) -> Page[Friend]:
    """Return a page of the caller's friends."""
    after = None if cursor is None else decode_cursor(_FRIENDS, user_id, cursor)[0]
    rows = read(lambda connection: repository.list_friends(connection, user_id, after, limit + 1))
    return page_of(rows, limit, _friend, lambda row: encode_cursor(_FRIENDS, user_id, [row.id]))


def list_conversations(user_id: str, cursor: str | None, limit: int) -> Page[Conversation]:
    """Return a page of the caller's conversations, newest activity first."""
    after = None if cursor is None else _conversations_position(user_id, cursor)
    rows = read(lambda connection: repository.list_conversations(connection, user_id, after, limit + 1))
    return page_of(
        rows,
        limit,
        _conversation,
        lambda row: encode_cursor(_CONVERSATIONS, user_id, [rfc3339(row.last_activity_at), row.id]),
    )


def conversation(user_id: str, conversation_id: str) -> Conversation:
    """Return one conversation of the caller.

    Raises:
        ConversationNotFound: there is none such, or the caller is not in it.

    """
    return read(lambda connection: _seen_by(connection, user_id, conversation_id))


def _ask(unit: UnitOfWork, user_id: str, asked: NewFriendRequest) -> Asked:
    locked = {row.id for row in repository.lock_users(unit.connection, user_id, asked.user_id)}
    if asked.user_id not in locked:
        raise UserNotFound
    if repository.are_friends(unit.connection, user_id, asked.user_id):
        raise AlreadyFriends
    first = repository.find_pending_request(unit.connection, user_id, asked.user_id)
    if first is not None:
        return Asked(_friend_request(first), is_new=False)
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
    both = UsersAudience(user_ids=[user_id, asked.user_id])
    unit.announce(event("friend.requested", both, friend_request=friend_request))
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
        friend_request=_friend_request(row), conversation=_seen_by(unit.connection, user_id, conversation_id)
    )


def _reject_as(unit: UnitOfWork, user_id: str, request_id: str) -> FriendRequest:
    row = _lock_request_to(unit, user_id, request_id)
    if row.status == "accepted":
        raise FriendRequestDecided
    if row.pending:
        repository.decide_request(unit.connection, request_id, "rejected", now())
        both = UsersAudience(user_ids=[row.from_user_id, user_id])
        unit.announce(event("friend.rejected", both, friend_request_id=request_id))
    return _request(unit.connection, request_id)


def _lock_request_to(unit: UnitOfWork, user_id: str, request_id: str) -> sa.Row[Any]:
    """Lock both sides of a request to the user, and return it as it stands then: another device may have been first."""
    addressed = repository.find_request(unit.connection, request_id)
    if addressed is None or addressed.to_user_id != user_id:
        raise FriendRequestNotFound
    repository.lock_users(unit.connection, addressed.from_user_id, user_id)
    row = repository.find_request(unit.connection, request_id)
    if row is None:
        raise FriendRequestNotFound
    return row


def _befriend(unit: UnitOfWork, row: sa.Row[Any]) -> Acceptance:
    """Make friends of the two sides of a pending request. Both users' rows are locked."""
    asker, accepter, moment = row.from_user_id, row.to_user_id, now()
    repository.decide_request(unit.connection, row.id, "accepted", moment)
    repository.insert_friendship(unit.connection, asker, accepter, moment)
    conversation_id = new_id()
    repository.insert_single(unit.connection, conversation_id, _pair(asker, accepter), [asker, accepter], moment)

    seen_by_accepter = _seen_by(unit.connection, accepter, conversation_id)
    seen_by_asker = _seen_by(unit.connection, asker, conversation_id)
    for user_id, seen in ((asker, seen_by_asker), (accepter, seen_by_accepter)):
        alone = UsersAudience(user_ids=[user_id])
        unit.announce(
            event("friend.accepted", alone, friend_request_id=row.id, user=seen.peer, conversation=seen),
            event("conversation.created", alone, conversation=seen),
        )
    return Acceptance(friend_request=_request(unit.connection, row.id), conversation=seen_by_accepter)


def _request(connection: sa.Connection, request_id: str) -> FriendRequest:
    row = repository.find_request(connection, request_id)
    if row is None:
        raise FriendRequestNotFound
    return _friend_request(row)


def _seen_by(connection: sa.Connection, user_id: str, conversation_id: str) -> Conversation:
    row = repository.find_conversation(connection, user_id, conversation_id)
    if row is None:
        raise ConversationNotFound
    return _conversation(row)


def _pair(one: str, other: str) -> str:
    return ":".join(sorted((one, other)))


def _conversations_position(user_id: str, cursor: str) -> ConversationsPosition:
    last_activity_at, conversation_id = decode_cursor(_CONVERSATIONS, user_id, cursor)
    return ConversationsPosition(datetime.fromisoformat(last_activity_at), conversation_id)


def _friend(row: sa.Row[Any]) -> Friend:
    return Friend(user=public_profile(row), remark=row.remark, since=row.since)


def _friend_request(row: sa.Row[Any]) -> FriendRequest:
    return FriendRequest(
        id=row.id,
        from_user=public_profile(row, "from_"),
        to_user=public_profile(row, "to_"),
        message=row.message,
        status=row.status,
        created_at=row.created_at,
        decided_at=row.decided_at,
    )


def _conversation(row: sa.Row[Any]) -> Conversation:
    return Conversation(
        id=row.id,
        kind=row.kind,
        peer=public_profile(row, "peer_"),
        last_message=_last_message(row),
        last_seq=row.last_seq,
        read_seq=row.read_seq,
        unread_count=row.last_seq - row.read_seq - row.own_after_read,
        muted=row.muted,
        pinned=row.pinned,
        created_at=row.created_at,
        last_activity_at=row.last_activity_at,
    )


def _last_message(row: sa.Row[Any]) -> Message | None:
    if row.last_message_id is None:
        return None
    return Message.model_validate(
        {column.name: row._mapping[f"last_message_{column.name}"] for column in messages.c}  # noqa: SLF001
    )
