"""Codes by SMS: sent through the vendor's own SDK to a stand-in that checks its requests."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hongyan import rate_limits, stores
from hongyan.clock import now
from hongyan.errors import RateLimited
from hongyan.tables import verification_codes

from functions.user import codes, sms
from functions.user.sms import AlibabaSms, SmsAccount
from local.stack import Stack
from tests.support.deployment import Deployment
from tests.support.gateway import Response, request
from tests.support.people import a_device
from tests.support.phones import Phone, Proof

Phones = Callable[[], Phone]


def register(proof: Proof, **more: object) -> Response:
    return request("POST", "/v1/users", body=proof.body(**more))


def log_in(proof: Proof) -> Response:
    return request("POST", "/v1/sessions", body=proof.body(device=a_device()))


def with_code(proof: Proof, code: str) -> Proof:
    return Proof(proof.phone, proof.code_id, code)


def wrong(proof: Proof, offset: int = 1) -> Proof:
    return with_code(proof, f"{(int(proof.code) + offset) % 1_000_000:06}")


def forget_cool_down(phone: Phone) -> None:
    rate_limits.forgive(codes.COOL_DOWN, phone.number)


def counted_today(phone: Phone) -> int:
    """Return how many of the day's codes are used, by using up the rest."""
    left = 0
    with suppress(RateLimited):
        while True:
            rate_limits.take(codes.A_PHONE_A_DAY, phone.number)
            left += 1
    for _ in range(left):
        rate_limits.give_back((codes.A_PHONE_A_DAY, phone.number))
    return codes.A_PHONE_A_DAY.amount - left


def test_a_code_of_six_digits_arrives(phone: Phones) -> None:
    mine = phone()

    answer = mine.ask("register")

    assert answer.status == 202
    assert set(answer.json) == {"code_id", "expires_in", "resend_after"}
    assert (answer.json["expires_in"], answer.json["resend_after"]) == (300, 30)
    assert [re.fullmatch(r"[0-9]{6}", code) is not None for code in mine.codes()] == [True]
    assert mine.codes()[0] not in answer.text


def test_what_is_kept_of_a_code_does_not_show_it(phone: Phones) -> None:
    proof = phone().prove("register")

    with stores.engine().connect() as connection:
        kept = connection.execute(sa.select(verification_codes)).one()

    assert proof.code not in repr(tuple(kept)).replace(proof.code_id, "").replace(proof.phone, "")


def test_eleven_digits_and_e164_are_one_phone(phone: Phones) -> None:
    mine = phone()
    local = Phone(mine.number.removeprefix("+86"), mine.inbox_url)

    assert local.ask("register").status == 202
    assert len(mine.codes()) == 1
    assert mine.ask("register").code == "rate_limited"


@pytest.mark.parametrize(
    "number",
    [
        "",
        "1380013800",
        "+86 138 0013 8000",
        "138-0013-8000",
        "１３８００１３８０００",
        "+861012345678",
        "+12",
        13800138000,
        None,
    ],
)
def test_what_is_no_mobile_number_is_refused(deployment: Deployment, number: object) -> None:
    answer = request("POST", "/v1/verification-codes", body={"phone": number, "purpose": "register"})

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"] == ["body", "phone"]


@pytest.mark.parametrize("purpose", ["", "transfer", None])
def test_a_purpose_that_there_is_not_is_refused(phone: Phones, purpose: str) -> None:
    assert phone().ask(purpose).code == "validation_failed"


def test_the_answer_does_not_tell_whether_a_phone_is_registered(phone: Phones) -> None:
    registered, unknown = phone(), phone()
    assert register(registered.prove("register")).status == 201
    forget_cool_down(registered)

    answers = [each.ask(purpose) for each in (registered, unknown) for purpose in ("login",)]

    assert {(answer.status, tuple(sorted(answer.json))) for answer in answers} == {
        (202, ("code_id", "expires_in", "resend_after"))
    }
    assert len(unknown.codes()) == 1


def test_a_code_is_good_once(phone: Phones) -> None:
    proof = phone().prove("register")

    assert register(proof).status == 201
    assert register(proof).code == "verification_code_expired"


def test_a_wrong_code_is_refused_and_the_right_one_is_still_good(phone: Phones) -> None:
    proof = phone().prove("register")

    answer = register(wrong(proof))

    assert (answer.status, answer.code) == (422, "verification_code_wrong")
    assert register(proof).status == 201


