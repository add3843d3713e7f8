"""Blocks: the blocked person can neither ask nor write, and is not told."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.deployment import Deployment
from tests.support.people import Person

People = Callable[[str], Person]


def block(someone: Person, other: Person) -> None:
    assert someone.put(f"/v1/blocks/{other.id}").status == 204


def unblock(someone: Person, other: Person) -> None:
    assert someone.delete(f"/v1/blocks/{other.id}").status == 204


def requests(someone: Person, direction: str) -> Any:
    return someone.get(f"/v1/friend-requests?direction={direction}").json["items"]


def test_one_sees_whom_one_has_blocked_and_nobody_else_does(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    block(alice, bob)
    block(alice, bob)

    items = alice.get("/v1/blocks").json["items"]
    assert [item["user"]["id"] for item in items] == [bob.id]
    assert items[0]["since"].endswith("Z")
    assert bob.get("/v1/blocks").json["items"] == []


def test_the_blocked_come_in_pages(person: People) -> None:
    alice, others = person("alice"), [person("other") for _ in range(3)]
    for other in others:
        block(alice, other)

    first = alice.get("/v1/blocks?limit=2").json
    second = alice.get(f"/v1/blocks?limit=2&cursor={first['next_cursor']}").json

    assert [i["user"]["id"] for i in first["items"] + second["items"]] == sorted(other.id for other in others)
    assert second["next_cursor"] is None


def test_one_cannot_block_oneself_or_nobody(person: People) -> None:
    alice = person("alice")

    oneself = alice.put(f"/v1/blocks/{alice.id}")

    assert (oneself.status, oneself.code) == (422, "self_block")
    assert alice.put("/v1/blocks/01ARZ3NDEKTSV4RRFFQ69G5FAV").code == "user_not_found"
    assert alice.put("/v1/blocks/bob").code == "user_not_found"


def test_unblocking_somebody_who_was_not_blocked_changes_nothing(person: People) -> None:
    unblock(person("alice"), person("bob"))


def test_a_blocked_person_cannot_write_and_is_told_what_a_former_friend_is(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)

    block(alice, bob)

    answer = bob.say(conversation_id, "hello?")
    assert (answer.status, answer.code) == (403, "not_friends")
    assert alice.history(conversation_id) == []


def test_whoever_blocks_cannot_write_either_and_is_told_why(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    block(alice, bob)

    answer = alice.say(conversation_id, "hello?")

    assert (answer.status, answer.code) == (409, "user_blocked")


def test_the_blocked_person_sees_nothing_different(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    deployment.drain()
    views = ["/v1/friends", "/v1/conversations", f"/v1/users/{alice.id}", "/v1/friend-requests?direction=incoming"]
    before = [bob.get(view).json for view in views]
    screen = bob.connect()

    block(alice, bob)
    deployment.push()

    assert [bob.get(view).json for view in views] == before
    assert screen.events == []


def test_the_other_devices_of_whoever_blocks_are_told_and_nobody_else(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    deployment.drain()
    at_alice, at_bob = alice.on_another_device().connect(), bob.connect()

    block(alice, bob)
    block(alice, bob)
    alice.delete(f"/v1/blocks/{bob.id}")
    deployment.push()

    told = [(event["type"], event["data"]) for event in at_alice.events]
    assert told == [
        ("block.changed", {"user_id": bob.id, "blocked": True}),
        ("block.changed", {"user_id": bob.id, "blocked": False}),
    ]
    assert at_bob.events == []


def test_whoever_blocks_seems_to_have_gone_to_the_blocked_friend(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    at_alice, at_bob = alice.connect(), bob.connect()
    deployment.push()

    block(alice, bob)
    deployment.push()
    [seen] = bob.get("/v1/friends").json["items"]
    assert at_bob.presence[-1] == (alice.id, False)
    assert seen["online"] is False

    at_alice.close()
    laptop = alice.on_another_device().connect()
    deployment.push()
    assert at_bob.presence[-1] == (alice.id, False)
    assert bob.get("/v1/friends").json["items"] == [seen]
    assert alice.get("/v1/friends").json["items"][0]["online"] is True

    told = len(at_bob.presence)
    alice.delete(f"/v1/blocks/{bob.id}")
    deployment.push()
    assert at_bob.presence[told:] == [(alice.id, True)]
    laptop.close()
    deployment.push()
    assert at_bob.presence[-1] == (alice.id, False)


def test_unblocking_opens_the_conversation_of_friends(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    block(alice, bob)

    unblock(alice, bob)

    assert bob.say(conversation_id, "hello again").status == 201


def test_a_conversation_stays_closed_while_the_other_side_blocks_too(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    block(alice, bob)
    block(bob, alice)

    unblock(alice, bob)

    assert alice.say(conversation_id, "hello?").code == "not_friends"
    unblock(bob, alice)
    assert alice.say(conversation_id, "hello!").status == 201


def test_unblocking_a_former_friend_does_not_open_the_conversation(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    block(alice, bob)
    alice.delete(f"/v1/friends/{bob.id}")

    unblock(alice, bob)

    assert bob.say(conversation_id, "hello?").code == "not_friends"


def test_a_blocked_person_asks_and_only_they_know(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    block(alice, bob)
    deployment.drain()
    screens = [alice.connect(), bob.connect()]

    asked = bob.post("/v1/friend-requests", {"user_id": alice.id, "message": "please"})
    deployment.push()

    assert (asked.status, asked.json["status"]) == (201, "pending")
    assert bob.post("/v1/friend-requests", {"user_id": alice.id}).json["id"] == asked.json["id"]
    assert [item["id"] for item in requests(bob, "outgoing")] == [asked.json["id"]]
    assert requests(alice, "incoming") == []
    assert alice.post(f"/v1/friend-requests/{asked.json['id']}/accept").code == "friend_request_not_found"
    assert [len(screen.events) for screen in screens] == [0, 1]


def test_what_was_asked_before_the_block_is_hidden_while_it_lasts(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = bob.ask(alice)

    block(alice, bob)
    assert requests(alice, "incoming") == []
    assert requests(bob, "outgoing")[0]["status"] == "pending"

    unblock(alice, bob)
    assert [item["id"] for item in requests(alice, "incoming")] == [request_id]
    assert alice.post(f"/v1/friend-requests/{request_id}/accept").status == 200


def test_hidden_requests_leave_no_holes_in_pages(person: People) -> None:
    alice, others = person("alice"), [person("other") for _ in range(6)]
    asked = [other.ask(alice) for other in others]
    for other in others[2:5]:
        block(alice, other)

    page = alice.get("/v1/friend-requests?direction=incoming&limit=2").json
    rest = alice.get(f"/v1/friend-requests?direction=incoming&limit=2&cursor={page['next_cursor']}").json

    assert [i["id"] for i in page["items"] + rest["items"]] == [asked[5], asked[1], asked[0]]


def test_blocking_takes_back_what_one_has_asked_oneself(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)

    block(alice, bob)

    assert bob.post(f"/v1/friend-requests/{request_id}/accept").code == "friend_request_decided"
    assert requests(alice, "outgoing")[0]["status"] == "withdrawn"


@pytest.mark.parametrize("are_friends", [False, True])
def test_one_does_not_ask_whom_one_has_blocked(person: People, are_friends: bool) -> None:  # noqa: FBT001
    alice, bob = person("alice"), person("bob")
    if are_friends:
        alice.befriend(bob)
    block(alice, bob)

    answer = alice.post("/v1/friend-requests", {"user_id": bob.id})

    assert (answer.status, answer.code) == (409, "user_blocked")
