"""What is text to read, what is a name, what is a key, and what is none of them."""

from typing import Any

import pytest
from hongyan.schemas import ClientKey, MessageText, Nickname, Seq
from pydantic import TypeAdapter, ValidationError

ZERO_WIDTH = "\u200b\u200d\ufeff"


def accepts(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "text", ["x", " x", "x" * 5_000, "a\r\nb\tc", "👨‍👩‍👧", "\U0001fabf", "\U0001fae9", "é", "\u202ex\u202c"]
)
def test_text_that_can_be_seen_is_a_message(text: str) -> None:
    assert accepts(MessageText, text)


@pytest.mark.parametrize(
    "text", ["", " ", "\n", ZERO_WIDTH, "\u3000", "x" * 5_001, "a\x00", "\x1b[31m", "\x7f", "\ud83d"]
)
def test_text_that_cannot_be_seen_or_stored_is_none(text: str) -> None:
    assert not accepts(MessageText, text)


@pytest.mark.parametrize("name", ["鸿雁", "O'Brien", "👩‍🚀 Ada", "x" * 32, "\U0001fabf"])
def test_a_nickname_is_one_line_of_any_script(name: str) -> None:
    assert accepts(Nickname, name)


@pytest.mark.parametrize("name", ["", " ", ZERO_WIDTH, "a\nb", "a\u2028b", "x" * 33, "\x00"])
def test_a_nickname_of_several_lines_or_nothing_is_none(name: str) -> None:
    assert not accepts(Nickname, name)


@pytest.mark.parametrize(
    ("key", "is_one"), [("x" * 64, True), (" ", True), ("", False), ("x" * 65, False), ("a\n", False)]
)
def test_a_client_key_has_1_to_64_characters(key: str, is_one: bool) -> None:  # noqa: FBT001
    assert accepts(ClientKey, key) is is_one


@pytest.mark.parametrize(
    ("seq", "is_one"), [(1, True), (2**63 - 1, True), (0, False), (-1, False), (2**63, False), (True, False)]
)
def test_a_seq_is_a_positive_64_bit_integer(seq: int, is_one: bool) -> None:  # noqa: FBT001
    assert accepts(Seq, seq) is is_one
