"""The vendor's SDK against the stand-in: what is asked and how often, and what is never logged."""

import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hongyan.audio_formats import declared
from hongyan.errors import AudioTooLong, AudioUnrecognisable, Problem, SpeechUnavailable

from functions.speech import recognition
from functions.speech.recognition import BaiduRecognizer, SpeechAccount, _Token, _Tokens
from functions.speech.samples import speech_of
from tests.support.recordings import WORDS, spoken

Calls = Callable[[], dict[str, int]]
Fail = Callable[..., None]

NOWHERE = "http://127.0.0.1:1/server_api"


@pytest.fixture
def words() -> bytes:
    return speech_of(spoken(), declared("audio/wav"))


@pytest.fixture
def recognizer(account: SpeechAccount) -> BaiduRecognizer:
    return BaiduRecognizer(account)


def test_english_is_recognised(recognizer: BaiduRecognizer, words: bytes) -> None:
    assert recognizer.recognize(words, "en") == WORDS


def test_what_the_vendor_cannot_make_out_is_no_text(recognizer: BaiduRecognizer, words: bytes) -> None:
    with pytest.raises(AudioUnrecognisable):
        recognizer.recognize(words, "zh")


def test_noise_says_nothing(recognizer: BaiduRecognizer) -> None:
    with pytest.raises(AudioUnrecognisable):
        recognizer.recognize(bytes([0, 1, 1, 0]) * 8_000, "en")


def test_one_token_serves_many_recognitions(recognizer: BaiduRecognizer, words: bytes, calls: Calls) -> None:
    before = calls()

    for _ in range(3):
        recognizer.recognize(words, "en")

    assert calls() == {"tokens": before["tokens"] + 1, "recognitions": before["recognitions"] + 3}


def test_threads_that_need_a_token_at_once_fetch_one(recognizer: BaiduRecognizer, words: bytes, calls: Calls) -> None:
    before = calls()["tokens"]

    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda _: recognizer.recognize(words, "en"), range(4)))

    assert texts == [WORDS] * 4
    assert calls()["tokens"] == before + 1


def test_a_token_that_the_vendor_takes_no_more_is_renewed_once(
    recognizer: BaiduRecognizer, words: bytes, calls: Calls, forget_tokens: Callable[[], None]
) -> None:
    recognizer.recognize(words, "en")
    before = calls()
    forget_tokens()

    assert recognizer.recognize(words, "en") == WORDS
    assert calls() == {"tokens": before["tokens"] + 1, "recognitions": before["recognitions"] + 2}


@pytest.mark.parametrize(("kind", "code"), [("err_no", 3302), ("error_code", 110), ("error_code", 111)])
def test_a_vendor_that_takes_no_token_at_all_is_asked_twice(  # each is a fixture
    recognizer: BaiduRecognizer, words: bytes, calls: Calls, speech_fault: Fail, kind: str, code: int
) -> None:
    before = calls()
    speech_fault(kind, code, times=9)

    with pytest.raises(SpeechUnavailable):
        recognizer.recognize(words, "en")

    assert calls() == {"tokens": before["tokens"] + 2, "recognitions": before["recognitions"] + 2}


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("err_no", 3303),
        ("err_no", 3304),
        ("err_no", 3307),
        ("err_no", 3313),
        ("error_code", 2),
        ("error_code", 18),
        ("status", 429),
        ("status", 500),
        ("status", 503),
        ("status", 200),
        ("hang_up", 0),
    ],
)
def test_what_may_pass_is_tried_again(
    recognizer: BaiduRecognizer, words: bytes, speech_fault: Fail, kind: str, number: int
) -> None:
    speech_fault(kind, number, times=2)

    assert recognizer.recognize(words, "en") == WORDS


@pytest.mark.parametrize(
    ("kind", "number", "problem"),
    [
        ("err_no", 3300, "speech_unavailable"),
        ("err_no", 3301, "audio_unrecognisable"),
        ("err_no", 3305, "speech_unavailable"),
        ("err_no", 3308, "audio_too_long"),
        ("err_no", 3309, "audio_unreadable"),
        ("err_no", 3311, "speech_unavailable"),
        ("err_no", 3312, "speech_unavailable"),
        ("err_no", 3314, "audio_unrecognisable"),
        ("error_code", 6, "speech_unavailable"),
        ("error_code", 17, "speech_unavailable"),
        ("status", 400, "speech_unavailable"),
        ("status", 403, "speech_unavailable"),
    ],
)
def test_what_will_not_pass_is_asked_once(  # noqa: PLR0917  # each is a fixture
    recognizer: BaiduRecognizer, words: bytes, calls: Calls, speech_fault: Fail, kind: str, number: int, problem: str
) -> None:
    before = calls()["recognitions"]
    speech_fault(kind, number)

    with pytest.raises(Problem) as raised:
        recognizer.recognize(words, "en")

    assert raised.value.code == problem
    assert calls()["recognitions"] == before + 1


