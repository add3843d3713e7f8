"""What a phone gives: an account, a way in, a new password."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
from hongyan import rate_limits, stores
from hongyan.tables import users

from functions.user import codes, logins, service
from tests.support.deployment import Deployment
from tests.support.gateway import Response, request
from tests.support.people import PASSWORD, Person, a_device
from tests.support.phones import Phone, Proof

NEVER_SENT = {"phone": "+8613800138000", "code_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "code": "123456"}

People = Callable[[str], Person]
Phones = Callable[[], Phone]


def register(phone: Phone, **more: object) -> Response:
    answer = request("POST", "/v1/users", body=phone.prove("register").body(**more))
    rate_limits.forgive(codes.COOL_DOWN, phone.number)
    return answer


def log_in(proof: Proof, device: str | None = None) -> Response:
    return request("POST", "/v1/sessions", body=proof.body(device=a_device(device)))


def log_in_by_password(username: str, password: str) -> Response:
    body = {"username": username, "password": password, "device": a_device()}
    return request("POST", "/v1/sessions", body=body)


def forgiven(phone: Phone) -> Phone:
    rate_limits.forgive(codes.COOL_DOWN, phone.number)
    return phone


def with_phone(someone: Person, phone: Phone) -> Person:
    assert someone.put("/v1/users/me/phone", phone.prove("change_phone").body()).status == 200
    rate_limits.forgive(codes.COOL_DOWN, phone.number)
    return someone


def test_an_account_by_phone_has_a_made_username_and_shows_its_phone_to_its_owner(phone: Phones) -> None:
    mine = phone()

    answer = register(mine, nickname="鸿雁")

    assert answer.status == 201
    assert answer.json["phone"] == mine.number
    assert answer.json["nickname"] == "鸿雁"
    assert answer.json["username"] == f"user{answer.json['id'].lower()}"


def test_nobody_else_sees_a_phone(phone: Phones, person: People) -> None:
    mine = phone()
    user_id = register(mine).json["id"]

    answer = person("bob").get(f"/v1/users/{user_id}")

    assert answer.status == 200
    assert mine.number.removeprefix("+86") not in answer.text


def test_a_taken_phone_is_told_to_its_holder_only(phone: Phones) -> None:
    mine = phone()
    register(mine)
    proof = mine.prove("register")

    wrong = Proof(proof.phone, proof.code_id, f"{(int(proof.code) + 1) % 1_000_000:06}")

    assert request("POST", "/v1/users", body=wrong.body()).code == "verification_code_wrong"
    taken = request("POST", "/v1/users", body=proof.body())
    assert (taken.status, taken.code) == (409, "phone_taken")


def test_one_logs_in_by_a_code(phone: Phones) -> None:
    mine = phone()
    user = register(mine).json

    session = log_in(mine.prove("login"))

    assert session.status == 201
    assert session.json["user"] == user
    assert request("GET", "/v1/users/me", token=session.json["access_token"]).json == user


def test_logging_in_by_code_replaces_the_session_of_the_same_device(phone: Phones) -> None:
    mine = phone()
    register(mine)
    first = log_in(mine.prove("login"), "this device").json
    rate_limits.forgive(codes.COOL_DOWN, mine.number)

    log_in(mine.prove("login"), "this device")

    body = {"refresh_token": first["refresh_token"]}
    assert request("POST", "/v1/sessions/refresh", body=body).code == "refresh_token_invalid"


def test_a_phone_that_nobody_registered_is_told_so_once_it_is_shown_to_be_ones_own(phone: Phones) -> None:
    answer = log_in(phone().prove("login"))

    assert (answer.status, answer.code) == (404, "phone_not_registered")


def test_an_account_by_phone_has_no_password_until_it_sets_one(phone: Phones) -> None:
    mine = phone()
    username = register(mine).json["username"]
    assert log_in_by_password(username, PASSWORD).code == "credentials_invalid"

    reset = request("POST", "/v1/password-resets", body=mine.prove("reset_password").body(new_password=PASSWORD))

    assert reset.status == 204
    assert log_in_by_password(username, PASSWORD).status == 201


def test_a_reset_ends_all_sessions_and_the_old_password(phone: Phones, person: People, deployment: Deployment) -> None:
    mine, alice = phone(), person("alice")
    with_phone(alice, mine)
    laptop = alice.on_another_device()
    sockets = [alice.connect(), laptop.connect()]

    body = mine.prove("reset_password").body(new_password="another good password")
    assert request("POST", "/v1/password-resets", body=body).status == 204

    deployment.push()
    assert [socket.events[-1]["data"]["reason"] for socket in sockets] == ["password_reset"] * 2
    assert not any(alice.management.is_open(socket.connection_id) for socket in sockets)
    for device in (alice, laptop):
        assert device.get("/v1/users/me").code == "token_invalid"
    assert log_in_by_password(alice.username, PASSWORD).code == "credentials_invalid"
    assert log_in_by_password(alice.username, "another good password").status == 201


def test_a_weak_new_password_does_not_cost_the_code(phone: Phones, person: People) -> None:
    mine, alice = phone(), with_phone(person("alice-in-wonderland"), phone_ := phone())
    proof = phone_.prove("reset_password")

    for weak in ("12345678", alice.username.upper()):
        answer = request("POST", "/v1/password-resets", body=proof.body(new_password=weak))
        assert answer.code == "validation_failed"
        assert answer.json["errors"][0]["loc"] == ["body", "new_password"]

    body = proof.body(new_password="another good password")
    assert request("POST", "/v1/password-resets", body=body).status == 204
    assert mine.codes() == []


def test_a_wrong_code_does_not_tell_whose_phone_it_is(phone: Phones, person: People) -> None:
    mine = phone()
    alice = with_phone(person("alice-in-wonderland"), mine)
    proof = mine.prove("reset_password")

    body = {**proof.body(new_password=alice.username), "code": f"{(int(proof.code) + 1) % 1_000_000:06}"}

    assert request("POST", "/v1/password-resets", body=body).code == "verification_code_wrong"


def test_one_moves_to_another_phone_and_the_old_one_is_free(phone: Phones, person: People) -> None:
    old, new = phone(), phone()
    alice = with_phone(person("alice"), old)

    answer = alice.put("/v1/users/me/phone", new.prove("change_phone").body())

    assert (answer.status, answer.json["phone"]) == (200, new.number)
    assert log_in(forgiven(new).prove("login")).json["user"]["id"] == alice.id
    assert register(old).status == 201


def test_somebodys_phone_cannot_become_ones_own(phone: Phones, person: People) -> None:
    theirs = phone()
    with_phone(person("bob"), theirs)
    alice = person("alice")

    answer = alice.put("/v1/users/me/phone", theirs.prove("change_phone").body())

    assert (answer.status, answer.code) == (409, "phone_taken")
    assert alice.get("/v1/users/me").json["phone"] is None


def test_changing_to_the_phone_one_has_is_no_conflict(phone: Phones, person: People) -> None:
    mine = phone()
    alice = with_phone(person("alice"), mine)

    assert alice.put("/v1/users/me/phone", mine.prove("change_phone").body()).status == 200


@pytest.mark.parametrize("left_out", ["phone", "code_id", "code"])
def test_a_proof_with_a_part_missing_is_refused(phone: Phones, person: People, left_out: str) -> None:
    body = phone().prove("change_phone").body()
    del body[left_out]

    answer = person("alice").put("/v1/users/me/phone", body)

    assert answer.code == "validation_failed"
    assert answer.json["errors"] == [{"loc": ["body", left_out], "msg": "Field required"}]


def test_a_registration_that_is_both_ways_at_once_is_refused(phone: Phones) -> None:
    answer = register(phone(), username="alice", password=PASSWORD)

    assert answer.code == "validation_failed"
    assert [error["loc"] for error in answer.json["errors"]] == [["body", "username"], ["body", "password"]]


def test_a_phone_stands_in_the_database_once(phone: Phones, person: People) -> None:
    mine = phone()
    with_phone(person("alice"), mine)
    register(mine)

    with stores.engine().connect() as connection:
        rows = connection.execute(users.select().where(users.c.phone == mine.number)).all()
    assert len(rows) == 1


def test_of_many_wrong_codes_at_once_just_as_many_are_weighed_as_may(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "FAILED_LOGINS_OF_ADDRESS", rate_limits.at_most(8, 15 * 60, "test"))
    body = {**NEVER_SENT, "device": a_device()}

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: request("POST", "/v1/sessions", body=body), range(24)))

    assert sorted(answer.code for answer in answers) == ["rate_limited"] * 16 + ["verification_code_wrong"] * 8
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 429)


def test_logins_by_code_are_not_counted_as_failures_of_their_address(
    phone: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "FAILED_LOGINS_OF_ADDRESS", rate_limits.at_most(1, 15 * 60, "test"))
    mine = phone()
    register(mine)

    assert [log_in(forgiven(mine).prove("login")).status for _ in range(3)] == [201] * 3


def test_registrations_by_phone_and_by_password_are_limited_together(
    phone: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REGISTRATIONS_FROM_ADDRESS", rate_limits.at_most(2, 60 * 60, "test"))
    by_password = {"username": "alice", "password": PASSWORD}

    assert request("POST", "/v1/users", body=by_password).status == 201
    assert request("POST", "/v1/users", body=NEVER_SENT).code == "verification_code_wrong"

    mine = phone()
    proof = mine.prove("register")
    refused = request("POST", "/v1/users", body=proof.body())
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert request("POST", "/v1/users", body=proof.body(), address="203.0.113.7").status == 201, "it cost no try"


def test_an_address_gets_thirty_password_resets_an_hour(phone: Phones, person: People) -> None:
    mine, body = phone(), {**NEVER_SENT, "new_password": "another good password"}
    alice = with_phone(person("alice"), mine)

    tries = [request("POST", "/v1/password-resets", body=body).code for _ in range(31)]
    assert tries == ["verification_code_wrong"] * 30 + ["rate_limited"]

    good = mine.prove("reset_password").body(new_password="another good password")
    refused = request("POST", "/v1/password-resets", body=good)
    assert 59 * 60 < int(refused.headers["retry-after"]) <= 60 * 60
    assert log_in_by_password(alice.username, PASSWORD).status == 201
    assert request("POST", "/v1/password-resets", body=good, address="203.0.113.7").status == 204


def test_of_many_resets_at_once_just_as_many_are_weighed_as_may(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PASSWORD_RESETS_FROM_ADDRESS", rate_limits.at_most(5, 60 * 60, "test"))
    body = {**NEVER_SENT, "new_password": "another good password"}

    with ThreadPoolExecutor(15) as pool:
        answers = list(pool.map(lambda _: request("POST", "/v1/password-resets", body=body), range(15)))

    assert sorted(answer.status for answer in answers) == [422] * 5 + [429] * 10


def test_without_redis_a_password_is_still_reset(
    phone: Phones, person: People, without_redis: Callable[[], AbstractContextManager[None]]
) -> None:
    mine = phone()
    with_phone(person("alice"), mine)
    body = mine.prove("reset_password").body(new_password="another good password")

    with without_redis():
        assert request("POST", "/v1/password-resets", body=body).status == 204
