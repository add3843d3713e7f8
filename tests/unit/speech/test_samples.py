"""What is taken as audio, what it becomes, and what is refused."""

import struct
import tracemalloc
from array import array

import pytest
from hongyan.audio_formats import Declared, declared
from hongyan.errors import (
    AudioEmpty,
    AudioTooLong,
    AudioUnreadable,
    AudioUnrecognisable,
    Problem,
    UnsupportedAudio,
)

from functions.speech.samples import speech_of
from tests.support.recordings import MIMES, converted, raw, spoken, tone, waved

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(2_000)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(2_000)
TEXT = "I am no sound, and 我也不是。\n".encode() * 200
SECOND = 32_000


def speech(data: bytes, content_type: str) -> bytes:
    return speech_of(data, declared(content_type))


def seconds(data: bytes, content_type: str = "audio/wav") -> float:
    return len(speech(data, content_type)) / SECOND


def cut(kind: str, share: float) -> bytes:
    whole = converted(waved(tone(3)), kind, 8_000 if kind == "amr" else 48_000)
    return whole[: int(len(whole) * share)]


@pytest.mark.parametrize(
    ("content_type", "what"),
    [
        ("audio/wav", Declared("wav")),
        ("Audio/X-WAV", Declared("wav")),
        ("audio/pcm;rate=16000", Declared("pcm", 16_000)),
        ("audio/pcm; RATE=8000; channels=1", Declared("pcm", 8_000)),
        ("audio/amr", Declared("amr")),
        ("audio/mp4; codecs=mp4a.40.2", Declared("m4a")),
        ("audio/mpeg", Declared("mp3")),
        ("audio/ogg; codecs=opus", Declared("opus")),
    ],
)
def test_a_media_type_says_what_the_audio_is(content_type: str, what: Declared) -> None:
    assert declared(content_type) == what


@pytest.mark.parametrize(
    "content_type",
    ["", "audio/", "audio/flac", "image/png", "text/plain", "audio/pcm", "audio/pcm;rate=44100", "audio/pcm;rate=x"],
)
def test_other_media_types_and_rates_are_not_taken(content_type: str) -> None:
    with pytest.raises(UnsupportedAudio):
        declared(content_type)


@pytest.mark.parametrize(
    ("kind", "rate", "layout"),
    [
        ("wav", 8_000, "mono"),
        ("wav", 16_000, "mono"),
        ("wav", 44_100, "stereo"),
        ("amr", 8_000, "mono"),
        ("m4a", 44_100, "stereo"),
        ("m4a", 16_000, "mono"),
        ("mp3", 44_100, "stereo"),
        ("opus", 48_000, "mono"),
    ],
)
def test_every_format_rate_and_layout_becomes_the_same_seconds_of_sound(kind: str, rate: int, layout: str) -> None:
    recording = converted(waved(tone(3), 16_000), kind, rate, layout)

    assert seconds(recording, MIMES[kind]) == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_bare_samples_last_as_long_as_their_declared_rate_says(rate: int) -> None:
    assert seconds(tone(2, rate).tobytes(), f"audio/pcm;rate={rate}") == pytest.approx(2, abs=0.02)


def test_what_a_program_wrote_into_a_pipe_is_read_although_its_header_knows_no_length() -> None:
    assert seconds(spoken("hello")) > 0.3


def test_both_channels_are_heard() -> None:
    left, right = tone(1), array("h", bytes(SECOND))
    only_left = array("h", (sample for pair in zip(left, right, strict=True) for sample in pair))

    assert seconds(waved(only_left, channels=2)) == pytest.approx(1, abs=0.05)


def test_silence_before_and_after_is_cut_off_and_pauses_stay() -> None:
    silence = array("h", bytes(SECOND))
    sound = silence + tone(1) + silence + tone(1) + silence + silence

    assert seconds(waved(sound)) == pytest.approx(3 + 0.4, abs=0.1)


def test_a_quiet_voice_is_no_silence() -> None:
    assert seconds(waved(tone(1, loudness=0.01))) == pytest.approx(1, abs=0.05)


def test_60_s_are_taken_whole() -> None:
    assert seconds(waved(tone(60))) == 60


@pytest.mark.parametrize("kind", ["wav", "m4a", "mp3", "opus", "amr"])
def test_61_s_are_too_long_in_any_format(kind: str) -> None:
    recording = converted(waved(tone(61, 8_000), 8_000), kind, 48_000 if kind == "opus" else 8_000)

    with pytest.raises(AudioTooLong):
        speech(recording, MIMES[kind])


