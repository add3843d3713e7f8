"""Makes a search index anew from MySQL, while the old one answers.

Either it is asked to, or it looks, every minute, whether there is an index of the present shape: there is none after
the engine was lost, and after a release that changed the shape.

Changes during the filling reach both indices, since a change is read from its row after its event came, and the event
comes after the commit: either the new index was there by then, and the change is written to it, or it was not, and
the filling, which began later, reads the changed row.

Killed at any step, or out of time, it leaves the old index answering, or the new one complete. A new one that is half
made goes on being given the changes, of rows that were read and of those that were not, for it keeps its alias; so the
look of the next minute goes on behind the last page that it kept. A page may be written twice; none is left out. What
else is left the next run removes: an index of another shape, and one that stood still for too long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from hongyan import metrics, stores
from hongyan.metrics import Metric
from hongyan.observability import logger
from hongyan.search_index import SearchIndex

R = TypeVar("R")

_LOCK_SECONDS = 5


class ReindexUnderWayError(Exception):
    """Another call is making the index anew."""


@dataclass(frozen=True)
class Walk(Generic[R]):
    """A way past all rows in the order of a key that a row never changes; positions are such keys, as JSON has them."""

    start: list[Any]
    page_behind: Callable[[sa.Connection, list[Any]], Sequence[R]]
    position: Callable[[R], list[Any]]


def make_anew(index: SearchIndex[R], walk: Walk[R], *, rebuild: bool) -> int:
    """Make the index anew if asked to or needed, one caller at a time, and return how many rows were read.

    Whoever asks has it made from the first row on; else one that is half made is gone on with, whoever began it.
    The pages are read on the connection that holds the lock: whoever loses the one loses the other and stops.

    Raises:
        ReindexUnderWayError: another call is at it, and this one was asked to do it in any case.
        SearchUnavailable: the engine does not answer, or did not take everything.

    """
    lock = {"name": f"hongyan.{index.alias}_index"}
    with stores.engine().connect() as connection:
        taken = connection.scalar(sa.text("SELECT GET_LOCK(:name, :seconds)"), {**lock, "seconds": _LOCK_SECONDS})
        if taken != 1:
            if rebuild:
                raise ReindexUnderWayError
            return 0
        try:
            return _renew(connection, index, walk, rebuild=rebuild)
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), lock)


def _renew(connection: sa.Connection, index: SearchIndex[R], walk: Walk[R], *, rebuild: bool) -> int:
    half_made = None if rebuild else index.half_made()
    index.remove_leftovers(half_made)
    if half_made is not None:
        logger.info("a search index is gone on with", index=half_made.name)
        return _fill(connection, index, walk, *half_made)
    if not rebuild and index.is_there():
        return 0
    return _fill(connection, index, walk, index.begin(), walk.start)


def _fill(connection: sa.Connection, index: SearchIndex[R], walk: Walk[R], name: str, position: list[Any]) -> int:
    filled = 0
    while rows := walk.page_behind(connection, position):
        index.fill(rows)
        position = walk.position(rows[-1])
        index.keep(name, position)
        filled += len(rows)
        metrics.count(Metric.DOCUMENTS_REINDEXED, len(rows))
        metrics.emit()
    index.finish(name)
    logger.info("a search index is made anew", index=name, documents=filled)
    return filled
