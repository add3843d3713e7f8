"""Closing an account: what goes, what stays, what is free again."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa
from hongyan import rate_limits, stores
from hongyan.tables import sessions, users, verification_codes

from functions.user import codes
from functions.user.service import CLOSED_NICKNAME
from tests.support.deployment import Deployment
from tests.support.gateway import RefusedError, Socket, request
from tests.support.groups import a_group, roles
from tests.support.people import PASSWORD, Person, a_device, a_text
from tests.support.phones import Phone

People = Callable[[str], Person]
Phones = Callable[[], Phone]


def close(someone: Person) -> None:
    assert someone.delete("/v1/users/me").status == 204


def still_let_in(someone: Person) -> dict[str, str]:
    """Return what the gateway still has of the authorizer."""
    return {"user_id": someone.id, "session_id": someone.session_id}


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


def test_what_a_closed_account_still_tries_within_its_tokens_last_seconds_changes_nothing(
    person: People, deployment: Deployment
) -> None:
    """The gateway may let a token pass for half a minute: the authorizer's answer is cached."""
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    conversation_id = alice.befriend(bob)
    bob.say(conversation_id, "hello")
    alice.read(conversation_id, 0)
    deployment.drain()
    screen = bob.connect()
    close(alice)
    deployment.push()
    told = len(screen.events)

    tries: list[tuple[str, str, object]] = [
        ("PATCH", "/v1/users/me", {"nickname": "Alice"}),
        ("PUT", f"/v1/conversations/{conversation_id}/read", {"seq": 1}),
        ("PATCH", f"/v1/conversations/{conversation_id}/settings", {"muted": True}),
        ("POST", f"/v1/conversations/{conversation_id}/messages", a_text("hello")),
        ("POST", "/v1/ws-tickets", None),
        ("POST", "/v1/friend-requests", {"user_id": carol.id}),
        ("PUT", f"/v1/blocks/{carol.id}", None),
        ("DELETE", "/v1/users/me", None),
    ]
    answers = [request(method, path, body=body, let_in_as=still_let_in(alice)) for method, path, body in tries]

    assert [answer.code for answer in answers] == ["token_invalid"] * len(tries)
    deployment.push()
    assert len(screen.events) == told
    assert carol.get("/v1/friend-requests?direction=incoming").json["items"] == []
    assert bob.get(f"/v1/users/{alice.id}").json["nickname"] == CLOSED_NICKNAME


def test_it_changes_nothing_without_redis_either(
    person: People, without_redis: Callable[[], AbstractContextManager[None]]
) -> None:
    alice = person("alice")
    close(alice)

    with without_redis():
        answer = request("PATCH", "/v1/users/me", body={"nickname": "Alice"}, let_in_as=still_let_in(alice))

    assert answer.code == "token_invalid"


def test_a_ticket_from_before_opens_no_socket(person: People) -> None:
    alice = person("alice")
    ticket = alice.post("/v1/ws-tickets").json["ticket"]

    close(alice)

    with pytest.raises(RefusedError):
        Socket.open(alice.management, ticket=ticket)


def test_open_requests_both_ways_are_withdrawn_and_ones_own_words_in_them_gone(person: People) -> None:
    alice, bob, carol, dave = person("alice"), person("bob"), person("carol"), person("dave")
    rejected = alice.ask(bob, "it is me, Alice Liddell")
    bob.post(f"/v1/friend-requests/{rejected}/reject")
    alice.ask(carol, "it is me, Alice Liddell")
    dave.ask(alice, "it is me, Dave")

    close(alice)

    seen = [
        (item["status"], item["message"])
        for other, way in ((bob, "incoming"), (carol, "incoming"), (dave, "outgoing"))
        for item in other.get(f"/v1/friend-requests?direction={way}").json["items"]
    ]
    assert seen == [("rejected", ""), ("withdrawn", ""), ("withdrawn", "it is me, Dave")]


def test_the_codes_sent_to_its_phone_are_gone_and_those_of_others_stay(person: People, phone: Phones) -> None:
    alice, mine, others = person("alice"), phone(), phone()
    alice.put("/v1/users/me/phone", mine.prove("change_phone").body())
    rate_limits.forgive(codes.COOL_DOWN, mine.number)
    unused, theirs = mine.prove("login"), others.prove("register")

    close(alice)

    with stores.engine().connect() as connection:
        assert connection.scalars(sa.select(verification_codes.c.id)).all() == [theirs.code_id]
    assert request("POST", "/v1/sessions", body=unused.body(device=a_device())).code == "verification_code_wrong"


def test_the_names_of_its_devices_are_gone_and_those_of_others_stay(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.on_another_device().delete("/v1/sessions/current")

    close(alice)

    with stores.engine().connect() as connection:
        named = connection.execute(sa.select(sessions.c.user_id, sessions.c.device_name)).all()
    assert sorted(named) == sorted([(alice.id, ""), (alice.id, ""), (bob.id, "A terminal")])


def test_an_account_that_cannot_be_closed_loses_nothing(person: People, phone: Phones) -> None:
    alice, bob, carol, mine = person("alice"), person("bob"), person("carol"), phone()
    alice.put("/v1/users/me/phone", mine.prove("change_phone").body())
    alice.ask(person("dave"), "it is me, Alice Liddell")
    a_group(alice, bob, carol)

    assert alice.delete("/v1/users/me").code == "owner_must_hand_over"

    with stores.engine().connect() as connection:
        assert len(connection.execute(sa.select(verification_codes)).all()) == 1
    requests = alice.get("/v1/friend-requests?direction=outgoing").json["items"]
    assert ("pending", "it is me, Alice Liddell") in [(item["status"], item["message"]) for item in requests]


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
