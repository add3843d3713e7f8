"""Making a group and ending it, and who finds it."""

from collections.abc import Callable

import pytest
from hongyan.ids import new_id

from tests.support.deployment import Deployment
from tests.support.groups import (
    Team,
    a_group,
    happenings,
    heard,
    invite,
    remove,
    roles,
)
from tests.support.people import Person, a_text

People = Callable[[str], Person]


def test_a_group_is_made_of_friends_and_owned_by_who_made_it(person: People) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    for other in (bob, carol):
        alice.befriend(other)

    answer = alice.post("/v1/conversations", {"name": "鸿雁 team", "member_ids": [bob.id, carol.id]})

    made = answer.json
    assert answer.status == 201
    assert (made["kind"], made["name"], made["announcement"], made["role"]) == ("group", "鸿雁 team", "", "owner")
    assert (made["peer"], made["avatar"], made["member_count"]) == (None, None, 3)
    assert roles(bob, made["id"]) == {alice.id: "owner", bob.id: "member", carol.id: "member"}
    assert carol.conversation(made["id"])["role"] == "member"


def test_a_group_begins_with_a_message_that_says_so(team: Team) -> None:
    alice, bob, carol, group = team

    [begun] = bob.history(group)

    assert (begun["seq"], begun["type"], begun["sender_id"], begun["client_id"]) == (1, "system", alice.id, begun["id"])
    assert begun["content"] == {
        "event": "group_created",
        "by_user_id": alice.id,
        "name": "鸿雁 team",
        "user_ids": [bob.id, carol.id],
    }
    assert [someone.conversation(group)["unread_count"] for someone in (alice, bob, carol)] == [0, 1, 1]


def test_everyone_of_a_new_group_is_told_once_as_they_see_it(person: People, deployment: Deployment) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    for other in (bob, carol):
        alice.befriend(other)
    deployment.drain()
    screens = [(alice, alice.connect()), (bob, bob.connect()), (carol, carol.on_another_device().connect())]

    group = alice.post("/v1/conversations", {"name": "team", "member_ids": [bob.id, carol.id]}).json["id"]
    deployment.push()

    for someone, screen in screens:
        assert heard(screen) == [
            ("conversation.created", {"conversation": someone.conversation(group)}),
            ("message.created", {"message": someone.history(group)[0]}),
        ]


@pytest.mark.parametrize(
    "name",
    ["", "   ", "\u200b", "x" * 65, "x" * 10_000, "two\nlines", "nul\0", 7, None],
    ids=lambda name: repr(name)[:12],
)
def test_a_group_needs_a_name_of_one_line(person: People, name: object) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)

    made = alice.post("/v1/conversations", {"name": name, "member_ids": [bob.id, carol.id]})

    assert (made.status, made.code) == (422, "validation_failed")
    assert made.json["errors"][0]["loc"] == ["body", "name"]
    if name is not None:  # there it says: as it is
        assert alice.patch(f"/v1/conversations/{group}", {"name": name}).code == "validation_failed"


def test_nobody_but_friends_is_taken_into_a_new_group(person: People) -> None:
    alice, bob, carol, stranger, former, closed = (person(name) for name in ("a", "b", "c", "stranger", "f", "closed"))
    for other in (bob, carol, former, closed):
        alice.befriend(other)
    alice.delete(f"/v1/friends/{former.id}")
    closed.delete("/v1/users/me")
    refused = [stranger.id, former.id, closed.id, new_id()]

    answer = alice.post("/v1/conversations", {"name": "x", "member_ids": [bob.id, alice.id, *refused]})

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"] == [
        {"loc": ["body", "member_ids", 1], "msg": "that is you"},
        *({"loc": ["body", "member_ids", 2 + index], "msg": "is not your friend"} for index in range(len(refused))),
    ]
    assert all(listed["kind"] == "single" for listed in alice.get("/v1/conversations").json["items"])


@pytest.mark.parametrize("wrong", ["nobody", "one", "twice", "too many", "no id", "no list", "more"])
def test_a_list_of_other_form_makes_no_group(person: People, wrong: str) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    for other in (bob, carol):
        alice.befriend(other)
    ids: dict[str, object] = {
        "nobody": [],
        "one": [bob.id],
        "twice": [bob.id, carol.id, bob.id],
        "too many": [new_id() for _ in range(500)],
        "no id": [bob.id, "carol"],
        "no list": bob.id,
    }
    body = {"name": "x", "member_ids": ids.get(wrong, [bob.id, carol.id])} | (
        {"owner": bob.id} if wrong == "more" else {}
    )

    assert alice.post("/v1/conversations", body).code == "validation_failed"


