"""The function that CodeDeploy calls once traffic has shifted, and that anybody may call at any time.

It calls the public API and nothing else, so it passes only if people can.
"""

import asyncio
from typing import Any

import boto3
from hongyan import discovery
from hongyan.observability import logger

from smoke.acquaintance import meet_and_talk

# Below the function's time-out, so that there is time to say so.
_SECONDS = 100
_PATIENCE_SECONDS = 20


class SmokeTestFailed(Exception):  # noqa: N818  # a result, not a fault
    """People cannot meet and talk; the log says why."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, str], context: Any) -> None:  # noqa: ARG001  # Lambda's signature
    """Let two people meet and talk. CodeDeploy is told whether they could; any other caller, when they could not.

    Raises:
        SmokeTestFailed: they could not, and it was not CodeDeploy that asked.

    """
    passed = _people_can_talk()
    if "DeploymentId" in event:
        boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status="Succeeded" if passed else "Failed",
        )
    elif not passed:
        raise SmokeTestFailed


def _people_can_talk() -> bool:
    try:
        asyncio.run(asyncio.wait_for(meet_and_talk(_endpoint(), patience_seconds=_PATIENCE_SECONDS), _SECONDS))
    except Exception:  # noqa: BLE001  # whatever it was: the release is not fit
        logger.exception("the smoke test failed")
        return False
    logger.info("the smoke test passed")
    return True


def _endpoint() -> str:
    return discovery.attributes_of("user")["url"]
