"""Who is there: told to friends when somebody comes and goes, also without a word."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hongyan import connections, stores
from hongyan.clock import now

from functions.ws_connect import sweep
from tests.support.deployment import Deployment
from tests.support.people import Person

People = Callable[[str], Person]


def friend_of(someone: Person) -> Any:
    """Return their only friend as they see them."""
    return someone.get("/v1/friends").json["items"][0]


def fall_silent(seconds: float) -> None:
    """Let every connection have been silent for so long."""
    client = stores.cache_client()
    for key in ("hongyan:heard", *client.scan_iter("hongyan:connections:*")):
        for entry in client.zrange(key, 0, -1):
            client.zincrby(key, -seconds, str(entry))


def test_friends_hear_of_the_first_device_that_comes_and_the_last_that_goes(
    person: People, deployment: Deployment
) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen = bob.connect()

    phone, laptop = alice.connect(), alice.on_another_device().connect()
    deployment.push()
    assert screen.presence == [(alice.id, True)]

    phone.close()
    deployment.push()
    assert screen.presence == [(alice.id, True)]

    laptop.close()
    deployment.push()
    assert screen.presence == [(alice.id, True), (alice.id, False)]


def test_only_friends_hear_of_it(person: People, deployment: Deployment) -> None:
    alice, bob, eve = person("alice"), person("bob"), person("eve")
    alice.befriend(bob)
    others = [eve.connect(), alice.connect()]
    bob.connect()

    alice.on_another_device().connect().close()
    deployment.push()

    assert [screen.presence for screen in others] == [[], [(bob.id, True)]]


def test_the_list_of_friends_shows_who_is_there_and_who_was_when(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    assert (friend_of(bob)["online"], friend_of(bob)["last_seen_at"]) == (False, None)

    before = now()
    socket = alice.connect()
    assert friend_of(bob)["online"] is True
    socket.close()

    seen = friend_of(bob)
    assert seen["online"] is False
    assert seen["last_seen_at"] >= before.isoformat()[:19]


def test_a_connection_that_died_without_a_word_is_found(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen, socket = bob.connect(), alice.connect()
    deployment.push()  # before it dies: a push would find it dead by itself
    socket.die()

    sweep.probe_silent()
    deployment.push()
    assert screen.presence == [(alice.id, True)], "it was heard of just now"

    fall_silent(sweep.SILENT_SECONDS)
    sweep.probe_silent()
    deployment.push()

    assert screen.presence == [(alice.id, True), (alice.id, False)]
    assert friend_of(bob)["online"] is False


def test_a_silent_connection_that_is_open_stays(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen, _quiet = bob.connect(), alice.connect()
    fall_silent(sweep.SILENT_SECONDS)

    sweep.probe_silent()
    deployment.push()

    assert screen.presence == [(alice.id, True)]
    assert connections.silent_for(sweep.SILENT_SECONDS, 10) == []


def test_what_cannot_be_asked_after_stays_and_is_asked_again(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    socket = alice.connect()
    fall_silent(sweep.SILENT_SECONDS)
    deployment.management.fail(socket.connection_id)

    sweep.probe_silent()

    assert friend_of(bob)["online"] is True
    assert [connection for _, connection in connections.silent_for(sweep.SILENT_SECONDS, 10)] == [socket.connection_id]


def test_whoever_is_found_dead_is_told_of_within_fifteen_seconds() -> None:
    """By the numbers: silent so long, found at the next round, and a second to ask and to tell."""
    assert sweep.SILENT_SECONDS + sweep.ROUND_SECONDS + 2 <= 15
    assert sweep.MINUTE_SECONDS + sweep.ROUND_SECONDS >= 60, "one call goes round until the next one comes"


def test_a_call_goes_round_for_its_minute(person: People) -> None:
    rounds: list[float] = []

    class EnoughError(Exception):
        pass

    def pause(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        sweep.go_round(float("inf"), pause)
    assert all(0 < seconds <= sweep.ROUND_SECONDS for seconds in rounds)
    sweep.go_round(0.0, pause)  # its minute is over: one round and no pause
    assert len(rounds) == 3


def test_a_push_that_finds_nobody_tells_friends_that_they_went(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    screen, socket = bob.connect(), alice.connect()
    socket.die()

    bob.say(conversation_id, "are you there?")
    deployment.push()

    assert screen.presence == [(alice.id, True), (alice.id, False)]


def test_a_friend_hears_again_of_who_comes_back_after_redis_was_emptied(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen, socket = bob.connect(), alice.connect()
    deployment.push()
    stores.cache_client().flushdb()
    assert friend_of(bob)["online"] is False

    screen.send(action="ping", id="1")
    socket.send(action="ping", id="1")
    deployment.push()

    assert friend_of(bob)["online"] is True
    assert screen.presence[-1] == (alice.id, True)


def test_without_redis_friends_are_listed_and_nobody_is_known_to_be_there(
    person: People, without_redis: Callable[[], AbstractContextManager[None]]
) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    alice.connect()

    with without_redis():
        assert friend_of(bob)["online"] is False
