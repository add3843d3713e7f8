"""The threat model names tests; each must be there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
LINES = (REPOSITORY / "docs" / "threat-model.md").read_text().splitlines()
ROWS = [line for line in LINES if line.startswith("| ") and not line.startswith(("| who |", "| what |"))]
NAMED = sorted({named for row in ROWS for named in re.findall(r"`([\w/]+\.py::\w+)`", row)})


@pytest.mark.parametrize("named", NAMED)
def test_a_named_test_is_there(named: str) -> None:
    path, _, name = named.partition("::")

    assert re.search(rf"^(async )?def {name}\(", (REPOSITORY / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=[str(n) for n in range(len(ROWS))])
def test_each_row_names_a_test_or_says_that_there_is_none(row: str) -> None:
    shown_by = row.rstrip("| ").rpartition(" | ")[2]

    assert re.search(r"`[\w/]+\.py::\w+`|[Nn]o test: \w+", shown_by)
