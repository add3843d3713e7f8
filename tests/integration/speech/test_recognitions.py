"""POST /v1/speech/recognitions: what is recognised, for whom, and what is refused."""

from array import array
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from hongyan import rate_limits
from hongyan.ids import new_id

from functions.speech import service
from functions.speech.api import MOST_BYTES
from functions.speech.recordings import MOST_BYTES as MOST_OF_A_FILE
from tests.support.gateway import Response, request
from tests.support.people import Person
from tests.support.recordings import MIMES, WORDS, an_uploaded, converted, raw, spoken, tone, waved

People = Callable[[str], Person]
Fail = Callable[..., None]

PATH = "/v1/speech/recognitions"


def recognise(person: Person, recording: bytes, content_type: str = "audio/wav", **query: str) -> Response:
    url = f"{PATH}?{urlencode({'language': 'en', **query})}"
    return request("POST", url, token=person.token, raw=recording, headers={"Content-Type": content_type})


def recognise_file(person: Person, file_id: str, language: str = "en") -> Response:
    return person.post(PATH, {"file_id": file_id, "language": language})


@pytest.fixture
def alice(person: People) -> Person:
    return person("alice")


# ---------------------------------------------------------------- audio in the body


@pytest.mark.parametrize(
    ("kind", "rate", "layout"),
    [("wav", 16_000, "mono"), ("wav", 44_100, "stereo"), ("m4a", 44_100, "mono"), ("mp3", 44_100, "mono"),
     ("opus", 48_000, "mono")],
)  # fmt: skip
def test_words_are_recognised_in_any_format(alice: Person, kind: str, rate: int, layout: str) -> None:
    answer = recognise(alice, converted(spoken(), kind, rate, layout), MIMES[kind])

    assert (answer.status, answer.json) == (200, {"text": WORDS})


@pytest.mark.parametrize(("kind", "rate"), [("amr", 8_000), ("wav", 8_000)])
def test_what_was_recorded_at_8_khz_is_heard_too(alice: Person, kind: str, rate: int) -> None:
    answer = recognise(alice, converted(spoken(), kind, rate), MIMES[kind])

    assert answer.status == 200
    assert answer.json["text"].startswith("all ")


def test_bare_samples_are_recognised(alice: Person) -> None:
    assert recognise(alice, raw(spoken(), 16_000), "audio/pcm;rate=16000").json == {"text": WORDS}


def test_without_a_language_it_is_mandarin_of_which_the_stand_in_understands_nothing(alice: Person) -> None:
    answer = request("POST", PATH, token=alice.token, raw=spoken(), headers={"Content-Type": "audio/wav"})

    assert (answer.status, answer.code) == (422, "audio_unrecognisable")


def test_a_refusal_is_told_in_the_callers_language(alice: Person) -> None:
    headers = {"Content-Type": "audio/wav", "Accept-Language": "zh"}

    assert request("POST", PATH, token=alice.token, raw=b"", headers=headers).json["title"] == "音频为空"


def test_empty_audio_is_refused(alice: Person) -> None:
    answer = recognise(alice, b"")

    assert (answer.status, answer.code) == (422, "audio_empty")


def test_text_renamed_to_wav_is_refused(alice: Person) -> None:
    answer = recognise(alice, b"These are my notes of the meeting.\n" * 50)

    assert (answer.status, answer.code) == (422, "audio_unreadable")


def test_61_s_are_refused(alice: Person) -> None:
    answer = recognise(alice, waved(tone(61)))

    assert (answer.status, answer.code) == (422, "audio_too_long")


def test_a_truncated_header_is_refused(alice: Person) -> None:
    answer = recognise(alice, spoken()[:30])

    assert (answer.status, answer.code) == (422, "audio_unreadable")


@pytest.mark.parametrize("content_type", ["audio/pcm", "audio/pcm;rate=44100", "audio/pcm;rate=0"])
def test_a_rate_that_is_not_taken_is_refused(alice: Person, content_type: str) -> None:
    answer = recognise(alice, raw(spoken(), 16_000), content_type)

    assert (answer.status, answer.code) == (415, "unsupported_audio")


