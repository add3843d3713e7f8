from pathlib import Path

import pytest

from local.bootstrap import Environment, requirement_files


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "layer.txt").write_text("redis==8.1.0\n")
    (tmp_path / "project.txt").write_text("-r layer.txt\npytest==9.2.0\n")
    return Environment(tmp_path / "venv", tmp_path / "project.txt")


def stamp(environment: Environment) -> None:
    environment.folder.mkdir()
    (environment.folder / ".requirements.sha256").write_text(environment.fingerprint())


def test_an_environment_that_was_never_installed_is_not_current(environment: Environment) -> None:
    assert not environment.is_current()


def test_an_installed_environment_stays_current_while_no_requirement_changes(environment: Environment) -> None:
    stamp(environment)
    assert environment.is_current()


@pytest.mark.parametrize("name", ["project.txt", "layer.txt"])
def test_a_changed_requirement_makes_it_stale_even_in_an_included_file(environment: Environment, name: str) -> None:
    stamp(environment)
    with (environment.requirements.parent / name).open("a") as file:
        file.write("mangum==0.22.0\n")
    assert not environment.is_current()


def test_a_changed_client_makes_the_environment_that_holds_it_stale(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "client"\n')
    with_client = Environment(environment.folder, environment.requirements, editable=tmp_path)
    stamp(with_client)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "client"\ndependencies = ["httpx"]\n')
    assert not with_client.is_current()


def test_requirement_files_are_followed_to_those_they_include(environment: Environment) -> None:
    assert [file.name for file in requirement_files(environment.requirements)] == ["project.txt", "layer.txt"]
