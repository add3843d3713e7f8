"""Who may do what in a group stands once in the code and once for people."""

import re
import typing
from pathlib import Path

import pytest
from hongyan.permissions import PERMISSIONS, Action, may
from hongyan.schemas import Role

_ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"
_ROLES: tuple[Role, ...] = typing.get_args(Role)


def documented() -> dict[str, dict[str, str]]:
    """Return the table of the document: the cells of each action by role."""
    _, _, section = _ARCHITECTURE.read_text().partition("## Who may what in a group\n")
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", section, re.MULTILINE)
    ]
    header, _rule, *body = rows
    return {action: dict(zip(header[1:], cells, strict=True)) for action, *cells in body}


def test_the_document_and_the_code_say_the_same() -> None:
    expected = {
        action: {role: "yes" if role in roles else "" for role in _ROLES} for action, roles in PERMISSIONS.items()
    }

    assert documented() == expected


def test_every_action_is_in_the_table() -> None:
    assert set(PERMISSIONS) == set(typing.get_args(Action))


@pytest.mark.parametrize("action", PERMISSIONS)
def test_who_is_no_member_may_do_nothing(action: Action) -> None:
    assert not may(None, action)


def test_a_group_can_always_be_left_or_ended_by_everyone_in_it() -> None:
    for role in _ROLES:
        assert may(role, "leave") or may(role, "dissolve")
