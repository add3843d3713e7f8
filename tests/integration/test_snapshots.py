"""What copies of one environment share, with the hooks of SnapStart and without: on the real engines."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from local.home import REPOSITORY
from local.stack import Stack

OWN = ["database connection", "redis connection", "jitter", "identifier"]
CHANGED_SINCE = ["secret", "service"]


def copies(engines: Stack, hooks: str) -> list[dict[str, Any]]:
    """Return what the environment used before the snapshot, and what two copies of it used afterwards."""
    ran = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-m", "tests.support.copies", "--hooks", hooks],
        input=json.dumps([engines.database_url, engines.redis_url]),
        env=os.environ | {"PYTHONPATH": ".:layers/core", "AWS_DEFAULT_REGION": "us-east-1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    seen: list[dict[str, Any]] = json.loads(ran.stdout)
    return seen


@pytest.fixture(scope="module")
def with_hooks(engines: Stack) -> list[dict[str, Any]]:
    return copies(engines, "yes")


@pytest.fixture(scope="module")
def without_hooks(engines: Stack) -> list[dict[str, Any]]:
    return copies(engines, "no")


@pytest.mark.parametrize("what", OWN)
def test_copies_of_a_snapshot_share_none_of_it(with_hooks: list[dict[str, Any]], what: str) -> None:
    before, *after = [seen[what] for seen in with_hooks]

    assert len({before, *after}) == 3


@pytest.mark.parametrize("what", OWN)
def test_without_the_hooks_copies_would_share_it(without_hooks: list[dict[str, Any]], what: str) -> None:
    _, one, other = [seen[what] for seen in without_hooks]

    assert one == other


@pytest.mark.parametrize("what", CHANGED_SINCE)
def test_copies_ask_anew_for_what_may_have_changed_since_the_snapshot(
    with_hooks: list[dict[str, Any]], without_hooks: list[dict[str, Any]], what: str
) -> None:
    assert [seen[what] for seen in with_hooks[1:]] == ["after"] * 2
    assert [seen[what] for seen in without_hooks[1:]] == [without_hooks[0][what]] * 2
