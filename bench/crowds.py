"""What telling 100 who are online of a message costs, by the size of their group: `python -m bench.crowds`."""

import statistics
import sys
import time

from bench.groups import Cost, in_one_process
from tests.support.deployment import Deployment
from tests.support.groups import fill, let_in
from tests.support.people import Person
from tests.support.statements import counted

SIZES = (100, 1_000, 10_000)
ONLINE = 100

_TIMES = 9


def report(deployment: Deployment) -> None:
    """Print what it costs in each, measured in turn."""
    prefix = f"crowd-{time.time_ns()}"
    online = [Person.join(deployment.management, f"{prefix}-{n}") for n in range(ONLINE)]
    owner, one, other, *rest = online
    for friend in (one, other):
        owner.befriend(friend)
    group_ids = {size: _group(owner, [one, other], rest, size) for size in SIZES}
    for person in online:
        person.connect()
    deployment.drain()
    costs = _side_by_side(deployment, owner, group_ids)
    print(f"\n## A message pushed to {ONLINE} who are online, by the size of the group (medians of {_TIMES})\n")
    print("| members | statements | ms | ms a post | ratio |\n|---|---|---|---|---|")
    least = costs[SIZES[0]]
    for size, cost in costs.items():
        milliseconds = f"{cost.seconds * 1000:.0f} | {cost.seconds * 1000 / ONLINE:.2f}"
        print(f"| {size:,} | {cost.statements} | {milliseconds} | {cost.seconds / least.seconds:.1f} |")


def _group(owner: Person, first: list[Person], rest: list[Person], size: int) -> str:
    made = owner.post("/v1/conversations", {"name": f"group of {size}", "member_ids": [person.id for person in first]})
    group_id: str = made.json["id"]
    let_in(group_id, [person.id for person in rest])
    fill(group_id, size - ONLINE)
    return group_id


def _side_by_side(deployment: Deployment, owner: Person, group_ids: dict[int, str]) -> dict[int, Cost]:
    seconds: dict[int, list[float]] = {size: [] for size in group_ids}
    counts: dict[int, list[int]] = {size: [] for size in group_ids}
    for _ in range(_TIMES):
        for size, group_id in group_ids.items():
            owner.say(group_id, "hello")
            before = deployment.management.posts
            began = time.perf_counter()
            with counted() as statements:
                deployment.push()
            seconds[size].append(time.perf_counter() - began)
            counts[size].append(len(statements.texts))
            if deployment.management.posts - before != ONLINE:
                sys.exit(f"{deployment.management.posts - before} were told, not {ONLINE}")
    return {size: Cost(max(counts[size]), statistics.median(seconds[size])) for size in group_ids}


def main() -> None:
    """Measure on stores of its own."""
    with in_one_process() as deployment:
        report(deployment)


if __name__ == "__main__":
    main()
