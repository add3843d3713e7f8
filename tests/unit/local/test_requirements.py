"""What is installed is what was tested: every list names one version of each package."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
LISTS = [*REPOSITORY.glob("requirements/*.txt"), *REPOSITORY.glob("layers/*/requirements.txt")]


@pytest.mark.parametrize("file", LISTS, ids=[str(file.relative_to(REPOSITORY)) for file in LISTS])
def test_every_package_is_pinned_to_one_version(file: Path) -> None:
    lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
    packages = [line for line in lines if line and not line.startswith(("-r ", "-c "))]

    assert packages
    assert [each for each in packages if not re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+(\s*;.*)?$", each)] == []
