"""What the speech vendor's codes are for whoever sent the audio."""

import pytest

from functions.speech.recognition import problem_of


@pytest.mark.parametrize(
    ("code", "problem", "retry_after"),
    [
        (3300, "speech_unavailable", 30),
        (3301, "audio_unrecognisable", None),
        (3302, "speech_unavailable", 30),
        (3303, "speech_unavailable", 30),
        (3304, "speech_unavailable", 30),
        (3305, "speech_unavailable", 3_600),
        (3306, "speech_unavailable", 30),
        (3307, "speech_unavailable", 30),
        (3308, "audio_too_long", None),
        (3309, "audio_unreadable", None),
        (3310, "audio_too_long", None),
        (3311, "speech_unavailable", 30),
        (3312, "speech_unavailable", 30),
        (3313, "speech_unavailable", 30),
        (3314, "audio_unrecognisable", None),
        (3316, "audio_unreadable", None),
        (4, "speech_unavailable", 3_600),
        (17, "speech_unavailable", 3_600),
        (18, "speech_unavailable", 30),
        (19, "speech_unavailable", 3_600),
        (110, "speech_unavailable", 30),
        (111, "speech_unavailable", 30),
        (-1, "speech_unavailable", 30),
        (999_999, "speech_unavailable", 30),
    ],
)
def test_each_code_becomes_the_right_answer(code: int, problem: str, retry_after: int | None) -> None:
    answer = problem_of(code)

    assert (answer.code, answer.retry_after_seconds) == (problem, retry_after)
