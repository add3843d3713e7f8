"""Queues that are full may not take the database's connections away from requests (docs/limits.md)."""

from typing import Any

import pytest
from hongyan import stores
from hongyan.stores import StoreAddresses

from tests.support.template import TEMPLATE, resources

FUNCTIONS = resources("AWS::Serverless::Function")
# Of the smallest `Size`: what Aurora allows for its largest capacity, of which the proxy's pool is given 90 in 100.
SMALLEST_POOL = 135 * 90 // 100
FOR_QUEUES = 0.75


def fed_by_queues() -> dict[str, int]:
    """Return how often each function runs at once for its queue, at the most."""
    return {
        name: source["Properties"]["ScalingConfig"]["MaximumConcurrency"]
        for name, function in FUNCTIONS.items()
        for source in function.get("Events", {}).values()
        if source["Type"] == "SQS"
    }


@pytest.fixture
def connections_each(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many connections an environment has at the most."""
    nowhere: dict[str, Any] = {"redis_url": "redis://nowhere", "opensearch_url": "http://nowhere"}
    addresses = StoreAddresses(database_url="mysql+pymysql://u:p@nowhere/h", **nowhere)
    monkeypatch.setattr(stores, "addresses", lambda: addresses)
    pool: Any = stores.engine.__wrapped__().pool
    assert pool._timeout < min(function.get("Timeout", 15) for function in FUNCTIONS.values())
    return int(pool.size() + pool._max_overflow)


def test_every_queue_bounds_how_often_its_function_runs_at_once() -> None:
    sources = [s for function in FUNCTIONS.values() for s in function.get("Events", {}).values() if s["Type"] == "SQS"]

    assert len(fed_by_queues()) == len(sources) == 8


def test_all_queues_together_leave_a_quarter_of_the_smallest_pool_to_requests(connections_each: int) -> None:
    taken = sum(fed_by_queues().values()) * connections_each

    assert taken <= SMALLEST_POOL * FOR_QUEUES


def test_the_document_says_how_many_they_take(connections_each: int) -> None:
    document = (TEMPLATE.parent / "docs" / "limits.md").read_text()
    at_once = sum(fed_by_queues().values())

    for name, most in fed_by_queues().items():
        assert f"| {name.removesuffix('Function')} | {most} |" in document
    assert f"{at_once} at once, with {connections_each} connections each: {at_once * connections_each}" in document
