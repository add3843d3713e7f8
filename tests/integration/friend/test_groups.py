"""Making a group, coming and going, roles, its card, its end."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.ids import new_id
from hongyan.tables import conversations

from tests.support.deployment import Deployment
from tests.support.groups import a_crowd_of_friends, a_group, fill, happenings, invite, remove, roles
from tests.support.people import Person, a_text
from tests.support.uploads import an_upload

People = Callable[[str], Person]
Four = tuple[Person, Person, Person, str]


@pytest.fixture
def team(person: People, deployment: Deployment) -> Four:
    """Alice owns a group with Bob and Carol."""
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)
    deployment.drain()
    return alice, bob, carol, group


def heard(screen: Any) -> list[tuple[str, Any]]:
    return sorted(((event["type"], event["data"]) for event in screen.events), key=lambda told: told[0])


def types(screen: Any) -> list[str]:
    return [kind for kind, _ in heard(screen)]


# ---------------------------------------------------------------- Making one


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


def test_a_group_begins_with_a_message_that_says_so(team: Four) -> None:
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


# ---------------------------------------------------------------- Joining


def test_any_member_may_add_friends_of_theirs(team: Four, person: People) -> None:
    alice, bob, _carol, group = team
    dave = person("dave")
    bob.befriend(dave)

    answer = invite(bob, group, dave)

    assert answer.status == 200
    assert [(added["user"]["id"], added["role"]) for added in answer.json["items"]] == [(dave.id, "member")]
    assert alice.conversation(group)["member_count"] == 4
    assert alice.history(group)[-1]["content"] == {
        "event": "members_added",
        "by_user_id": bob.id,
        "user_ids": [dave.id],
    }


def test_who_joins_reads_from_there(team: Four, person: People) -> None:
    alice, _bob, _carol, group = team
    alice.say(group, "before dave")
    dave = person("dave")
    alice.befriend(dave)
    invite(alice, group, dave)
    alice.say(group, "after dave")

    assert happenings(dave, group) == ["members_added", "after dave"]
    assert [message["seq"] for message in dave.history(group, after_seq=0)] == [3, 4]
    assert dave.history(group, before_seq=3) == []
    seen = dave.conversation(group)
    assert (seen["last_seq"], seen["read_seq"], seen["unread_count"]) == (4, 2, 2)
    assert dave.read(group, 1).json["seq"] == 2
    assert dave.post(f"/v1/conversations/{group}/messages", {**a_text("re"), "reply_to_seq": 2}).status == 422
    assert dave.post(f"/v1/conversations/{group}/messages", {**a_text("re"), "reply_to_seq": 3}).status == 201


def test_who_joins_is_told_of_the_group_and_the_others_of_who_joined(
    team: Four, person: People, deployment: Deployment
) -> None:
    alice, bob, _carol, group = team
    dave = person("dave")
    alice.befriend(dave)
    deployment.drain()
    at_bob, at_dave = bob.connect(), dave.connect()

    invite(alice, group, dave)
    deployment.push()

    message = ("message.created", {"message": alice.history(group)[-1]})
    assert heard(at_bob) == [message]
    assert heard(at_dave) == [("conversation.created", {"conversation": dave.conversation(group)}), message]


def test_a_message_of_before_that_is_pushed_late_does_not_reach_who_joined_since(
    team: Four, person: People, deployment: Deployment
) -> None:
    alice, bob, _carol, group = team
    dave = person("dave")
    alice.befriend(dave)
    deployment.drain()
    at_bob, at_dave = bob.connect(), dave.connect()

    alice.say(group, "not for dave")
    invite(alice, group, dave)
    deployment.push()

    assert types(at_bob) == ["message.created", "message.created"]
    assert [data["message"]["seq"] for kind, data in heard(at_dave) if kind == "message.created"] == [3]


def test_who_is_in_already_is_left_out_silently(team: Four, person: People) -> None:
    alice, bob, carol, group = team
    dave = person("dave")
    bob.befriend(dave)

    answer = invite(bob, group, carol, dave)

    assert [added["user"]["id"] for added in answer.json["items"]] == [dave.id], "carol, no friend of bob's, is in"
    again = invite(bob, group, carol, dave)
    assert (again.status, again.json) == (200, {"items": []})
    assert happenings(alice, group) == ["group_created", "members_added"]


def test_of_many_one_who_is_no_friend_keeps_all_out(team: Four, person: People) -> None:
    alice, _bob, _carol, group = team
    dave, stranger = person("dave"), person("stranger")
    alice.befriend(dave)

    answer = invite(alice, group, dave, stranger, alice)

    assert answer.code == "validation_failed"
    assert answer.json["errors"] == [
        {"loc": ["body", "user_ids", 1], "msg": "is not your friend"},
        {"loc": ["body", "user_ids", 2], "msg": "that is you"},
    ]
    assert alice.conversation(group)["member_count"] == 3
    assert happenings(alice, group) == ["group_created"]


@pytest.mark.parametrize("wrong", ["nobody", "twice", "501", "no id"])
def test_a_list_of_other_form_adds_nobody(team: Four, wrong: str) -> None:
    alice, _bob, _carol, group = team
    one = new_id()
    ids = {"nobody": [], "twice": [one, one], "501": [new_id() for _ in range(501)], "no id": ["dave"]}[wrong]

    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": ids}).code == "validation_failed"


def test_five_hundred_join_at_once_with_one_message(team: Four, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    crowd = a_crowd_of_friends(alice, 500)
    at_bob = bob.connect()

    answer = alice.post(f"/v1/conversations/{group}/members", {"user_ids": crowd})
    records = deployment.queued()
    deployment.invoke_push(records)

    assert [added["user"]["id"] for added in answer.json["items"]] == crowd
    assert alice.conversation(group)["member_count"] == 503
    assert happenings(alice, group) == ["group_created", "members_added"]
    assert types(at_bob) == ["message.created"]
    told = [record["body"] for record in records if '"conversation.created"' in record["body"]]
    assert [all(body.count(f'"{one}"') == 2 for one in crowd) for body in told] == [True], (
        "as receiver, and in the message"
    )


def test_a_group_takes_ten_thousand_and_not_one_more(team: Four) -> None:
    alice, _bob, _carol, group = team
    fill(group, 10_000 - 3 - 1)
    one, other = a_crowd_of_friends(alice, 2)

    both = alice.post(f"/v1/conversations/{group}/members", {"user_ids": [one, other]})
    assert (both.status, both.code) == (409, "group_full")
    assert alice.conversation(group)["member_count"] == 9_999
    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": [one]}).status == 200
    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": [other]}).code == "group_full"
    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": [one]}).json == {"items": []}


# ---------------------------------------------------------------- The members


def test_the_members_come_in_pages(team: Four) -> None:
    alice, bob, carol, group = team
    path = f"/v1/conversations/{group}/members?limit=2"

    first = bob.get(path).json
    second = bob.get(f"{path}&cursor={first['next_cursor']}").json

    listed = first["items"] + second["items"]
    assert [member["user"]["id"] for member in listed] == sorted([alice.id, bob.id, carol.id])
    assert second["next_cursor"] is None
    assert set(listed[0]) == {"user", "role", "joined_at"}


def test_a_cursor_of_another_list_is_refused(team: Four) -> None:
    alice, bob, carol, group = team
    other = alice.post("/v1/conversations", {"name": "other", "member_ids": [bob.id, carol.id]}).json["id"]
    cursors = {
        path: alice.get(f"{path}?limit=1").json["next_cursor"]
        for path in (f"/v1/conversations/{other}/members", "/v1/friends", "/v1/conversations")
    }

    for path, cursor in cursors.items():
        assert alice.get(f"/v1/conversations/{group}/members?cursor={cursor}").code == "invalid_cursor", path
    assert alice.get(f"/v1/conversations?cursor={cursors['/v1/friends']}").code == "invalid_cursor"
    assert (
        bob.get(f"/v1/conversations/{other}/members?cursor={cursors[f'/v1/conversations/{other}/members']}").status
        == 400
    )


# ---------------------------------------------------------------- Leaving and removing


def test_who_leaves_keeps_what_was_said_until_then(team: Four) -> None:
    alice, bob, carol, group = team
    alice.say(group, "while bob is here")
    assert remove(bob, group, bob).status == 204
    alice.say(group, "without bob")

    assert happenings(bob, group) == ["group_created", "while bob is here", "member_left"]
    assert [message["seq"] for message in bob.history(group, after_seq=2)] == [3]
    seen = bob.conversation(group)
    assert (seen["name"], seen["role"], seen["member_count"], seen["announcement"]) == ("鸿雁 team", None, None, None)
    assert (seen["last_seq"], seen["last_message"]["content"]["event"]) == (3, "member_left")
    assert [listed["last_seq"] for listed in bob.get("/v1/conversations").json["items"] if listed["id"] == group] == [3]
    assert roles(alice, group) == {alice.id: "owner", carol.id: "member"}
    assert alice.conversation(group)["member_count"] == 2


def test_who_left_reads_on_to_the_end_of_theirs_and_no_further(team: Four) -> None:
    alice, bob, _carol, group = team
    alice.say(group, "one")
    remove(alice, group, bob)
    alice.say(group, "two")

    assert bob.conversation(group)["unread_count"] == 3
    assert bob.read(group, 4).code == "validation_failed"
    assert bob.read(group, 3).json["seq"] == 3
    assert bob.conversation(group)["unread_count"] == 0


def test_who_left_can_do_nothing_in_the_group(team: Four, person: People) -> None:
    alice, bob, carol, group = team
    dave = person("dave")
    bob.befriend(dave)
    remove(alice, group, bob)
    path = f"/v1/conversations/{group}"

    answers = [
        bob.say(group, "hello?"),
        bob.get(f"{path}/members"),
        invite(bob, group, dave),
        remove(bob, group, bob),
        remove(bob, group, carol),
        bob.patch(path, {"name": "mine"}),
        bob.patch(f"{path}/members/{carol.id}", {"role": "admin"}),
        bob.put(f"{path}/owner", {"user_id": bob.id}),
        bob.delete(path),
    ]

    assert [(answer.status, answer.code) for answer in answers] == [(403, "not_a_member")] * len(answers)
    assert (
        bob.connect().send(action="send", conversation_id=group, message=a_text("x"))["data"]["code"] == "not_a_member"
    )


def test_what_was_sent_before_leaving_is_still_acknowledged_after(team: Four) -> None:
    _alice, bob, _carol, group = team
    first = bob.say(group, "did you get this?", "my-id")
    remove(bob, group, bob)

    again = bob.say(group, "did you get this?", "my-id")

    assert (again.status, again.json) == (200, first.json)


@pytest.mark.parametrize(("reason", "happening"), [("left", "member_left"), ("removed", "member_removed")])
def test_all_are_told_who_went(team: Four, deployment: Deployment, reason: str, happening: str) -> None:
    alice, bob, carol, group = team
    who = bob if reason == "left" else alice
    at_carol, at_bob, at_bobs_phone = carol.connect(), bob.connect(), bob.on_another_device().connect()

    assert remove(who, group, bob).status == 204
    deployment.push()

    last = alice.history(group)[-1]
    assert last["content"] == {"event": happening, "by_user_id": who.id, "user_ids": [bob.id]}
    change = {"conversation_id": group, "user_id": bob.id, "change": reason, "by_user_id": who.id}
    assert heard(at_carol) == [("member.changed", change), ("message.created", {"message": last})]
    for screen in (at_bob, at_bobs_phone):
        assert heard(screen) == [
            ("conversation.removed", {"conversation_id": group, "reason": reason}),
            ("message.created", {"message": last}),
        ]


def test_who_left_hears_nothing_more(team: Four, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    remove(bob, group, bob)
    deployment.drain()
    at_bob = bob.connect()

    alice.say(group, "without bob")
    alice.read(group, 3)
    alice.patch(f"/v1/conversations/{group}", {"name": "without bob"})
    deployment.push()

    assert at_bob.events == []


def test_who_comes_back_begins_anew(team: Four, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    bob.patch(f"/v1/conversations/{group}/settings", {"muted": True, "pinned": True})
    bob.say(group, "the first time")
    remove(bob, group, bob)
    alice.say(group, "without bob")
    deployment.drain()
    at_bob = bob.connect()

    assert invite(alice, group, bob).status == 200
    deployment.push()

    assert happenings(bob, group) == ["members_added"]
    seen = bob.conversation(group)
    assert (seen["role"], seen["member_count"], seen["unread_count"]) == ("member", 3, 1)
    assert (seen["muted"], seen["pinned"]) == (False, False)
    assert types(at_bob) == ["conversation.created", "message.created"]
    assert bob.say(group, "again").status == 201


def test_nobody_leaves_or_is_removed_twice(team: Four) -> None:
    alice, bob, _carol, group = team
    remove(alice, group, bob)

    assert (remove(alice, group, bob).status, remove(alice, group, bob).code) == (404, "member_not_found")
    assert remove(bob, group, bob).code == "not_a_member"
    assert alice.conversation(group)["member_count"] == 2


@pytest.mark.parametrize("whom", ["a stranger", "nobody", "no id"])
def test_who_is_not_in_it_cannot_be_removed_or_promoted(team: Four, person: People, whom: str) -> None:
    alice, _bob, _carol, group = team
    other = {"a stranger": person("dave").id, "nobody": new_id(), "no id": "bob"}[whom]
    path = f"/v1/conversations/{group}/members/{other}"

    for answer in (alice.delete(path), alice.patch(path, {"role": "admin"})):
        assert (answer.status, answer.code) == (404, "member_not_found")


def test_only_who_is_in_it_can_be_mentioned(team: Four, person: People) -> None:
    alice, bob, carol, group = team
    remove(alice, group, bob)
    path = f"/v1/conversations/{group}/messages"

    assert alice.post(path, {**a_text("@bob"), "mentions": [carol.id, bob.id]}).code == "validation_failed"
    assert alice.post(path, {**a_text("@dave"), "mentions": [person("dave").id]}).code == "validation_failed"
    assert alice.post(path, {**a_text("@carol"), "mentions": [carol.id, carol.id]}).status == 201


# ---------------------------------------------------------------- Roles and the owner


def test_the_owner_makes_admins_and_takes_it_back(team: Four, deployment: Deployment) -> None:
    alice, bob, carol, group = team
    path = f"/v1/conversations/{group}/members/{bob.id}"
    at_bob, at_carol = bob.connect(), carol.connect()

    made = alice.patch(path, {"role": "admin"})
    again = alice.patch(path, {"role": "admin"})
    deployment.push()

    assert (made.status, made.json["user"]["id"], made.json["role"]) == (200, bob.id, "admin")
    assert again.json == made.json
    last = bob.history(group)[-1]
    assert (last["seq"], last["content"]) == (
        2,
        {"event": "role_changed", "by_user_id": alice.id, "user_ids": [bob.id], "role": "admin"},
    )
    change = {"conversation_id": group, "user_id": bob.id, "change": "admin", "by_user_id": alice.id}
    told = [("member.changed", change), ("message.created", {"message": last})]
    assert heard(at_carol) == told
    assert heard(at_bob) == [("conversation.updated", {"conversation": bob.conversation(group)}), *told]
    assert bob.conversation(group)["role"] == "admin"
    assert alice.patch(path, {"role": "member"}).json["role"] == "member"
    assert bob.conversation(group)["role"] == "member"


def test_roles_are_the_owners_to_give(team: Four) -> None:
    alice, bob, carol, group = team
    path = f"/v1/conversations/{group}/members"
    alice.patch(f"{path}/{bob.id}", {"role": "admin"})

    for caller, whom in [(bob, carol), (bob, bob), (bob, alice), (carol, carol)]:
        answer = caller.patch(f"{path}/{whom.id}", {"role": "member"})
        assert (answer.status, answer.code) == (403, "not_permitted")
    assert roles(alice, group) == {alice.id: "owner", bob.id: "admin", carol.id: "member"}


@pytest.mark.parametrize("role", ["admin", "member"])
def test_the_owner_has_no_other_role(team: Four, role: str) -> None:
    alice, _bob, _carol, group = team

    answer = alice.patch(f"/v1/conversations/{group}/members/{alice.id}", {"role": role})

    assert (answer.status, answer.code) == (409, "owner_must_hand_over")
    assert alice.conversation(group)["role"] == "owner"


@pytest.mark.parametrize("role", ["owner", "", "king", None, 1])
def test_there_are_no_other_roles_to_give(team: Four, role: object) -> None:
    alice, bob, _carol, group = team

    answer = alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": role})

    assert (answer.status, answer.code) == (422, "validation_failed")


def test_an_admin_removes_members_and_no_admin(team: Four, person: People) -> None:
    alice, bob, carol, group = team
    dave = person("dave")
    alice.befriend(dave)
    invite(alice, group, dave)
    for admin in (bob, carol):
        alice.patch(f"/v1/conversations/{group}/members/{admin.id}", {"role": "admin"})

    assert remove(bob, group, dave).status == 204
    for whom in (carol, alice):
        assert (remove(bob, group, whom).status, remove(bob, group, whom).code) == (403, "not_permitted")
    assert remove(alice, group, carol).status == 204


def test_a_member_removes_nobody(team: Four) -> None:
    alice, bob, carol, group = team

    assert [remove(bob, group, whom).code for whom in (alice, carol)] == ["not_permitted"] * 2


def test_the_owner_hands_over_before_leaving(team: Four, deployment: Deployment) -> None:
    alice, bob, carol, group = team
    at_alice, at_bob, at_carol = alice.connect(), bob.connect(), carol.connect()
    assert (remove(alice, group, alice).status, remove(alice, group, alice).code) == (409, "owner_must_hand_over")

    answer = alice.put(f"/v1/conversations/{group}/owner", {"user_id": bob.id})
    deployment.push()

    assert (answer.status, answer.json["role"]) == (200, "admin")
    assert roles(carol, group) == {alice.id: "admin", bob.id: "owner", carol.id: "member"}
    last = carol.history(group)[-1]
    assert last["content"] == {"event": "owner_changed", "by_user_id": alice.id, "user_ids": [bob.id]}
    assert types(at_carol) == ["member.changed", "member.changed", "message.created"]
    changes = {data["user_id"]: data["change"] for kind, data in heard(at_carol) if kind == "member.changed"}
    assert changes == {alice.id: "admin", bob.id: "owner"}
    for screen in (at_alice, at_bob):
        assert types(screen) == ["conversation.updated", "member.changed", "member.changed", "message.created"]
    assert remove(alice, group, alice).status == 204


@pytest.mark.parametrize("whom", ["a stranger", "an ex-member", "nobody", "no id"])
def test_a_group_is_handed_over_to_members_only(team: Four, person: People, whom: str) -> None:
    alice, bob, _carol, group = team
    remove(alice, group, bob)
    other = {"a stranger": person("dave").id, "an ex-member": bob.id, "nobody": new_id(), "no id": "bob"}[whom]

    answer = alice.put(f"/v1/conversations/{group}/owner", {"user_id": other})

    assert (answer.status, answer.code, answer.json["errors"][0]["loc"]) == (
        422,
        "validation_failed",
        ["body", "user_id"],
    )
    assert alice.conversation(group)["role"] == "owner"


def test_handing_over_to_oneself_changes_nothing(team: Four) -> None:
    alice, _bob, _carol, group = team

    answer = alice.put(f"/v1/conversations/{group}/owner", {"user_id": alice.id})

    assert (answer.status, answer.json["role"], answer.json["last_seq"]) == (200, "owner", 1)


def test_only_the_owner_hands_over(team: Four) -> None:
    alice, bob, carol, group = team
    alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": "admin"})

    for caller in (bob, carol):
        answer = caller.put(f"/v1/conversations/{group}/owner", {"user_id": caller.id})
        assert (answer.status, answer.code) == (403, "not_permitted")


# ---------------------------------------------------------------- The card


def test_owner_and_admins_change_the_card(team: Four, deployment: Deployment) -> None:
    alice, bob, carol, group = team
    alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": "admin"})
    deployment.drain()
    at_carol = carol.connect()
    file_id = an_upload(bob)

    answer = bob.patch(
        f"/v1/conversations/{group}", {"name": "new name", "announcement": "read me\n请看", "avatar_file_id": file_id}
    )
    deployment.push()

    changed = answer.json
    assert (changed["name"], changed["announcement"]) == ("new name", "read me\n请看")
    assert changed["avatar"]["file_id"] == file_id
    assert file_id in changed["avatar"]["url"]
    told = [message["content"] for message in carol.history(group, after_seq=2)]
    assert told == [
        {"event": "group_renamed", "by_user_id": bob.id, "name": "new name"},
        {"event": "announcement_changed", "by_user_id": bob.id, "announcement": "read me\n请看"},
        {"event": "avatar_changed", "by_user_id": bob.id, "avatar_file_id": file_id},
    ]
    assert types(at_carol) == ["conversation.updated", "message.created", "message.created", "message.created"]
    assert heard(at_carol)[0][1]["conversation"] == carol.conversation(group)


def test_what_is_left_out_or_the_same_stays_silently(team: Four) -> None:
    alice, bob, _carol, group = team
    path = f"/v1/conversations/{group}"
    alice.patch(path, {"announcement": "hello"})

    for body in ({}, {"name": "鸿雁 team"}, {"announcement": "hello"}, {"name": None}, {"avatar_file_id": None}):
        assert alice.patch(path, body).status == 200
    assert happenings(bob, group) == ["group_created", "announcement_changed"]
    assert alice.patch(path, {"announcement": ""}).json["announcement"] == ""


def test_an_avatar_can_be_taken_away(team: Four) -> None:
    alice, bob, _carol, group = team
    path = f"/v1/conversations/{group}"
    alice.patch(path, {"avatar_file_id": an_upload(alice)})

    assert alice.patch(path, {"avatar_file_id": None}).json["avatar"] is None
    assert bob.history(group)[-1]["content"]["avatar_file_id"] is None


def test_the_card_is_not_for_members_to_change(team: Four) -> None:
    _alice, bob, _carol, group = team

    answer = bob.patch(f"/v1/conversations/{group}", {"name": "mine"})

    assert (answer.status, answer.code) == (403, "not_permitted")


def test_an_avatar_is_ones_own_completed_upload_for_one(team: Four) -> None:
    alice, bob, _carol, group = team
    path = f"/v1/conversations/{group}"

    def code(file_id: str) -> tuple[int, str]:
        answer = alice.patch(path, {"name": "not this either", "avatar_file_id": file_id})
        return answer.status, answer.code

    assert code(an_upload(alice, completed=False)) == (422, "file_not_usable")
    assert code(an_upload(alice, purpose="image")) == (422, "file_not_usable")
    assert code(an_upload(bob)) == (404, "file_not_found")
    assert code(new_id()) == (404, "file_not_found")
    assert code("no id") == (422, "validation_failed")
    assert alice.conversation(group)["name"] == "鸿雁 team"


@pytest.mark.parametrize(
    "body", [{"announcement": "x" * 2_001}, {"announcement": "nul\0"}, {"announcement": 1}, {"owner": "me"}], ids=str
)
def test_a_card_of_other_form_is_refused(team: Four, body: dict[str, object]) -> None:
    alice, _bob, _carol, group = team

    assert alice.patch(f"/v1/conversations/{group}", body).code == "validation_failed"


def test_an_announcement_holds_two_thousand_characters_of_any_kind(team: Four) -> None:
    alice, bob, _carol, group = team

    assert alice.patch(f"/v1/conversations/{group}", {"announcement": "🪿" * 2_000}).status == 200
    assert bob.conversation(group)["announcement"] == "🪿" * 2_000


def test_in_a_large_group_only_the_message_tells_of_a_new_name(team: Four, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    fill(group, 48)
    at_bob = bob.connect()

    alice.patch(f"/v1/conversations/{group}", {"name": "large"})
    deployment.push()

    assert types(at_bob) == ["message.created"]


def test_in_a_large_group_only_ones_own_devices_hear_how_far_one_has_read(team: Four, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    fill(group, 47)
    alice.say(group, "one")
    deployment.drain()
    at_alice, at_bob = alice.connect(), bob.on_another_device().connect()

    bob.read(group, 1)
    deployment.push()
    assert (types(at_alice), types(at_bob)) == (["message.read"], ["message.read"]), "50 members are few"

    fill(group, 1)
    bob.read(group, 2)
    deployment.push()
    assert (types(at_alice), types(at_bob)) == (["message.read"], ["message.read"] * 2)


# ---------------------------------------------------------------- Mute and pin


@pytest.mark.parametrize("kind", ["single", "group"])
def test_everyone_mutes_and_pins_for_themselves(team: Four, deployment: Deployment, kind: str) -> None:
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


def test_what_is_over_can_still_be_muted(team: Four) -> None:
    alice, bob, carol, group = team
    remove(bob, group, bob)
    alice.delete(f"/v1/conversations/{group}")

    for someone in (bob, carol):
        assert someone.patch(f"/v1/conversations/{group}/settings", {"muted": True}).json["muted"] is True


@pytest.mark.parametrize("body", [{"muted": "yes"}, {"pinned": 1}, {"hidden": True}, []], ids=str)
def test_settings_of_other_form_are_refused(team: Four, body: object) -> None:
    _alice, bob, _carol, group = team

    assert bob.patch(f"/v1/conversations/{group}/settings", body).code == "validation_failed"


# ---------------------------------------------------------------- The end


def test_a_dissolved_group_can_be_read_by_all_and_that_is_all(
    team: Four, person: People, deployment: Deployment
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


def test_only_the_owner_dissolves(team: Four) -> None:
    alice, bob, carol, group = team
    alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": "admin"})

    for caller in (bob, carol):
        answer = caller.delete(f"/v1/conversations/{group}")
        assert (answer.status, answer.code) == (403, "not_permitted")
    assert carol.say(group, "still here").status == 201


# ---------------------------------------------------------------- Strangers and singles


@pytest.mark.parametrize("group_id", ["the group", "none", "no id"])
def test_a_stranger_finds_no_group(team: Four, person: People, group_id: str) -> None:
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


def test_blocking_changes_nothing_in_a_group(team: Four) -> None:
    alice, bob, _carol, group = team
    bob.put(f"/v1/blocks/{alice.id}")

    assert alice.say(group, "hello all").status == 201
    assert happenings(bob, group)[-1] == "hello all"
    assert bob.say(group, "hello too").status == 201


def test_the_list_shows_singles_and_groups_as_each_is_alone(team: Four) -> None:
    alice, _bob, _carol, group = team
    alice.say(group, "hello")

    listed = alice.get("/v1/conversations").json["items"]

    assert [item["kind"] for item in listed] == ["group", "single", "single"]
    assert listed == [alice.conversation(item["id"]) for item in listed]
    assert all(item["peer"] and item["name"] is item["role"] is item["member_count"] is None for item in listed[1:])


def test_nothing_that_who_left_may_not_see_moves_the_group_in_their_list(team: Four, person: People) -> None:
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


def test_member_count_is_what_is_counted(team: Four, person: People) -> None:
    alice, bob, carol, group = team
    dave = person("dave")
    alice.befriend(dave)
    invite(alice, group, dave)
    remove(alice, group, bob)
    invite(alice, group, bob)
    remove(carol, group, carol)

    with stores.engine().connect() as connection:
        count = connection.scalar(sa.select(conversations.c.member_count).where(conversations.c.id == group))
    assert count == len(roles(alice, group)) == 3
