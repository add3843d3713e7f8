"""Registering, and what one may see of whom."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa
from hongyan import rate_limits, stores
from hongyan.tables import users
from sqlalchemy.exc import DBAPIError

from functions.user import logins, passwords, service
from tests.support.deployment import Deployment
from tests.support.gateway import Response, request
from tests.support.people import PASSWORD, Person, a_device
from tests.support.uploads import an_upload

People = Callable[[str], Person]


def register(username: str, password: str = PASSWORD, **more: object) -> Response:
    return request("POST", "/v1/users", body={"username": username, "password": password, **more})


def log_in(username: str, password: str, device_id: str = "laptop", address: str = "127.0.0.1") -> Response:
    body = {"username": username, "password": password, "device": a_device(device_id)}
    return request("POST", "/v1/sessions", body=body, address=address)


def test_a_new_account_answers_its_own_profile(deployment: Deployment) -> None:
    answer = register("hong-yan_1", nickname="鸿雁 🪿")

    assert answer.status == 201
    assert answer.json["username"] == "hong-yan_1"
    assert answer.json["nickname"] == "鸿雁 🪿"
    assert answer.json["description"] == ""
    assert answer.json["avatar"] is None
    assert answer.json["phone"] is None
    assert answer.json["created_at"].endswith("Z")
    assert "password" not in answer.text


def test_without_a_nickname_the_username_stands_in(deployment: Deployment) -> None:
    assert register("alice").json["nickname"] == "alice"


@pytest.mark.parametrize("again", ["alice", "ALICE", "aLiCe"])
def test_a_taken_username_is_refused_in_whatever_letter_case(deployment: Deployment, again: str) -> None:
    register("alice")

    answer = register(again)

    assert (answer.status, answer.code) == (409, "username_taken")


@pytest.mark.parametrize(
    "username",
    [
        "",
        "ab",
        "x" * 33,
        "al ice",
        "alice\n",
        "аlice",
        "アリス",
        "alice!",
        "alice\u0000",
        "\ud800abc",
        7,
        None,
        ["alice"],
    ],
)
def test_a_username_of_other_form_is_refused(deployment: Deployment, username: object) -> None:
    answer = request("POST", "/v1/users", body={"username": username, "password": PASSWORD})

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"] == ["body", "username"]


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, 12345678, None])
def test_a_password_out_of_bounds_is_refused_and_not_repeated(deployment: Deployment, password: object) -> None:
    answer = request("POST", "/v1/users", body={"username": "alice", "password": password})

    assert (answer.status, answer.code) == (422, "validation_failed")
    if isinstance(password, str) and password:
        assert password not in answer.text


@pytest.mark.parametrize("nickname", ["", "  ", "\u200b\u200b", "x" * 33, "two\nlines", "\u0000"])
def test_a_nickname_that_cannot_be_seen_is_refused(deployment: Deployment, nickname: str) -> None:
    assert register("alice", nickname=nickname).code == "validation_failed"


@pytest.mark.parametrize("password", ["密码密码密码密码", "🔑" * 128, "x" * 128])
def test_a_password_may_be_any_text(deployment: Deployment, password: str) -> None:
    assert register("alice", password).status == 201
    assert log_in("alice", password).status == 201


def test_an_unknown_field_is_refused(deployment: Deployment) -> None:
    answer = register("alice", nickmane="Al")

    assert answer.code == "validation_failed"
    assert answer.json["errors"][0]["loc"] == ["body", "nickmane"]


def test_a_refused_registration_leaves_nothing_behind(deployment: Deployment) -> None:
    register("alice", "short")

    assert register("alice").status == 201


@pytest.mark.parametrize(
    ("raw", "headers", "status", "code"),
    [
        ("{", {}, 400, "malformed_json"),
        ('{"username": "alice"', {}, 400, "malformed_json"),
        ("[" * 100_000, {}, 400, "malformed_json"),
        ("[]", {}, 422, "validation_failed"),
        ("null", {}, 422, "validation_failed"),
        ("{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("username=alice", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        ('{"username": "' + "x" * 131_072 + '"}', {}, 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    deployment: Deployment, raw: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = request("POST", "/v1/users", raw=raw, headers=headers)

    assert (answer.status, answer.code) == (status, code)


def test_a_field_whose_name_is_a_lone_surrogate_is_refused(deployment: Deployment) -> None:
    answer = request("POST", "/v1/users", raw='{"username": "alice", "password": "correct horse", "\\ud800": 1}')

    assert (answer.status, answer.code) == (422, "validation_failed")


def test_a_wrong_password_and_an_unknown_user_get_one_answer(deployment: Deployment) -> None:
    register("alice")

    wrong, unknown = log_in("alice", "not the password"), log_in("nobody", "not the password")

    assert wrong.status == unknown.status == 401
    assert wrong.code == unknown.code == "credentials_invalid"
    assert {**wrong.json, "request_id": ""} == {**unknown.json, "request_id": ""}


def test_a_wrong_password_and_an_unknown_user_take_the_same_time(deployment: Deployment, real_passwords: None) -> None:
    register("alice")

    def seconds(username: str) -> float:
        begin = time.perf_counter()
        log_in(username, "not the password")
        return time.perf_counter() - begin

    pairs = [(seconds("alice"), seconds("nobody")) for _ in range(9)]

    ratio = statistics.median(wrong / unknown for wrong, unknown in pairs)
    assert 0.7 < ratio < 1.4, pairs


@pytest.mark.parametrize("username", ["ålice", "alice\u0000", "x" * 200, "' OR 1=1 -- ", "%"])
def test_a_username_that_nobody_can_have_is_just_unknown(deployment: Deployment, username: str) -> None:
    assert log_in(username, PASSWORD).code == "credentials_invalid"


def test_one_sees_oneself_whole_and_others_in_public(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    assert alice.get("/v1/users/me").json["phone"] is None
    assert set(alice.get(f"/v1/users/{bob.id}").json) == {"id", "username", "nickname", "description", "avatar"}


@pytest.mark.parametrize("user_id", ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "nobody", "%00", "鸿雁"])
def test_a_user_that_is_not_there_answers_404(person: People, user_id: str) -> None:
    assert person("alice").get(f"/v1/users/{user_id}").code == "user_not_found"


def test_a_path_that_nobody_answers_is_a_problem_too(person: People) -> None:
    assert person("alice").get("/v1/users/me/nothing").code == "route_not_found"


def test_a_method_that_a_path_does_not_answer_is_named_as_such(person: People) -> None:
    answer = request("DELETE", f"/v1/users/{person('alice').id}", token=person("bob").token)

    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_words_come_in_chinese_when_asked_for(deployment: Deployment) -> None:
    body = {"username": "alice", "password": "x"}
    headers = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}

    assert request("POST", "/v1/users", body=body, headers=headers).json["title"] == "校验失败"
    assert request("POST", "/v1/users", body=body).json["title"] == "Validation failed"


def test_anybody_may_ask_where_the_deployment_is(deployment: Deployment) -> None:
    answer = request("GET", "/v1/endpoints")

    assert answer.json == {
        "rest_url": "https://rest.example/live",
        "websocket_url": "wss://sockets.example/live",
        "version": "0.1.0",
    }


def test_health_names_each_store(deployment: Deployment) -> None:
    answer = request("GET", "/v1/health")

    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.json["dependencies"] == {"database": "ok", "redis": "ok", "opensearch": "ok"}


def test_one_changes_ones_nickname_and_description(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    answer = alice.patch("/v1/users/me", {"nickname": "Alice 爱丽丝", "description": "两只鸿雁"})

    assert answer.status == 200
    assert answer.json["nickname"] == "Alice 爱丽丝"
    assert bob.get(f"/v1/users/{alice.id}").json["description"] == "两只鸿雁"
    assert alice.patch("/v1/users/me", {"description": ""}).json["nickname"] == "Alice 爱丽丝"
    assert alice.patch("/v1/users/me", {}).json["description"] == ""


@pytest.mark.parametrize(
    "change",
    [{"nickname": ""}, {"nickname": "two\nlines"}, {"description": "x" * 201}, {"username": "eve"}, {"nickname": 7}],
)
def test_a_profile_of_other_form_is_refused(person: People, change: dict[str, object]) -> None:
    alice = person("alice")
    before = alice.get("/v1/users/me").json

    assert alice.patch("/v1/users/me", change).code == "validation_failed"
    assert alice.get("/v1/users/me").json == before


def test_profiles_come_in_batches_with_unknown_people_left_out(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    ids = [bob.id, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "nobody", alice.id, bob.id]
    answer = alice.post("/v1/users/batch-get", {"ids": ids})

    assert [user["id"] for user in answer.json["items"]] == [alice.id, bob.id]
    assert "created_at" not in answer.text


@pytest.mark.parametrize("ids", [[], ["x"] * 101, "x", [7], ["x" * 37]])
def test_a_batch_out_of_bounds_is_refused(person: People, ids: object) -> None:
    assert person("alice").post("/v1/users/batch-get", {"ids": ids}).code == "validation_failed"


@pytest.mark.parametrize("username", ["admin", "System", "root_", "user01arz3ndektsv4rrffq69g5fav"])
def test_a_reserved_username_is_refused(deployment: Deployment, username: str) -> None:
    answer = register(username)

    assert answer.code == "validation_failed"
    assert answer.json["errors"] == [{"loc": ["body", "username"], "msg": "is reserved"}]


@pytest.mark.parametrize(
    ("password", "reason"),
    [("12345678", "is one of the most common passwords"), ("ALICE-2026", "is the username")],
)
def test_a_password_that_is_guessed_first_is_refused(deployment: Deployment, password: str, reason: str) -> None:
    answer = register("alice-2026", password)

    assert answer.code == "validation_failed"
    assert answer.json["errors"] == [{"loc": ["body", "password"], "msg": reason}]
    assert register("alice-2026").status == 201


def test_a_weak_new_password_is_refused_and_the_old_one_stays(person: People) -> None:
    alice = person("alice")

    answer = alice.put("/v1/users/me/password", {"old_password": PASSWORD, "new_password": "iloveyou"})

    assert answer.json["errors"] == [{"loc": ["body", "new_password"], "msg": "is one of the most common passwords"}]
    assert log_in(alice.username, PASSWORD).status == 201


def test_ten_wrong_passwords_close_an_account_to_the_address_that_guesses(deployment: Deployment) -> None:
    register("alice")

    tries = [log_in("Alice", "not the password").code for _ in range(10)]
    answer = log_in("alice", PASSWORD)

    assert tries == ["credentials_invalid"] * 10
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= 15 * 60


def test_a_stranger_who_guesses_does_not_lock_out_whoever_is_elsewhere(deployment: Deployment) -> None:
    register("alice")
    for _ in range(11):
        log_in("alice", "not the password", address="203.0.113.7")

    assert log_in("alice", PASSWORD, address="198.51.100.1").status == 201
    assert log_in("alice", PASSWORD, address="203.0.113.7").code == "rate_limited"


def test_guessing_from_many_addresses_ends_at_a_hundred_an_hour(deployment: Deployment) -> None:
    register("alice")

    tries = [log_in("alice", "not the password", address=f"203.0.113.{n}").code for n in range(11) for _ in range(10)]
    answer = log_in("alice", PASSWORD, address="198.51.100.1")

    assert tries == ["credentials_invalid"] * 100 + ["rate_limited"] * 10
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert 45 * 60 < int(answer.headers["retry-after"]) <= 60 * 60


def test_a_login_does_not_forgive_what_others_guessed_elsewhere(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "LOGINS_OF_ACCOUNT", rate_limits.at_most(3, 60 * 60, "logins-of-account"))
    register("alice")
    for n in range(2):
        log_in("alice", "not the password", address=f"203.0.113.{n}")

    assert log_in("alice", PASSWORD).status == 201
    assert log_in("alice", PASSWORD).status == 201

    assert log_in("alice", "not the password", address="203.0.113.8").code == "credentials_invalid"
    assert log_in("alice", "not the password", address="203.0.113.9").code == "rate_limited"


@pytest.mark.parametrize(
    ("limit", "username", "address"),
    [
        ("FAILED_LOGINS_OF_ADDRESS", "user-{}", "203.0.113.7"),
        ("LOGINS_OF_ACCOUNT_FROM_ADDRESS", "alice", "203.0.113.7"),
        ("LOGINS_OF_ACCOUNT", "alice", "203.0.113.{}"),
    ],
)
def test_of_many_wrong_passwords_at_once_just_as_many_are_weighed_as_may(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, limit: str, username: str, address: str
) -> None:
    """Whoever sends all guesses together gets no more of them than one after the other."""
    monkeypatch.setattr(logins, limit, rate_limits.at_most(8, 15 * 60, "test"))
    register("alice")
    weighed: list[str] = []

    def slow(password: str, password_hash: str | None) -> bool:
        weighed.append(password)
        return passwords.is_password(password, password_hash)

    monkeypatch.setattr(logins, "is_password", slow)
    with ThreadPoolExecutor(24) as pool:
        answers = list(
            pool.map(lambda n: log_in(username.format(n), f"wrong {n}", address=address.format(n)), range(24))
        )

    assert len(weighed) == 8
    assert sorted(answer.code for answer in answers) == ["credentials_invalid"] * 8 + ["rate_limited"] * 16
    assert all(0 < int(answer.headers["retry-after"]) <= 15 * 60 for answer in answers if answer.code == "rate_limited")


def test_logins_are_not_counted_as_failures_of_their_address(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "FAILED_LOGINS_OF_ADDRESS", rate_limits.at_most(2, 15 * 60, "test"))
    register("alice")
    register("bob")

    assert [log_in(name, PASSWORD).status for name in ("alice", "bob") * 3] == [201] * 6

    codes = [log_in(f"user-{n}", "not the password").code for n in range(3)]
    assert codes == ["credentials_invalid", "credentials_invalid", "rate_limited"]


def test_a_refused_try_does_not_use_up_the_address_of_others(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on at one account leaves the rest of the office alone."""
    monkeypatch.setattr(logins, "FAILED_LOGINS_OF_ADDRESS", rate_limits.at_most(12, 15 * 60, "test"))
    register("alice")
    for _ in range(30):
        log_in("bob", "not the password")

    assert log_in("alice", PASSWORD).status == 201


