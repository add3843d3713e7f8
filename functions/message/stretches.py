"""Stretches of a conversation's changes, which are numbered without gaps."""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa


class Stretch(NamedTuple):
    """Changes of a conversation after one and up to another."""

    conversation_id: str
    from_change: int
    to_change: int


def within(table: sa.FromClause, stretches: Sequence[Stretch]) -> sa.ColumnElement[bool]:
    """Tell of a row of messages or members whether its last change is in one of the stretches."""
    return sa.or_(
        *(
            sa.and_(
                table.c.conversation_id == stretch.conversation_id,
                table.c.change_seq > stretch.from_change,
                table.c.change_seq <= stretch.to_change,
            )
            for stretch in stretches
        )
    )
