"""Who is there: told to friends when somebody comes and goes, also without a word."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import sqlalchemy as sa
from hongyan import connections, presence, stores
from hongyan.clock import now
from hongyan.sessions import Principal
from hongyan.tables import users
from sqlalchemy.exc import OperationalError

from functions.ws_connect import sweep
from tests.support.cache import lose_cache
from tests.support.deployment import Deployment
from tests.support.gateway import Socket
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


def test_a_connection_that_takes_long_to_open_stays(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_ANSWERED_SECONDS", 60)
    alice = person("alice")
    opening = Socket.open(alice.management, token=alice.token, is_accepted=False)
    fall_silent(sweep.SILENT_SECONDS)

    sweep.probe_silent()

    assert [c.connection_id for c in connections.of_users([alice.id])[alice.id]] == [opening.connection_id]


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
    lose_cache()
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


def test_the_last_that_is_told_is_true_however_fast_somebody_goes_and_comes(
    person: People, deployment: Deployment
) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen, socket = bob.connect(), alice.connect()
    for _ in range(10):
        socket = gone_and_come(socket, alice.on_another_device())
        deployment.push()

        changes = [event for event in screen.all_events if event["type"] == "presence.changed"]
        assert max(changes, key=lambda event: event["at"])["data"]["online"] is True
        assert friend_of(bob)["online"] is True
        assert announced(alice)


def gone_and_come(socket: Socket, device: Person) -> Socket:
    """Close a socket and open another at the same time."""
    opened: list[Socket] = []
    threads = [
        threading.Thread(target=socket.close),
        threading.Thread(target=lambda: opened.append(device.connect())),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return opened[0]


@pytest.mark.parametrize("comes", [True, False])
def test_what_could_not_be_told_is_told_by_the_sweep(
    person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, *, comes: bool
) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen = bob.connect()
    socket = None if comes else alice.connect()
    deployment.push()
    before = list(screen.presence)

    with monkeypatch.context() as patch:
        patch.setattr(presence, "perform", out_of_reach)
        if socket is None:
            alice.connect()
        else:
            socket.close()
    deployment.push()
    assert screen.presence == before

    presence.settle_left_behind()
    presence.settle_left_behind()
    deployment.push()

    assert screen.presence == [*before, (alice.id, comes)]
    assert connections.unsettled(10) == []


def test_a_connection_that_closes_while_it_is_asked_after_stays_closed(
    person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen, socket = bob.connect(), alice.connect()
    fall_silent(sweep.SILENT_SECONDS)
    refresh = connections.refresh

    def close_first(principal: Principal, connection_id: str) -> None:
        if connection_id == socket.connection_id:
            socket.close()
        refresh(principal, connection_id)

    monkeypatch.setattr(connections, "refresh", close_first)
    sweep.probe_silent()
    deployment.push()

    assert connections.of_users([alice.id])[alice.id] == []
    assert screen.presence[-1] == (alice.id, False)


def test_who_went_while_redis_was_lost_is_found_once_it_knows_again_who_is_there(
    person: People, deployment: Deployment
) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    screen, socket = bob.connect(), alice.connect()
    deployment.push()
    socket.die()
    lose_cache()

    presence.settle_absent()
    screen.send(action="ping", id="1")
    deployment.push()
    assert screen.presence == [(alice.id, True)], "nobody is taken for gone before they could send a frame"

    stores.cache_client().set("hongyan:connections-since", 0)
    presence.settle_absent()
    deployment.push()

    assert screen.presence == [(alice.id, True), (alice.id, False)]
    assert announced(bob)


def announced(someone: Person) -> bool:
    with stores.engine().connect() as connection:
        return bool(connection.scalar(sa.select(users.c.announced_online).where(users.c.id == someone.id)))


def out_of_reach(_: object) -> None:
    raise OperationalError("COMMIT", {}, Exception(2013, "Lost connection to server during query"))