def test_a_dissolved_group_can_be_read_by_all_and_that_is_all(
    team: Team, person: People, deployment: Deployment
) -> None:
    alice, bob, carol, group = team
    dave = person("dave")
    alice.befriend(dave)
    deployment.drain()
    screens = [alice.connect(), bob.connect(), carol.connect()]
    path = f"/v1/conversations/{group}"

    assert alice.delete(path).status == 204
    deployment.push()

    last = bob.history(group)[-1]
    assert last["content"] == {"event": "group_dissolved", "by_user_id": alice.id}
    for screen in screens:
        assert heard(screen) == [
            ("conversation.removed", {"conversation_id": group, "reason": "dissolved"}),
            ("message.created", {"message": last}),
        ]
    answers = [
        alice.say(group, "x"),
        invite(alice, group, dave),
        remove(bob, group, bob),
        remove(alice, group, alice),
        remove(alice, group, bob),
        alice.patch(path, {"name": "x"}),
        alice.patch(f"{path}/members/{bob.id}", {"role": "admin"}),
        alice.put(f"{path}/owner", {"user_id": bob.id}),
        alice.delete(path),
    ]
    assert [(answer.status, answer.code) for answer in answers] == [(409, "group_dissolved")] * len(answers)
    assert (
        bob.connect().send(action="send", conversation_id=group, message=a_text("x"))["data"]["code"]
        == "group_dissolved"
    )
    assert bob.get(f"{path}/members").status == 200
    assert bob.read(group, 2).status == 200
    assert bob.conversation(group)["unread_count"] == 0


def test_only_the_owner_dissolves(team: Team) -> None:
    alice, bob, carol, group = team
    alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": "admin"})

    for caller in (bob, carol):
        answer = caller.delete(f"/v1/conversations/{group}")
        assert (answer.status, answer.code) == (403, "not_permitted")
    assert carol.say(group, "still here").status == 201


@pytest.mark.parametrize("group_id", ["the group", "none", "no id"])
def test_a_stranger_finds_no_group(team: Team, person: People, group_id: str) -> None:
    _alice, bob, _carol, group = team
    eve = person("eve")
    path = f"/v1/conversations/{ {'the group': group, 'none': new_id(), 'no id': 'group'}[group_id] }"

    answers = [
        eve.get(path),
        eve.patch(path, {"name": "x"}),
        eve.delete(path),
        eve.get(f"{path}/members"),
        eve.post(f"{path}/members", {"user_ids": [bob.id]}),
        eve.patch(f"{path}/members/{bob.id}", {"role": "admin"}),
        eve.delete(f"{path}/members/{eve.id}"),
        eve.put(f"{path}/owner", {"user_id": eve.id}),
        eve.patch(f"{path}/settings", {"muted": True}),
        eve.get(f"{path}/messages"),
        eve.post(f"{path}/messages", a_text("x")),
    ]

    assert [(answer.status, answer.code) for answer in answers] == [(404, "conversation_not_found")] * len(answers)


def test_a_single_is_not_a_group(person: People) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    single = alice.befriend(bob)
    alice.befriend(carol)
    path = f"/v1/conversations/{single}"

    answers = [
        remove(alice, single, alice),
        remove(alice, single, bob),
        invite(alice, single, carol),
        alice.get(f"{path}/members"),
        alice.patch(path, {"name": "us"}),
        alice.patch(f"{path}/members/{bob.id}", {"role": "admin"}),
        alice.put(f"{path}/owner", {"user_id": bob.id}),
        alice.delete(path),
    ]

    assert [(answer.status, answer.code) for answer in answers] == [(409, "not_a_group")] * len(answers)
    assert alice.say(single, "still here").status == 201


def test_blocking_changes_nothing_in_a_group(team: Team) -> None:
    alice, bob, _carol, group = team
    bob.put(f"/v1/blocks/{alice.id}")

    assert alice.say(group, "hello all").status == 201
    assert happenings(bob, group)[-1] == "hello all"
    assert bob.say(group, "hello too").status == 201
