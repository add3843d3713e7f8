"""What the server finds out about a message after it was sent, and makes a part of it: a transcript, a thumbnail."""

from typing import Any

import sqlalchemy as sa

from hongyan import timeline
from hongyan.tables import messages
from hongyan.unit_of_work import UnitOfWork

Row = sa.Row[Any]


def find_message(connection: sa.Connection, conversation_id: str, seq: int) -> Row | None:
    """Return what finding something out needs of a message."""
    columns = (messages.c.sender_id, messages.c.type, messages.c.content, messages.c.recalled_at)
    statement: sa.Select[Any] = sa.select(*columns).where(_is(conversation_id, seq))
    return connection.execute(statement).first()


def lacks(row: Row, name: str) -> bool:
    """Tell whether a message was not recalled, and has room for something that was not found out yet."""
    return row.recalled_at is None and row.content[name] is None


def add(unit: UnitOfWork, conversation_id: str, seq: int, sender_id: str, name: str, value: Any) -> None:
    """Let a message's content hold ``value``, as its conversation's next change, unless it does or was recalled."""
    place = timeline.lock(unit.connection, conversation_id, sender_id)
    row = find_message(unit.connection, conversation_id, seq)
    if place is None or row is None or not lacks(row, name):
        return
    after = timeline.change(unit.connection, place)
    values = {"content": {**row.content, name: value}, "change_seq": after.change_seq}
    unit.connection.execute(sa.update(messages).where(_is(conversation_id, seq)).values(values))
    unit.announce(timeline.about(conversation_id, seq, "message.updated"))


def _is(conversation_id: str, seq: int) -> sa.ColumnElement[bool]:
    return sa.and_(messages.c.conversation_id == conversation_id, messages.c.seq == seq)
