"""SQL of sync: what became of what a feed names, and the state as a whole."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from hongyan import cards
from hongyan.clock import now
from hongyan.friends import is_heard_by, select_blocked, select_friends, select_requests, show_blocked, show_request
from hongyan.schemas import Blocked, Conversation, FriendRequest, LiveSession, Message, ReadReceipt
from hongyan.sessions import Principal, show_session
from hongyan.tables import blocks, conversations, friend_requests, friendships, hidden_messages, members, sessions
from hongyan.tables import messages as messages_table
from hongyan.timeline import SMALL_GROUP

from functions.message.repository import select_shown_to, shown
from functions.message.schemas import HiddenMessage, MemberState
from functions.message.stretches import Stretch, within

Row = sa.Row[Any]

_me = members.alias("me")

# An event is an hour late at most: so long its queue keeps it.
_MOST_HIDDEN = 100


def list_messages(connection: sa.Connection, user_id: str, stretches: Sequence[Stretch]) -> list[Message]:
    """Return the messages that the user may read and whose last change is in the stretches, as they are now."""
    statement = (
        select_shown_to(user_id)
        .join(_me, sa.and_(_me.c.conversation_id == messages_table.c.conversation_id, _me.c.user_id == user_id))
        .where(
            within(messages_table, stretches),
            messages_table.c.seq > _me.c.joined_seq,
            sa.or_(_me.c.left_seq.is_(None), messages_table.c.seq <= _me.c.left_seq),
        )
        .order_by(messages_table.c.conversation_id, messages_table.c.seq)
    )
    return [shown(row) for row in connection.execute(statement)]


def list_members(
    connection: sa.Connection, user_id: str, stretches: Sequence[Stretch]
) -> tuple[list[MemberState], list[ReadReceipt]]:
    """Return who is what, and how far they have read, where that changed, in conversations that the user is in.

    In large groups it would be a flood: there members are listed page by page, and nobody is told who read.
    """
    statement: sa.Select[Any] = (
        sa.select(members.c.conversation_id, members.c.user_id, members.c.role, members.c.left_seq, members.c.read_seq)
        .join(conversations, conversations.c.id == members.c.conversation_id)
        .join(_me, sa.and_(_me.c.conversation_id == members.c.conversation_id, _me.c.user_id == user_id))
        .where(
            within(members, stretches),
            _me.c.left_seq.is_(None),
            sa.func.coalesce(conversations.c.member_count, 2) <= SMALL_GROUP,
        )
        .order_by(members.c.conversation_id, members.c.user_id)
    )
    rows = connection.execute(statement).all()
    return [
        MemberState(
            conversation_id=row.conversation_id, user_id=row.user_id, role=row.role, is_present=row.left_seq is None
        )
        for row in rows
    ], [_receipt(row) for row in rows if row.left_seq is None]


def list_receipts(connection: sa.Connection, user_id: str, cards: Sequence[Conversation]) -> list[ReadReceipt]:
    """Return how far the others have read who are in singles and small groups, as `list_members` tells of later."""
    told = [card.id for card in cards if card.kind == "single" or 0 < (card.member_count or 0) <= SMALL_GROUP]
    statement: sa.Select[Any] = (
        sa.select(members.c.conversation_id, members.c.user_id, members.c.read_seq)
        .where(members.c.conversation_id.in_(told), members.c.user_id != user_id, members.c.left_seq.is_(None))
        .order_by(members.c.conversation_id, members.c.user_id)
    )
    return [_receipt(row) for row in connection.execute(statement)]


def list_hidden_ends(connection: sa.Connection, user_id: str, cards: Sequence[Conversation]) -> list[HiddenMessage]:
    """Return what the user has hidden behind the last message that each card shows; of more than 100, the newest.

    Whoever is told only what there is to see would take an event that comes late for a new message.
    """
    ends = [_hidden_end(user_id, card) for card in cards if card.last_seq > _last_shown_seq(card)]
    if not ends:
        return []
    found = connection.execute(sa.union_all(*ends)).all()
    return [HiddenMessage(conversation_id=row.conversation_id, seq=row.seq) for row in found]


def _hidden_end(user_id: str, card: Conversation) -> sa.Select[Any]:
    return (
        sa.select(hidden_messages.c.conversation_id, hidden_messages.c.seq)
        .where(
            hidden_messages.c.user_id == user_id,
            hidden_messages.c.conversation_id == card.id,
            hidden_messages.c.seq > _last_shown_seq(card),
            hidden_messages.c.seq <= card.last_seq,
        )
        .order_by(hidden_messages.c.seq.desc())
        .limit(_MOST_HIDDEN)
    )


def _last_shown_seq(card: Conversation) -> int:
    return card.first_seq - 1 if card.last_message is None else card.last_message.seq


def list_conversations(connection: sa.Connection, user_id: str, after_id: str | None, limit: int) -> list[Conversation]:
    """Return up to ``limit`` of the user's conversations in the order of their ids."""
    statement = (
        cards.select_cards().where(members.c.user_id == user_id).order_by(members.c.conversation_id).limit(limit)
    )
    if after_id is not None:
        statement = statement.where(members.c.conversation_id > after_id)
    return cards.show(connection, connection.execute(statement).all())


