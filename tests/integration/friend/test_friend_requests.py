"""Asking, accepting, and who hears of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.tables import conversations, friendships

from tests.support.deployment import Deployment
from tests.support.people import Person

People = Callable[[str], Person]


def friends_of(person: Person) -> list[str]:
    return [friend["user"]["id"] for friend in person.get("/v1/friends").json["items"]]


def count(table: sa.Table) -> int:
    with stores.engine().connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def types(events: list[dict[str, object]]) -> list[object]:
    return [event["type"] for event in events]


def test_a_request_shows_both_sides_and_waits(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    answer = alice.post("/v1/friend-requests", {"user_id": bob.id, "message": "你好, it's Alice"})

    assert answer.status == 201
    assert answer.json["from_user"]["id"] == alice.id
    assert answer.json["to_user"]["id"] == bob.id
    assert answer.json["message"] == "你好, it's Alice"
    assert answer.json["status"] == "pending"
    assert answer.json["decided_at"] is None
    assert bob.get("/v1/friend-requests?direction=incoming").json["items"] == [answer.json]
    assert alice.get("/v1/friend-requests?direction=outgoing").json["items"] == [answer.json]
    assert bob.get("/v1/friend-requests?direction=outgoing").json["items"] == []


def test_asking_twice_answers_the_first_request(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    first = alice.post("/v1/friend-requests", {"user_id": bob.id, "message": "one"})

    second = alice.post("/v1/friend-requests", {"user_id": bob.id, "message": "two"})

    assert second.status == 200
    assert second.json == first.json


def test_asking_oneself_is_refused(person: People) -> None:
    alice = person("alice")

    answer = alice.post("/v1/friend-requests", {"user_id": alice.id})

    assert (answer.status, answer.code) == (422, "self_friendship")


def test_asking_a_friend_is_refused(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)

    for asker, asked in ((alice, bob), (bob, alice)):
        answer = asker.post("/v1/friend-requests", {"user_id": asked.id})
        assert (answer.status, answer.code) == (409, "already_friends")


def test_asking_nobody_is_refused(person: People) -> None:
    answer = person("alice").post("/v1/friend-requests", {"user_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})

    assert (answer.status, answer.code) == (404, "user_not_found")


@pytest.mark.parametrize(
    "body", [{}, {"user_id": 7}, {"user_id": "x"}, {"user_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "message": "x" * 201}]
)
def test_a_request_of_other_form_is_refused(person: People, body: dict[str, object]) -> None:
    assert person("alice").post("/v1/friend-requests", body).code == "validation_failed"


def test_accepting_makes_friends_and_one_conversation(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    answer = bob.post(f"/v1/friend-requests/{alice.ask(bob)}/accept")

    assert answer.status == 200
    assert answer.json["friend_request"]["status"] == "accepted"
    assert answer.json["conversation"]["peer"]["id"] == alice.id
    assert friends_of(alice) == [bob.id]
    assert friends_of(bob) == [alice.id]
    [seen_by_alice] = alice.get("/v1/conversations").json["items"]
    assert seen_by_alice["id"] == answer.json["conversation"]["id"]
    assert seen_by_alice["peer"]["id"] == bob.id


def test_accepting_twice_answers_the_same(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)

    first, second = (bob.post(f"/v1/friend-requests/{request_id}/accept") for _ in range(2))

    assert first.status == second.status == 200
    assert first.json == second.json


def test_accepting_from_two_devices_at_once_happens_once(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    devices = [bob, *(bob.on_another_device() for _ in range(3))]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda device: device.post(f"/v1/friend-requests/{request_id}/accept"), devices))

    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.json["conversation"]["id"] for answer in answers}) == 1
    assert count(conversations) == 1
    assert count(friendships) == 2


def test_only_the_person_asked_can_accept(person: People) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    request_id = alice.ask(bob)

    for other in (alice, carol):
        answer = other.post(f"/v1/friend-requests/{request_id}/accept")
        assert (answer.status, answer.code) == (404, "friend_request_not_found")
    assert friends_of(bob) == []


@pytest.mark.parametrize("request_id", ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "x"])
def test_accepting_what_was_never_asked_answers_404(person: People, request_id: str) -> None:
    assert person("alice").post(f"/v1/friend-requests/{request_id}/accept").code == "friend_request_not_found"


def test_crossing_requests_make_friends(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)

    answer = bob.post("/v1/friend-requests", {"user_id": alice.id})

    assert answer.status == 200
    assert answer.json["id"] == request_id
    assert answer.json["status"] == "accepted"
    assert friends_of(alice) == [bob.id]


def test_requests_that_cross_at_the_same_moment_make_friends_once(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    with ThreadPoolExecutor(2) as pool:
        pairs = ((alice, bob), (bob, alice))
        answers = list(pool.map(lambda pair: pair[0].post("/v1/friend-requests", {"user_id": pair[1].id}), pairs))

    assert sorted(answer.status for answer in answers) == [200, 201]
    assert friends_of(alice) == [bob.id]
    assert friends_of(bob) == [alice.id]
    assert count(conversations) == 1


def test_both_sides_hear_of_a_request_on_every_device(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    sockets = [alice.connect(), bob.connect(), bob.on_another_device().connect()]

    request_id = alice.ask(bob)
    deployment.push()

    for socket in sockets:
        [event] = socket.events
        assert event["type"] == "friend.requested"
        assert event["data"]["friend_request"]["id"] == request_id


def test_each_side_hears_of_the_acceptance_with_the_conversation_as_they_see_it(
    person: People, deployment: Deployment
) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    deployment.push()
    at_alice, at_bob = alice.connect(), bob.connect()

    bob.post(f"/v1/friend-requests/{request_id}/accept")
    deployment.push()

    for socket, peer in ((at_alice, bob), (at_bob, alice)):
        accepted, created = sorted(socket.events, key=lambda event: str(event["type"]), reverse=True)
        assert types([accepted, created]) == ["friend.accepted", "conversation.created"]
        assert accepted["data"]["friend_request_id"] == request_id
        assert accepted["data"]["user"]["id"] == peer.id
        assert accepted["data"]["conversation"] == created["data"]["conversation"]
        assert created["data"]["conversation"]["peer"]["id"] == peer.id


def test_lists_come_in_pages_with_pending_requests_first(person: People) -> None:
    alice = person("alice")
    others = [person("other") for _ in range(5)]
    ids = [other.ask(alice) for other in others]
    alice.post(f"/v1/friend-requests/{ids[4]}/accept")
    alice.post(f"/v1/friend-requests/{ids[1]}/accept")

    seen, cursor = [], ""
    while True:
        page = alice.get(f"/v1/friend-requests?direction=incoming&limit=2{cursor}").json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == [ids[3], ids[2], ids[0], ids[4], ids[1]]


def test_friends_come_in_pages(person: People) -> None:
    alice = person("alice")
    others = [person("other") for _ in range(3)]
    for other in others:
        other.befriend(alice)

    first = alice.get("/v1/friends?limit=2").json
    second = alice.get(f"/v1/friends?limit=2&cursor={first['next_cursor']}").json

    assert [f["user"]["id"] for f in first["items"] + second["items"]] == [other.id for other in others]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("limit", ["0", "101", "-1", "two", "1.5", ""])
def test_a_limit_out_of_bounds_is_refused(person: People, limit: str) -> None:
    answer = person("alice").get(f"/v1/friends?limit={limit}")

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"] == ["query", "limit"]


def test_a_cursor_that_was_tampered_with_is_refused(person: People) -> None:
    alice = person("alice")
    for _ in range(2):
        person("other").befriend(alice)
    cursor = alice.get("/v1/friends?limit=1").json["next_cursor"]

    for i in range(len(cursor)):
        tampered = cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1 :]
        answer = alice.get(f"/v1/friends?limit=1&cursor={tampered}")
        assert (answer.status, answer.code) == (400, "invalid_cursor"), i


@pytest.mark.parametrize("cursor", ["x", "", "%00", "é", "e30", "A" * 400])
def test_a_cursor_that_is_none_is_refused(person: People, cursor: str) -> None:
    assert person("alice").get(f"/v1/friends?cursor={cursor}").code == "invalid_cursor"


def test_a_cursor_of_another_list_or_person_is_refused(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    for _ in range(2):
        person("other").befriend(alice)
    cursor = alice.get("/v1/friends?limit=1").json["next_cursor"]

    assert alice.get(f"/v1/conversations?cursor={cursor}").code == "invalid_cursor"
    assert bob.get(f"/v1/friends?cursor={cursor}").code == "invalid_cursor"


def test_a_direction_must_be_named(person: People) -> None:
    assert person("alice").get("/v1/friend-requests").code == "validation_failed"
    assert person("alice").get("/v1/friend-requests?direction=sideways").code == "validation_failed"


def test_a_rejected_request_makes_no_friends_and_both_sides_hear_of_it(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    deployment.drain()
    at_alice, at_bob = alice.connect(), bob.on_another_device().connect()

    answer = bob.post(f"/v1/friend-requests/{request_id}/reject")
    deployment.push()

    assert (answer.status, answer.json["status"]) == (200, "rejected")
    assert answer.json["decided_at"] is not None
    assert friends_of(alice) == []
    for socket in (at_alice, at_bob):
        [event] = socket.events
        assert event["type"] == "friend.rejected"
        assert event["data"] == {"friend_request_id": request_id}


def test_rejecting_twice_answers_the_same_and_is_told_once(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    deployment.drain()

    first, second = (bob.post(f"/v1/friend-requests/{request_id}/reject") for _ in range(2))

    assert first.json == second.json
    assert len(deployment.queued()) == 1


@pytest.mark.parametrize(("first", "then"), [("accept", "reject"), ("reject", "accept")])
def test_a_decision_stands(person: People, first: str, then: str) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    bob.post(f"/v1/friend-requests/{request_id}/{first}")

    answer = bob.post(f"/v1/friend-requests/{request_id}/{then}")

    assert (answer.status, answer.code) == (409, "friend_request_decided")


def test_accepting_and_rejecting_at_once_decides_once(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    decisions = ("accept", "reject", "accept", "reject")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda d: bob.post(f"/v1/friend-requests/{request_id}/{d}").status, decisions))

    assert sorted(answers) == [200, 200, 409, 409]
    assert count(friendships) == (2 if answers[0] == 200 else 0)


def test_only_the_person_asked_can_reject(person: People) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    request_id = alice.ask(bob)

    for other in (alice, carol):
        assert other.post(f"/v1/friend-requests/{request_id}/reject").code == "friend_request_not_found"


def test_after_a_rejection_one_may_ask_again(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    first = alice.ask(bob)
    bob.post(f"/v1/friend-requests/{first}/reject")

    answer = alice.post("/v1/friend-requests", {"user_id": bob.id})

    assert answer.status == 201
    assert answer.json["id"] != first
