"""The SQL of searching messages."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

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


def pages_of_messages(connection: sa.Connection, after: list[Any] | None, limit: int) -> Iterator[Sequence[Message]]:
    """Yield all messages behind one, recalled ones too, page by page in the order of the primary key."""
    conversation_id, seq = after or ("", 0)
    while True:
        behind = sa.or_(
            sa.and_(messages.c.conversation_id == conversation_id, messages.c.seq > seq),
            messages.c.conversation_id > conversation_id,
        )
        statement = sa.select(messages).where(behind).order_by(messages.c.conversation_id, messages.c.seq).limit(limit)
        page = [repository.message(row) for row in connection.execute(statement)]
        if not page:
            return
        yield page
        conversation_id, seq = page[-1].conversation_id, page[-1].seq