def test_a_header_with_a_wrong_rate_is_refused(alice: Person) -> None:
    wrong = bytearray(waved(tone(1)))
    wrong[24:28] = (8_000).to_bytes(4, "little")

    answer = recognise(alice, bytes(wrong))

    assert (answer.status, answer.code) == (422, "audio_unreadable")


@pytest.mark.parametrize("language", ["fr", "", "ZH", "zh-CN"])
def test_an_unsupported_language_is_refused(alice: Person, language: str) -> None:
    answer = recognise(alice, spoken(), language=language)

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"] == ["query", "language"]


@pytest.mark.parametrize("content_type", ["image/png", "text/plain", "application/octet-stream", "audio/flac"])
def test_what_is_declared_as_something_else_is_refused(alice: Person, content_type: str) -> None:
    answer = recognise(alice, b"\x89PNG\r\n\x1a\n" + bytes(500), content_type)

    assert (answer.status, answer.code) == (415, "unsupported_audio")


def test_a_picture_declared_as_audio_is_refused(alice: Person) -> None:
    answer = recognise(alice, b"\x89PNG\r\n\x1a\n" + bytes(500), "audio/m4a")

    assert (answer.status, answer.code) == (422, "audio_unreadable")


def test_silence_is_told_without_asking_the_vendor(alice: Person, calls: Callable[[], dict[str, int]]) -> None:
    before = calls()

    answer = recognise(alice, waved(array("h", bytes(64_000))))

    assert (answer.status, answer.code) == (422, "audio_unrecognisable")
    assert calls() == before


def test_more_than_4_mib_of_audio_are_refused(alice: Person) -> None:
    answer = recognise(alice, waved(tone(1)) + bytes(MOST_BYTES))

    assert (answer.status, answer.code) == (413, "audio_too_large")


def test_nobody_else_hears_it(deployment: object) -> None:
    answer = request("POST", PATH, raw=spoken(), headers={"Content-Type": "audio/wav"})

    assert (answer.status, answer.code) == (401, "token_invalid")


# ---------------------------------------------------------------- uploads


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("kind", ["wav", "m4a"])
def test_an_upload_of_ones_own_is_recognised(alice: Person, kind: str) -> None:
    file_id = an_uploaded(converted(spoken(), kind, 44_100), alice, mime=MIMES[kind])

    answer = recognise_file(alice, file_id)

    assert (answer.status, answer.json) == (200, {"text": WORDS})


@pytest.mark.usefixtures("bucket")
def test_an_upload_of_44_khz_stereo_that_no_body_could_hold_is_recognised(alice: Person) -> None:
    words_and_silence = waved(array("h", raw(spoken(), 16_000) + bytes(32_000 * 40)))
    sound = converted(words_and_silence, "wav", 44_100, "stereo")
    assert len(sound) > MOST_BYTES

    assert recognise_file(alice, an_uploaded(sound, alice)).json == {"text": WORDS}


@pytest.mark.usefixtures("bucket")
def test_anothers_file_is_not_there(alice: Person, person: People) -> None:
    file_id = an_uploaded(spoken(), person("bob"))

    answer = recognise_file(alice, file_id)

    assert (answer.status, answer.code) == (404, "file_not_found")


@pytest.mark.usefixtures("bucket")
def test_a_file_that_never_was_is_not_there(alice: Person) -> None:
    answer = recognise_file(alice, new_id())

    assert (answer.status, answer.code) == (404, "file_not_found")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("difference", [{"completed": False}, {"purpose": "avatar"}, {"purpose": "image"}])
def test_an_upload_that_is_no_complete_recording_is_refused(alice: Person, difference: dict[str, Any]) -> None:
    answer = recognise_file(alice, an_uploaded(spoken(), alice, **difference))

    assert (answer.status, answer.code) == (422, "file_not_usable")


