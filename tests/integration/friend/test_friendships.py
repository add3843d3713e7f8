"""Being friends, no longer, and again."""

from collections.abc import Callable

import pytest

from tests.support.deployment import Deployment
from tests.support.people import Person, a_text

People = Callable[[str], Person]


def remove(someone: Person, other: Person) -> None:
    assert someone.delete(f"/v1/friends/{other.id}").status == 204


def test_a_remark_is_the_callers_own(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)

    answer = alice.patch(f"/v1/friends/{bob.id}", {"remark": "老李"})

    assert (answer.status, answer.json["remark"]) == (200, "老李")
    assert answer.json["user"]["id"] == bob.id
    assert alice.get("/v1/friends").json["items"][0]["remark"] == "老李"
    assert bob.get("/v1/friends").json["items"][0]["remark"] is None
    assert alice.patch(f"/v1/friends/{bob.id}", {"remark": None}).json["remark"] is None


@pytest.mark.parametrize("remark", ["", " ", "x" * 33, "two\nlines", 7])
def test_a_remark_of_other_form_is_refused(person: People, remark: object) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)

    assert alice.patch(f"/v1/friends/{bob.id}", {"remark": remark}).code == "validation_failed"


@pytest.mark.parametrize("method", ["patch", "delete"])
@pytest.mark.parametrize("whom", ["a stranger", "oneself", "nobody", "no id"])
def test_who_is_no_friend_is_none_to_name_or_remove(person: People, method: str, whom: str) -> None:
    alice, bob = person("alice"), person("bob")
    ids = {"a stranger": bob.id, "oneself": alice.id, "nobody": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "no id": "bob"}
    path = f"/v1/friends/{ids[whom]}"

    answer = alice.delete(path) if method == "delete" else alice.patch(path, {"remark": "x"})

    assert (answer.status, answer.code) == (404, "friend_not_found")


def test_removing_a_friend_ends_it_for_both(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)

    remove(alice, bob)

    assert alice.get("/v1/friends").json["items"] == bob.get("/v1/friends").json["items"] == []
    assert bob.delete(f"/v1/friends/{alice.id}").code == "friend_not_found"


def test_every_device_of_both_is_told_who_is_no_friend_any_more(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    deployment.drain()
    screens = [alice.connect(), alice.on_another_device().connect(), bob.connect()]

    remove(alice, bob)
    deployment.push()

    told = [[(event["type"], event["data"]) for event in screen.events] for screen in screens]
    assert told == [[("friend.removed", {"user_id": bob.id})]] * 2 + [[("friend.removed", {"user_id": alice.id})]]


def test_the_conversation_of_former_friends_is_readable_and_takes_no_message(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    alice.say(conversation_id, "still friends")

    remove(alice, bob)

    for one in (alice, bob):
        answer = one.say(conversation_id, "no longer")
        assert (answer.status, answer.code) == (403, "not_friends")
        assert [message["content"]["text"] for message in one.history(conversation_id)] == ["still friends"]
        assert one.conversation(conversation_id)["last_seq"] == 1
    assert bob.read(conversation_id, 1).status == 200


def test_a_socket_refuses_to_write_to_a_former_friend_too(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    socket = alice.connect()
    remove(alice, bob)

    answer = socket.send(action="send", id="1", conversation_id=conversation_id, message=a_text("no longer"))

    assert (answer["type"], answer["data"]["code"]) == ("error", "not_friends")


def test_what_was_sent_before_is_still_acknowledged_after(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    first = alice.say(conversation_id, "did you get this?", "my-id")
    remove(bob, alice)

    again = alice.say(conversation_id, "did you get this?", "my-id")

    assert (again.status, again.json) == (200, first.json)


def test_friends_again_go_on_with_their_conversation(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    alice.say(conversation_id, "one")
    remove(alice, bob)
    deployment.drain()
    screen = alice.connect()

    assert bob.befriend(alice) == conversation_id
    deployment.push()

    assert bob.say(conversation_id, "two").json["seq"] == 2
    assert [message["content"]["text"] for message in alice.history(conversation_id)] == ["one", "two"]
    types = [event["type"] for event in screen.events]
    assert types == ["friend.requested", "friend.accepted", "conversation.updated"]
    assert screen.events[-1]["data"]["conversation"]["last_message"]["content"]["text"] == "one"


def test_a_request_can_be_taken_back(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    deployment.drain()
    screens = [alice.connect(), bob.connect()]

    assert alice.delete(f"/v1/friend-requests/{request_id}").status == 204
    assert alice.delete(f"/v1/friend-requests/{request_id}").status == 204
    deployment.push()

    assert bob.post(f"/v1/friend-requests/{request_id}/accept").code == "friend_request_decided"
    assert bob.get("/v1/friend-requests?direction=incoming").json["items"][0]["status"] == "withdrawn"
    for screen in screens:
        assert [(event["type"], event["data"]) for event in screen.events] == [
            ("friend.rejected", {"friend_request_id": request_id})
        ]


def test_only_ones_own_request_can_be_taken_back_and_only_while_it_waits(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)

    assert bob.delete(f"/v1/friend-requests/{request_id}").code == "friend_request_not_found"
    bob.post(f"/v1/friend-requests/{request_id}/accept")
    assert alice.delete(f"/v1/friend-requests/{request_id}").code == "friend_request_decided"


def test_one_may_ask_again_after_taking_back(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    request_id = alice.ask(bob)
    alice.delete(f"/v1/friend-requests/{request_id}")

    assert alice.ask(bob) != request_id


def test_a_remark_is_told_to_ones_own_devices_alone(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    deployment.drain()
    at_alice, at_bob = alice.on_another_device().connect(), bob.connect()

    friend = alice.patch(f"/v1/friends/{bob.id}", {"remark": "Bobby"}).json
    deployment.push()

    assert [(event["type"], event["data"]) for event in at_alice.events] == [("friend.updated", {"friend": friend})]
    assert at_bob.events == []
