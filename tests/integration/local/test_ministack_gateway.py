"""What our repairs make of ministack: each defect shown on the stock emulator, and gone from the launched one."""

import base64
import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from local.deploy import account, environment
from local.emulator import Emulator
from local.engines import NotReadyError
from local.home import REPOSITORY, Home

_TEMPLATE = Path(__file__).with_name("gateway.yaml")
_STACK = "gateway"
_BUCKET = "gateway-files"
_START_SECONDS = 30
_STOP_SECONDS = 30


class Gateway(NamedTuple):
    """The small template of this folder, deployed to one emulator."""

    endpoint_url: str
    rest_url: str
    websocket_url: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.rest_url}{path}", headers=headers, timeout=30, trust_env=False)

    def connect(self, caller: str = "good") -> ClientConnection:
        return connect(self.websocket_url, additional_headers={"Authorization": caller}, proxy=None)

    def ask(self, frame: str | bytes) -> str:
        with self.connect() as socket:
            socket.send(frame)
            return str(socket.recv(timeout=30))

    def invoke(self, function: str, **event: str) -> Any:
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def client(self, service: Any) -> Any:
        return account().client(service, endpoint_url=self.endpoint_url)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    emulator = _emulator(tmp_path_factory.mktemp("stock"))
    settings = {"GATEWAY_PORT": str(emulator.port), "BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "AUTH": "true"}
    command = [emulator.command()[0], "-m", "ministack.app"]
    with _serving(emulator, command, settings | {"MINISTACK_HOST": "localhost"}) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    emulator = _emulator(tmp_path_factory.mktemp("repaired"))
    with _serving(emulator, emulator.command(), {}) as gateway:
        yield gateway


def _emulator(folder: Path) -> Emulator:
    home = Home(folder)
    home.make()
    emulator = Emulator(home)
    emulator.prepare()
    return emulator


@contextmanager
def _serving(emulator: Emulator, command: list[str], settings: dict[str, str]) -> Iterator[Gateway]:
    log = emulator.home.log / "ministack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own emulator
            command, cwd=REPOSITORY, env=environment(emulator.home) | settings, stdout=output, stderr=output
        )
    try:
        _wait_until_healthy(process, emulator, log)
        yield _deploy(emulator)
    finally:
        process.terminate()
        assert process.wait(_STOP_SECONDS) == 0


def _wait_until_healthy(process: subprocess.Popen[bytes], emulator: Emulator, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        try:
            return emulator.check()
        except NotReadyError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def _deploy(emulator: Emulator) -> Gateway:
    formation = account().client("cloudformation", endpoint_url=emulator.url)
    formation.create_stack(
        StackName=_STACK,
        TemplateBody=_TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": "LambdaRuntime", "ParameterValue": f"python3.{sys.version_info.minor}"},
            {"ParameterKey": "Alias", "ParameterValue": "as-given"},
        ],
    )
    formation.get_waiter("stack_create_complete").wait(StackName=_STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    outputs = {
        output["OutputKey"]: output["OutputValue"]
        for output in formation.describe_stacks(StackName=_STACK)["Stacks"][0]["Outputs"]
    }
    host = f"127.0.0.1:{emulator.port}/_aws/execute-api"
    return Gateway(
        emulator.url, f"http://{host}/{outputs['RestApiId']}/live", f"ws://{host}/{outputs['SocketApiId']}/live"
    )


def test_a_path_for_any_method_is_served(stock: Gateway, repaired: Gateway) -> None:
    assert stock.get("/things", authorization="good").status_code == 403

    assert repaired.get("/things", authorization="good").json() == {"method": "GET"}


def test_the_templates_gateway_responses_are_in_force(stock: Gateway, repaired: Gateway) -> None:
    assert stock.get("/nowhere").status_code == 403

    answer = repaired.get("/nowhere")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"code": "route_not_found", "request_id": answer.headers["x-request-id"]}


def test_a_denied_request_is_told_why_by_the_authorizer_every_time(repaired: Gateway) -> None:
    answers = [repaired.get("/things", authorization="denied") for _ in range(2)]  # the second from the cache

    assert [answer.status_code for answer in answers] == [401, 401]
    assert [answer.json() for answer in answers] == [{"code": "token_expired", "detail": ""}] * 2


