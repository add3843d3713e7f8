"""SQL of conversations as their members see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan.profiles import profile_columns
from hongyan.tables import conversations, members, messages, users

Row = sa.Row[Any]

_ID_LENGTH = 26
_peer, _last, _earlier = users.alias("peer"), messages.alias("last"), messages.alias("earlier")

# What a member sees of a conversation ends where they left it.
_end_seq = sa.func.coalesce(members.c.left_seq, conversations.c.last_seq)
_activity_at = sa.func.coalesce(members.c.left_at, conversations.c.last_activity_at)


class Position(NamedTuple):
    """Where a page of conversations ended, in the order that they had when paging began."""

    began_at: datetime
    activity_at: datetime
    id: str


def _conversations() -> sa.Select[Any]:
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
            members.c.read_seq,
            members.c.own_after_read,
            members.c.left_seq,
            members.c.muted,
            members.c.pinned,
            _end_seq.label("end_seq"),
            _activity_at.label("activity_at"),
            *profile_columns(_peer, "peer_"),
            *(column.label(f"last_message_{column.name}") for column in _last.c),
        )
        .select_from(members)
        .join(conversations, conversations.c.id == members.c.conversation_id)
        .outerjoin(_peer, _peer.c.id == peer_id)
        .outerjoin(_last, sa.and_(_last.c.conversation_id == conversations.c.id, _last.c.seq == _end_seq))
    )


def find_conversation(connection: sa.Connection, user_id: str, conversation_id: str) -> Row | None:
    """Return a conversation as the user sees it, if they are or were in it."""
    statement = _conversations().where(members.c.user_id == user_id, conversations.c.id == conversation_id)
    return connection.execute(statement).first()


def list_views(connection: sa.Connection, conversation_id: str) -> Sequence[Row]:
    """Return a conversation as each of its present members sees it."""
    statement = _conversations().where(conversations.c.id == conversation_id, members.c.left_seq.is_(None))
    return connection.execute(statement).all()


def list_conversations(connection: sa.Connection, user_id: str, after: Position | None, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` of the user's conversations, newest activity first, in one statement.

    Pages after the first keep the order that there was when paging began: a conversation in which somebody wrote
    since stays where it was, so it is neither skipped nor listed twice.
    """
    order_at = _activity_at if after is None else _activity_when(after.began_at)
    statement = (
        _conversations()
        .add_columns(order_at.label("order_at"))
        .where(members.c.user_id == user_id)
        .order_by(order_at.desc(), conversations.c.id.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(
            sa.or_(
                order_at < after.activity_at,
                sa.and_(order_at == after.activity_at, conversations.c.id < after.id),
            )
        )
    return connection.execute(statement).all()


def _activity_when(moment: datetime) -> sa.ColumnElement[datetime]:
    """Return when a conversation was last active as of an earlier moment; later than it if it was not there yet.

    Only what was active since is looked up: backwards from the end, over the messages since that moment.
    """
    last_before = (
        sa.select(_earlier.c.created_at)
        .where(_earlier.c.conversation_id == conversations.c.id, _earlier.c.created_at <= moment)
        .order_by(_earlier.c.seq.desc())
        .limit(1)
        .correlate(conversations)
        .scalar_subquery()
    )
    was_active_at = sa.func.coalesce(last_before, conversations.c.created_at)
    return sa.case((_activity_at > moment, was_active_at), else_=_activity_at)


def change_settings(connection: sa.Connection, user_id: str, conversation_id: str, **values: Any) -> None:
    """Change what a conversation is to one of its members alone."""
    statement = sa.update(members).where(members.c.conversation_id == conversation_id, members.c.user_id == user_id)
    connection.execute(statement.values(**values))