def find_friends(connection: sa.Connection, user_id: str, friend_ids: Collection[str]) -> Sequence[Row]:
    """Return those of the people who are friends of the user, with their profiles."""
    return connection.execute(select_friends(user_id).where(friendships.c.friend_id.in_(friend_ids))).all()


def list_friends(connection: sa.Connection, user_id: str, after_id: str | None, limit: int) -> list[Row]:
    """Return up to ``limit`` friends in the order of their ids."""
    statement = select_friends(user_id).order_by(friendships.c.friend_id).limit(limit)
    if after_id is not None:
        statement = statement.where(friendships.c.friend_id > after_id)
    return list(connection.execute(statement).all())


def find_requests(connection: sa.Connection, user_id: str, request_ids: Collection[str]) -> list[FriendRequest]:
    """Return those of the requests of which the user hears."""
    statement = _requests_of(user_id).where(friend_requests.c.id.in_(request_ids))
    return [show_request(row) for row in connection.execute(statement)]


def list_open_requests(
    connection: sa.Connection, user_id: str, after_id: str | None, limit: int
) -> list[FriendRequest]:
    """Return up to ``limit`` pending requests from or to the user in the order of their ids."""
    statement = _requests_of(user_id).where(friend_requests.c.pending == 1)
    if after_id is not None:
        statement = statement.where(friend_requests.c.id > after_id)
    return [show_request(row) for row in connection.execute(statement.order_by(friend_requests.c.id).limit(limit))]


def _requests_of(user_id: str) -> sa.Select[Any]:
    is_of_user = sa.or_(friend_requests.c.from_user_id == user_id, friend_requests.c.to_user_id == user_id)
    return select_requests().where(is_of_user, is_heard_by(user_id)).order_by(friend_requests.c.id)


def find_blocked(connection: sa.Connection, user_id: str, blocked_ids: Collection[str]) -> list[Blocked]:
    """Return those of the people whom the user has blocked."""
    statement = select_blocked(user_id).where(blocks.c.blocked_id.in_(blocked_ids)).order_by(blocks.c.blocked_id)
    return [show_blocked(row) for row in connection.execute(statement)]


def list_blocked(connection: sa.Connection, user_id: str, after_id: str | None, limit: int) -> list[Blocked]:
    """Return up to ``limit`` of the people whom the user has blocked in the order of their ids."""
    statement = select_blocked(user_id).order_by(blocks.c.blocked_id).limit(limit)
    if after_id is not None:
        statement = statement.where(blocks.c.blocked_id > after_id)
    return [show_blocked(row) for row in connection.execute(statement)]


def list_sessions(connection: sa.Connection, caller: Principal) -> list[LiveSession]:
    """Return the caller's sessions that live, the oldest first."""
    statement = (
        sa.select(sessions)
        .where(
            sessions.c.user_id == caller.user_id,
            sessions.c.live_device_id.is_not(None),
            sessions.c.refresh_expires_at > now(),
        )
        .order_by(sessions.c.id)
    )
    return [show_session(row, caller) for row in connection.execute(statement)]


def _receipt(row: Row) -> ReadReceipt:
    return ReadReceipt(conversation_id=row.conversation_id, user_id=row.user_id, seq=row.read_seq)