def test_an_hour_in_a_small_file_is_refused_after_its_first_minute() -> None:
    hour = converted(waved(array("h", bytes(2 * 8_000 * 3_600)), 8_000), "opus", 8_000)
    assert len(hour) < 3_000_000

    tracemalloc.start()
    with pytest.raises(AudioTooLong):
        speech(hour, "audio/ogg")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 8_000_000


@pytest.mark.parametrize("content_type", [*MIMES.values(), "audio/pcm;rate=16000"])
def test_an_empty_body_is_no_audio(content_type: str) -> None:
    with pytest.raises(AudioEmpty):
        speech(b"", content_type)


def test_a_header_with_no_sound_behind_it_is_no_audio() -> None:
    with pytest.raises(AudioEmpty):
        speech(waved(array("h")), "audio/wav")


@pytest.mark.parametrize("content_type", [*MIMES.values(), "audio/pcm;rate=16000"])
@pytest.mark.parametrize("data", [TEXT, PNG, JPEG], ids=["text", "png", "jpeg"])
def test_text_and_pictures_are_no_audio_whatever_they_are_declared_as(data: bytes, content_type: str) -> None:
    with pytest.raises(AudioUnreadable):
        speech(data, content_type)


def test_text_that_is_cut_within_a_character_is_still_text() -> None:
    with pytest.raises(AudioUnreadable):
        speech(("我" * 5_000).encode()[:4_098], "audio/pcm;rate=16000")


def test_samples_that_begin_like_an_mp3_are_samples() -> None:
    assert seconds(array("h", [-1] * 100).tobytes() + tone(1).tobytes(), "audio/pcm;rate=16000") > 0.9


@pytest.mark.parametrize("declared_as", MIMES)
@pytest.mark.parametrize("kind", ["wav", "amr", "m4a", "mp3", "opus"])
def test_one_format_declared_as_another_is_refused(kind: str, declared_as: str) -> None:
    if kind == declared_as.removesuffix("-wb"):
        return
    with pytest.raises(AudioUnreadable):
        speech(cut(kind, 1), MIMES[declared_as])


@pytest.mark.parametrize("kind", ["wav", "amr", "m4a", "mp3", "opus"])
@pytest.mark.parametrize("size", [1, 3, 8, 11, 20, 43])
def test_a_truncated_header_is_refused(kind: str, size: int) -> None:
    with pytest.raises((AudioUnreadable, AudioEmpty)):
        speech(cut(kind, 1)[:size], MIMES[kind])


@pytest.mark.parametrize("kind", ["wav", "amr", "m4a"])
def test_a_recording_that_breaks_off_is_refused(kind: str) -> None:
    with pytest.raises(AudioUnreadable):
        speech(cut(kind, 0.5), MIMES[kind])


def test_samples_that_end_within_one_are_refused() -> None:
    with pytest.raises(AudioUnreadable):
        speech(tone(1).tobytes()[:-1], "audio/pcm;rate=16000")


@pytest.mark.parametrize("rate", [0, 1, 8_000, 44_100, 4_000_000_000])
def test_a_header_whose_rates_contradict_each_other_is_refused(rate: int) -> None:
    wrong = bytearray(waved(tone(1)))
    struct.pack_into("<I", wrong, 24, rate)

    with pytest.raises(AudioUnreadable):
        speech(bytes(wrong), "audio/wav")


@pytest.mark.parametrize("rate", [1, 3_999, 192_001])
def test_a_rate_that_no_voice_is_recorded_at_is_refused_before_it_is_made_into_gigabytes(rate: int) -> None:
    with pytest.raises(AudioUnreadable):
        speech(waved(tone(1), rate), "audio/wav")


@pytest.mark.parametrize("quiet", [array("h", bytes(SECOND)), tone(1, loudness=0.001)])
def test_silence_says_nothing(quiet: "array[int]") -> None:
    with pytest.raises(AudioUnrecognisable):
        speech(waved(quiet), "audio/wav")


@pytest.mark.parametrize("kind", ["wav", "amr", "m4a", "mp3", "opus"])
def test_damage_anywhere_is_refused_or_taken_and_breaks_nothing(kind: str) -> None:
    whole = cut(kind, 1)
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        try:
            assert len(speech(bytes(damaged), MIMES[kind])) <= 60 * SECOND
        except Problem as problem:
            assert problem.status in {415, 422}  # noqa: PT017  # either is right


def test_an_espeak_recording_is_the_same_words_as_bare_samples() -> None:
    assert seconds(raw(spoken(), 16_000), "audio/pcm;rate=16000") == pytest.approx(seconds(spoken()), abs=0.05)
