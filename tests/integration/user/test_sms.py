"""The vendor's SDK against the stand-in: what is sent, and what is never logged."""

import logging
import traceback
from collections.abc import Callable

import httpx
import pytest
from hongyan.errors import Problem, SmsUnavailable

from functions.user.sms import AlibabaSms, SmsAccount
from local.stack import Stack
from tests.support.phones import Phone

Phones = Callable[[], Phone]


@pytest.fixture
def account(engines: Stack) -> SmsAccount:
    return SmsAccount.model_validate(engines.sms_account)


def calls(account: SmsAccount) -> int:
    count: int = httpx.get(f"{account.endpoint}/health").json()["calls"]
    return count


@pytest.mark.parametrize("purpose", ["register", "login", "change_phone", "reset_password"])
def test_a_code_for_each_purpose_arrives(phone: Phones, account: SmsAccount, purpose: str) -> None:
    mine = phone()

    AlibabaSms(account).send_code(mine.number, purpose, "012345")  # type: ignore[arg-type]

    assert mine.codes() == ["012345"]


@pytest.mark.parametrize("number", ["+447911123456", "+12025550123", "+85291234567"])
def test_numbers_of_other_countries_go_with_their_country_code(
    engines: Stack, account: SmsAccount, number: str
) -> None:
    AlibabaSms(account).send_code(number, "register", "654321")

    assert Phone(number, engines.sms_inbox_url).codes()[-1] == "654321"


@pytest.mark.parametrize(
    "difference",
    [
        {"access_key_secret": "not the secret"},
        {"access_key_id": "nobody"},
        {"sign_name": "别人"},
        {"template_codes": {"register": "SMS_0"}},
        {"endpoint": "http://127.0.0.1:1"},
    ],
)
def test_an_account_that_the_vendor_does_not_take_sends_nothing(
    phone: Phones, account: SmsAccount, difference: dict[str, object]
) -> None:
    mine = phone()

    with pytest.raises(SmsUnavailable):
        AlibabaSms(account.model_copy(update=difference)).send_code(mine.number, "register", "123456")

    assert mine.codes() == []


@pytest.mark.parametrize(
    "fault", ["slow", "late", "hang_up", "server_error", "throttling", "flow_control", "hour_limit"]
)
def test_what_failed_is_not_sent_again_by_itself(
    phone: Phones, account: SmsAccount, vendor_fault: Callable[[str], None], fault: str
) -> None:
    before = calls(account)
    vendor_fault(fault)

    with pytest.raises(Problem):
        AlibabaSms(account).send_code(phone().number, "register", "123456")

    assert calls(account) == before + 1


@pytest.mark.parametrize("fault", ["slow", "hang_up", "server_error", "number_illegal", "nobody answers"])
def test_a_failure_says_neither_code_nor_phone_nor_secret(  # each is a fixture
    phone: Phones,
    account: SmsAccount,
    vendor_fault: Callable[[str], None],
    fault: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    mine, code = phone(), f"{271_828:06}"
    if fault == "nobody answers":
        account = account.model_copy(update={"endpoint": "http://127.0.0.1:1"})
    else:
        vendor_fault(fault)

    with pytest.raises(Problem) as raised:
        AlibabaSms(account).send_code(mine.number, "register", code)

    printed = capsys.readouterr()
    said = "".join([printed.out, printed.err, *(logging.Formatter().format(record) for record in caplog.records)])
    said += "".join(traceback.format_exception(raised.value))
    assert "SMS vendor" in said
    for secret in (code, mine.number.removeprefix("+86"), account.access_key_secret):
        assert secret not in said
