"""Makes a search index anew from MySQL, while the old one answers.

Either it is asked to, or it looks, every minute, whether there is an index of the present shape: there is none after
the engine was lost, and after a release that changed the shape.

Changes during the filling reach both indices, since a change is read from its row after its event came, and the event
comes after the commit: either the new index was there by then, and the change is written to it, or it was not, and
the filling, which began later, reads the changed row. Killed at any step it leaves the old index answering, or the new
one complete. A filling that was cut off is gone on with behind the last page that the index took: changes went to it
all the while. One of another shape is removed.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa

from hongyan import stores
from hongyan.observability import logger
from hongyan.search_index import SearchIndex

R = TypeVar("R")

_LOCK_SECONDS = 5


class Rows(NamedTuple, Generic[R]):
    """All rows that are indexed: in pages, behind a position or from the beginning, and what position a row has."""

    pages: Callable[[sa.Connection, list[Any] | None], Iterator[Sequence[R]]]
    position: Callable[[R], list[Any]]


class ReindexUnderWayError(Exception):
    """Another call is making the index anew."""


def make_anew(index: SearchIndex[R], rows: Rows[R], *, rebuild: bool) -> int:
    """Make the index anew if asked to or needed, one caller at a time, and return how many rows were read.

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
            return _renew(index, rows, connection, rebuild=rebuild)
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), lock)


def _renew(index: SearchIndex[R], rows: Rows[R], connection: sa.Connection, *, rebuild: bool) -> int:
    filling = index.unfinished()
    index.remove_leftovers(but=filling)
    if filling is None:
        if not rebuild and index.is_there():
            return 0
        filling = index.begin()
    filled = 0
    for page in rows.pages(connection, filling.position):
        index.fill(page)
        index.keep_position(filling, rows.position(page[-1]))
        filled += len(page)
    index.finish(filling)
    logger.info(
        "a search index is made anew", index=filling.name, documents=filled, gone_on=filling.position is not None
    )
    return filled