def test_a_login_that_dies_with_the_database_is_no_failure_of_its_address(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "FAILED_LOGINS_OF_ADDRESS", rate_limits.at_most(1, 15 * 60, "test"))
    register("alice")
    nowhere = sa.create_engine("mysql+pymysql://nobody@127.0.0.1:1/nothing")
    with monkeypatch.context() as patch:
        patch.setattr(stores, "engine", lambda: nowhere)
        assert [log_in("alice", PASSWORD).status for _ in range(3)] == [503] * 3

    assert log_in("alice", PASSWORD).status == 201


def test_registrations_from_an_address_are_limited(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = rate_limits.at_most(2, 60 * 60, "registrations-from-address")
    monkeypatch.setattr(service, "REGISTRATIONS_FROM_ADDRESS", limit)

    tries = [register(f"user-{n}") for n in range(3)]

    assert [answer.status for answer in tries] == [201, 201, 429]
    assert tries[2].code == "rate_limited"
    assert 59 * 60 < int(tries[2].headers["retry-after"]) <= 60 * 60
    elsewhere = {"username": "user-2", "password": PASSWORD}
    assert request("POST", "/v1/users", body=elsewhere, address="203.0.113.7").status == 201


def test_of_many_registrations_at_once_just_as_many_are_made_as_may(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REGISTRATIONS_FROM_ADDRESS", rate_limits.at_most(5, 60 * 60, "test"))

    with ThreadPoolExecutor(15) as pool:
        answers = list(pool.map(lambda n: register(f"user-{n}"), range(15)))

    assert sorted(answer.status for answer in answers) == [201] * 5 + [429] * 10


def test_what_is_refused_for_its_form_is_no_registration(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REGISTRATIONS_FROM_ADDRESS", rate_limits.at_most(1, 60 * 60, "test"))

    assert [register("alice", weak).code for weak in ("short", "iloveyou")] == ["validation_failed"] * 2
    assert register("alice").status == 201


def test_without_redis_people_still_register(
    deployment: Deployment, without_redis: Callable[[], AbstractContextManager[None]]
) -> None:
    with without_redis():
        assert register("alice").status == 201


def test_an_unknown_user_is_closed_to_guessing_just_the_same(deployment: Deployment) -> None:
    tries = [log_in("nobody-at-all", "not the password").code for _ in range(11)]

    assert tries == ["credentials_invalid"] * 10 + ["rate_limited"]


def test_a_login_forgives_the_mistakes_before_it(deployment: Deployment) -> None:
    register("alice")

    for _ in range(3):
        assert [log_in("alice", "not the password").code for _ in range(9)] == ["credentials_invalid"] * 9
        assert log_in("alice", PASSWORD).status == 201


def test_an_address_that_fails_for_many_users_is_closed_to_guessing(deployment: Deployment) -> None:
    register("alice")
    for number in range(100):
        assert log_in(f"user-{number}", "not the password").code == "credentials_invalid"

    assert log_in("alice", PASSWORD).code == "rate_limited"


def test_without_redis_people_still_log_in(
    deployment: Deployment, without_redis: Callable[[], AbstractContextManager[None]]
) -> None:
    register("alice")

    with without_redis():
        assert log_in("alice", PASSWORD).status == 201
        assert log_in("alice", "not the password").code == "credentials_invalid"


def test_old_passwords_are_not_guessed_with_a_token(person: People) -> None:
    alice = person("alice")
    change = {"old_password": "not the password", "new_password": "another good password"}

    tries = [alice.put("/v1/users/me/password", change).code for _ in range(11)]

    assert tries == ["credentials_invalid"] * 10 + ["rate_limited"]


def test_a_completed_upload_becomes_ones_avatar_and_everybody_sees_it(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    file_id = an_upload(alice)

    answer = alice.put("/v1/users/me/avatar", {"file_id": file_id})

    assert (answer.status, answer.json["avatar"]["file_id"]) == (200, file_id)
    shown = [
        alice.get("/v1/users/me").json,
        bob.get(f"/v1/users/{alice.id}").json,
        bob.post("/v1/users/batch-get", {"ids": [alice.id]}).json["items"][0],
        bob.get("/v1/friends").json["items"][0]["user"],
        bob.get("/v1/conversations").json["items"][0]["peer"],
    ]
    assert [user["avatar"] for user in shown] == [answer.json["avatar"]] * 5
    assert "X-Amz-Signature=" in answer.json["avatar"]["url"]


def test_an_avatar_can_be_taken_away(person: People) -> None:
    alice = person("alice")
    alice.put("/v1/users/me/avatar", {"file_id": an_upload(alice)})

    assert alice.put("/v1/users/me/avatar", {"file_id": None}).json["avatar"] is None


@pytest.mark.parametrize(
    ("purpose", "completed"), [("image", True), ("file", True), ("voice", True), ("avatar", False)]
)
def test_a_file_that_is_no_completed_avatar_is_refused(person: People, purpose: str, completed: bool) -> None:  # noqa: FBT001
    alice = person("alice")

    answer = alice.put("/v1/users/me/avatar", {"file_id": an_upload(alice, purpose=purpose, completed=completed)})

    assert (answer.status, answer.code) == (422, "file_not_usable")
    assert alice.get("/v1/users/me").json["avatar"] is None


def test_somebody_elses_file_is_no_avatar_and_does_not_show_that_it_exists(person: People) -> None:
    alice, bob = person("alice"), person("bob")

    theirs = alice.put("/v1/users/me/avatar", {"file_id": an_upload(bob)})
    nobodys = alice.put("/v1/users/me/avatar", {"file_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})

    assert (theirs.status, theirs.code) == (nobodys.status, nobodys.code) == (404, "file_not_found")


def test_blanks_behind_a_username_are_not_a_way_around_the_limit(deployment: Deployment) -> None:
    register("alice")

    assert log_in("alice  ", PASSWORD).code == "credentials_invalid"


def test_a_password_that_was_reset_meanwhile_is_not_changed_by_the_old_one(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    reset = passwords.hash_password("the new one of a reset")

    def reset_meanwhile(password: str) -> str:
        with stores.engine().begin() as connection:
            connection.execute(sa.update(users).where(users.c.id == alice.id).values(password_hash=reset))
        return passwords.hash_password(password)

    monkeypatch.setattr(service, "hash_password", reset_meanwhile)
    change = {"old_password": PASSWORD, "new_password": "another good password"}

    assert alice.put("/v1/users/me/password", change).code == "credentials_invalid"
    assert log_in(alice.username, "another good password").code == "credentials_invalid"
    assert log_in(alice.username, "the new one of a reset").status == 201


def test_a_statement_that_fails_is_logged_without_what_it_held(deployment: Deployment) -> None:
    with pytest.raises(DBAPIError) as failure, stores.engine().begin() as connection:
        connection.execute(sa.text("SELECT nothing FROM nowhere WHERE phone = :phone"), {"phone": "+8613800138000"})

    assert "13800138000" not in str(failure.value)
