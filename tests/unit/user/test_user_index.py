"""How text becomes words, and a question a query."""

from typing import Any

import pytest
from hongyan.words import folded, words
from hypothesis import given
from hypothesis import strategies as st

from functions.user import user_index
from functions.user.user_index import question


@pytest.mark.parametrize(
    ("text", "folds_to"),
    [
        ("张三", "张三"),
        (" 张三 ", "张三"),
        ("Ｂｉｇ　Ｂｅａｒ", "Big Bear"),
        ("𝓐𝓷𝓷𝓪", "Anna"),
        ("ﾔﾏﾀﾞ", "ヤマダ"),
        ("e\u0301", "é"),
        ("a\u200bb\u2060c\u202e", "abc"),
        ("❤\ufe0f", "❤"),
        ("\u200b", ""),
    ],
)
def test_what_looks_the_same_is_the_same(text: str, folds_to: str) -> None:
    assert folded(text) == folds_to


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", []),
        ("...", []),
        ("Zhang Wei", ["Zhang", "Wei"]),
        ("wang-lei_99", ["wang", "lei", "99"]),
        ("lei99", ["lei 99"]),
        ("张三丰", ["张 三 丰"]),
        ("小李Leo", ["小 李 Leo"]),
        ("田中さくら", ["田 中 さ く ら"]),
        ("김민준", ["김 민 준"]),
        ("Иван Петров", ["Иван", "Петров"]),
        ("हिन्दी", ["हिन्दी"]),
        ("鸿雁 🪿", ["鸿 雁", "🪿"]),
        ("👍🏽", ["👍 🏽"]),
        ("👨\u200d👩", ["👨 👩"]),
        ("\U0001fadc", ["\U0001fadc"]),  # an emoji that may be newer than this Python
        ("C++", ["C + +"]),
        ("𠮷野", ["𠮷 野"]),
    ],
)
def test_text_is_cut_into_words(text: str, cut: list[str]) -> None:
    assert words(text) == cut


@given(st.text(max_size=64))
def test_words_are_the_same_however_often_they_are_cut_and_hold_no_empty_one(text: str) -> None:
    cut = words(text)

    assert all(piece for word in cut for piece in word.split(" "))
    assert " ".join(words(" ".join(cut))) == " ".join(cut)


def conditions(asked: str) -> list[dict[str, Any]]:
    ways: list[dict[str, Any]] = question(asked, [])["bool"]["must"]["dis_max"]["queries"]
    return [way["constant_score"]["filter"] for way in ways]


def nested(node: object) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in nested(item)]
    if isinstance(node, dict):
        return [node, *(found for value in node.values() for found in nested(value))]
    return []


@given(st.text(min_size=1, max_size=64))
def test_no_question_asks_for_anything_at_all(asked: str) -> None:
    """A `bool` without conditions matches everybody."""
    for node in nested(question(asked, ["somebody"])):
        if "bool" in node:
            assert node["bool"].get("should") or node["bool"].get("must")


@pytest.mark.parametrize(
    "asked", ["张三丰张三丰", "kim", "13800138000", "user4711", "小李Leonard", "さくらさくら", "..."]
)
def test_what_is_short_or_chinese_or_a_number_is_taken_to_the_letter(asked: str) -> None:
    assert not [node for node in nested(conditions(asked)) if "fuzziness" in node]


@pytest.mark.parametrize("asked", ["jonathan", "leo zhang", "alice99"])
def test_a_longer_word_may_have_a_letter_wrong_but_not_the_first(asked: str) -> None:
    lenient = [node for node in nested(conditions(asked)) if "fuzziness" in node]

    assert lenient
    assert {(node["prefix_length"], node["operator"]) for node in lenient} == {(1, "and")}


def test_ways_to_match_are_scored_from_exact_to_mistyped() -> None:
    ways = question("alice", [])["bool"]["must"]["dis_max"]["queries"]
    scores = [way["constant_score"]["boost"] for way in ways]

    assert scores == sorted(scores, reverse=True)
    assert ways[0]["constant_score"]["filter"] == {"term": {"username": "alice"}}


def test_who_is_excluded_is_not_asked_for() -> None:
    assert question("alice", ["a", "b"])["bool"]["must_not"] == {"terms": {"id": ["a", "b"]}}


def test_the_index_takes_no_field_that_nobody_thought_of() -> None:
    mapping = user_index._INDEX["mappings"]

    assert mapping["dynamic"] == "strict"
    assert not {name for name in mapping["properties"] if "phone" in name}
