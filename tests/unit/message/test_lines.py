"""How text becomes a line of words, and a question finds its place in it."""

import unicodedata
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.message import lines, message_index
from functions.message.message_index import Wanted, question
from functions.message.search_repository import Readable


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("...", ""),
        ("Hello, Wörld!", "hello. world."),
        ("今天，气温", "今 天 , 气 温"),
        ("今天 气温", "今 天 气 温"),
        ("今天\n气温", "今 天 , 气 温"),
        ("今天, ok", "今 天 ok."),
        ("iPhone15", "iphone. 15."),
        ("Ａｂｃ　１２", "abc. 12."),
        ("e\u0301te\u0301", "ete."),
        ("\u1112\u1161\u11ab글", "한 글"),
        ("ﾊﾟﾊﾞ", "パ バ"),
        ("Łódź Ærø Straße İĞ", "lodz. aero. strasse. ig."),
        ("мой ёж", "мой. еж."),
        ("a\u200bb\u2060c", "abc."),
        ("👍🏽 ❤\ufe0f", "👍 🏽 ❤"),
        ("👨\u200d👩", "👨 👩"),
        ("C++ a_b", "c. + + a. b."),
        ("3 ≠ 4", "3. ≠ 4."),
        ("x" * 33, "x" * 32 + ". x."),
    ],
)
def test_text_becomes_a_line_of_words(text: str, words: str) -> None:
    assert lines.line(text).words == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("天气 公园", ["天 气", "公 园"]),
        ("天气、公园", ["天 气", "公 园"]),
        ("example.com", ["example. com."]),
        ("hello, world", ["hello.", "world."]),
        ("李四lei99", ["李 四 lei. 99."]),
        ("  ?! ", []),
    ],
)
def test_what_is_typed_together_is_found_together(text: str, words: list[str]) -> None:
    assert lines.asked(text).words == words


@given(st.text(max_size=60))
def test_every_character_of_a_line_has_a_place_in_the_text_and_places_only_go_on(text: str) -> None:
    line = lines.line(text)

    assert len(line.words) == len(line.places)
    assert all(0 <= place.start < place.end <= len(text) for place in line.places)
    assert list(line.places) == sorted(line.places)


@given(st.text(max_size=60))
def test_a_text_has_the_line_of_its_normal_form(text: str) -> None:
    assert lines.line(unicodedata.normalize("NFC", text)).words == lines.line(text).words


@given(st.text(max_size=60))
def test_a_line_has_no_empty_word_and_none_longer_than_the_index_knows(text: str) -> None:
    words = lines.line(text).words

    assert words.split() == ([] if not words else words.split(" "))
    assert all(len(word) <= lines.LONGEST_WORD + 1 for word in words.split())


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_text_answers_the_question_of_all_its_words(before: str, text: str, after: str) -> None:
    asked = lines.asked(text)
    whole = f"{before} {text} {after}"

    parts = lines.highlights(whole, asked)

    assert bool(parts) == bool(asked.words)
    assert all(0 <= part.start < part.end <= len(whole) for part in parts)
    assert all(one.end < other.start for one, other in pairwise(parts))


@given(st.text(max_size=60), st.text(min_size=1, max_size=8))
def test_what_is_highlighted_says_what_was_asked(text: str, asked: str) -> None:
    sought = lines.asked(asked)

    for part in lines.highlights(text, sought):
        within = lines.line(text[part.start : part.end]).words
        assert any(words.split()[0][:1] == within[:1] for words in sought.unfinished_words), (part, within)


def test_highlights_are_found_in_little_time_whatever_the_text() -> None:
    text, asked = "a" * 5_000, lines.asked("a " * 32)

    assert lines.highlights("哈" * 5_000, lines.asked("哈" * 64)) == [(0, 5_000)]
    assert len(lines.highlights(text, asked)) == 157


# ---------------------------------------------------------------- questions


def ask(text: str, **more: Any) -> dict[str, Any]:
    return question(lines.asked(text), Wanted(text, "relevance", **more), {"term": {"conversation_id": "c"}})


def nested(node: object) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in nested(item)]
    if isinstance(node, dict):
        return [node, *(found for value in node.values() for found in nested(value))]
    return []


@given(st.text(min_size=1, max_size=64).filter(lambda text: lines.asked(text).words))
def test_no_question_asks_for_anything_at_all(text: str) -> None:
    """A `bool` without conditions matches everything, and so does an empty phrase nothing."""
    for node in nested(ask(text)):
        if "bool" in node:
            assert node["bool"].get("should") or node["bool"].get("must")
        if "match_phrase" in node:
            assert node["match_phrase"]["text"]


def test_ways_to_match_are_scored_from_all_as_it_stands_to_what_begins_so() -> None:
    ways = ask("green tea")["bool"]["must"]["dis_max"]["queries"]

    assert [way["constant_score"]["boost"] for way in ways] == [8, 4, 2, 1]
    assert {"match_phrase": {"text": "green. tea."}} in nested(ways[0])


@pytest.mark.parametrize(
    ("text", "scores"), [("的", [8]), ("天气", [8]), ("meeting", [8, 4]), ("Python 代码", [8, 2, 1])]
)
def test_ways_that_come_to_the_same_are_asked_once_with_the_highest_of_their_scores(
    text: str, scores: list[int]
) -> None:
    ways = ask(text)["bool"]["must"]["dis_max"]["queries"]

    assert [way["constant_score"]["boost"] for way in ways] == scores


@pytest.mark.parametrize("windows", [0, 1, 300, 301, 900])
def test_no_query_has_more_conditions_than_the_engine_takes(windows: int) -> None:
    readable = [Readable("whole", 0, None), *(Readable(f"c-{n}", n + 1, n + 9) for n in range(windows))]
    scopes = list(message_index._scopes(readable))
    text = "a " * 32

    for scope in scopes:
        asked = question(lines.asked(text), Wanted(text, "relevance", "c", "s", "text"), scope)
        leaves = [node for node in nested(asked) if node.keys() & {"match_phrase", "term", "terms", "range"}]
        assert len(leaves) <= 1_024
    terms = [node["term"].get("conversation_id") for node in nested(scopes) if "term" in node]
    whole = [node["terms"]["conversation_id"] for node in nested(scopes) if "terms" in node]
    assert [*sum(whole, []), *terms] == [place.conversation_id for place in readable]  # noqa: RUF017  # a list of one


def test_a_window_is_behind_the_one_seq_and_up_to_the_other() -> None:
    [scope] = message_index._scopes([Readable("c", 3, 9), Readable("d", 5, None)])

    ranges = [node["range"]["seq"] for node in nested(scope) if "range" in node]

    assert ranges == [{"gt": 3, "lte": 9}, {"gt": 5}]


def test_the_index_takes_no_field_that_nobody_thought_of() -> None:
    assert message_index._INDEX["mappings"]["dynamic"] == "strict"
