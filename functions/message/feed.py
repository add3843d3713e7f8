"""A person's feed: what changed for them, each under a position that was given once it was committed.

A counter that writers take would need a lock on everybody concerned, and a clock or an auto-increment lets a slow
transaction commit behind a faster one. So positions are given by the reader: under the lock of one's own feed, what is
committed and has no place yet is placed at the end. What commits later is placed later (architecture, decision 6).

What changed in conversations is found by their own counters, taken under their locks: an entry is a stretch of it. All
else was noted for the person with the change (hongyan.feed).
"""

import sqlalchemy as sa
from hongyan.ids import new_id
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.message import feed_repository as repository
from functions.message.feed_repository import MOST_NOTES, Entry, News


def gather(user_id: str) -> None:
    """Place what is new for somebody in their feed. Without news nothing is locked or written."""
    if read(lambda connection: repository.find_news(connection, user_id)).is_empty:
        return
    while perform(lambda unit: _place(unit, user_id)):
        pass


def _place(unit: UnitOfWork, user_id: str) -> bool:
    """Place what is new, and tell whether there are more notes than one transaction takes."""
    last_position = repository.lock(unit.connection, user_id)
    # Read again under the lock: another device may have placed it.
    news = repository.find_news(unit.connection, user_id)
    entries = _entries(unit.connection, user_id, news)
    repository.insert_entries(unit.connection, user_id, last_position, entries)
    repository.set_end(unit.connection, user_id, last_position + len(entries))
    repository.set_marks(unit.connection, user_id, news.stretches)
    repository.delete_notes(unit.connection, [note.id for note in news.notes])
    return len(news.notes) == MOST_NOTES


def _entries(connection: sa.Connection, user_id: str, news: News) -> list[Entry]:
    # Who left a group goes on seeing what becomes of the messages of their time, and of nothing else.
    unseen = {stretch.conversation_id for stretch in news.left}
    if unseen:
        unseen -= repository.list_seen_by_who_left(connection, user_id, news.left)
    return [
        *(Entry(new_id(), note.kind, note.subject_id, None, note.seq) for note in news.notes),
        *(
            Entry(new_id(), "conversation", *stretch)
            for stretch in news.stretches
            if stretch.conversation_id not in unseen
        ),
    ]
