"""The list of conversations, and what each is to its member alone."""

from collections.abc import Callable

import pytest

from tests.support.deployment import Deployment
from tests.support.groups import (
    Team,
    remove,
)
from tests.support.people import Person

People = Callable[[str], Person]


@pytest.mark.parametrize("kind", ["single", "group"])
def test_everyone_mutes_and_pins_for_themselves(team: Team, deployment: Deployment, kind: str) -> None:
    alice, bob, _carol, group = team
    [single] = [c["id"] for c in bob.get("/v1/conversations").json["items"] if c["kind"] == "single"]
    conversation = group if kind == "group" else single
    path = f"/v1/conversations/{conversation}/settings"
    at_alice, at_bob = alice.connect(), bob.on_another_device().connect()

    muted = bob.patch(path, {"muted": True})
    pinned = bob.patch(path, {"pinned": True})
    again = bob.patch(path, {"pinned": True, "muted": True})
    deployment.push()

    assert (muted.status, muted.json["muted"], muted.json["pinned"]) == (200, True, False)
    assert (pinned.json["muted"], pinned.json["pinned"]) == (True, True)
    assert again.json == pinned.json == bob.conversation(conversation)
    assert [event["data"]["conversation"] for event in at_bob.events] == [muted.json, pinned.json]
    assert at_alice.events == []
    assert alice.conversation(conversation)["muted"] is False


def test_what_is_over_can_still_be_muted(team: Team) -> None:
    alice, bob, carol, group = team
    remove(bob, group, bob)
    alice.delete(f"/v1/conversations/{group}")

    for someone in (bob, carol):
        assert someone.patch(f"/v1/conversations/{group}/settings", {"muted": True}).json["muted"] is True


@pytest.mark.parametrize("body", [{"muted": "yes"}, {"pinned": 1}, {"hidden": True}, []], ids=str)
def test_settings_of_other_form_are_refused(team: Team, body: object) -> None:
    _alice, bob, _carol, group = team

    assert bob.patch(f"/v1/conversations/{group}/settings", body).code == "validation_failed"


def test_the_list_shows_singles_and_groups_as_each_is_alone(team: Team) -> None:
    alice, _bob, _carol, group = team
    alice.say(group, "hello")

    listed = alice.get("/v1/conversations").json["items"]

    assert [item["kind"] for item in listed] == ["group", "single", "single"]
    assert listed == [alice.conversation(item["id"]) for item in listed]
    assert all(item["peer"] and item["name"] is item["role"] is item["member_count"] is None for item in listed[1:])


def test_nothing_that_who_left_may_not_see_moves_the_group_in_their_list(team: Team, person: People) -> None:
    alice, bob, _carol, group = team
    remove(bob, group, bob)
    before = bob.conversation(group)
    single = bob.befriend(person("dave"))

    alice.say(group, "without bob")

    assert [item["id"] for item in bob.get("/v1/conversations").json["items"]][:2] == [single, group]
    assert bob.conversation(group) == before


def test_paging_while_messages_arrive_skips_and_doubles_none(person: People) -> None:
    alice = person("alice")
    friends = [person("friend") for _ in range(6)]
    conversation_ids = [alice.befriend(friend) for friend in friends]
    for friend, conversation_id in zip(friends[:4], conversation_ids, strict=False):
        friend.say(conversation_id, "before")
    expected = [item["id"] for item in alice.get("/v1/conversations").json["items"]]

    page = alice.get("/v1/conversations?limit=1").json
    seen = [item["id"] for item in page["items"]]
    while page["next_cursor"] is not None:
        for index in (len(seen) - 1, 5 - len(seen), 3):  # what was listed, and what was not yet
            friends[index % 6].say(conversation_ids[index % 6], "while alice pages")
        alice.befriend(person("new"))
        page = alice.get(f"/v1/conversations?limit=1&cursor={page['next_cursor']}").json
        seen += [item["id"] for item in page["items"]]

    assert seen == expected
