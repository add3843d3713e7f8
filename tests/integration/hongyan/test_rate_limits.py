"""Limits in a real Redis: a moving window, exact under concurrency, open or closed without Redis."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
import redis
from hongyan import rate_limits, stores
from hongyan.errors import RateLimited

from tests.support.deployment import Deployment

TWICE_A_MINUTE = rate_limits.at_most(2, 60, "test")


def is_taken(who: str) -> bool:
    try:
        rate_limits.take(TWICE_A_MINUTE, who)
    except RateLimited:
        return False
    return True


def test_each_one_counts_for_themselves(deployment: Deployment) -> None:
    assert [is_taken("alice"), is_taken("alice"), is_taken("alice"), is_taken("bob")] == [True, True, False, True]


def test_of_many_at_once_just_as_many_pass_as_may(deployment: Deployment) -> None:
    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(is_taken, ["alice"] * 20)) == 2


def test_the_answer_says_when_the_next_is_taken(deployment: Deployment) -> None:
    once_in_two_seconds = rate_limits.at_most(1, 2, "soon")
    rate_limits.take(once_in_two_seconds, "alice")

    with pytest.raises(RateLimited) as refused:
        rate_limits.take(once_in_two_seconds, "alice")

    assert refused.value.retry_after_seconds in {1, 2}
    time.sleep(refused.value.retry_after_seconds)  # the very promise that is tested
    rate_limits.take(once_in_two_seconds, "alice")


def test_of_several_limits_all_are_counted_or_none(deployment: Deployment) -> None:
    bob_is_at_the_end = (TWICE_A_MINUTE, "alice"), (TWICE_A_MINUTE, "bob")
    assert [is_taken("bob"), is_taken("bob")] == [True, True]

    for _ in range(5):
        with pytest.raises(RateLimited):
            rate_limits.take_all(*bob_is_at_the_end)

    assert [is_taken("alice") for _ in range(3)] == [True, True, False]


def test_what_is_given_back_may_be_done_once_more(deployment: Deployment) -> None:
    assert [is_taken("alice"), is_taken("alice")] == [True, True]

    rate_limits.give_back((TWICE_A_MINUTE, "alice"))

    assert [is_taken("alice"), is_taken("alice")] == [True, False]


def test_giving_back_what_was_never_taken_gives_nobody_more(deployment: Deployment) -> None:
    rate_limits.give_back((TWICE_A_MINUTE, "alice"))

    assert [is_taken("alice") for _ in range(3)] == [True, True, False]


def test_what_is_forgiven_may_be_done_again(deployment: Deployment) -> None:
    assert [is_taken("alice") for _ in range(3)] == [True, True, False]

    rate_limits.forgive(TWICE_A_MINUTE, "alice")

    assert is_taken("alice")


def test_without_redis_one_is_closed_and_the_other_open(
    without_redis: Callable[[], AbstractContextManager[None]],
) -> None:
    with without_redis():
        with pytest.raises(redis.RedisError):
            rate_limits.take(TWICE_A_MINUTE, "alice")
        rate_limits.take_if_counted(TWICE_A_MINUTE, "alice")
        rate_limits.give_back_if_counted((TWICE_A_MINUTE, "alice"))
        rate_limits.forgive_if_counted(TWICE_A_MINUTE, "alice")


def test_counting_leaves_nothing_in_redis_for_ever(deployment: Deployment) -> None:
    rate_limits.take(TWICE_A_MINUTE, "alice")

    client = stores.cache_client()
    assert [0 < client.ttl(key) <= 60 for key in client.scan_iter("*")] == [True]
