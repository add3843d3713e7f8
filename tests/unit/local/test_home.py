import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from local.failures import StackError
from local.home import Home, write_json


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "stack")
    home.make()
    return home


@pytest.fixture
def occupy() -> Iterator[socket.socket]:
    with closing(socket.socket()) as occupant:
        yield occupant


def test_a_port_is_the_same_at_the_next_start(home: Home) -> None:
    assert home.port("redis") == Home(home.path).port("redis")


def test_two_services_never_get_one_port(home: Home) -> None:
    names = [f"service-{number}" for number in range(50)]
    assert len({home.port(name) for name in names}) == len(names)


def test_a_remembered_port_that_another_program_took_is_replaced(home: Home, occupy: socket.socket) -> None:
    port = home.port("redis")
    occupy.bind(("127.0.0.1", port))
    occupy.listen()
    assert home.port("redis") != port


def test_a_wanted_port_that_is_in_use_is_refused_by_name(home: Home, occupy: socket.socket) -> None:
    occupy.bind(("127.0.0.1", 0))
    occupy.listen()
    port = occupy.getsockname()[1]
    with pytest.raises(StackError, match=f"Port {port}, which HONGYAN_PORT asks for"):
        home.port("ministack", wanted=port)


def test_a_password_is_random_kept_and_readable_by_its_owner_alone(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.make()
    password = home.secret("mariadb")
    assert password == Home(home.path).secret("mariadb")
    assert password != other.secret("mariadb")
    assert stat.S_IMODE((home.path / "secrets.json").stat().st_mode) == 0o600


def test_one_folder_is_locked_by_one_stack_at_a_time(home: Home) -> None:
    first = home.lock()
    assert first is not None
    assert home.lock() is None
    os.close(first)
    second = home.lock()
    assert second is not None
    os.close(second)


def test_a_written_file_replaces_the_old_one_and_leaves_no_draft(home: Home) -> None:
    write_json(home.endpoints_file, {"rest_url": "first"})
    write_json(home.endpoints_file, {"rest_url": "second"})
    assert json.loads(home.endpoints_file.read_text()) == {"rest_url": "second"}
    assert not list(home.path.glob("*.new"))