def test_a_failing_rest_function_tells_nothing_of_its_error(stock: Gateway, repaired: Gateway) -> None:
    assert "secret" in stock.get("/boom").text

    answer = repaired.get("/boom")

    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})


def test_functions_behind_one_socket_route_run_side_by_side(stock: Gateway, repaired: Gateway, tmp_path: Path) -> None:
    assert "alone" in _two_that_wait_for_each_other(stock, tmp_path / "stock")
    assert _two_that_wait_for_each_other(repaired, tmp_path / "repaired") == ["together", "together"]


def _two_that_wait_for_each_other(gateway: Gateway, place: Path) -> list[str]:
    place.mkdir()
    with ThreadPoolExecutor() as pool:
        return list(pool.map(gateway.ask, [json.dumps({"action": "meet", "place": str(place)})] * 2))


def test_functions_behind_socket_routes_leave_logs(stock: Gateway, repaired: Gateway) -> None:
    assert "heard over the socket" not in _logs_of_a_chat(stock)
    assert "heard over the socket" in _logs_of_a_chat(repaired)


def _logs_of_a_chat(gateway: Gateway) -> str:
    gateway.ask('{"action": "tell"}')
    logs: Any = gateway.client("logs")
    groups = logs.describe_log_groups()["logGroups"]
    events = [
        event for group in groups for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]
    return "".join(event["message"] for event in events)


def test_a_failing_socket_function_tells_nothing_of_its_error(stock: Gateway, repaired: Gateway) -> None:
    assert "secret" in stock.ask('{"action": "boom"}')

    answer = json.loads(repaired.ask('{"action": "boom"}'))

    assert answer["message"] == "Internal server error"
    assert set(answer) == {"message", "connectionId", "requestId"}


def test_a_socket_lives_on_when_a_function_fails(repaired: Gateway) -> None:
    with repaired.connect() as socket:
        for frame in ('{"action": "boom"}', '{"action": "tell"}'):
            socket.send(frame)
        assert "Internal server error" in str(socket.recv(timeout=30))
        assert socket.recv(timeout=30) == "told"


def test_an_authorizer_that_fails_with_unauthorized_refuses_the_handshake_with_401(
    stock: Gateway, repaired: Gateway
) -> None:
    assert _refusal(stock, "unknown") == 500
    assert _refusal(repaired, "unknown") == 401


@pytest.mark.parametrize(("token", "status"), [("denied", 403), ("broken", 500)])
def test_other_refusals_of_a_handshake_stay_as_they_are(repaired: Gateway, token: str, status: int) -> None:
    assert _refusal(repaired, token) == status


def _refusal(gateway: Gateway, token: str) -> int:
    with pytest.raises(InvalidStatus) as refused, gateway.connect(token):
        pass
    return refused.value.response.status_code


def test_a_binary_frame_closes_the_socket(stock: Gateway, repaired: Gateway) -> None:
    assert stock.ask(b'{"action": "tell"}') == "told"

    with repaired.connect() as socket:
        socket.send(b'{"action": "tell"}')
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


def test_a_frame_over_32_kib_closes_the_socket(stock: Gateway, repaired: Gateway) -> None:
    frame = '{"action": "tell"}'.ljust(32 * 1024 + 1)
    assert stock.ask(frame) == "told"

    with repaired.connect() as socket:
        socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_a_message_in_several_frames_of_32_kib_passes(repaired: Gateway) -> None:
    frame = '{"action": "tell"}'.ljust(32 * 1024)
    with repaired.connect() as socket:
        socket.send(frame)
        assert socket.recv(timeout=30) == "told"
        socket.send([frame, " " * 32 * 1024])
        assert socket.recv(timeout=30) == "told"


def test_a_call_that_logs_nothing_is_not_held_up(stock: Gateway, repaired: Gateway) -> None:
    assert _quickest_call(stock) > 0.05
    assert _quickest_call(repaired) < 0.05


def _quickest_call(gateway: Gateway) -> float:
    functions = gateway.client("lambda")

    def seconds() -> float:
        began = time.perf_counter()
        functions.invoke(FunctionName="quiet", Payload=b"{}")
        return time.perf_counter() - began

    return min(seconds() for _ in range(10))


def test_a_function_that_failed_stays_warm(stock: Gateway, repaired: Gateway) -> None:
    assert len(_workers_around_a_failure(stock)) == 2
    assert len(_workers_around_a_failure(repaired)) == 1


