"""The message module's SQL."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan.events import Reference
from hongyan.profiles import profile_columns
from hongyan.schemas import Message
from hongyan.tables import blocks, friendships, hidden_messages, members, messages, reactions, users
from hongyan.timeline import Place

Row = sa.Row[Any]


class Window(NamedTuple):
    """A part of a conversation: what comes after one seq, up to and including another."""

    after_seq: int
    end_seq: int


class Span(NamedTuple):
    """Of the people of a conversation, or of somebody's friends: whose ids lie after one, up to and including another.

    With no end it goes to the last, whoever comes to be that.
    """

    of_id: str
    after_user_id: str = ""
    up_to_user_id: str | None = None


class _Crowd(NamedTuple):
    """Where the people of something are found, in the order of their ids: the two columns of a primary key."""

    of: sa.Column[str]
    person: sa.Column[str]

    def within(self, span: Span) -> list[sa.ColumnElement[bool]]:
        after = [self.of == span.of_id, self.person > span.after_user_id]
        return after if span.up_to_user_id is None else [*after, self.person <= span.up_to_user_id]


_MEMBERS = _Crowd(members.c.conversation_id, members.c.user_id)
_FRIENDS = _Crowd(friendships.c.user_id, friendships.c.friend_id)


def message(row: Row) -> Message:
    """Return the message of a row, to nobody in particular."""
    return Message.model_validate(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it


def has_blocked_peer(connection: sa.Connection, conversation_id: str, user_id: str) -> bool:
    """Tell whether the user has blocked the other side of a single."""
    statement = (
        sa.select(blocks.c.created_at)
        .join(members, members.c.user_id == blocks.c.blocked_id)
        .where(blocks.c.user_id == user_id, members.c.conversation_id == conversation_id)
    )
    return connection.execute(statement).first() is not None


def count_present(connection: sa.Connection, conversation_id: str, user_ids: Iterable[str]) -> int:
    """Count those of the people who are in the conversation now."""
    statement = (
        sa.select(sa.func.count())
        .select_from(members)
        .where(
            members.c.conversation_id == conversation_id,
            members.c.user_id.in_(user_ids),
            members.c.left_seq.is_(None),
        )
    )
    return connection.scalar(statement) or 0


def find_by_client_id(connection: sa.Connection, sender_id: str, client_id: str) -> Row | None:
    """Return the message that the sender sent under this id."""
    statement = sa.select(messages).where(messages.c.sender_id == sender_id, messages.c.client_id == client_id)
    return connection.execute(statement).first()


def find_message(connection: sa.Connection, user_id: str, conversation_id: str, seq: int) -> Message | None:
    """Return one message as it is shown to the user."""
    statement = select_shown_to(user_id).where(messages.c.conversation_id == conversation_id, messages.c.seq == seq)
    row = connection.execute(statement).first()
    return None if row is None else shown(row)


def find_messages(connection: sa.Connection, references: Collection[Reference]) -> dict[Reference, Message]:
    """Return the messages by conversation and seq, in one statement, to nobody in particular."""
    statement = sa.select(messages).where(sa.tuple_(messages.c.conversation_id, messages.c.seq).in_(references))
    return {Reference(row.conversation_id, row.seq): message(row) for row in connection.execute(statement)}


def list_before(
    connection: sa.Connection, place: Place, window: Window, before_seq: int | None, limit: int
) -> list[Message]:
    """Return up to ``limit`` messages of a window before a seq, or its last, from new to old."""
    statement = _messages_in(place, window).order_by(messages.c.seq.desc()).limit(limit)
    if before_seq is not None:
        statement = statement.where(messages.c.seq < before_seq)
    return [shown(row) for row in connection.execute(statement)]


def list_after(
    connection: sa.Connection, place: Place, window: Window, after_seq: int | None, limit: int
) -> list[Message]:
    """Return up to ``limit`` messages of a window after a seq, or its first, from old to new."""
    statement = _messages_in(place, window).order_by(messages.c.seq).limit(limit)
    if after_seq is not None:
        statement = statement.where(messages.c.seq > after_seq)
    return [shown(row) for row in connection.execute(statement)]


def last_seq_before(connection: sa.Connection, conversation_id: str, moment: datetime) -> int:
    """Return the seq of the last message sent before a moment, 0 if none was."""
    statement = (
        sa.select(messages.c.seq)
        .where(messages.c.conversation_id == conversation_id, messages.c.created_at < moment)
        .order_by(messages.c.created_at.desc(), messages.c.seq.desc())
        .limit(1)
    )
    return connection.scalar(statement) or 0


def _messages_in(place: Place, window: Window) -> sa.Select[Any]:
    return select_shown_to(place.user_id).where(
        messages.c.conversation_id == place.conversation_id,
        messages.c.seq > window.after_seq,
        messages.c.seq <= window.end_seq,
    )


def select_shown_to(user_id: str) -> sa.Select[Any]:
    """Return the statement of messages; what it finds is for :func:`shown`."""
    return sa.select(messages, hidden_messages.c.hidden_at).outerjoin(
        hidden_messages,
        sa.and_(
            hidden_messages.c.user_id == user_id,
            hidden_messages.c.conversation_id == messages.c.conversation_id,
            hidden_messages.c.seq == messages.c.seq,
        ),
    )


def shown(row: Row) -> Message:
    """Return the message of a row as it is shown to whom it was selected for."""
    return message(row) if row.hidden_at is None else message(row).hide()


def update_message(connection: sa.Connection, conversation_id: str, seq: int, **values: Any) -> None:
    """Change a message. Its conversation is locked."""
    if "reactions" in values:
        values["reactions"] = [reaction.model_dump() for reaction in values["reactions"]] or None
    connection.execute(_one(conversation_id, seq).values(**values))


def forget_request(connection: sa.Connection, conversation_id: str, seq: int) -> None:
    """Forget the digest of what the sender asked for: short texts could be found out from it."""
    connection.execute(_one(conversation_id, seq).values(request_hash=bytes(32)))


def _one(conversation_id: str, seq: int) -> sa.Update:
    return sa.update(messages).where(messages.c.conversation_id == conversation_id, messages.c.seq == seq)


def insert_hidden(connection: sa.Connection, user_id: str, conversation_id: str, seq: int, at: datetime) -> bool:
    """Note that somebody has hidden a message, and tell whether they had not before."""
    row = {"user_id": user_id, "conversation_id": conversation_id, "seq": seq, "hidden_at": at}
    return connection.execute(sa.insert(hidden_messages).prefix_with("IGNORE").values(row)).rowcount == 1


def insert_reaction(
    connection: sa.Connection, conversation_id: str, seq: int, emoji: str, user_id: str, at: datetime
) -> bool:
    """Note somebody's reaction, and tell whether it was not there."""
    row = {"conversation_id": conversation_id, "seq": seq, "emoji": emoji, "user_id": user_id, "created_at": at}
    return connection.execute(sa.insert(reactions).prefix_with("IGNORE").values(row)).rowcount == 1