def test_five_wrong_tries_end_a_code(phone: Phones) -> None:
    proof = phone().prove("register")

    tries = [register(wrong(proof, offset)).code for offset in range(1, 6)]

    assert tries == ["verification_code_wrong"] * 5
    answer = register(proof)
    assert (answer.status, answer.code) == (410, "verification_code_expired")


def test_a_code_of_another_phone_is_wrong(phone: Phones) -> None:
    mine, theirs = phone().prove("register"), phone().prove("register")

    assert register(Proof(theirs.phone, mine.code_id, mine.code)).code == "verification_code_wrong"
    assert register(with_code(theirs, mine.code)).code == "verification_code_wrong" or mine.code == theirs.code


def test_a_code_for_another_purpose_is_wrong(phone: Phones) -> None:
    assert register(phone().prove("login")).code == "verification_code_wrong"


def test_a_code_that_was_never_sent_is_wrong(phone: Phones) -> None:
    assert register(Proof(phone().number, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "123456")).code == "verification_code_wrong"


@pytest.mark.parametrize("code_id", ["nothing", "", "编号", "x" * 100, "01arz3ndektsv4rrffq69g5fav"])
def test_what_cannot_be_the_id_of_a_code_is_refused_as_such(phone: Phones, code_id: str) -> None:
    answer = register(Proof(phone().number, code_id, "123456"))

    assert answer.code == "validation_failed"
    assert answer.json["errors"][0]["loc"] == ["body", "code_id"]


@pytest.mark.parametrize("code", ["", "12345", "1234567", "１２３４５６", "12345a", 123456])
def test_what_is_no_code_at_all_is_refused_and_costs_no_try(phone: Phones, code: str) -> None:
    proof = phone().prove("register")

    for _ in range(5):
        assert register(with_code(proof, code)).code == "validation_failed"

    assert register(proof).status == 201


def test_a_code_is_good_for_five_minutes(phone: Phones) -> None:
    early, late = phone().prove("register"), phone().prove("register")
    for proof, age in ((early, timedelta(minutes=4, seconds=50)), (late, timedelta(minutes=5))):
        with stores.engine().begin() as connection:
            connection.execute(
                sa.update(verification_codes)
                .where(verification_codes.c.id == proof.code_id)
                .values(expires_at=now() + codes.LIFE - age)
            )

    assert register(early).status == 201
    assert register(late).code == "verification_code_expired"


def test_of_twenty_tries_at_once_one_succeeds(phone: Phones) -> None:
    proof = phone().prove("register")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(register, [proof] * 20))

    assert sorted(answer.status for answer in answers) == [201] + [410] * 19


def test_of_twenty_guesses_at_once_five_are_weighed(phone: Phones) -> None:
    proof = phone().prove("register")

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(lambda offset: register(wrong(proof, offset)).code, range(1, 21)))

    assert sorted(outcomes) == ["verification_code_expired"] * 15 + ["verification_code_wrong"] * 5
    assert register(proof).code == "verification_code_expired"


def test_the_next_code_comes_after_the_cool_down(phone: Phones) -> None:
    mine = phone()
    mine.prove("register")

    answer = mine.ask("login")

    assert (answer.status, answer.code) == (429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert len(mine.codes()) == 1


def test_of_twenty_requests_at_once_one_is_sent(phone: Phones) -> None:
    mine = phone()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(mine.ask, ["register"] * 20))

    assert sorted(answer.status for answer in answers) == [202] + [429] * 19
    assert len(mine.codes()) == 1


def test_a_phone_gets_ten_codes_a_day(phone: Phones) -> None:
    mine = phone()
    for _ in range(10):
        assert mine.ask("register").status == 202
        forget_cool_down(mine)

    answer = mine.ask("register")

    assert (answer.status, answer.code) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) > 23 * 60 * 60
    assert len(mine.codes()) == 10


