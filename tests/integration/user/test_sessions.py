"""Logging in on several devices, refreshing, logging out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

import hongyan.sessions
import pytest
import sqlalchemy as sa
from hongyan import stores, unit_of_work
from hongyan.clock import now
from hongyan.tables import refresh_tokens, sessions

from tests.support.cache import lose_cache
from tests.support.deployment import Deployment
from tests.support.gateway import RefusedError, Response, Socket, request
from tests.support.people import PASSWORD, Person, a_device

People = Callable[[str], Person]
T = TypeVar("T")


def refresh(token: str) -> Response:
    return request("POST", "/v1/sessions/refresh", body={"refresh_token": token})


def while_it_is_looked_up(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Response], look_up: Callable[[], T]
) -> T:
    """Let something happen between what is read from the database and what is kept of it in Redis."""
    lose_cache()
    read = unit_of_work.read

    def read_before_it(work: Callable[[sa.Connection], Any]) -> Any:
        found = read(work)
        monkeypatch.setattr(unit_of_work, "read", read)
        assert happens().status == 204
        return found

    monkeypatch.setattr(unit_of_work, "read", read_before_it)
    return look_up()


def is_logged_in(person: Person) -> bool:
    return person.get("/v1/users/me").status == 200


def test_several_devices_are_logged_in_at_once(person: People) -> None:
    phone = person("alice")
    laptop = phone.on_another_device()

    assert is_logged_in(phone)
    assert is_logged_in(laptop)


def test_a_login_on_the_same_device_ends_the_one_before(person: People) -> None:
    before = Person.log_in(person("alice").management, "alice-1", "phone")
    after = Person.log_in(before.management, "alice-1", "phone")

    assert not is_logged_in(before)
    assert is_logged_in(after)


def test_logging_in_on_one_device_many_times_at_once_leaves_one_session(person: People) -> None:
    alice = person("alice")

    with ThreadPoolExecutor(8) as pool:
        devices = list(pool.map(lambda _: Person.log_in(alice.management, alice.username, "phone"), range(8)))

    assert sum(is_logged_in(device) for device in devices) == 1


def test_logging_out_ends_this_session_only(person: People) -> None:
    phone = person("alice")
    laptop = phone.on_another_device()

    assert request("DELETE", "/v1/sessions/current", token=phone.token).status == 204

    assert not is_logged_in(phone)
    assert is_logged_in(laptop)


def test_an_ended_session_cannot_be_refreshed(person: People) -> None:
    alice = person("alice")
    request("DELETE", "/v1/sessions/current", token=alice.token)

    assert refresh(alice.refresh_token).code == "refresh_token_invalid"


def test_refreshing_gives_a_new_pair_and_ends_the_old_access_token(person: People) -> None:
    alice = person("alice")
    assert is_logged_in(alice)

    answer = refresh(alice.refresh_token)

    assert answer.status == 200
    assert answer.json["session_id"] == alice.session_id
    assert answer.json["expires_in"] == 3600
    assert request("GET", "/v1/users/me", token=answer.json["access_token"]).status == 200
    assert not is_logged_in(alice)


def test_a_spent_refresh_token_used_again_ends_the_whole_session(person: People) -> None:
    alice = person("alice")
    fresh = refresh(alice.refresh_token).json

    assert refresh(alice.refresh_token).code == "refresh_token_reused"

    assert request("GET", "/v1/users/me", token=fresh["access_token"]).status == 401
    assert refresh(fresh["refresh_token"]).code == "refresh_token_invalid"


def test_one_refresh_token_in_many_hands_at_once_serves_one_of_them(person: People) -> None:
    alice = person("alice")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: refresh(alice.refresh_token), range(4)))

    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]


@pytest.mark.parametrize(
    "token",
    [None, "", "nonsense", "hya_short", "hyr_" + "A" * 43, "hya_" + "A" * 43, "hya_" + "é" * 43, "a b c", "x" * 10_000],
)
def test_a_token_that_is_none_is_refused(person: People, token: str | None) -> None:
    answer = request("GET", "/v1/users/me", token=token)

    assert (answer.status, answer.code) == (401, "token_invalid")


def test_another_scheme_than_bearer_is_refused(person: People) -> None:
    alice = person("alice")

    assert request("GET", "/v1/users/me", headers={"Authorization": f"Basic {alice.token}"}).code == "token_invalid"
    assert request("GET", "/v1/users/me", headers={"Authorization": alice.token}).code == "token_invalid"


def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(person: People) -> None:
    alice = person("alice")

    assert refresh(alice.token).code == "refresh_token_invalid"
    assert request("GET", "/v1/users/me", token=alice.refresh_token).code == "token_invalid"


def test_an_expired_access_token_is_refused_and_can_be_refreshed(person: People) -> None:
    alice = person("alice")
    with stores.engine().begin() as connection:
        connection.execute(sa.update(sessions).values(access_expires_at=now() - timedelta(seconds=1)))

    assert not is_logged_in(alice)
    assert refresh(alice.refresh_token).status == 200


def test_an_expired_session_cannot_be_refreshed(person: People) -> None:
    alice = person("alice")
    with stores.engine().begin() as connection:
        connection.execute(sa.update(sessions).values(refresh_expires_at=now() - timedelta(seconds=1)))

    assert refresh(alice.refresh_token).code == "refresh_token_invalid"


def test_an_empty_redis_logs_nobody_out(person: People) -> None:
    alice = person("alice")
    assert is_logged_in(alice)

    lose_cache()

    assert is_logged_in(alice)


def test_a_session_that_ends_while_its_token_is_looked_up_is_not_cached_as_live(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    laptop = alice.on_another_device()

    found = while_it_is_looked_up(
        monkeypatch,
        lambda: laptop.delete(f"/v1/sessions/{alice.session_id}"),
        lambda: hongyan.sessions.authenticate(alice.token),
    )

    assert found is not None, "it was read before"
    assert hongyan.sessions.authenticate(alice.token) is None
    assert not is_logged_in(alice)


def test_a_session_that_ends_while_it_is_looked_up_is_not_cached_as_live(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    laptop = alice.on_another_device()

    was_live = while_it_is_looked_up(
        monkeypatch,
        lambda: laptop.delete(f"/v1/sessions/{alice.session_id}"),
        lambda: hongyan.sessions.is_live(alice.session_id),
    )

    assert was_live, "it was read before"
    assert not hongyan.sessions.is_live(alice.session_id)


def test_a_session_lives_on_with_its_next_token(person: People) -> None:
    alice = person("alice")
    assert hongyan.sessions.is_live(alice.session_id)

    token = refresh(alice.refresh_token).json["access_token"]

    assert hongyan.sessions.is_live(alice.session_id)
    assert request("PATCH", "/v1/users/me", body={"nickname": "Al"}, token=token).status == 200
    assert not is_logged_in(alice)


def test_an_ended_session_changes_nothing_though_the_gateway_lets_it_in(person: People) -> None:
    alice = person("alice")
    still_let_in = {"user_id": alice.id, "session_id": alice.session_id}
    laptop = alice.on_another_device()
    laptop.delete(f"/v1/sessions/{alice.session_id}")

    answer = request("PATCH", "/v1/users/me", body={"nickname": "Al"}, let_in_as=still_let_in)

    assert (answer.status, answer.code) == (401, "token_invalid")
    assert laptop.get("/v1/users/me").json["nickname"] == alice.username
    assert request("GET", "/v1/users/me", let_in_as=still_let_in).status == 200, "what only reads has these 30 s"


def test_neither_tokens_nor_passwords_are_kept_as_they_are(person: People) -> None:
    alice = person("alice")
    assert is_logged_in(alice)

    with stores.engine().connect() as connection:
        kept = [repr(row) for table in (sessions, refresh_tokens) for row in connection.execute(sa.select(table))]
    cached = [str((key, stores.cache_client().get(key))) for key in stores.cache_client().scan_iter("hongyan:t*")]

    assert cached
    assert not any(secret in text for text in kept + cached for secret in (alice.token, alice.refresh_token))


def test_a_ticket_opens_one_socket(person: People) -> None:
    alice = person("alice")
    ticket = alice.post("/v1/ws-tickets").json

    assert ticket["url"] == "wss://sockets.example/live"
    Socket.open(alice.management, ticket=ticket["ticket"])
    with pytest.raises(RefusedError):
        Socket.open(alice.management, ticket=ticket["ticket"])


def test_a_ticket_lives_half_a_minute(person: People) -> None:
    person("alice").post("/v1/ws-tickets")

    [key] = stores.cache_client().scan_iter("hongyan:ticket:*")
    assert 25 < stores.cache_client().ttl(key) <= 30


def test_a_ticket_of_a_session_that_has_ended_since_opens_nothing(person: People) -> None:
    alice = person("alice")
    ticket = alice.post("/v1/ws-tickets").json["ticket"]
    request("DELETE", "/v1/sessions/current", token=alice.token)

    with pytest.raises(RefusedError):
        Socket.open(alice.management, ticket=ticket)


def test_an_access_token_in_the_header_opens_a_socket(person: People) -> None:
    alice = person("alice")

    Socket.open(alice.management, token=alice.token)


@pytest.mark.parametrize("ticket", ["", "nonsense", "hyt_" + "A" * 43, "hya_" + "A" * 43, "x" * 5_000])
def test_a_ticket_that_is_none_is_refused_with_401(person: People, ticket: str) -> None:
    with pytest.raises(RefusedError):
        Socket.open(person("alice").management, ticket=ticket)


def test_a_socket_without_ticket_or_token_is_refused_with_401(person: People) -> None:
    with pytest.raises(RefusedError):
        Socket.open(person("alice").management)


def test_an_access_token_is_no_ticket(person: People) -> None:
    alice = person("alice")

    with pytest.raises(RefusedError):
        Socket.open(alice.management, ticket=alice.token)


def test_one_sees_ones_sessions_with_the_asking_one_marked(person: People) -> None:
    phone = person("alice")
    laptop = phone.on_another_device()
    person("bob")

    listed = phone.get("/v1/sessions").json["items"]

    assert [(item["id"], item["current"]) for item in listed] == [(laptop.session_id, False), (phone.session_id, True)]
    assert listed[0]["device"]["name"] == "A terminal"
    assert "token" not in str(listed)


def test_sessions_come_in_pages_and_ended_ones_not_at_all(person: People) -> None:
    phone = person("alice")
    laptop, tablet = phone.on_another_device(), phone.on_another_device()
    laptop.delete("/v1/sessions/current")

    first = phone.get("/v1/sessions?limit=1").json
    second = phone.get(f"/v1/sessions?limit=1&cursor={first['next_cursor']}").json

    assert [item["id"] for item in first["items"] + second["items"]] == [tablet.session_id, phone.session_id]
    assert second["next_cursor"] is None


def test_one_device_can_end_the_session_of_another(person: People) -> None:
    phone = person("alice")
    laptop = phone.on_another_device()

    assert phone.delete(f"/v1/sessions/{laptop.session_id}").status == 204

    assert is_logged_in(phone)
    assert not is_logged_in(laptop)
    assert phone.delete(f"/v1/sessions/{laptop.session_id}").code == "session_not_found"


def test_nobody_can_end_the_session_of_somebody_else(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    for session_id in (bob.session_id, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "x"):
        answer = alice.delete(f"/v1/sessions/{session_id}")
        assert (answer.status, answer.code) == (404, "session_not_found")
    assert is_logged_in(bob)


def test_a_changed_password_ends_the_other_sessions_and_replaces_the_old_one(person: People) -> None:
    phone = person("alice")
    laptop = phone.on_another_device()

    body = {"old_password": PASSWORD, "new_password": "another horse altogether"}
    assert phone.put("/v1/users/me/password", body).status == 204

    assert is_logged_in(phone)
    assert not is_logged_in(laptop)
    login = {"username": phone.username, "device": a_device()}
    assert request("POST", "/v1/sessions", body={**login, "password": PASSWORD}).code == "credentials_invalid"
    assert request("POST", "/v1/sessions", body={**login, "password": body["new_password"]}).status == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"old_password": "not the password", "new_password": "another horse"}, "credentials_invalid"),
        ({"old_password": PASSWORD, "new_password": "short"}, "validation_failed"),
        ({"new_password": "another horse"}, "validation_failed"),
    ],
)
def test_a_refused_change_of_password_changes_nothing(person: People, body: dict[str, str], code: str) -> None:
    phone = person("alice")
    laptop = phone.on_another_device()

    assert phone.put("/v1/users/me/password", body).code == code

    assert is_logged_in(laptop)
    assert is_logged_in(phone.on_another_device())


def test_one_device_can_end_all_others(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    others = [alice.on_another_device() for _ in range(3)]
    screens = [other.connect() for other in others]

    assert alice.delete("/v1/sessions").status == 204
    deployment.push()

    assert [session["current"] for session in alice.get("/v1/sessions").json["items"]] == [True]
    assert [other.get("/v1/users/me").code for other in others] == ["token_invalid"] * 3
    assert [screen.events[-1]["data"]["reason"] for screen in screens] == ["logged_out"] * 3
    assert bob.get("/v1/users/me").status == 200
