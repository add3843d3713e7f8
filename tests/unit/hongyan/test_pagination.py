"""Cursors: opaque, bound to their list and their caller."""

import pytest
from hongyan.errors import InvalidCursor
from hongyan.pagination import decode_cursor, encode_cursor, page_of
from hypothesis import given
from hypothesis import strategies as st

positions = st.lists(st.one_of(st.integers(), st.text(max_size=30), st.none()), max_size=3)


@given(positions)
def test_a_cursor_holds_its_position(position: list[object]) -> None:
    assert decode_cursor("friends", "me", encode_cursor("friends", "me", position)) == position


@given(positions, st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_changed_cursor_is_refused(position: list[object], at: int, character: str) -> None:
    cursor = encode_cursor("friends", "me", position)
    at %= len(cursor)
    changed = cursor[:at] + character + cursor[at + 1 :]
    if changed == cursor:
        return

    with pytest.raises(InvalidCursor):
        decode_cursor("friends", "me", changed)


@given(st.text(max_size=60))
def test_any_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor("friends", "me", text)


@pytest.mark.parametrize(("list_name", "user_id"), [("blocks", "me"), ("friends", "you"), ("friend", "sme")])
def test_a_cursor_of_another_list_or_person_is_refused(list_name: str, user_id: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(list_name, user_id, encode_cursor("friends", "me", [1]))


def test_the_row_beyond_the_limit_only_says_that_there_is_more() -> None:
    assert page_of([1, 2, 3], 2, str, lambda row: f"after {row}").model_dump() == {
        "items": ["1", "2"],
        "next_cursor": "after 2",
    }
    assert page_of([1, 2], 2, str, lambda row: f"after {row}").next_cursor is None
    assert page_of([], 2, str, lambda row: f"after {row}").next_cursor is None