def test_an_address_gets_thirty_codes_an_hour(phone: Phones) -> None:
    for _ in range(30):
        assert phone().ask("register").status == 202
    one_more = phone()

    answer = one_more.ask("register")

    assert (answer.status, answer.code) == (429, "rate_limited")
    assert 50 * 60 < int(answer.headers["retry-after"]) <= 60 * 60
    assert one_more.codes() == []


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("flow_control", 429, "rate_limited"),
        ("day_limit", 429, "rate_limited"),
        ("number_illegal", 422, "phone_not_reachable"),
        ("balance", 503, "sms_unavailable"),
        ("throttling", 429, "rate_limited"),
    ],
)
def test_what_the_vendor_refuses_was_not_sent_and_does_not_count(
    phone: Phones, vendor_fault: Callable[[str], None], fault: str, status: int, code: str
) -> None:
    mine = phone()
    vendor_fault(fault)

    answer = mine.ask("register")

    assert (answer.status, answer.code) == (status, code)
    assert ("retry-after" in answer.headers) == (status != 422)
    assert mine.codes() == []
    with stores.engine().connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(verification_codes)) == 0
    assert counted_today(mine) == 0
    assert mine.ask("register").status == 202, "the cool-down was not used"


@pytest.mark.parametrize("fault", ["server_error", "hang_up", "slow", "late"])
def test_what_the_vendor_perhaps_sent_counts_and_is_no_good(
    phone: Phones, vendor_fault: Callable[[str], None], fault: str
) -> None:
    """Whoever delivers and does not say so must not be made to deliver without end."""
    mine = phone()
    vendor_fault(fault)

    answer = mine.ask("register")

    assert (answer.status, answer.code) == (503, "sms_unavailable")
    assert int(answer.headers["retry-after"]) == 30
    assert len(mine.codes()) == (1 if fault == "late" else 0)
    with stores.engine().connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(verification_codes)) == 0
    assert mine.ask("register").code == "rate_limited"
    assert counted_today(mine) == 1
    forget_cool_down(mine)
    assert mine.ask("register").status == 202


def test_nobody_who_takes_the_connection_means_that_nothing_was_sent(
    phone: Phones, engines: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = phone()
    account = SmsAccount.model_validate({**engines.sms_account, "endpoint": "http://127.0.0.1:1"})
    with monkeypatch.context() as patch:
        patch.setattr(sms, "sender", lambda: AlibabaSms(account))
        assert mine.ask("register").code == "sms_unavailable"

    assert counted_today(mine) == 0
    assert mine.ask("register").status == 202


def test_a_day_of_codes_refused_leaves_the_cool_down_as_it_was(phone: Phones) -> None:
    mine = phone()
    for _ in range(10):
        rate_limits.take(codes.A_PHONE_A_DAY, mine.number)

    waits = [int(mine.ask("register").headers["retry-after"]) for _ in range(2)]

    assert min(waits) > 23 * 60 * 60


def test_an_address_that_asks_too_much_uses_up_no_phones_codes(phone: Phones) -> None:
    for _ in range(30):
        rate_limits.take(codes.AN_ADDRESS_AN_HOUR, "127.0.0.1")
    mine = phone()

    assert mine.ask("register").code == "rate_limited"

    assert counted_today(mine) == 0


def test_without_redis_no_code_is_sent(
    phone: Phones, without_redis: Callable[[], AbstractContextManager[None]]
) -> None:
    mine = phone()

    with without_redis():
        answer = mine.ask("register")

    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert mine.codes() == []


def test_old_codes_are_cleared_away_by_new_ones(phone: Phones) -> None:
    old = phone().prove("register")
    with stores.engine().begin() as connection:
        connection.execute(sa.update(verification_codes).values(expires_at=now() - codes.KEPT - timedelta(seconds=1)))

    new = phone().prove("register")

    with stores.engine().connect() as connection:
        assert connection.scalars(sa.select(verification_codes.c.id)).all() == [new.code_id]
    assert register(old).code == "verification_code_wrong"


def test_a_code_that_two_registrations_share_makes_one_account(phone: Phones) -> None:
    """Two codes to one phone, used at the same moment."""
    mine = phone()
    first = mine.prove("register")
    forget_cool_down(mine)
    second = mine.prove("register")
    together = threading.Barrier(2)

    def at_once(proof: Proof) -> int:
        together.wait()
        return register(proof).status

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(at_once, [first, second])) == [201, 409]
    assert log_in_again(mine).status == 201


def log_in_again(phone: Phone) -> Response:
    forget_cool_down(phone)
    return log_in(phone.prove("login"))
