"""What two do to each other at the same moment has one outcome."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.tables import blocks, conversations, friend_requests, friendships

from tests.support.gateway import Response
from tests.support.people import Person

People = Callable[[str], Person]

_ROUNDS = 5


def at_once(*calls: Callable[[], Response]) -> list[Response]:
    """Let the calls begin together; none may fail for a reason of ours."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], Response]) -> Response:
        together.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(run, calls))
    assert all(answer.status < 500 for answer in answers), [answer.text for answer in answers]
    return answers


def check_consistency(one: Person, other: Person) -> bool:
    """Check what must hold whatever happened, and return whether the two are friends."""
    pair = ":".join(sorted((one.id, other.id)))
    with stores.engine().connect() as connection:
        sides = connection.execute(sa.select(friendships.c.user_id, friendships.c.friend_id)).all()
        singles = connection.execute(sa.select(conversations).where(conversations.c.pair == pair)).all()
        pending = connection.scalar(sa.select(sa.func.count()).where(friend_requests.c.pending == 1))
        is_blocked = connection.scalar(sa.select(sa.func.count()).select_from(blocks))
    assert len(sides) in {0, 2}
    assert len(singles) <= 1
    are_friends = len(sides) == 2
    if are_friends:
        assert pending == 0
        assert len(singles) == 1
    if singles:
        assert singles[0].is_open == (are_friends and not is_blocked)
    return are_friends


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_two_who_ask_each_other_become_friends_once(person: People, _: int) -> None:
    alice, bob = person("alice"), person("bob")

    at_once(
        lambda: alice.post("/v1/friend-requests", {"user_id": bob.id}),
        lambda: bob.post("/v1/friend-requests", {"user_id": alice.id}),
    )

    assert check_consistency(alice, bob)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_two_devices_that_accept_get_one_conversation(person: People, _: int) -> None:
    alice, bob = person("alice"), person("bob")
    path = f"/v1/friend-requests/{alice.ask(bob)}/accept"
    laptop = bob.on_another_device()

    answers = at_once(lambda: bob.post(path), lambda: laptop.post(path))

    assert [answer.status for answer in answers] == [200, 200]
    assert len({answer.json["conversation"]["id"] for answer in answers}) == 1
    assert check_consistency(alice, bob)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_of_accept_reject_withdraw_and_block_one_decides(person: People, _: int) -> None:
    alice, bob = person("alice"), person("bob")
    path = f"/v1/friend-requests/{alice.ask(bob)}"
    laptop, phone = bob.on_another_device(), bob.on_another_device()

    accepted, rejected, withdrawn, _blocked = at_once(
        lambda: bob.post(f"{path}/accept"),
        lambda: laptop.post(f"{path}/reject"),
        lambda: alice.delete(path),
        lambda: phone.put(f"/v1/blocks/{alice.id}"),
    )

    decided = [accepted.status == 200, rejected.status == 200, withdrawn.status == 204]
    assert decided.count(True) <= 1, "the block may have hidden it from both of the receiver's decisions"
    assert check_consistency(alice, bob) == (accepted.status == 200)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_of_two_removals_one_counts(person: People, _: int) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)

    answers = at_once(
        lambda: alice.delete(f"/v1/friends/{bob.id}"),
        lambda: bob.delete(f"/v1/friends/{alice.id}"),
    )

    assert sorted(answer.status for answer in answers) == [204, 404]
    assert not check_consistency(alice, bob)


@pytest.mark.parametrize("end", ["remove", "block"])
@pytest.mark.parametrize("_", range(_ROUNDS))
def test_what_was_acknowledged_during_the_end_is_there_and_nothing_comes_after(
    person: People,
    end: str,
    _: int,
) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    ended = threading.Event()

    def say(number: int) -> tuple[bool, Response]:
        begun_after = ended.is_set()
        return begun_after, alice.say(conversation_id, str(number))

    def finish() -> None:
        answer = bob.delete(f"/v1/friends/{alice.id}") if end == "remove" else bob.put(f"/v1/blocks/{alice.id}")
        assert answer.status == 204
        ended.set()

    with ThreadPoolExecutor(4) as pool:
        sends = [pool.submit(say, number) for number in range(6)]
        ending = pool.submit(finish)
        sends += [pool.submit(say, number) for number in range(6, 12)]
        ending.result()
        outcomes = [send.result() for send in sends]

    assert not any(begun_after and answer.status == 201 for begun_after, answer in outcomes)
    acknowledged = sorted(answer.json["seq"] for _begun_after, answer in outcomes if answer.status == 201)
    assert acknowledged == [message["seq"] for message in bob.history(conversation_id, limit=100)]
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert {answer.code for _begun_after, answer in outcomes if answer.status != 201} <= {"not_friends"}


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_many_who_befriend_each_other_crosswise_do_not_lock_each_other_out(person: People, _: int) -> None:
    people: Sequence[Person] = [person("one"), person("two"), person("three")]

    at_once(
        *(
            lambda asker=asker, asked=asked: asker.post("/v1/friend-requests", {"user_id": asked.id})
            for asker in people
            for asked in people
            if asker is not asked
        )
    )

    for one in people:
        assert len(one.get("/v1/friends").json["items"]) == 2
