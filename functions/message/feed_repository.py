"""SQL of feeds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan.tables import conversations, feed_entries, feed_marks, feed_notes, feeds, members, messages
from hongyan.timeline import Happening
from sqlalchemy.dialects.mysql import insert

from functions.message.stretches import Stretch, within

Row = sa.Row[Any]

# Placed at once.
MOST_NOTES = 1_000

_CHANGES_OF_LOOKS: tuple[Happening, ...] = ("group_renamed", "avatar_changed")


class End(NamedTuple):
    """Where a feed ends, and the id of the entry there; position 0 has none."""

    position: int
    entry_id: str | None


class Entry(NamedTuple):
    """What a feed tells. Of a conversation: its changes after one and up to another; of a hidden message its seq."""

    id: str
    kind: str
    subject_id: str
    from_change: int | None
    to_change: int | None


class News(NamedTuple):
    """What has no place in somebody's feed yet."""

    notes: Sequence[Row]
    stretches: Sequence[Stretch]
    # Those of the stretches whose conversation the person has left.
    left: Sequence[Stretch]

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing."""
        return not self.notes and not self.stretches


def find_news(connection: sa.Connection, user_id: str) -> News:
    """Return what is committed and has no place yet. It reads one row a conversation, whether it changed or not."""
    notes = sa.select(feed_notes).where(feed_notes.c.user_id == user_id).limit(MOST_NOTES)
    known = sa.func.greatest(sa.func.coalesce(feed_marks.c.change_seq, 0), members.c.joined_change_seq)
    changed = (
        sa.select(
            members.c.conversation_id,
            known.label("from_change"),
            conversations.c.change_seq.label("to_change"),
            members.c.left_seq.is_not(None).label("has_left"),
        )
        .select_from(members)
        .join(conversations, conversations.c.id == members.c.conversation_id)
        .outerjoin(
            feed_marks,
            sa.and_(feed_marks.c.user_id == members.c.user_id, feed_marks.c.conversation_id == conversations.c.id),
        )
        .where(members.c.user_id == user_id, conversations.c.change_seq > known)
        .order_by(members.c.conversation_id)
    )
    rows = connection.execute(changed).all()
    stretches = [Stretch(row.conversation_id, row.from_change, row.to_change) for row in rows]
    left = [stretch for stretch, row in zip(stretches, rows, strict=True) if row.has_left]
    return News(connection.execute(notes).all(), stretches, left)


def list_seen_by_who_left(connection: sa.Connection, user_id: str, stretches: Sequence[Stretch]) -> set[str]:
    """Return those of the conversations that somebody left in which they see something of the changes.

    That is what becomes of messages of their time, and what the group is called and looks like.
    """
    window = sa.and_(messages.c.seq > members.c.joined_seq, messages.c.seq <= members.c.left_seq)
    changes_looks = sa.and_(
        messages.c.type == "system", sa.func.json_value(messages.c.content, "$.event").in_(_CHANGES_OF_LOOKS)
    )
    is_seen = sa.exists().where(
        messages.c.conversation_id == members.c.conversation_id,
        within(messages, stretches),
        sa.or_(window, changes_looks),
    )
    statement = sa.select(members.c.conversation_id).where(
        members.c.user_id == user_id,
        members.c.conversation_id.in_([stretch.conversation_id for stretch in stretches]),
        sa.or_(within(members, stretches), is_seen),
    )
    return set(connection.scalars(statement))


def lock(connection: sa.Connection, user_id: str) -> int:
    """Lock somebody's feed, which begins with this, and return its last position."""
    locked = sa.select(feeds.c.last_position).where(feeds.c.user_id == user_id).with_for_update()
    last_position: int | None = connection.scalar(locked)
    if last_position is not None:
        return last_position
    # Only now: on a row that is there it would take a shared lock, and two of those wait for each other.
    connection.execute(insert(feeds).values(user_id=user_id, last_position=0).prefix_with("IGNORE"))
    return connection.scalar(locked) or 0


def insert_entries(connection: sa.Connection, user_id: str, after: int, entries: Sequence[Entry]) -> None:
    """Place the entries after a position."""
    rows = [
        {"user_id": user_id, "position": position, **entry._asdict()}
        for position, entry in enumerate(entries, start=after + 1)
    ]
    if rows:
        connection.execute(sa.insert(feed_entries).values(rows))


def set_end(connection: sa.Connection, user_id: str, position: int) -> None:
    """Note where a locked feed ends."""
    connection.execute(sa.update(feeds).where(feeds.c.user_id == user_id).values(last_position=position))


def set_marks(connection: sa.Connection, user_id: str, stretches: Sequence[Stretch]) -> None:
    """Note how far the feed has come in each of the conversations."""
    rows = [
        {"user_id": user_id, "conversation_id": stretch.conversation_id, "change_seq": stretch.to_change}
        for stretch in stretches
    ]
    if rows:
        statement = insert(feed_marks).values(rows)
        connection.execute(statement.on_duplicate_key_update(change_seq=statement.inserted.change_seq))


def delete_notes(connection: sa.Connection, note_ids: Sequence[int]) -> None:
    """Forget notes that have their place now."""
    if note_ids:
        connection.execute(sa.delete(feed_notes).where(feed_notes.c.id.in_(note_ids)))


def find_end(connection: sa.Connection, user_id: str) -> End:
    """Return where a feed ends."""
    statement = (
        sa.select(feed_entries.c.position, feed_entries.c.id)
        .where(feed_entries.c.user_id == user_id)
        .order_by(feed_entries.c.position.desc())
        .limit(1)
    )
    row = connection.execute(statement).first()
    return End(0, None) if row is None else End(*row)


def is_there(connection: sa.Connection, user_id: str, end: End) -> bool:
    """Tell whether the feed has just this entry at this position."""
    if end.position == 0:
        return True
    statement = sa.select(feed_entries.c.id).where(
        feed_entries.c.user_id == user_id, feed_entries.c.position == end.position
    )
    return connection.scalar(statement) == end.entry_id


def list_entries(connection: sa.Connection, user_id: str, after: int, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` entries behind a position, in their order."""
    statement = (
        sa.select(feed_entries)
        .where(feed_entries.c.user_id == user_id, feed_entries.c.position > after)
        .order_by(feed_entries.c.position)
        .limit(limit)
    )
    return connection.execute(statement).all()