def delete_reaction(connection: sa.Connection, conversation_id: str, seq: int, emoji: str, user_id: str) -> bool:
    """Forget somebody's reaction, and tell whether it was there."""
    statement = _reactions_to(conversation_id, seq).where(reactions.c.emoji == emoji, reactions.c.user_id == user_id)
    return connection.execute(statement).rowcount == 1


def delete_reactions(connection: sa.Connection, conversation_id: str, seq: int) -> None:
    """Forget everybody's reactions to a message."""
    connection.execute(_reactions_to(conversation_id, seq))


def _reactions_to(conversation_id: str, seq: int) -> sa.Delete:
    return sa.delete(reactions).where(reactions.c.conversation_id == conversation_id, reactions.c.seq == seq)


def count_reactions(
    connection: sa.Connection, conversation_id: str, seq: int, emoji: str, limit: int
) -> tuple[int, list[str]]:
    """Return how many people reacted so, and the first of them, in the order of their ids."""
    these = (
        reactions.c.conversation_id == conversation_id,
        reactions.c.seq == seq,
        reactions.c.emoji == emoji,
    )
    count = connection.scalar(sa.select(sa.func.count()).select_from(reactions).where(*these)) or 0
    first = sa.select(reactions.c.user_id).where(*these).order_by(reactions.c.user_id).limit(limit)
    return count, list(connection.scalars(first))


def list_readers(
    connection: sa.Connection, conversation_id: str, seq: int, sender_id: str, after_id: str | None, limit: int
) -> Sequence[Row]:
    """Return up to ``limit`` of those in a conversation who have read up to a seq, in the order of their ids."""
    statement = (
        sa.select(*profile_columns())
        .select_from(members)
        .join(users, users.c.id == members.c.user_id)
        .where(
            members.c.conversation_id == conversation_id,
            members.c.left_seq.is_(None),
            members.c.joined_seq < seq,
            members.c.read_seq >= seq,
            members.c.user_id != sender_id,
        )
        .order_by(members.c.user_id)
        .limit(limit)
    )
    if after_id is not None:
        statement = statement.where(members.c.user_id > after_id)
    return connection.execute(statement).all()


