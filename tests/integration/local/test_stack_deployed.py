"""The whole local stack: the template built, deployed and migrated, then stopped without a trace."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from botocore.config import Config

from local.deploy import account
from local.emulator import CREDENTIALS
from local.home import REPOSITORY, read_json
from local.stack import Stack
from tests.events import sample
from tests.support.template import resources, template


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployed")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    with Stack(folder) as running:
        yield running


def health(stack: Stack) -> int:
    return httpx.get(f"{stack.endpoints.rest_url}/v1/health", timeout=30, trust_env=False).status_code


def processes_of(folder: Path) -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):  # it ended just now
            continue
    return [line for line in lines if str(folder) in line]


def test_the_deployed_api_answers_and_clients_find_it_in_the_endpoints_file(stack: Stack, folder: Path) -> None:
    assert health(stack) == httpx.codes.OK
    assert read_json(folder / "endpoints.json") == {
        "rest_url": stack.endpoints.rest_url,
        "websocket_url": stack.endpoints.websocket_url,
        "sms_inbox_url": stack.endpoints.sms_inbox_url,
    }


def test_sam_local_is_given_what_each_function_is_given_with_addresses_that_a_container_reaches(
    stack: Stack, folder: Path
) -> None:
    given = read_json(folder / "sam-local-env.json")
    secrets = account().client("secretsmanager", endpoint_url=stack.aws_endpoint_url)
    no_prefix = Config(inject_host_prefix=False)
    registry = account().client("servicediscovery", endpoint_url=stack.aws_endpoint_url, config=no_prefix)

    of_all = set(template()["Globals"]["Function"]["Environment"]["Variables"])
    functions = resources("AWS::Serverless::Function")
    # What depends on the stores' being made by the template is not there.
    of_one = {
        name: {
            key
            for key, value in f.get("Environment", {}).get("Variables", {}).items()
            if "MakesStores" not in str(value)
        }
        for name, f in functions.items()
    }
    assert {name: set(variables) for name, variables in given.items()} == {n: of_all | own for n, own in of_one.items()}
    arns = {v for variables in given.values() for name, v in variables.items() if name.endswith("_SECRET_ARN")}
    texts = [json.dumps(given), *(secrets.get_secret_value(SecretId=arn)["SecretString"] for arn in arns)]
    namespace = given["MessagePushFunction"]["CLOUD_MAP_NAMESPACE"]
    [sockets] = registry.discover_instances(NamespaceName=namespace, ServiceName="ws_connect")["Instances"]
    texts.append(sockets["Attributes"]["management_url"])
    assert not [text for text in texts if "127.0.0.1" in text or "localhost" in text]
    assert [text for text in texts if "@host.docker.internal:" in text]
    assert sockets["Attributes"]["url"] == stack.endpoints.websocket_url


def test_a_function_that_is_given_it_reaches_stores_and_emulator_by_the_name_of_the_machine(
    stack: Stack, folder: Path
) -> None:
    code = (
        "import json, socket, sys\n"
        "known = socket.getaddrinfo\n"
        "socket.getaddrinfo = lambda host, *more, **named: known(\n"
        "    '127.0.0.1' if host == 'host.docker.internal' else host, *more, **named)\n"
        "import asyncio; asyncio.set_event_loop(asyncio.new_event_loop())\n"
        "from functions.user.api import handler; from tests.support.gateway import LambdaContext\n"
        "print(handler(json.load(sys.stdin), LambdaContext())['body'])"
    )
    given = read_json(folder / "sam-local-env.json")["UserApiFunction"]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    ran = subprocess.run(  # noqa: S603  # code of ours
        [sys.executable, "-c", code],
        input=json.dumps(sample("UserApiFunction", {})),
        env=kept | CREDENTIALS | given | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert {*told["dependencies"].values(), *told["modules"].values()} == {"ok"}


def test_what_functions_log_can_be_read(stack: Stack) -> None:
    health(stack)
    assert [line for line in stack.function_logs() if "the database is migrated" in line]


@pytest.mark.parametrize("alias", ["users", "messages"])
def test_the_search_indices_are_filled_at_the_start(stack: Stack, alias: str) -> None:
    made = [line for line in stack.function_logs() if "a search index is made anew" in line]
    assert [line for line in made if f"{alias}-v" in line]


def test_a_killed_function_worker_is_replaced(stack: Stack) -> None:
    health(stack)
    before = stack.worker_pids()
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    health(stack)  # this call may still meet a worker that is gone
    assert health(stack) == httpx.codes.OK
    assert not set(before) & set(stack.worker_pids())


@pytest.mark.parametrize(("service", "empty"), [("redis", True), ("mariadb", False), ("opensearch", False)])
def test_the_api_answers_again_after_a_restart_of_an_engine(stack: Stack, service: str, empty: bool) -> None:  # noqa: FBT001
    stack.restart(service, empty=empty)
    assert health(stack) == httpx.codes.OK


def test_a_stopped_stack_leaves_no_process_and_no_temporary_file(stack: Stack, folder: Path) -> None:
    stack.stop()
    assert processes_of(folder) == []
    assert not (folder / "tmp").exists()
    assert not (folder / "endpoints.json").exists()
    assert not (folder / "sam-local-env.json").exists()
    assert not (folder / "supervisor.json").exists()
