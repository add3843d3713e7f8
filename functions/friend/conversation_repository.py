"""SQL of conversations as their members see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan.cards import activity_at, select_cards
from hongyan.tables import conversations, members, messages

Row = sa.Row[Any]

_earlier = messages.alias("earlier")


class Position(NamedTuple):
    """Where a page of conversations ended, in the order that they had when paging began."""

    began_at: datetime
    activity_at: datetime
    id: str


def list_conversations(connection: sa.Connection, user_id: str, after: Position | None, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` of the user's conversations, newest activity first, in one statement.

    Pages after the first keep the order that there was when paging began: a conversation in which somebody wrote
    since stays where it was, so it is neither skipped nor listed twice.
    """
    order_at = activity_at if after is None else _activity_when(after.began_at)
    statement = (
        select_cards()
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
    return sa.case((activity_at > moment, was_active_at), else_=activity_at)


def change_settings(connection: sa.Connection, user_id: str, conversation_id: str, **values: Any) -> None:
    """Change what a conversation is to one of its members alone."""
    statement = sa.update(members).where(members.c.conversation_id == conversation_id, members.c.user_id == user_id)
    connection.execute(statement.values(**values))
