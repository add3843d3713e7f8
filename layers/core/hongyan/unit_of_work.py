"""Where a transaction begins and ends: rows and events together, announced after (architecture, decisions 2 and 3)."""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from hongyan import outbox, stores
from hongyan.events import Event

T = TypeVar("T")

_DEADLOCK, _LOCK_WAIT_TIMEOUT = 1213, 1205  # MySQL error numbers; both mean: roll back and try again
# With the last try's own time-outs below that of functions. What was waited for in vain is not waited for again.
_NO_NEW_TRY_AFTER_SECONDS = 3


class UnitOfWork:
    """One open transaction and the events that become true with it."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.events: list[Event] = []

    def announce(self, *events: Event) -> None:
        """Let the events be written with the rows, and published once both are committed."""
        self.events.extend(events)


def perform(work: Callable[[UnitOfWork], T]) -> T:
    """Run ``work`` in one transaction, commit, announce its events, and return what it returned.

    ``work`` may run again after a deadlock, so it must not touch anything but the unit. If it raises, nothing is kept.

    Raises:
        sqlalchemy.exc.DBAPIError: the database stayed locked or is out of reach. Whether a commit that was under way
            counted is then unknown, so a caller that tries again must be idempotent.

    """
    for attempt in Retrying(
        retry=retry_if_exception(_is_lock_conflict),
        stop=stop_after_attempt(4) | stop_after_delay(_NO_NEW_TRY_AFTER_SECONDS),
        wait=wait_random_exponential(multiplier=0.01, max=0.2),
        reraise=True,
    ):
        with attempt:
            result, events = _run(work)
    outbox.announce(events)
    return result


def read(work: Callable[[sa.Connection], T]) -> T:
    """Run statements that change nothing."""
    with stores.engine().connect() as connection:
        return work(connection)


def _run(work: Callable[[UnitOfWork], T]) -> tuple[T, list[Event]]:
    with stores.engine().begin() as connection:
        unit = UnitOfWork(connection)
        result = work(unit)
        outbox.write(connection, unit.events)
    return result, unit.events


def _is_lock_conflict(error: BaseException) -> bool:
    return (
        isinstance(error, OperationalError)
        and error.orig is not None
        and error.orig.args[0] in (_DEADLOCK, _LOCK_WAIT_TIMEOUT)
    )
