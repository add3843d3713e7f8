"""Closing an account: what goes, what stays, what is free again."""

from collections.abc import Callable

import sqlalchemy as sa
from hongyan import rate_limits, stores
from hongyan.tables import users

from functions.user import codes
from functions.user.service import CLOSED_NICKNAME
from tests.support.deployment import Deployment
from tests.support.gateway import request
from tests.support.groups import a_group, roles
from tests.support.people import PASSWORD, Person, a_device
from tests.support.phones import Phone

People = Callable[[str], Person]
Phones = Callable[[], Phone]


def close(someone: Person) -> None:
    assert someone.delete("/v1/users/me").status == 204


def test_every_session_ends_and_its_sockets_close(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    laptop = alice.on_another_device()
    sockets = [alice.connect(), laptop.connect()]

    close(alice)
    deployment.push()

    for device, socket in zip((alice, laptop), sockets, strict=True):
        assert device.get("/v1/users/me").code == "token_invalid"
        assert socket.events[-1]["data"]["reason"] == "account_closed"
        assert not alice.management.is_open(socket.connection_id)


def test_nobody_gets_in_any_more(person: People) -> None:
    alice = person("alice")
    close(alice)

    body = {"username": alice.username, "password": PASSWORD, "device": a_device()}
    assert request("POST", "/v1/sessions", body=body).code == "credentials_invalid"
    refreshed = request("POST", "/v1/sessions/refresh", body={"refresh_token": alice.refresh_token})
    assert refreshed.code == "refresh_token_invalid"


def test_username_and_phone_are_free_for_others(person: People, phone: Phones) -> None:
    alice, mine = person("alice"), phone()
    alice.put("/v1/users/me/phone", mine.prove("change_phone").body())
    rate_limits.forgive(codes.COOL_DOWN, mine.number)

    close(alice)

    again = request("POST", "/v1/users", body={"username": alice.username, "password": PASSWORD})
    assert (again.status, again.json["id"] != alice.id) == (201, True)
    assert request("POST", "/v1/users", body=mine.prove("register").body()).status == 201


def test_what_others_see_does_not_say_who_it_was(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.patch("/v1/users/me", {"nickname": "Alice Liddell", "description": "in Wonderland"})

    close(alice)

    seen = bob.get(f"/v1/users/{alice.id}").json
    assert seen == {
        "id": alice.id,
        "username": f"closed{alice.id.lower()}",
        "nickname": CLOSED_NICKNAME,
        "description": "",
        "avatar": None,
    }


def test_nothing_that_says_who_it_was_is_left_in_the_row(person: People) -> None:
    alice = person("alice")
    close(alice)

    with stores.engine().connect() as connection:
        row = connection.execute(sa.select(users).where(users.c.id == alice.id)).one()
    assert (row.phone, row.password_hash, row.avatar_file_id) == (None, None, None)
    assert "alice" not in repr(row)


def test_others_keep_the_history_they_had(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    alice.say(conversation_id, "goodbye")

    close(alice)

    assert [message["content"]["text"] for message in bob.history(conversation_id)] == ["goodbye"]
    assert bob.conversation(conversation_id)["peer"]["nickname"] == CLOSED_NICKNAME


def test_friendships_and_open_requests_end(person: People) -> None:
    alice, bob, carol, dave = person("alice"), person("bob"), person("carol"), person("dave")
    alice.befriend(bob)
    request_id = alice.ask(carol)
    dave.ask(alice)

    close(alice)

    assert bob.get("/v1/friends").json["items"] == []
    assert carol.post(f"/v1/friend-requests/{request_id}/accept").status == 409
    outgoing = dave.get("/v1/friend-requests?direction=outgoing").json["items"]
    assert [item["status"] for item in outgoing] == ["withdrawn"]


def test_nobody_befriends_a_closed_account(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    close(alice)

    assert bob.post("/v1/friend-requests", {"user_id": alice.id}).code == "user_not_found"


def test_friends_are_told(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    deployment.drain()
    screen = bob.connect()

    close(alice)
    deployment.push()

    told = {event["type"]: event["data"] for event in screen.events}
    assert told["friend.removed"] == {"user_id": alice.id}
    assert told["user.updated"]["user"]["nickname"] == CLOSED_NICKNAME


def test_what_a_closed_account_still_tries_within_its_tokens_last_seconds_changes_nothing(person: People) -> None:
    """The gateway may let a token pass for half a minute: the authorizer's answer is cached."""
    alice = person("alice")
    caller = {"user_id": alice.id, "session_id": alice.session_id}
    close(alice)

    answer = request("PATCH", "/v1/users/me", body={"nickname": "Alice"}, let_in_as=caller)

    assert answer.code == "user_not_found"
    assert person("bob").get(f"/v1/users/{alice.id}").json["nickname"] == CLOSED_NICKNAME


def test_groups_are_left_and_their_members_told(person: People, deployment: Deployment) -> None:
    owner, alice, carol = person("owner"), person("alice"), person("carol")
    group_id = a_group(owner, alice, carol)
    alice.say(group_id, "goodbye")
    deployment.drain()
    screen = carol.connect()

    close(alice)
    deployment.push()

    change = {"conversation_id": group_id, "user_id": alice.id, "change": "left", "by_user_id": alice.id}
    assert [event["data"] for event in screen.events if event["type"] == "member.changed"] == [change]
    assert set(roles(owner, group_id)) == {owner.id, carol.id}
    assert owner.conversation(group_id)["member_count"] == 2
    assert carol.history(group_id)[-1]["content"] == {"text": "goodbye"}


def test_whoever_owns_a_group_hands_it_over_or_dissolves_it_before(person: People) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group_id = a_group(alice, bob, carol)

    refused = alice.delete("/v1/users/me")

    assert (refused.status, refused.code) == (409, "owner_must_hand_over")
    assert alice.get("/v1/users/me").json["username"] == alice.username
    assert alice.put(f"/v1/conversations/{group_id}/owner", {"user_id": bob.id}).status == 200
    close(alice)
    assert set(roles(bob, group_id)) == {bob.id, carol.id}