@pytest.mark.usefixtures("bucket")
def test_an_upload_whose_bytes_are_gone_is_not_there(alice: Person) -> None:
    file_id = an_uploaded(spoken(), alice)
    boto3.client("s3").delete_object(Bucket="files", Key=f"voice/{file_id}")

    assert recognise_file(alice, file_id).code == "file_not_found"


@pytest.mark.usefixtures("bucket")
def test_an_upload_over_10_mib_is_not_even_read(alice: Person) -> None:
    answer = recognise_file(alice, an_uploaded(bytes(MOST_OF_A_FILE + 1), alice))

    assert (answer.status, answer.code) == (413, "audio_too_large")


@pytest.mark.usefixtures("bucket")
def test_an_upload_that_turns_out_to_be_a_picture_is_refused(alice: Person) -> None:
    answer = recognise_file(alice, an_uploaded(b"\xff\xd8\xff\xe0" + bytes(500), alice))

    assert (answer.status, answer.code) == (422, "audio_unreadable")


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["body", "file_id"]),
        ({"file_id": "x"}, ["body", "file_id"]),
        ({"file_id": new_id(), "language": "fr"}, ["body", "language"]),
        ({"file_id": new_id(), "lang": "en"}, ["body", "lang"]),
        ([], ["body"]),
    ],
)
def test_a_body_that_names_no_upload_is_refused(alice: Person, body: Any, loc: list[str]) -> None:
    answer = alice.post(PATH, body)

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"] == loc


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(alice: Person, body: bytes) -> None:
    answer = request("POST", PATH, token=alice.token, raw=body, headers={"Content-Type": "application/json"})

    assert (answer.status, answer.code) == (400, "malformed_json")


def test_json_over_128_kib_is_refused(alice: Person) -> None:
    body = b'{"file_id": "' + b"x" * 128 * 1024 + b'"}'

    answer = request("POST", PATH, token=alice.token, raw=body, headers={"Content-Type": "application/json"})

    assert (answer.status, answer.code) == (413, "body_too_large")


# ---------------------------------------------------------------- limits, and a vendor that fails


def test_who_recognises_too_often_waits(alice: Person, person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "TRIES", rate_limits.at_most(2, 60, "recognition-tries"))
    for _ in range(2):
        assert recognise(alice, b"").code == "audio_empty"

    answer = recognise(alice, b"")

    assert (answer.status, answer.code) == (429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert recognise(person("bob"), b"").code == "audio_empty"


def test_only_what_the_vendor_was_asked_counts_for_the_day(
    alice: Person, monkeypatch: pytest.MonkeyPatch, speech_fault: Fail
) -> None:
    monkeypatch.setattr(service, "RECOGNITIONS_A_DAY", rate_limits.at_most(1, 86_400, "recognitions"))
    speech_fault("err_no", 3300)
    assert recognise(alice, spoken()).code == "speech_unavailable"
    assert recognise(alice, b"no audio").code == "audio_unreadable"

    assert recognise(alice, spoken()).status == 200
    assert recognise(alice, spoken()).code == "rate_limited"


def test_without_redis_nothing_is_recognised_as_each_recognition_costs_money(
    alice: Person, without_redis: Callable[[], AbstractContextManager[None]], calls: Callable[[], dict[str, int]]
) -> None:
    before = calls()

    with without_redis():
        answer = recognise(alice, spoken())

    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert calls() == before


@pytest.mark.parametrize(("number", "retry_after"), [(3305, "3600"), (19, "3600"), (6, "30")])
def test_a_vendor_that_refuses_us_is_unavailable_to_whoever_asks(
    alice: Person, speech_fault: Fail, number: int, retry_after: str
) -> None:
    speech_fault("err_no", number)

    answer = recognise(alice, spoken())

    assert (answer.status, answer.code) == (503, "speech_unavailable")
    assert answer.headers["retry-after"] == retry_after
