"""The SMS vendor's stand-in refuses what the vendor refuses."""

import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from local.stack import Stack

_MESSAGE = {
    "PhoneNumbers": "13800138001",
    "SignName": "鸿雁",
    "TemplateCode": "SMS_100000001",
    "TemplateParam": '{"code": "123456"}',
}


def call(
    engines: Stack,
    *,
    message: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    tampered: dict[str, str] | None = None,
    leave_unsigned: str | None = None,
) -> httpx.Response:
    """Sign a request as the vendor's guide says and send it, perhaps changed after it was signed."""
    account = engines.sms_account
    query = _MESSAGE if message is None else message
    signed = {
        "host": httpx.URL(account["endpoint"]).netloc.decode(),
        "x-acs-action": "SendSms",
        "x-acs-version": "2017-05-25",
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        **(headers or {}),
    }
    names = ";".join(sorted(name for name in signed if name != leave_unsigned))
    canonical_query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(query.items()))
    canonical_headers = "".join(f"{name}:{signed[name]}\n" for name in names.split(";"))
    canonical = "\n".join(("POST", "/", canonical_query, canonical_headers, names, signed["x-acs-content-sha256"]))
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(account["access_key_secret"].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={account['access_key_id']},SignedHeaders={names},Signature={signature}"
    )
    return httpx.post(account["endpoint"], params={**query, **(tampered or {})}, headers=signed)


def code(answer: httpx.Response) -> Any:
    return answer.json()["Code"]


def inbox(engines: Stack) -> Any:
    return httpx.get(engines.sms_inbox_url, params={"phone": "+8613800138001"}).json()


def test_a_request_as_the_vendor_wants_it_is_delivered(engines: Stack) -> None:
    before = inbox(engines)

    answer = call(engines)

    assert (answer.status_code, code(answer)) == (200, "OK")
    new = inbox(engines)[len(before) :]
    assert [(message["phone"], message["code"]) for message in new] == [("+8613800138001", "123456")]
    assert datetime.fromisoformat(new[0]["at"]) > datetime.now(UTC) - timedelta(minutes=1)


def test_a_plus_that_was_not_escaped_finds_the_phone_too(engines: Stack) -> None:
    call(engines)

    assert httpx.get(f"{engines.sms_inbox_url}?phone=+8613800138001").json() == inbox(engines) != []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tampered": {"PhoneNumbers": "13900139000"}}, "SignatureDoesNotMatch"),
        ({"tampered": {"TemplateParam": '{"code": "654321"}'}}, "SignatureDoesNotMatch"),
        ({"headers": {"x-acs-content-sha256": hashlib.sha256(b"x").hexdigest()}}, "SignatureDoesNotMatch"),
        ({"leave_unsigned": "x-acs-signature-nonce"}, "IncompleteSignature"),
        ({"headers": {"x-acs-date": "2020-01-01T00:00:00Z"}}, "InvalidTimeStamp.Expired"),
        ({"headers": {"x-acs-date": "today"}}, "InvalidTimeStamp.Format"),
        ({"headers": {"x-acs-action": "SendBatchSms"}}, "InvalidAction.NotFound"),
    ],
)
def test_a_request_that_is_not_as_signed_or_not_fresh_is_refused(
    engines: Stack, change: dict[str, Any], expected: str
) -> None:
    before = inbox(engines)

    answer = call(engines, **change)

    assert (answer.status_code >= 400, code(answer)) == (True, expected)
    assert inbox(engines) == before


def test_a_request_that_is_sent_twice_is_refused_the_second_time(engines: Stack) -> None:
    nonce = {"x-acs-signature-nonce": secrets.token_hex(16)}

    assert [code(call(engines, headers=nonce)) for _ in range(2)] == ["OK", "SignatureNonceUsed"]


@pytest.mark.parametrize("authorization", ["", "Bearer x", "ACS3-HMAC-SHA256 Credential=local"])
def test_a_request_without_a_signature_is_refused(engines: Stack, authorization: str) -> None:
    answer = httpx.post(engines.sms_account["endpoint"], params=_MESSAGE, headers={"authorization": authorization})

    assert (answer.status_code, code(answer)) == (400, "IncompleteSignature")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"PhoneNumbers": ""}, "MissingPhoneNumbers"),
        ({"SignName": ""}, "MissingSignName"),
        ({"TemplateCode": ""}, "MissingTemplateCode"),
        ({"PhoneNumbers": "110"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"SignName": "别人"}, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"TemplateCode": "SMS_0"}, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"TemplateParam": "code"}, "isv.INVALID_JSON_PARAM"),
        ({"TemplateParam": "{}"}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"TemplateParam": json.dumps({"code": "1", "more": "2"})}, "isv.TEMPLATE_MISSING_PARAMETERS"),
    ],
)
def test_a_message_that_the_vendor_would_not_send_is_refused(
    engines: Stack, change: dict[str, str], expected: str
) -> None:
    before = inbox(engines)

    answer = call(engines, message={**_MESSAGE, **change})

    assert code(answer) == expected
    assert inbox(engines) == before


def test_a_fault_that_there_is_not_is_named_as_such(engines: Stack) -> None:
    answer = httpx.put(f"{engines.sms_account['endpoint']}/fault", json={"kind": "earthquake"})

    assert answer.status_code == 422
    assert "flow_control" in answer.json()["kinds"]