def test_a_vendor_that_stays_broken_is_given_up(
    recognizer: BaiduRecognizer, words: bytes, calls: Calls, speech_fault: Fail
) -> None:
    before = calls()["recognitions"]
    speech_fault("status", 503, times=20)

    with pytest.raises(SpeechUnavailable) as raised:
        recognizer.recognize(words, "en")

    assert raised.value.retry_after_seconds == 30
    assert calls()["recognitions"] == before + 4


def test_a_token_service_that_stumbles_is_asked_again(
    recognizer: BaiduRecognizer, words: bytes, speech_fault: Fail
) -> None:
    speech_fault("status", 500, at="token")
    speech_fault("status", 200, at="token")

    assert recognizer.recognize(words, "en") == WORDS


@pytest.mark.parametrize("at", ["token", "recognition"])
def test_a_slow_vendor_is_not_waited_for_longer_than_a_request_may_last(
    monkeypatch: pytest.MonkeyPatch, account: SpeechAccount, words: bytes, speech_fault: Fail, at: str
) -> None:
    monkeypatch.setattr(recognition, "_READ_MS", 500)
    monkeypatch.setattr(recognition, "_NO_NEW_TRY_AFTER_SECONDS", 0.4)
    speech_fault("slow", at=at, times=5)
    began = time.monotonic()

    with pytest.raises(SpeechUnavailable):
        BaiduRecognizer(account).recognize(words, "en")

    assert time.monotonic() - began < 2


def test_two_tries_that_time_out_end_before_the_gateway_does() -> None:
    of_one = (recognition._CONNECT_MS + recognition._READ_MS) / 1_000

    assert of_one > recognition._NO_NEW_TRY_AFTER_SECONDS
    assert of_one * 2 + 2 < 28


@pytest.mark.parametrize(
    "difference",
    [{"secret_key": "not the secret"}, {"api_key": "nobody"}, {"token_url": NOWHERE}, {"recognition_url": NOWHERE}],
)
def test_an_account_or_an_address_that_is_wrong_recognises_nothing(
    account: SpeechAccount, words: bytes, difference: dict[str, str]
) -> None:
    with pytest.raises(SpeechUnavailable):
        BaiduRecognizer(account.model_copy(update=difference)).recognize(words, "en")


def test_the_vendor_itself_refuses_more_than_60_s(recognizer: BaiduRecognizer) -> None:
    with pytest.raises(AudioTooLong):
        recognizer.recognize(bytes(61 * 32_000), "en")


@pytest.mark.parametrize("fault", ["status", "hang_up", "err_no", "nobody answers", "wrong secret"])
def test_a_failure_says_neither_secret_nor_token_nor_words(  # each is a fixture
    account: SpeechAccount,
    words: bytes,
    speech_fault: Fail,
    fault: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    if fault == "nobody answers":
        account = account.model_copy(update={"token_url": NOWHERE})
    elif fault == "wrong secret":
        account = account.model_copy(update={"secret_key": "x-wrong-secret-x"})
    else:
        speech_fault(fault, 3300 if fault == "err_no" else 503, at="recognition", times=9)

    with pytest.raises(SpeechUnavailable) as raised:
        BaiduRecognizer(account).recognize(words, "en")

    printed = capsys.readouterr()
    said = "".join([printed.out, printed.err, *(logging.Formatter().format(record) for record in caplog.records)])
    said += "".join(traceback.format_exception(raised.value))
    assert "speech vendor" in said
    for secret in (account.secret_key, "access_token", "24.01", "client_secret"):
        assert secret not in said


# ---------------------------------------------------------------- the token's life


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1_000_000.0
        monkeypatch.setattr("time.time", lambda: self.at)


def test_a_token_is_kept_until_an_hour_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, fetched = Clock(monkeypatch), iter(range(9))
    tokens = _Tokens(lambda: _Token(access_token=str(next(fetched)), expires_in=30 * 86_400))

    first = tokens.current()
    clock.at += 30 * 86_400 - 3_601
    assert tokens.current() == first
    clock.at += 2
    assert tokens.current() != first


def test_a_token_of_a_short_life_is_kept_for_most_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, fetched = Clock(monkeypatch), iter(range(9))
    tokens = _Tokens(lambda: _Token(access_token=str(next(fetched)), expires_in=60))

    assert tokens.current() == "0"
    clock.at += 53
    assert tokens.current() == "0"
    clock.at += 2
    assert tokens.current() == "1"


def test_a_token_that_another_thread_has_renewed_is_not_forgotten() -> None:
    fetched = iter(range(9))
    tokens = _Tokens(lambda: _Token(access_token=str(next(fetched)), expires_in=60))
    old = tokens.current()
    tokens.forget(old)
    new = tokens.current()

    tokens.forget(old)

    assert tokens.current() == new


def test_a_refresh_that_fails_leaves_the_next_caller_to_try() -> None:
    is_away = iter([True, False])

    def fetch() -> _Token:
        if next(is_away):
            raise SpeechUnavailable
        return _Token(access_token="good", expires_in=60)

    tokens = _Tokens(fetch)
    with pytest.raises(SpeechUnavailable):
        tokens.current()

    assert tokens.current() == "good"
