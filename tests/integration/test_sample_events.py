"""Every function takes its sample event (tests/events), so that what `sam local invoke` is given stays true."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.ws_connect import sweep
from tests.events import make, sample
from tests.support.cloudformation import awaiting
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, request
from tests.support.recordings import WORDS
from tests.support.template import load, resources

FUNCTIONS = resources("AWS::Serverless::Function")
EVENTS = Path(__file__).parents[1] / "events"

Invoke = Callable[[str], Any]


def fed_by(source_type: str) -> list[str]:
    return [
        name
        for name, function in FUNCTIONS.items()
        if any(source["Type"] == source_type for source in function.get("Events", {}).values())
    ]


REST = dict.fromkeys(fed_by("Api"), 200) | {"UserCodesFunction": 202, "FileApiFunction": 201}
QUEUES, CLOCK = fed_by("SQS"), fed_by("Schedule")
AUTHORIZERS = ["UserAuthorizerFunction", "WsConnectAuthorizerFunction"]
SOCKETS = {
    "WsConnectConnectFunction": None,
    "WsConnectFrameFunction": "pong",
    "MessageSocketFunction": "ack",
    "WsConnectDisconnectFunction": None,
}


@pytest.fixture
def values(deployment: Deployment, bucket: None) -> dict[str, str]:
    def call(method: str, path: str, token: str | None, body: Any) -> Any:
        content = {"raw": body} if isinstance(body, bytes) else {"body": body}
        answer = request(method, path, token=token, **content)
        assert answer.status < 300, answer.text
        return answer.json

    return make(call)


@pytest.fixture
def invoke(values: dict[str, str]) -> Invoke:
    """Call a function with its sample event."""

    def invoked(function: str) -> Any:
        with asyncio.Runner() as runner:
            asyncio.set_event_loop(runner.get_loop())
            return load(FUNCTIONS[function]["Handler"])(sample(function, values), LambdaContext())

    return invoked


def test_every_function_has_a_sample_event_and_a_test_here() -> None:
    events = {path.stem for path in EVENTS.glob("*.json")}

    assert events == set(FUNCTIONS)
    here = {*REST, *QUEUES, *CLOCK, *AUTHORIZERS, *SOCKETS, "MigrationFunction"}
    assert events - here == {"SmokeFunction"}  # which calls a deployment: tests/e2e/test_smoke.py


def test_the_rest_modules_answer_theirs(invoke: Invoke) -> None:
    for index in ("UserReindexFunction", "MessageReindexFunction"):
        invoke(index)

    answers = {function: invoke(function) for function in REST}

    assert {function: answer["statusCode"] for function, answer in answers.items()} == REST
    assert json.loads(answers["SpeechApiFunction"]["body"]) == {"text": WORDS}


def test_both_authorizers_let_theirs_in(invoke: Invoke) -> None:
    for function in AUTHORIZERS:
        assert invoke(function)["policyDocument"]["Statement"][0]["Effect"] == "Allow"


def test_frames_are_answered_in_the_order_of_a_connection(invoke: Invoke) -> None:
    for function, kind in SOCKETS.items():
        answer = invoke(function)
        assert answer["statusCode"] == 200
        assert kind is None or json.loads(answer["body"])["type"] == kind


def test_consumers_settle_theirs_and_tell_who_is_there(
    invoke: Invoke, values: dict[str, str], deployment: Deployment
) -> None:
    invoke("UserReindexFunction")
    invoke("MessageReindexFunction")
    deployment.management.open(values["connection_id"])
    invoke("WsConnectConnectFunction")

    for function in QUEUES:
        assert invoke(function) == {"batchItemFailures": []}, function

    frames = [json.loads(frame) for frame in deployment.management.frames(values["connection_id"])]
    told = [
        event["data"]["message"]["content"]
        for frame in frames
        for event in frame["events"]
        if "message" in event["data"]
    ]
    assert told == [{"text": "Hello, 鸿雁"}] * 3  # by the push, a shard and a retry
    messages = request("GET", f"/v1/conversations/{values['conversation_id']}/messages", token=values["access_token"])
    _, image, voice = (message["content"] for message in messages.json["items"])
    assert image["thumbnail"]
    assert voice["transcript"] == WORDS


def test_what_the_clock_calls_takes_its_event(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MINUTE_SECONDS", 0)  # one round

    for function in CLOCK:
        invoke(function)


def test_the_migration_tells_the_revision(deployment: Deployment) -> None:
    with awaiting("Update") as (request_of_cloudformation, told):
        event = sample("MigrationFunction", {"answer_url": request_of_cloudformation["ResponseURL"]})
        load(FUNCTIONS["MigrationFunction"]["Handler"])(event, LambdaContext())

    [answer] = told
    assert answer["Data"]["Revision"]
