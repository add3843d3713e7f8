"""Owner, admins and members, and the card that some of them may change."""

from collections.abc import Callable

import pytest
from hongyan.ids import new_id

from tests.support.deployment import Deployment
from tests.support.groups import (
    Team,
    fill,
    happenings,
    heard,
    invite,
    remove,
    roles,
    types,
)
from tests.support.people import Person
from tests.support.uploads import an_upload

People = Callable[[str], Person]


def test_the_owner_makes_admins_and_takes_it_back(team: Team, deployment: Deployment) -> None:
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


def test_roles_are_the_owners_to_give(team: Team) -> None:
    alice, bob, carol, group = team
    path = f"/v1/conversations/{group}/members"
    alice.patch(f"{path}/{bob.id}", {"role": "admin"})

    for caller, whom in [(bob, carol), (bob, bob), (bob, alice), (carol, carol)]:
        answer = caller.patch(f"{path}/{whom.id}", {"role": "member"})
        assert (answer.status, answer.code) == (403, "not_permitted")
    assert roles(alice, group) == {alice.id: "owner", bob.id: "admin", carol.id: "member"}


@pytest.mark.parametrize("role", ["admin", "member"])
def test_the_owner_has_no_other_role(team: Team, role: str) -> None:
    alice, _bob, _carol, group = team

    answer = alice.patch(f"/v1/conversations/{group}/members/{alice.id}", {"role": role})

    assert (answer.status, answer.code) == (409, "owner_must_hand_over")
    assert alice.conversation(group)["role"] == "owner"


@pytest.mark.parametrize("role", ["owner", "", "king", None, 1])
def test_there_are_no_other_roles_to_give(team: Team, role: object) -> None:
    alice, bob, _carol, group = team

    answer = alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": role})

    assert (answer.status, answer.code) == (422, "validation_failed")


def test_an_admin_removes_members_and_no_admin(team: Team, person: People) -> None:
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


def test_a_member_removes_nobody(team: Team) -> None:
    alice, bob, carol, group = team

    assert [remove(bob, group, whom).code for whom in (alice, carol)] == ["not_permitted"] * 2


def test_the_owner_hands_over_before_leaving(team: Team, deployment: Deployment) -> None:
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
def test_a_group_is_handed_over_to_members_only(team: Team, person: People, whom: str) -> None:
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


def test_handing_over_to_oneself_changes_nothing(team: Team) -> None:
    alice, _bob, _carol, group = team

    answer = alice.put(f"/v1/conversations/{group}/owner", {"user_id": alice.id})

    assert (answer.status, answer.json["role"], answer.json["last_seq"]) == (200, "owner", 1)


def test_only_the_owner_hands_over(team: Team) -> None:
    alice, bob, carol, group = team
    alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": "admin"})

    for caller in (bob, carol):
        answer = caller.put(f"/v1/conversations/{group}/owner", {"user_id": caller.id})
        assert (answer.status, answer.code) == (403, "not_permitted")


def test_owner_and_admins_change_the_card(team: Team, deployment: Deployment) -> None:
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


def test_what_is_left_out_or_the_same_stays_silently(team: Team) -> None:
    alice, bob, _carol, group = team
    path = f"/v1/conversations/{group}"
    alice.patch(path, {"announcement": "hello"})

    for body in ({}, {"name": "鸿雁 team"}, {"announcement": "hello"}, {"name": None}, {"avatar_file_id": None}):
        assert alice.patch(path, body).status == 200
    assert happenings(bob, group) == ["group_created", "announcement_changed"]
    assert alice.patch(path, {"announcement": ""}).json["announcement"] == ""


def test_an_avatar_can_be_taken_away(team: Team) -> None:
    alice, bob, _carol, group = team
    path = f"/v1/conversations/{group}"
    alice.patch(path, {"avatar_file_id": an_upload(alice)})

    assert alice.patch(path, {"avatar_file_id": None}).json["avatar"] is None
    assert bob.history(group)[-1]["content"]["avatar_file_id"] is None


def test_the_card_is_not_for_members_to_change(team: Team) -> None:
    _alice, bob, _carol, group = team

    answer = bob.patch(f"/v1/conversations/{group}", {"name": "mine"})

    assert (answer.status, answer.code) == (403, "not_permitted")


def test_an_avatar_is_ones_own_completed_upload_for_one(team: Team) -> None:
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
def test_a_card_of_other_form_is_refused(team: Team, body: dict[str, object]) -> None:
    alice, _bob, _carol, group = team

    assert alice.patch(f"/v1/conversations/{group}", body).code == "validation_failed"


def test_an_announcement_holds_two_thousand_characters_of_any_kind(team: Team) -> None:
    alice, bob, _carol, group = team

    assert alice.patch(f"/v1/conversations/{group}", {"announcement": "🪿" * 2_000}).status == 200
    assert bob.conversation(group)["announcement"] == "🪿" * 2_000


def test_in_a_large_group_only_the_message_tells_of_a_new_name(team: Team, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    fill(group, 48)
    at_bob = bob.connect()

    alice.patch(f"/v1/conversations/{group}", {"name": "large"})
    deployment.push()

    assert types(at_bob) == ["message.created"]


def test_in_a_large_group_only_ones_own_devices_hear_how_far_one_has_read(team: Team, deployment: Deployment) -> None:
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
