"""What a sync costs, by how many conversations somebody has and by how much changed."""

import itertools
import statistics
import sys
import time
from collections.abc import Iterator

import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.tables import conversations, members

from bench.groups import Cost
from tests.support.deployment import Deployment
from tests.support.people import Person
from tests.support.statements import counted

CONVERSATIONS = (10, 200, 2_000)
CHANGES = (0, 1, 50)

_TIMES = 7

_numbers = itertools.count(1)


def measure(deployment: Deployment) -> dict[int, dict[int, Cost]]:
    """Return what a sync costs for people with so many conversations, of which so many have a new message."""
    return {count: dict(_costs(deployment, count)) for count in CONVERSATIONS}


def _costs(deployment: Deployment, count: int) -> Iterator[tuple[int, Cost]]:
    alice, bob = (Person.join(deployment.management, f"{name}-{next(_numbers)}") for name in ("syncs", "says"))
    ids = [alice.befriend(bob), *_groups(alice, bob, count - 1)]
    cursor = _caught_up(alice, None)
    for changes in CHANGES:
        seconds, counts = [], []
        for _ in range(_TIMES):
            for conversation_id in itertools.islice(itertools.cycle(ids[:changes] or [""]), changes):
                bob.say(conversation_id, "hello")
            began = time.perf_counter()
            with counted() as statements:
                page = alice.get(f"/v1/sync?cursor={cursor}").json
            seconds.append(time.perf_counter() - began)
            counts.append(len(statements.texts))
            if len(page["messages"]) != changes:
                sys.exit(f"{len(page['messages'])} messages came, not {changes}")
            cursor = page["next_cursor"]
        yield changes, Cost(max(counts), statistics.median(seconds))


def _groups(alice: Person, bob: Person, count: int) -> list[str]:
    """Let the two be in so many groups, made past the API."""
    moment, ids = now(), [new_id() for _ in range(count)]
    member = {"read_seq": 0, "own_after_read": 0, "muted": False, "pinned": False, "joined_at": moment}
    with stores.engine().begin() as connection:
        connection.execute(
            sa.insert(conversations),
            [
                {
                    "id": conversation_id,
                    "kind": "group",
                    "name": "a group",
                    "announcement": "",
                    "member_count": 2,
                    "last_seq": 0,
                    "change_seq": 1,
                    "last_activity_at": moment,
                    "created_at": moment,
                }
                for conversation_id in ids
            ],
        )
        connection.execute(
            sa.insert(members),
            [
                {**member, "conversation_id": conversation_id, "user_id": person.id, "role": "member"}
                for conversation_id in ids
                for person in (alice, bob)
            ],
        )
    return ids


def _caught_up(person: Person, cursor: str | None) -> str:
    while True:
        page = person.get("/v1/sync" + (f"?cursor={cursor}" if cursor else "")).json
        cursor = str(page["next_cursor"])
        if not page["has_more"]:
            return cursor