def count_own_after(connection: sa.Connection, conversation_id: str, sender_id: str, seq: int) -> int:
    """Count the sender's messages after a seq."""
    statement = (
        sa.select(sa.func.count())
        .select_from(messages)
        .where(messages.c.conversation_id == conversation_id, messages.c.seq > seq, messages.c.sender_id == sender_id)
    )
    return connection.scalar(statement) or 0


def lock_reading(connection: sa.Connection, place: Place) -> Place:
    """Lock a member's place alone, and return it with how far they have read by now."""
    statement = (
        sa.select(members.c.read_seq, members.c.own_after_read)
        .where(members.c.conversation_id == place.conversation_id, members.c.user_id == place.user_id)
        .with_for_update()
    )
    return place._replace(**connection.execute(statement).one()._mapping)  # noqa: SLF001  # its public name


def mark_read(connection: sa.Connection, place: Place, seq: int, own_after_read: int, **values: Any) -> None:
    """Note how far a member has read."""
    connection.execute(
        sa.update(members)
        .where(members.c.conversation_id == place.conversation_id, members.c.user_id == place.user_id)
        .values(read_seq=seq, own_after_read=own_after_read, **values)
    )


def list_members(connection: sa.Connection, conversation_ids: Sequence[str]) -> dict[str, list[Row]]:
    """Return who is or was in each of the conversations, and what they may read of it, in one statement."""
    columns = (members.c.conversation_id, members.c.user_id, members.c.joined_seq, members.c.left_seq)
    statement: sa.Select[Any] = sa.select(*columns).where(members.c.conversation_id.in_(conversation_ids))
    found: dict[str, list[Row]] = {conversation_id: [] for conversation_id in conversation_ids}
    for row in connection.execute(statement):
        found[row.conversation_id].append(row)
    return found


def list_in_conversations(connection: sa.Connection, spans: Sequence[Span], limit: int) -> dict[Span, list[Row]]:
    """Return up to ``limit`` of those who are or were in each, and what they may read of it, in one statement."""
    return _list_in(connection, _MEMBERS, spans, limit, members.c.joined_seq, members.c.left_seq)


def list_friends(connection: sa.Connection, spans: Sequence[Span], limit: int) -> dict[Span, list[Row]]:
    """Return up to ``limit`` of the friends of each of the people, and whom they have blocked, in one statement."""
    is_blocked = sa.exists().where(
        blocks.c.user_id == friendships.c.user_id, blocks.c.blocked_id == friendships.c.friend_id
    )
    return _list_in(connection, _FRIENDS, spans, limit, is_blocked.label("is_blocked"))


def cut_conversation(connection: sa.Connection, span: Span, size: int) -> list[Span]:
    """Cut a span of a conversation's people into parts of ``size``."""
    return _cut(connection, _MEMBERS, span, size)


def cut_friends(connection: sa.Connection, span: Span, size: int) -> list[Span]:
    """Cut a span of somebody's friends into parts of ``size``."""
    return _cut(connection, _FRIENDS, span, size)


def _list_in(
    connection: sa.Connection, crowd: _Crowd, spans: Sequence[Span], limit: int, *columns: sa.ColumnElement[Any]
) -> dict[Span, list[Row]]:
    # One range of the primary key each, and each with its own limit.
    statement = sa.union_all(
        *(
            sa.select(sa.literal(n).label("span"), crowd.person.label("user_id"), *columns)
            .where(*crowd.within(span))
            .order_by(crowd.person)
            .limit(limit)
            for n, span in enumerate(spans)
        )
    )
    found: dict[Span, list[Row]] = {span: [] for span in spans}
    for row in connection.execute(statement):
        found[spans[row.span]].append(row)
    return found


def _cut(connection: sa.Connection, crowd: _Crowd, span: Span, size: int) -> list[Span]:
    """Step along the key from the last person of one part to that of the next: only those are ever read into here."""
    last_of_part = sa.select(crowd.person).order_by(crowd.person).offset(size - 1).limit(1)
    parts = []
    rest = span
    while (last := connection.scalar(last_of_part.where(*crowd.within(rest)))) is not None:
        parts.append(rest._replace(up_to_user_id=last))
        rest = rest._replace(after_user_id=last)
    return [*parts, rest]
