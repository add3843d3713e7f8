"""Typing: shown to the others who are online, never stored."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.events import Event
from hongyan.tables import messages, outbox

from tests.support.deployment import Deployment
from tests.support.groups import a_group
from tests.support.people import Person

People = Callable[[str], Person]


def test_the_other_side_sees_that_one_is_typing(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    deployment.drain()
    screens = [alice.connect(), bob.connect(), bob.on_another_device().connect(), person("eve").connect()]

    screens[0].type(conversation_id)
    deployment.push()

    told = [[(event["type"], event["data"]) for event in screen.events] for screen in screens]
    hint = ("typing", {"conversation_id": conversation_id, "user_id": alice.id})
    assert told == [[], [hint], [hint], []]


def test_typing_is_stored_nowhere(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)

    alice.connect().type(conversation_id)

    with stores.engine().connect() as connection:
        for table in (messages, outbox):
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
    assert alice.conversation(conversation_id)["last_seq"] == 0


def test_what_comes_too_fast_on_a_connection_is_not_shown_and_not_refused(
    person: People, deployment: Deployment
) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    deployment.drain()
    screen, phone, laptop = bob.connect(), alice.connect(), alice.on_another_device().connect()

    for _ in range(8):
        phone.type(conversation_id)
    laptop.type(conversation_id)
    deployment.push()

    assert [event["type"] for event in screen.events] == ["typing"] * 6


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"conversation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "conversation_not_found"),
        ({}, "validation_failed"),
        ({"conversation_id": "x"}, "validation_failed"),
        ({"conversation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "seq": 1}, "validation_failed"),
    ],
)
def test_typing_where_one_is_not_is_refused(person: People, fields: dict[str, object], code: str) -> None:
    answer = person("alice").connect().send_raw(json.dumps({"action": "typing", "id": "1", **fields}))

    assert (answer["type"], answer["data"]["code"]) == ("error", code)


def test_a_stranger_cannot_show_typing(person: People, deployment: Deployment) -> None:
    alice, bob, eve = person("alice"), person("bob"), person("eve")
    conversation_id = alice.befriend(bob)
    deployment.drain()
    screen = alice.connect()

    answer = eve.connect().send(action="typing", id="1", conversation_id=conversation_id)
    deployment.push()

    assert answer["data"]["code"] == "conversation_not_found"
    assert screen.events == []


def test_nobody_sees_typing_of_a_former_friend(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    bob.delete(f"/v1/friends/{alice.id}")
    deployment.drain()
    screen = bob.connect()

    answer = alice.connect().send(action="typing", id="1", conversation_id=conversation_id)
    deployment.push()

    assert answer["data"]["code"] == "not_friends"
    assert screen.events == []


def test_typing_in_a_group_is_shown_to_the_members_that_are_in_it_now(person: People, deployment: Deployment) -> None:
    owner, stays, left = person("owner"), person("stays"), person("left")
    conversation_id = a_group(owner, stays, left)
    left.delete(f"/v1/conversations/{conversation_id}/members/{left.id}")
    deployment.drain()
    screens = [stays.connect(), left.connect()]

    owner.connect().type(conversation_id)
    deployment.push()

    assert [[event["type"] for event in screen.events] for screen in screens] == [["typing"], []]


def test_that_somebody_was_typing_a_while_ago_is_not_told(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    at_bob = bob.connect()
    deployment.drain()
    alice.connect().type(conversation_id)
    records = deployment.queued()
    for record in records:
        hint = Event.model_validate_json(record["body"])
        record["body"] = hint.model_copy(update={"at": hint.at - timedelta(seconds=11)}).model_dump_json()

    assert deployment.invoke_push(records) == {"batchItemFailures": []}

    assert at_bob.events == []
