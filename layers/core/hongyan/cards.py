"""Conversations as each of their members sees them: in lists, in events, in sync."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from hongyan.avatars import avatar
from hongyan.errors import ConversationNotFound
from hongyan.profiles import profile_columns, public_profile
from hongyan.schemas import Conversation, Message
from hongyan.tables import conversations, hidden_messages, members, messages, users

Row = sa.Row[Any]

_ID_LENGTH = 26
_peer, _last = users.alias("peer"), messages.alias("last")

# What a member sees of a conversation ends where they left it.
end_seq = sa.func.coalesce(members.c.left_seq, conversations.c.last_seq)
activity_at = sa.func.coalesce(members.c.left_at, conversations.c.last_activity_at)


def select_cards() -> sa.Select[Any]:
    """Return the statement of members and their conversations; what it finds is for :func:`show`."""
    one, other = sa.func.left(conversations.c.pair, _ID_LENGTH), sa.func.right(conversations.c.pair, _ID_LENGTH)
    # Out of the pair, and not by a search among the members, of which a group has thousands.
    peer_id = sa.case((one == members.c.user_id, other), else_=one)
    return (
        sa.select(
            conversations.c.id,
            conversations.c.kind,
            conversations.c.name,
            conversations.c.announcement,
            conversations.c.avatar_file_id,
            conversations.c.member_count,
            conversations.c.created_at,
            members.c.user_id,
            members.c.role,
            members.c.joined_seq,
            members.c.read_seq,
            members.c.own_after_read,
            members.c.left_seq,
            members.c.muted,
            members.c.pinned,
            end_seq.label("end_seq"),
            activity_at.label("activity_at"),
            _last_is_hidden().label("last_message_is_hidden"),
            *profile_columns(_peer, "peer_"),
            *(column.label(f"last_message_{column.name}") for column in _last.c),
        )
        .select_from(members)
        .join(conversations, conversations.c.id == members.c.conversation_id)
        .outerjoin(_peer, _peer.c.id == peer_id)
        .outerjoin(_last, sa.and_(_last.c.conversation_id == conversations.c.id, _last.c.seq == end_seq))
    )


def find_card(connection: sa.Connection, user_id: str, conversation_id: str) -> Conversation:
    """Return a conversation as the user sees it.

    Raises:
        ConversationNotFound: there is none such, or the user never was in it.

    """
    found = find_cards(connection, user_id, [conversation_id])
    if not found:
        raise ConversationNotFound
    return found[0]


def find_cards(connection: sa.Connection, user_id: str, conversation_ids: Sequence[str]) -> list[Conversation]:
    """Return those of the conversations that the user is or was in, as they see them."""
    statement = select_cards().where(members.c.user_id == user_id, conversations.c.id.in_(conversation_ids))
    return show(connection, connection.execute(statement).all())


def find_views(connection: sa.Connection, conversation_id: str) -> dict[str, Conversation]:
    """Return a conversation as each of its present members sees it."""
    statement = select_cards().where(conversations.c.id == conversation_id, members.c.left_seq.is_(None))
    rows = connection.execute(statement).all()
    return {row.user_id: seen for row, seen in zip(rows, show(connection, rows), strict=True)}


def show(connection: sa.Connection, rows: Sequence[Row]) -> list[Conversation]:
    """Return the conversations as the members of the rows see them.

    Where something may be unread, one more statement counts what is not to be read any more; where somebody has hidden
    the last message, one more finds the one before, which counts as the last to them. Both give the database each
    member's bounds as constants: a bound that it takes from another table it cannot look up in an index.
    """
    unsaid = _count_unsaid(connection, [row for row in rows if _after_read(row) > 0])
    instead = _last_shown(connection, [row for row in rows if row.last_message_is_hidden])
    return [
        _card(
            row,
            _after_read(row) - unsaid.get((row.user_id, row.id), 0),
            instead.get((row.user_id, row.id)) if row.last_message_is_hidden else _last_message(row),
        )
        for row in rows
    ]


def _after_read(row: Row) -> int:
    """Return how many messages of others come after a member's ``read_seq``."""
    count: int = row.end_seq - row.read_seq - row.own_after_read
    return count


