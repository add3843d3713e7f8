"""The speech vendor's stand-in refuses what the vendor refuses, and says only what it hears."""

import base64
from typing import Any

import httpx
import pytest
from hongyan.audio_formats import declared

from functions.speech.samples import speech_of
from local.stack import Stack
from tests.support.recordings import WORDS, spoken, tone

SECOND = 32_000


@pytest.fixture
def speech() -> bytes:
    return speech_of(spoken(), declared("audio/wav"))


def token_call(engines: Stack, **difference: str) -> httpx.Response:
    account = engines.speech_account
    asked = {
        "grant_type": "client_credentials",
        "client_id": account["api_key"],
        "client_secret": account["secret_key"],
    }
    return httpx.get(account["token_url"], params={**asked, **difference})


def asked(engines: Stack, recording: bytes, /, **difference: Any) -> dict[str, Any]:
    return {
        "format": "pcm",
        "rate": 16_000,
        "channel": 1,
        "cuid": "a device",
        "token": token_call(engines).json()["access_token"],
        "dev_pid": 1737,
        "speech": base64.b64encode(recording).decode(),
        "len": len(recording),
        **difference,
    }


def answer(engines: Stack, body: Any) -> dict[str, Any]:
    answered: dict[str, Any] = httpx.post(engines.speech_account["recognition_url"], json=body, timeout=30).json()
    return answered


def test_a_sound_request_is_answered_as_the_vendor_does(engines: Stack, speech: bytes) -> None:
    given = answer(engines, asked(engines, speech))

    assert given == {"err_no": 0, "err_msg": "success.", "sn": given["sn"], "result": [WORDS]}


def test_what_was_said_before_changes_nothing_of_what_is_heard(engines: Stack, speech: bytes) -> None:
    answer(engines, asked(engines, speech_of(spoken("one two three"), declared("audio/wav"))))

    assert [answer(engines, asked(engines, speech))["result"] for _ in range(2)] == [[WORDS], [WORDS]]


@pytest.mark.parametrize(
    "difference", [{"client_id": "nobody"}, {"client_secret": "guessed"}, {"client_secret": ""}, {"grant_type": "x"}]
)
def test_wrong_keys_get_no_token(engines: Stack, difference: dict[str, str]) -> None:
    refused = token_call(engines, **difference)

    assert refused.status_code in {400, 401}
    assert "access_token" not in refused.json()


@pytest.mark.parametrize(
    ("difference", "err_no"),
    [
        ({"token": "guessed"}, 3302),
        ({"token": ""}, 3302),
        ({"cuid": ""}, 3300),
        ({"cuid": "x" * 61}, 3300),
        ({"len": 1}, 3300),
        ({"len": "7"}, 3300),
        ({"speech": "no base64"}, 3300),
        ({"channel": 2}, 3300),
        ({"dev_pid": 1}, 3300),
        ({"rate": 8_000}, 3311),
        ({"rate": 44_100}, 3311),
        ({"format": "mp3"}, 3312),
        ({"more": 1}, 3300),
        ({"dev_pid": 1537}, 3301),
    ],
)
def test_each_field_is_checked(engines: Stack, speech: bytes, difference: dict[str, Any], err_no: int) -> None:
    assert answer(engines, asked(engines, speech, **difference))["err_no"] == err_no


@pytest.mark.parametrize("field", ["format", "rate", "channel", "cuid", "token", "dev_pid", "speech", "len"])
def test_no_field_may_be_missing(engines: Stack, speech: bytes, field: str) -> None:
    body = asked(engines, speech)
    del body[field]

    assert answer(engines, body)["err_no"] == 3300


@pytest.mark.parametrize(
    ("speech", "err_no"),
    [
        (bytes(61 * SECOND), 3308),
        (bytes(100), 3314),
        (bytes(2 * SECOND), 3301),
        (tone(0.1).tobytes(), 3301),
    ],
    ids=["61 s", "a moment", "silence", "a beep"],
)
def test_what_holds_no_words_has_no_text(engines: Stack, speech: bytes, err_no: int) -> None:
    given = answer(engines, asked(engines, speech))

    assert given["err_no"] == err_no
    assert "result" not in given


def test_a_fault_that_there_is_not_cannot_be_ordered(engines: Stack) -> None:
    assert httpx.put(f"{engines.speech_url}/fault", json={"kind": "earthquake"}).status_code == 422


def test_a_fault_can_be_taken_back(engines: Stack, speech: bytes) -> None:
    url = f"{engines.speech_url}/fault"
    httpx.put(url, json={"kind": "err_no", "number": 3303, "times": 5})
    assert answer(engines, asked(engines, speech))["err_no"] == 3303

    httpx.delete(url)

    assert answer(engines, asked(engines, speech))["err_no"] == 0
