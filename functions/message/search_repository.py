"""The SQL of searching messages."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from hongyan.schemas import Message
from hongyan.tables import hidden_messages, members, messages

from functions.message import repository


class Readable(NamedTuple):
    """What somebody may read of a conversation."""

    conversation_id: str
    joined_seq: int
    left_seq: int | None

    @property
    def is_whole(self) -> bool:
        """Whether that is all there is and will be."""
        return self.joined_seq == 0 and self.left_seq is None


def list_readable(connection: sa.Connection, user_id: str, conversation_id: str | None) -> list[Readable]:
    """Return what the user may read, of one conversation or of all."""
    columns = (members.c.conversation_id, members.c.joined_seq, members.c.left_seq)
    statement = sa.select(*columns).where(members.c.user_id == user_id)
    if conversation_id is not None:
        statement = statement.where(members.c.conversation_id == conversation_id)
    return [Readable(*row) for row in connection.execute(statement)]


def find_shown(connection: sa.Connection, user_id: str, message_ids: Collection[str]) -> dict[str, Message]:
    """Return those of the messages that still say something to the user, by their ids."""
    statement = (
        sa.select(messages)
        .join(
            members,
            sa.and_(members.c.conversation_id == messages.c.conversation_id, members.c.user_id == user_id),
        )
        .outerjoin(
            hidden_messages,
            sa.and_(
                hidden_messages.c.user_id == user_id,
                hidden_messages.c.conversation_id == messages.c.conversation_id,
                hidden_messages.c.seq == messages.c.seq,
            ),
        )
        .where(
            messages.c.id.in_(message_ids),
            messages.c.seq > members.c.joined_seq,
            sa.or_(members.c.left_seq.is_(None), messages.c.seq <= members.c.left_seq),
            messages.c.recalled_at.is_(None),
            hidden_messages.c.hidden_at.is_(None),
        )
    )
    return {row.id: repository.message(row) for row in connection.execute(statement)}


def list_messages(connection: sa.Connection, conversation_id: str, seq: int, limit: int) -> Sequence[Message]:
    """Return up to ``limit`` messages behind one, recalled ones too, in the order of the primary key."""
    behind = sa.or_(
        sa.and_(messages.c.conversation_id == conversation_id, messages.c.seq > seq),
        messages.c.conversation_id > conversation_id,
    )
    statement = sa.select(messages).where(behind).order_by(messages.c.conversation_id, messages.c.seq).limit(limit)
    return [repository.message(row) for row in connection.execute(statement)]
