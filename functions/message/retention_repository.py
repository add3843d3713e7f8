"""SQL of retention."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from hongyan.tables import conversations, messages, reactions

Row = sa.Row[Any]


def list_from(connection: sa.Connection, after_id: str, limit: int) -> Sequence[str]:
    """Return the ids of up to ``limit`` conversations behind one."""
    statement = (
        sa.select(conversations.c.id).where(conversations.c.id > after_id).order_by(conversations.c.id).limit(limit)
    )
    return connection.scalars(statement).all()


def list_too_old(connection: sa.Connection, conversation_ids: Sequence[str], cutoff: datetime) -> Sequence[str]:
    """Return those of the conversations whose oldest message that is not settled was sent before a moment."""
    oldest = sa.and_(
        messages.c.conversation_id == conversations.c.id, messages.c.seq == conversations.c.emptied_seq + 1
    )
    statement = (
        sa.select(conversations.c.id)
        .join(messages, oldest)
        .where(conversations.c.id.in_(conversation_ids), messages.c.created_at < cutoff)
    )
    return connection.scalars(statement).all()


def lock_extent(connection: sa.Connection, conversation_id: str) -> Row:
    """Lock a conversation and return up to which seq it is settled, and the number of its last change."""
    statement: sa.Select[Any] = (
        sa.select(conversations.c.emptied_seq, conversations.c.change_seq)
        .where(conversations.c.id == conversation_id)
        .with_for_update()
    )
    return connection.execute(statement).one()


def list_full(connection: sa.Connection, conversation_id: str, after_seq: int, until: int) -> Sequence[int]:
    """Return the seqs of the messages that still say what somebody said."""
    statement = sa.select(messages.c.seq).where(*_full(conversation_id, after_seq, until)).order_by(messages.c.seq)
    return connection.scalars(statement).all()


def empty(connection: sa.Connection, conversation_id: str, extent: Row, until: int, at: datetime) -> None:
    """Empty messages, each with a change of its own, and their reactions."""
    connection.execute(
        sa.update(messages)
        .where(*_full(conversation_id, extent.emptied_seq, until))
        .values(
            content={},
            mentions=[],
            reactions=None,
            request_hash=bytes(32),
            recalled_at=at,
            recalled_seq=messages.c.seq,
            change_seq=messages.c.seq + (extent.change_seq - extent.emptied_seq),
        )
    )
    connection.execute(
        sa.delete(reactions).where(
            reactions.c.conversation_id == conversation_id,
            reactions.c.seq > extent.emptied_seq,
            reactions.c.seq <= until,
        )
    )
    connection.execute(
        sa.update(conversations)
        .where(conversations.c.id == conversation_id)
        .values(emptied_seq=until, change_seq=extent.change_seq + until - extent.emptied_seq)
    )


def _full(conversation_id: str, after_seq: int, until: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        messages.c.conversation_id == conversation_id,
        messages.c.seq > after_seq,
        messages.c.seq <= until,
        messages.c.type != "system",
        messages.c.recalled_at.is_(None),
    )
