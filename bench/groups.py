"""What is done in groups of several sizes, and what it costs: the functions run in this process, on real stores."""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from local.stack import Stack
from migrations.schema import migrate
from tests.support.deployment import Deployment, deployed
from tests.support.gateway import Response
from tests.support.groups import a_crowd_of_friends, a_group, fill
from tests.support.histories import forget_histories
from tests.support.people import Person
from tests.support.statements import counted

SIZES = (10, 1_000, 10_000)

_HOME = Path(__file__).parents[1] / ".local" / "bench-groups"
_TIMES = 7  # each operation; the median counts
_ADDED_AT_ONCE = 500

_numbers = itertools.count(1)


class Cost(NamedTuple):
    """The statements of one operation, and how long it takes in seconds (median)."""

    statements: int
    seconds: float


def measure(deployment: Deployment) -> dict[int, dict[str, Cost]]:
    """Return what each operation costs in a group of each size, measured in turn on the same stores."""
    return {size: dict(_costs(deployment, size)) for size in SIZES}


@contextmanager
def in_one_process() -> Iterator[Deployment]:
    """Run the functions in this process, on real stores of their own."""
    stack = Stack(_HOME)
    stack.start_engines()
    try:
        with pytest.MonkeyPatch.context() as patch, deployed(stack, patch) as deployment:
            migrate()
            forget_histories()  # of a run that was cut off
            deployment.empty()
            yield deployment
    finally:
        stack.stop()


def _costs(deployment: Deployment, size: int) -> Iterator[tuple[str, Cost]]:
    owner, one, other = (Person.join(deployment.management, f"{name}-{next(_numbers)}") for name in ("owner", "a", "b"))
    group_id = a_group(owner, one, other)
    crowd = a_crowd_of_friends(owner, _ADDED_AT_ONCE + _TIMES)
    fill(group_id, size - 3 - _TIMES)  # room for those who are added one at a time
    screen = one.connect()
    deployment.drain()

    yield "send", _cost(lambda _: owner.say(group_id, "hello"))
    deployment.drain()
    yield "push of a message, one member online", _push_cost(deployment, owner, group_id)
    if not screen.events:
        sys.exit("the push reached nobody")
    yield "read mark", _cost(lambda n: one.read(group_id, n + 1))
    yield "list of conversations", _cost(lambda _: one.get("/v1/conversations"))
    yield "list of members, 100 a page", _cost(lambda _: one.get(f"/v1/conversations/{group_id}/members?limit=100"))
    yield "rename", _cost(lambda n: owner.patch(f"/v1/conversations/{group_id}", {"name": f"group {n}"}))
    yield (
        "change a role",
        _cost(
            lambda n: owner.patch(
                f"/v1/conversations/{group_id}/members/{one.id}", {"role": ("admin", "member")[n % 2]}
            )
        ),
    )
    added = crowd[:_TIMES]
    path = f"/v1/conversations/{group_id}/members"
    yield "add 1", _cost(lambda n: owner.post(path, {"user_ids": [added[n]]}))
    yield "remove 1", _cost(lambda n: owner.delete(f"{path}/{added[n]}"))
    if size + _ADDED_AT_ONCE <= max(SIZES):
        rest = crowd[_TIMES:]
        yield f"add {_ADDED_AT_ONCE}", _cost(lambda _: owner.post(path, {"user_ids": rest}), times=1)


def _cost(do: Callable[[int], Response], times: int = _TIMES) -> Cost:
    seconds, counts = [], []
    for n in range(times):
        began = time.perf_counter()
        with counted() as statements:
            answer = do(n)
        seconds.append(time.perf_counter() - began)
        counts.append(len(statements.texts))
        if answer.status >= 300:  # noqa: PLR2004
            sys.exit(f"an operation was refused: {answer.text}")
    return Cost(max(counts), statistics.median(seconds))


def _push_cost(deployment: Deployment, owner: Person, group_id: str) -> Cost:
    seconds, counts = [], []
    for _ in range(_TIMES):
        owner.say(group_id, "hello")
        began = time.perf_counter()
        with counted() as statements:
            deployment.push()
        seconds.append(time.perf_counter() - began)
        counts.append(len(statements.texts))
    return Cost(max(counts), statistics.median(seconds))