def _workers_around_a_failure(gateway: Gateway) -> set[int]:
    before = gateway.invoke("moody")
    assert gateway.invoke("moody", mood="bad")["errorMessage"] == "not today"
    return {before, gateway.invoke("moody")}


def test_functions_share_one_unpacked_copy_of_a_layer(stock: Gateway, repaired: Gateway) -> None:
    assert len(set(_places_of_a_layer(stock))) == 2
    assert len(set(_places_of_a_layer(repaired))) == 1


def _places_of_a_layer(gateway: Gateway) -> list[str]:
    functions = gateway.client("lambda")
    known = functions.get_function_configuration(FunctionName="quiet")
    module = _zip("python/shared_layer.py", "WHERE = __file__")
    layer = functions.publish_layer_version(LayerName="shared", Content={"ZipFile": module})["LayerVersionArn"]
    code = _zip("index.py", "import shared_layer\ndef handler(event, context):\n    return shared_layer.WHERE")
    names = ["layered-one", "layered-two"]
    for name in names:
        functions.create_function(
            FunctionName=name,
            Role=known["Role"],
            Runtime=known["Runtime"],
            Handler="index.handler",
            Code={"ZipFile": code},
            Layers=[layer],
        )
    return [gateway.invoke(name) for name in names]


def _zip(path: str, text: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(path, text)
    return archive.getvalue()


def test_each_call_has_its_own_log(repaired: Gateway) -> None:
    functions = repaired.client("lambda")
    for day in range(50):
        answer = functions.invoke(FunctionName="moody", Payload=json.dumps({"day": day}), LogType="Tail")
        assert base64.b64decode(answer["LogResult"]).decode().strip() == f"day {day}"


def test_a_stop_does_not_wait_for_the_functions_that_run(tmp_path: Path) -> None:
    emulator = _emulator(tmp_path)
    asleep = tmp_path / "asleep"

    with ThreadPoolExecutor() as pool:
        with _serving(emulator, emulator.command(), {}) as gateway:
            call = pool.submit(gateway.invoke, "sleepy", place=str(asleep))
            deadline = time.monotonic() + _START_SECONDS
            while not asleep.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)

        assert call.exception() is not None
    assert not (emulator.home.tmp / "ministack").exists()


@pytest.mark.parametrize(("to", "action"), [("topic", "sns:PublishBatch"), ("queue", "sqs:SendMessageBatch")])
def test_a_function_that_may_send_one_may_send_batches(stock: Gateway, repaired: Gateway, to: str, action: str) -> None:
    assert f"not authorized to perform: {action}" in stock.invoke("announce", to=to)["errorMessage"]
    assert repaired.invoke("announce", to=to) == {"taken": 1}


def test_sam_makes_what_the_stacks_parameters_say(stock: Gateway, repaired: Gateway) -> None:
    def aliases(gateway: Gateway) -> list[str]:
        answer = gateway.client("lambda").list_aliases(FunctionName="quiet")
        return [alias["Name"] for alias in answer["Aliases"]]

    assert aliases(stock) == ["by-default"]
    assert aliases(repaired) == ["as-given"]


def test_a_bucket_that_is_deployed_anew_after_a_restart_has_its_objects(tmp_path: Path) -> None:
    key, body = "语音/1.wav", "\0鸿雁".encode()
    emulator = _emulator(tmp_path)
    with _serving(emulator, emulator.command(), {}) as before:
        before.client("s3").put_object(
            Bucket=_BUCKET, Key=key, Body=body, ContentType="audio/wav", Metadata={"by": "me"}
        )
    with _serving(emulator, emulator.command(), {}) as after:
        found = after.client("s3").get_object(Bucket=_BUCKET, Key=key)

        assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (body, "audio/wav", {"by": "me"})


def test_another_version_of_ministack_is_refused_in_one_sentence() -> None:
    code = (
        "import importlib.metadata; importlib.metadata.version = lambda _: '9.9.9'\n"
        "from local import ministack_launcher; ministack_launcher._serve()"
    )
    python = REPOSITORY / ".local" / "venv" / "ministack" / "bin" / "python"
    ended = subprocess.run(  # noqa: S603  # our own code
        [str(python), "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr == "ministack cannot be repaired: the repairs are for ministack 1.5.33, not 9.9.9.\n"
