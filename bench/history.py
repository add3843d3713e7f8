"""What a page of history and a send cost in a short and in a long conversation: `python -m bench.history [LONG]`."""

import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

import sqlalchemy as sa
from hongyan import stores
from hongyan.tables import messages

from bench.groups import Cost, in_one_process
from tests.support.deployment import Deployment
from tests.support.gateway import Response
from tests.support.histories import fill_history, forget_histories, measure_tables
from tests.support.people import Person
from tests.support.statements import counted

SHORT, LONG = 10_000, 10_000_000

_TIMES = 31
_PAGE = 50
_TEXT = "你好, shall we meet at the tea house at three?"
_AROUND = timedelta(minutes=30)


class _Place(NamedTuple):
    """A conversation, and where in it a page is asked for: another place each time, so that no page is read twice."""

    conversation_id: str
    size: int

    def seq(self) -> int:
        return random.randint(self.size // 4, 3 * self.size // 4)  # noqa: S311  # no secret

    def moment(self) -> datetime:
        statement = sa.select(messages.c.created_at).where(
            messages.c.conversation_id == self.conversation_id, messages.c.seq == self.seq()
        )
        with stores.engine().connect() as connection:
            moment: datetime = connection.scalars(statement).one()
        return moment


_Query = Callable[[_Place], str]

_PAGES: dict[str, _Query] = {
    "last page": lambda _: "",
    "first page, `after_seq=0`": lambda _: "after_seq=0",
    "page in the middle, `before_seq`": lambda place: f"before_seq={place.seq()}",
    "page in the middle, `after_seq`": lambda place: f"after_seq={place.seq()}",
    "last page before a time, `to`": lambda place: f"to={_time(place.moment())}",
    "first page since a time, `from`": lambda place: f"from={_time(place.moment())}",
    "page of an hour, `from` and `to`": lambda place: _hour(place.moment()),
}


def report(deployment: Deployment, long: int = LONG) -> None:
    """Print what pages and sends cost in both."""
    alice, bob, carol = (Person.join(deployment.management, f"history-{name}-{time.time_ns()}") for name in "abc")
    short_place, long_place = _Place(alice.befriend(bob), SHORT), _Place(alice.befriend(carol), long)
    try:
        fill_history(short_place.conversation_id, alice.id, bob.id, SHORT, _TEXT)
        began = time.perf_counter()
        fill_history(long_place.conversation_id, alice.id, carol.id, long, _TEXT)
        filled_in = time.perf_counter() - began
        measure_tables()
        costs = {name: _side_by_side(name, alice, short_place, long_place) for name in [*_PAGES, "send"]}
        size = _gigabytes()
    finally:
        forget_histories()
    sizes = f"{SHORT:,}", f"{long:,}"
    print(f"\n## Pages of {_PAGE} and a send, by messages of the conversation (medians of {_TIMES})\n")
    print(f"The table of messages is {size:.1f} GB with its indices and was filled in {filled_in:.0f} s.\n")
    headings = [f"{what}, {size}" for what in ("statements", "ms") for size in sizes]
    print(f"| | {' | '.join(headings)} | ratio |\n|---|---|---|---|---|---|")
    for name, (of_short, of_long) in costs.items():
        milliseconds = f"{of_short.seconds * 1000:.1f} | {of_long.seconds * 1000:.1f}"
        ratio = of_long.seconds / of_short.seconds
        print(f"| {name} | {of_short.statements} | {of_long.statements} | {milliseconds} | {ratio:.2f} |")


def _side_by_side(name: str, alice: Person, short_place: _Place, long_place: _Place) -> tuple[Cost, Cost]:
    """Measure in turn, one here and one there, so that what else the machine does befalls both."""
    seconds: dict[_Place, list[float]] = {short_place: [], long_place: []}
    counts: dict[_Place, list[int]] = {short_place: [], long_place: []}
    for place in (short_place, long_place) * _TIMES:
        do = _ask(name, alice, place)
        began = time.perf_counter()
        with counted() as statements:
            answer = do()
        seconds[place].append(time.perf_counter() - began)
        counts[place].append(len(statements.texts))
        _check(name, answer)
    first, second = (Cost(max(counts[place]), statistics.median(seconds[place])) for place in (short_place, long_place))
    return first, second


def _ask(name: str, alice: Person, place: _Place) -> Callable[[], Response]:
    if name == "send":
        return lambda: alice.say(place.conversation_id, _TEXT)
    query = _PAGES[name](place)
    return lambda: alice.get(f"/v1/conversations/{place.conversation_id}/messages?limit={_PAGE}&{query}")


def _check(name: str, answer: Response) -> None:
    if answer.status >= 300:  # noqa: PLR2004
        sys.exit(f"{name} was refused: {answer.text}")
    if name != "send" and len(answer.json["items"]) != _PAGE:
        sys.exit(f"{name} has {len(answer.json['items'])} messages, not {_PAGE}")


def _hour(moment: datetime) -> str:
    return f"from={_time(moment - _AROUND)}&to={_time(moment + _AROUND)}"


def _time(moment: datetime) -> str:
    return quote(moment.astimezone(UTC).isoformat())


def _gigabytes() -> float:
    statement = sa.text(
        "SELECT data_length + index_length FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = 'messages'"
    )
    with stores.engine().connect() as connection:
        return float(connection.scalars(statement).one()) / 1e9


def main() -> None:
    """Measure on stores of its own."""
    with in_one_process() as deployment:
        report(deployment, *map(int, sys.argv[1:]))


if __name__ == "__main__":
    main()
