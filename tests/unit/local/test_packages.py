import os
from pathlib import Path

import pytest

from local.failures import StackError
from local.packages import MOST_BYTES, check, zipped_size


def test_a_package_is_as_large_as_it_is_zipped(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "noise").write_bytes(os.urandom(100_000))
    (tmp_path / "python" / "zeros").write_bytes(bytes(10_000_000))

    assert 100_000 < zipped_size(tmp_path) < 115_000


def test_a_package_that_is_too_large_is_named() -> None:
    with pytest.raises(StackError, match="AudioLayer"):
        check({"CoreLayer": MOST_BYTES, "AudioLayer": MOST_BYTES + 1})


def test_packages_within_the_limit_pass() -> None:
    check({"CoreLayer": MOST_BYTES})


def test_a_folder_without_packages_does_not_pass() -> None:
    with pytest.raises(StackError, match="Nothing"):
        check({})
