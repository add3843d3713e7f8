"""Every problem has its words, in both languages."""

import pytest
from hongyan.catalogue import CATALOGUE, language_of
from hongyan.errors import Problem


def problems(kind: type[Problem] = Problem) -> set[type[Problem]]:
    below = {problem for child in kind.__subclasses__() for problem in problems(child)}
    return below | ({kind} if "code" in vars(kind) else set())


def test_every_code_has_words_in_both_languages_and_every_word_a_code() -> None:
    assert {problem.code for problem in problems()} == set(CATALOGUE)
    for words in CATALOGUE.values():
        assert set(words) == {"en", "zh"}
        assert all(word.title and word.detail for word in words.values())


def test_every_problem_has_a_code_of_its_own() -> None:
    codes = [problem.code for problem in problems()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9", "zh"),
        ("en-GB, zh;q=0.5", "en"),
        ("en;q=0.1, ZH-tw;q=0.2", "zh"),
        ("fr", "en"),
        ("fr, zh;q=0.1", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=much", "en"),
        (",,;;=", "en"),
        ("*", "en"),
    ],
)
def test_the_preferred_of_two_languages_is_chosen(header: str | None, language: str) -> None:
    assert language_of(header) == language
