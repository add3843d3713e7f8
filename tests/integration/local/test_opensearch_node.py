"""`python -m local.opensearch`: what it says when it cannot start a node, and whose OpenSearch a command gets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.home import REPOSITORY


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local.opensearch", *command],
        cwd=REPOSITORY,
        env=os.environ | {"OPENSEARCH_URL": "", "JAVA_HOME": ""} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)


@pytest.mark.parametrize(
    ("programs", "sentence"),
    [
        ({}, "mvn is not installed: OpenSearch needs Maven and a JDK 17 or newer."),
        ({"mvn": "exit 0"}, "javac is not installed: OpenSearch needs Maven and a JDK 17 or newer."),
        ({"mvn": "exit 0", "javac": "echo javac 11.0.2"}, "javac is not of a JDK 17 or newer."),
        (
            {"mvn": "echo '[ERROR] Nobody there.'; exit 1", "javac": "echo javac 17.0.1"},
            "OpenSearch could not be built: Nobody there.",
        ),
    ],
)
def test_what_is_missing_is_said_and_the_command_is_not_run(
    tmp_path: Path, programs: dict[str, str], sentence: str
) -> None:
    for name, script in programs.items():
        program(tmp_path, name, script)

    answer = run("/bin/echo", "has run", PATH=str(tmp_path))

    assert answer.returncode == 1
    assert sentence in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert "has run" not in answer.stdout


def test_a_command_gets_the_opensearch_that_is_named_and_its_exit_code_is_the_answer() -> None:
    answer = run("/bin/sh", "-c", 'echo "$OPENSEARCH_URL"; exit 7', OPENSEARCH_URL="http://search.example:9200")

    assert (answer.returncode, answer.stdout) == (7, "http://search.example:9200\n")


def test_a_command_that_a_signal_ends_is_counted_as_shells_do() -> None:
    assert run("/bin/sh", "-c", "kill -TERM $$", OPENSEARCH_URL="http://search.example:9200").returncode == 128 + 15
