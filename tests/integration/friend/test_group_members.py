"""Joining a group, leaving it, being removed, and what each may read of it."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.events import Event
from hongyan.ids import new_id
from hongyan.tables import conversations

from functions.message import push
from functions.message.delivery import Outgoing
from tests.contract.frames import check_server_frame
from tests.support.deployment import Deployment
from tests.support.groups import (
    Team,
    a_crowd_of_friends,
    fill,
    happenings,
    heard,
    invite,
    remove,
    roles,
    types,
)
from tests.support.people import Person, a_text

People = Callable[[str], Person]


def frame_of(event: Event) -> str:
    outgoing = Outgoing()
    outgoing.add(event)
    [frame] = outgoing.frames()
    return frame


def test_any_member_may_add_friends_of_theirs(team: Team, person: People) -> None:
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


def test_who_joins_reads_from_there(team: Team, person: People) -> None:
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
    team: Team, person: People, deployment: Deployment
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
    team: Team, person: People, deployment: Deployment
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


def test_who_is_in_already_is_left_out_silently(team: Team, person: People) -> None:
    alice, bob, carol, group = team
    dave = person("dave")
    bob.befriend(dave)

    answer = invite(bob, group, carol, dave)

    assert [added["user"]["id"] for added in answer.json["items"]] == [dave.id], "carol, no friend of bob's, is in"
    again = invite(bob, group, carol, dave)
    assert (again.status, again.json) == (200, {"items": []})
    assert happenings(alice, group) == ["group_created", "members_added"]


def test_of_many_one_who_is_no_friend_keeps_all_out(team: Team, person: People) -> None:
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
def test_a_list_of_other_form_adds_nobody(team: Team, wrong: str) -> None:
    alice, _bob, _carol, group = team
    one = new_id()
    ids = {"nobody": [], "twice": [one, one], "501": [new_id() for _ in range(501)], "no id": ["dave"]}[wrong]

    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": ids}).code == "validation_failed"


def test_five_hundred_join_at_once_with_one_message(team: Team, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    crowd = a_crowd_of_friends(alice, 500)
    alice.patch(f"/v1/conversations/{group}", {"name": "🪿" * 64, "announcement": "🪿" * 2_000})
    deployment.drain()
    at_bob = bob.connect()

    answer = alice.post(f"/v1/conversations/{group}/members", {"user_ids": crowd})
    records = deployment.queued()
    deployment.invoke_push(records)
    deployment.sharding.work()  # they are just more than one shard

    assert [added["user"]["id"] for added in answer.json["items"]] == crowd
    assert alice.conversation(group)["member_count"] == 503
    assert happenings(alice, group) == ["group_created", "group_renamed", "announcement_changed", "members_added"]
    assert types(at_bob) == ["message.created"]
    for event in push._with_messages([Event.model_validate_json(record["body"]) for record in records]):
        check_server_frame(frame_of(event))
    told = [record["body"] for record in records if '"conversation.created"' in record["body"]]
    assert [all(body.count(f'"{one}"') == 1 for one in crowd) for body in told] == [True], "as receiver"


def test_a_group_takes_ten_thousand_and_not_one_more(team: Team) -> None:
    alice, _bob, _carol, group = team
    fill(group, 10_000 - 3 - 1)
    one, other = a_crowd_of_friends(alice, 2)

    both = alice.post(f"/v1/conversations/{group}/members", {"user_ids": [one, other]})
    assert (both.status, both.code) == (409, "group_full")
    assert alice.conversation(group)["member_count"] == 9_999
    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": [one]}).status == 200
    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": [other]}).code == "group_full"
    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": [one]}).json == {"items": []}


def test_the_members_come_in_pages(team: Team) -> None:
    alice, bob, carol, group = team
    path = f"/v1/conversations/{group}/members?limit=2"

    first = bob.get(path).json
    second = bob.get(f"{path}&cursor={first['next_cursor']}").json

    listed = first["items"] + second["items"]
    assert [member["user"]["id"] for member in listed] == sorted([alice.id, bob.id, carol.id])
    assert second["next_cursor"] is None
    assert set(listed[0]) == {"user", "role", "joined_at"}


def test_a_cursor_of_another_list_is_refused(team: Team) -> None:
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


def test_who_leaves_keeps_what_was_said_until_then(team: Team) -> None:
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


def test_who_left_reads_on_to_the_end_of_theirs_and_no_further(team: Team) -> None:
    alice, bob, _carol, group = team
    alice.say(group, "one")
    remove(alice, group, bob)
    alice.say(group, "two")

    assert bob.conversation(group)["unread_count"] == 3
    assert bob.read(group, 4).code == "validation_failed"
    assert bob.read(group, 3).json["seq"] == 3
    assert bob.conversation(group)["unread_count"] == 0


def test_who_left_can_do_nothing_in_the_group(team: Team, person: People) -> None:
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


def test_what_was_sent_before_leaving_is_still_acknowledged_after(team: Team) -> None:
    _alice, bob, _carol, group = team
    first = bob.say(group, "did you get this?", "my-id")
    remove(bob, group, bob)

    again = bob.say(group, "did you get this?", "my-id")

    assert (again.status, again.json) == (200, first.json)


@pytest.mark.parametrize(("reason", "happening"), [("left", "member_left"), ("removed", "member_removed")])
def test_all_are_told_who_went(team: Team, deployment: Deployment, reason: str, happening: str) -> None:
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


def test_who_left_hears_nothing_more(team: Team, deployment: Deployment) -> None:
    alice, bob, _carol, group = team
    remove(bob, group, bob)
    deployment.drain()
    at_bob = bob.connect()

    alice.say(group, "without bob")
    alice.read(group, 3)
    alice.patch(f"/v1/conversations/{group}", {"name": "without bob"})
    deployment.push()

    assert at_bob.events == []


def test_who_comes_back_begins_anew(team: Team, deployment: Deployment) -> None:
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


def test_nobody_leaves_or_is_removed_twice(team: Team) -> None:
    alice, bob, _carol, group = team
    remove(alice, group, bob)

    assert (remove(alice, group, bob).status, remove(alice, group, bob).code) == (404, "member_not_found")
    assert remove(bob, group, bob).code == "not_a_member"
    assert alice.conversation(group)["member_count"] == 2


@pytest.mark.parametrize("whom", ["a stranger", "nobody", "no id"])
def test_who_is_not_in_it_cannot_be_removed_or_promoted(team: Team, person: People, whom: str) -> None:
    alice, _bob, _carol, group = team
    other = {"a stranger": person("dave").id, "nobody": new_id(), "no id": "bob"}[whom]
    path = f"/v1/conversations/{group}/members/{other}"

    for answer in (alice.delete(path), alice.patch(path, {"role": "admin"})):
        assert (answer.status, answer.code) == (404, "member_not_found")


def test_only_who_is_in_it_can_be_mentioned(team: Team, person: People) -> None:
    alice, bob, carol, group = team
    remove(alice, group, bob)
    path = f"/v1/conversations/{group}/messages"

    assert alice.post(path, {**a_text("@bob"), "mentions": [carol.id, bob.id]}).code == "validation_failed"
    assert alice.post(path, {**a_text("@dave"), "mentions": [person("dave").id]}).code == "validation_failed"
    assert alice.post(path, {**a_text("@carol"), "mentions": [carol.id, carol.id]}).status == 201


def test_member_count_is_what_is_counted(team: Team, person: People) -> None:
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
