"""What is kept of uploads that were begun."""

from pathlib import Path

import pytest
from hongyan_client import HongyanError
from hongyan_client.unfinished import Unfinished, UnfinishedUploads

UPLOAD = Unfinished(file_id="f", client_id="c")


def test_an_upload_is_found_by_another_program_until_it_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "profile" / "uploads.json"
    UnfinishedUploads(path).keep("key", UPLOAD)
    UnfinishedUploads(path).keep("other", UPLOAD)

    assert UnfinishedUploads(path).find("key") == UPLOAD
    UnfinishedUploads(path).forget("key")

    assert UnfinishedUploads(path).find("key") is None
    assert UnfinishedUploads(path).find("other") == UPLOAD


def test_a_file_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "uploads.json"
    path.write_text("{")

    with pytest.raises(HongyanError, match="remove it to begin anew"):
        UnfinishedUploads(path).find("key")
