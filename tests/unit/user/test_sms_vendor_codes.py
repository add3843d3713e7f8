"""What the SMS vendor's refusals are for whoever asked for a code."""

import pytest

from functions.user.codes import SmsPerhapsSent
from functions.user.sms import problem_of


@pytest.mark.parametrize(
    ("code", "message", "problem", "retry_after"),
    [
        ("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1", "rate_limited", 60),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5", "rate_limited", 3_600),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10", "rate_limited", 86_400),
        ("isv.BUSINESS_LIMIT_CONTROL", "", "rate_limited", 60),
        ("isv.DAY_LIMIT_CONTROL", "", "rate_limited", 86_400),
        ("isv.MONTH_LIMIT_CONTROL", "", "rate_limited", 86_400),
        ("Throttling.User", "", "rate_limited", 60),
        ("Throttling", "", "rate_limited", 60),
        ("isv.MOBILE_NUMBER_ILLEGAL", "", "phone_not_reachable", None),
        ("isv.AMOUNT_NOT_ENOUGH", "", "sms_unavailable", 30),
        ("isv.OUT_OF_SERVICE", "", "sms_unavailable", 30),
        ("isv.SMS_TEMPLATE_ILLEGAL", "", "sms_unavailable", 30),
        ("isv.SMS_SIGNATURE_ILLEGAL", "", "sms_unavailable", 30),
        ("isp.SYSTEM_ERROR", "", "sms_unavailable", 30),
        ("isp.RAM_PERMISSION_DENY", "", "sms_unavailable", 30),
        ("SignatureDoesNotMatch", "", "sms_unavailable", 30),
        ("a code of tomorrow", "", "sms_unavailable", 30),
    ],
)
def test_each_refusal_becomes_the_right_answer(code: str, message: str, problem: str, retry_after: int | None) -> None:
    answer = problem_of(code, message)

    assert (answer.code, answer.retry_after_seconds) == (problem, retry_after)


@pytest.mark.parametrize(
    ("code", "status", "is_known"),
    [
        ("isv.AMOUNT_NOT_ENOUGH", 200, True),
        ("SignatureDoesNotMatch", 400, True),
        ("isp.SYSTEM_ERROR", 200, False),
        ("ServiceUnavailable", 503, False),
        ("Throttling", 503, True),
    ],
)
def test_an_error_of_the_vendors_own_does_not_tell_whether_it_sent(code: str, status: int, is_known: bool) -> None:  # noqa: FBT001
    assert isinstance(problem_of(code, "", status), SmsPerhapsSent) != is_known
