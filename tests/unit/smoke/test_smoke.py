"""What whoever asks for a smoke test is told. That it finds what is broken, tests/e2e/test_smoke.py shows."""

import boto3
import pytest
from botocore.stub import Stubber
from hongyan import discovery
from smoke.handler import SmokeTestFailed, handler

from tests.support.gateway import LambdaContext

HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}


@pytest.fixture
def codedeploy(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """CodeDeploy as its API model describes it: no emulator has it."""
    client = boto3.client("codedeploy", region_name="us-east-1")
    monkeypatch.setattr(boto3, "client", {"codedeploy": client}.__getitem__)
    return Stubber(client)


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "attributes_of", {"user": {"url": "http://127.0.0.1:1"}}.__getitem__)


def people_can_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    async def meet_and_talk(endpoint: str, *, patience_seconds: float) -> None:
        pass

    monkeypatch.setattr("smoke.handler.meet_and_talk", meet_and_talk)


def test_codedeploy_is_told_to_shift_back_when_nobody_answers(codedeploy: Stubber) -> None:
    expect(codedeploy, "Failed")

    with codedeploy:
        handler(HOOK, LambdaContext())

        codedeploy.assert_no_pending_responses()


def test_codedeploy_is_told_to_go_on_when_people_can_talk(codedeploy: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    people_can_talk(monkeypatch)
    expect(codedeploy, "Succeeded")

    with codedeploy:
        handler(HOOK, LambdaContext())

        codedeploy.assert_no_pending_responses()


def test_any_other_caller_is_told_by_a_failure() -> None:
    with pytest.raises(SmokeTestFailed):
        handler({}, LambdaContext())


def expect(codedeploy: Stubber, status: str) -> None:
    ids = {"deploymentId": HOOK["DeploymentId"], "lifecycleEventHookExecutionId": HOOK["LifecycleEventHookExecutionId"]}
    codedeploy.add_response("put_lifecycle_event_hook_execution_status", {}, {**ids, "status": status})