def _card(row: Row, unread_count: int, last_message: Message | None) -> Conversation:
    """Return a conversation as the member of the row sees it: to who left, a group shows no more than what it was."""
    is_group, is_present = row.kind == "group", row.left_seq is None
    return Conversation(
        id=row.id,
        kind=row.kind,
        peer=None if is_group else public_profile(row, "peer_"),
        name=row.name,
        avatar=avatar(row.avatar_file_id),
        member_count=row.member_count if is_present else None,
        announcement=row.announcement if is_present else None,
        role=row.role,
        last_message=last_message,
        first_seq=row.joined_seq + 1,
        last_seq=row.end_seq,
        read_seq=row.read_seq,
        unread_count=unread_count,
        muted=row.muted,
        pinned=row.pinned,
        created_at=row.created_at,
        last_activity_at=row.activity_at,
    )


def _count_unsaid(connection: sa.Connection, rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Count what others said behind each member's ``read_seq`` that they took back or the member has hidden."""
    if not rows:
        return {}
    statement = sa.union_all(
        *(
            sa.select(sa.literal(n).label("n"), (_count_recalled(row) + _count_hidden(row)).label("unsaid"))
            for n, row in enumerate(rows)
        )
    )
    return {(rows[found.n].user_id, rows[found.n].id): found.unsaid for found in connection.execute(statement)}


def _count_recalled(row: Row) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .select_from(messages)
        .where(
            messages.c.conversation_id == row.id,
            messages.c.recalled_seq > row.read_seq,
            messages.c.recalled_seq <= row.end_seq,
            messages.c.sender_id != row.user_id,
        )
        .scalar_subquery()
    )


def _count_hidden(row: Row) -> sa.ScalarSelect[int]:
    """Count what the member has hidden, but what counts as recalled or is their own."""
    return (
        sa.select(sa.func.count())
        .select_from(hidden_messages)
        .join(
            messages,
            sa.and_(
                messages.c.conversation_id == hidden_messages.c.conversation_id,
                messages.c.seq == hidden_messages.c.seq,
            ),
        )
        .where(
            hidden_messages.c.user_id == row.user_id,
            hidden_messages.c.conversation_id == row.id,
            hidden_messages.c.seq > row.read_seq,
            hidden_messages.c.seq <= row.end_seq,
            messages.c.sender_id != row.user_id,
            messages.c.recalled_seq.is_(None),
        )
        .scalar_subquery()
    )


def _last_is_hidden() -> sa.ColumnElement[bool]:
    return (
        sa.exists()
        .where(
            hidden_messages.c.user_id == members.c.user_id,
            hidden_messages.c.conversation_id == _last.c.conversation_id,
            hidden_messages.c.seq == _last.c.seq,
        )
        .correlate(members, _last)
    )


def _last_shown(connection: sa.Connection, rows: Sequence[Row]) -> dict[tuple[str, str], Message]:
    """Return the last messages that members have not hidden, by member and conversation."""
    if not rows:
        return {}
    statement = sa.union_all(*(_last_shown_to(row, n) for n, row in enumerate(rows)))
    return {
        (rows[found.n].user_id, found.conversation_id): Message.model_validate(found._mapping)  # noqa: SLF001  # public
        for found in connection.execute(statement)
    }


def _last_shown_to(row: Row, n: int) -> sa.Select[Any]:
    # A join, as the database would look all that somebody has hidden through for a NOT EXISTS.
    hides = sa.and_(
        hidden_messages.c.user_id == row.user_id,
        hidden_messages.c.conversation_id == messages.c.conversation_id,
        hidden_messages.c.seq == messages.c.seq,
    )
    return (
        sa.select(sa.literal(n).label("n"), *messages.c)
        .outerjoin(hidden_messages, hides)
        .where(
            messages.c.conversation_id == row.id,
            messages.c.seq > row.joined_seq,
            messages.c.seq <= row.end_seq,
            hidden_messages.c.seq.is_(None),
        )
        .order_by(messages.c.seq.desc())
        .limit(1)
    )


def _last_message(row: Row) -> Message | None:
    if row.last_message_id is None:
        return None
    return Message.model_validate(
        {column.name: row._mapping[f"last_message_{column.name}"] for column in messages.c}  # noqa: SLF001
    )
