"""The data stores under the supervisor: real programs, as `make up` runs them, in a folder of the test's own."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pymysql
import pytest
import redis
import sqlalchemy as sa

from local import control
from local.failures import StackError
from local.home import REPOSITORY, Home
from local.stack import Stack

_PATIENCE = 20  # seconds for what takes about one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Stack]:
    stack = Stack(folder)
    stack.start_engines()
    yield stack
    stack.stop()


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    if control.is_alive(Home(tmp_path)):
        control.stop(Home(tmp_path))


def command(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local", *arguments, "--home", str(home)],
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def select(stack: Stack, statement: str) -> object:
    engine = sa.create_engine(stack.database_owner_url)
    with engine.connect() as connection:
        row = connection.execute(sa.text(statement)).one()
    engine.dispose()
    return tuple(row) if len(row) > 1 else row[0]


def execute(stack: Stack, statement: str) -> None:
    engine = sa.create_engine(stack.database_owner_url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def service_pids(home: Path) -> dict[str, int]:
    return {name: service["pid"] for name, service in control.record(Home(home))["services"].items()}


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_the_database_is_utf8mb4_and_read_committed(shared: Stack) -> None:
    settings = select(shared, "SELECT @@collation_database, @@tx_isolation, @@innodb_flush_log_at_trx_commit")
    assert settings == ("utf8mb4_unicode_520_ci", "READ-COMMITTED", 1)


def test_the_database_refuses_everybody_without_its_password(shared: Stack) -> None:
    port = sa.make_url(shared.database_owner_url).port
    assert port is not None
    for user in ("root", "hongyan", "hongyan_functions", ""):
        with pytest.raises(pymysql.OperationalError, match="Access denied"):
            pymysql.connect(host="127.0.0.1", port=port, user=user, password="")


def test_redis_refuses_everybody_without_its_password(shared: Stack) -> None:
    _, _, address = shared.redis_url.rpartition("@")
    with redis.Redis.from_url(f"redis://{address}") as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_opensearch_answers(shared: Stack) -> None:
    assert httpx.get(shared.opensearch_url, trust_env=False).json()["version"]["number"]


@pytest.mark.usefixtures("shared")
def test_every_file_with_a_password_is_readable_by_its_owner_alone(folder: Path) -> None:
    private = [folder / name for name in ("secrets.json", "supervisor.json", "mariadb.sql", "redis.conf")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}


@pytest.mark.usefixtures("shared")
def test_no_password_is_on_a_command_line(folder: Path) -> None:
    secrets = [Home(folder).secret(name) for name in ("mariadb", "mariadb-functions", "redis", "redis-default")]
    lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in service_pids(folder).values()]
    assert not [line for line in lines if any(secret in line for secret in secrets)]


def test_redis_restarted_empty_has_forgotten_everything_and_keeps_its_address(shared: Stack) -> None:
    address = shared.redis_url
    with redis.Redis.from_url(address) as client:
        client.set("hongyan:greeting", "hello")
    shared.restart("redis", empty=True)
    assert shared.redis_url == address
    with redis.Redis.from_url(address) as client:
        assert client.get("hongyan:greeting") is None


def test_redis_restarted_keeps_what_it_was_told(shared: Stack) -> None:
    with redis.Redis.from_url(shared.redis_url) as client:
        client.pipeline(transaction=True).set("hongyan:greeting", "hello").set("hongyan:name", "world").execute()
        shared.restart("redis")
        assert client.mget("hongyan:greeting", "hongyan:name") == [b"hello", b"world"]


def test_mariadb_restarted_keeps_its_rows(shared: Stack) -> None:
    execute(shared, "CREATE TABLE kept (text VARCHAR(20))")
    execute(shared, "INSERT INTO kept VALUES ('鸿雁')")
    shared.restart("mariadb")
    assert select(shared, "SELECT text FROM kept") == "鸿雁"


def test_mariadb_is_not_emptied(shared: Stack) -> None:
    with pytest.raises(StackError, match="MariaDB is not emptied"):
        shared.restart("mariadb", empty=True)
    assert select(shared, "SELECT 1") == 1


def test_a_service_that_is_not_there_cannot_be_restarted(shared: Stack) -> None:
    with pytest.raises(StackError, match="postgres cannot be restarted; these can: mariadb, opensearch, redis"):
        shared.restart("postgres")


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("start", ["run", "up"])
def test_a_second_stack_in_one_folder_is_refused(folder: Path, start: str) -> None:
    second = command(start, "--engines-only", home=folder)
    assert (second.returncode, second.stderr) == (
        1,
        f"hongyan: A stack is already running in {folder}; `make down` stops it.\n",
    )


@pytest.mark.usefixtures("shared")
def test_another_process_without_the_token_cannot_stop_the_stack(folder: Path) -> None:
    port = control.record(Home(folder))["control_port"]
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rw") as line:
        line.write('{"command": "stop", "token": "guessed"}\n')
        line.flush()
        assert "error" in line.readline()
    assert control.is_alive(Home(folder))


def test_up_and_down_keep_the_data_and_leave_no_process(own_folder: Path) -> None:
    stack = Stack(own_folder)
    assert command("up", "--engines-only", home=own_folder).returncode == 0
    execute(stack, "CREATE TABLE kept (number INT)")
    pids = service_pids(own_folder).values()
    assert command("down", home=own_folder).returncode == 0
    assert not [pid for pid in pids if is_running(pid)]
    assert not (own_folder / "tmp").exists()
    assert command("up", "--engines-only", home=own_folder).returncode == 0
    assert select(stack, "SELECT COUNT(*) FROM kept") == 0


def test_ctrl_c_stops_a_foreground_stack_whole(own_folder: Path) -> None:
    run = subprocess.Popen(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local", "run", "--engines-only", "--home", str(own_folder)], cwd=REPOSITORY
    )
    wait_until(lambda: control.is_alive(Home(own_folder)) and control.record(Home(own_folder))["ready"])
    pids = service_pids(own_folder).values()
    run.send_signal(signal.SIGINT)
    assert run.wait(_PATIENCE) == 0
    assert not [pid for pid in pids if is_running(pid)]


def test_a_supervisor_killed_outright_leaves_no_process_and_the_next_start_works(own_folder: Path) -> None:
    assert command("up", "--engines-only", home=own_folder).returncode == 0
    pids = service_pids(own_folder).values()
    os.kill(control.record(Home(own_folder))["pid"], signal.SIGKILL)
    wait_until(lambda: not [pid for pid in pids if is_running(pid)])
    assert command("up", "--engines-only", home=own_folder).returncode == 0


@pytest.mark.parametrize(("service", "title"), [("redis", "Redis"), ("mariadb", "MariaDB")])
def test_a_child_that_dies_ends_the_stack_in_one_sentence(own_folder: Path, service: str, title: str) -> None:
    with subprocess.Popen(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local", "run", "--engines-only", "--home", str(own_folder)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        wait_until(lambda: control.is_alive(Home(own_folder)) and control.record(Home(own_folder))["ready"])
        pids = service_pids(own_folder)
        os.kill(pids[service], signal.SIGKILL)
        _, complaint = run.communicate(timeout=_PATIENCE)
    assert run.returncode == 1
    assert complaint.startswith(f"hongyan: {title} was ended by SIGKILL; the end of {own_folder}/log/{service}.log: ")
    assert complaint.count("\n") == 1
    assert not [pid for pid in pids.values() if is_running(pid)]


def test_a_missing_program_is_named(own_folder: Path) -> None:
    started = command("up", "--engines-only", home=own_folder, PATH=str(own_folder))
    assert started.returncode == 1
    assert re.fullmatch(r"hongyan: (redis-server|mariadb-install-db) is not installed; .*\n", started.stderr)


def test_an_opensearch_that_does_not_answer_is_said_so(own_folder: Path) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        started = command("up", "--engines-only", home=own_folder, OPENSEARCH_URL=url)
    assert started.returncode == 1
    assert started.stderr.startswith("hongyan: OPENSEARCH_URL does not answer: ")


def test_a_port_asked_for_that_is_in_use_ends_the_start_in_one_sentence(own_folder: Path) -> None:
    with closing(socket.socket()) as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        started = command("up", home=own_folder, HONGYAN_PORT=str(port))
    sentence = f"hongyan: Port {port}, which HONGYAN_PORT asks for, is in use by another program.\n"
    assert (started.returncode, started.stderr) == (1, sentence)


def test_nothing_to_stop_is_said_so(tmp_path: Path) -> None:
    stopped = command("down", home=tmp_path)
    assert (stopped.returncode, stopped.stderr) == (1, f"hongyan: No stack is running in {tmp_path}.\n")
