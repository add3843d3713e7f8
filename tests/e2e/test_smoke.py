"""The smoke test, on a deployment: it passes, and does not where something on a message's way is broken."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.config import Config
from hongyan.tables import users

from local.deploy import STACK, account
from local.stack import Stack
from tests.events import sample


class Deployment:
    """The functions of the stack, and how a release of one of them comes about."""

    def __init__(self, endpoint_url: str) -> None:
        patience = Config(read_timeout=150, retries={"total_max_attempts": 1})
        self._lambda: Any = account().client("lambda", endpoint_url=endpoint_url, config=patience)
        formation = account().client("cloudformation", endpoint_url=endpoint_url)
        pages = formation.get_paginator("list_stack_resources").paginate(StackName=STACK)
        self._names = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
        }

    def smoke_test(self) -> dict[str, Any]:
        event = sample("SmokeFunction", {})
        answer: dict[str, Any] = self._lambda.invoke(
            FunctionName=f"CodeDeployHook_{STACK}:live", Payload=json.dumps(event).encode()
        )
        return answer

    @contextmanager
    def released(self, function: str, **properties: str) -> Iterator[None]:
        """Let a function's alias lead to another version of it for a while, as a release does."""
        name = self._names[function]
        before = self._lambda.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
        unchanged = self._lambda.get_function_configuration(FunctionName=name)
        self._lambda.update_function_configuration(FunctionName=name, **properties)
        version = self._lambda.publish_version(FunctionName=name)["Version"]
        self._lambda.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
        try:
            yield
        finally:
            self._lambda.update_alias(FunctionName=name, Name="live", FunctionVersion=before)
            self._lambda.update_function_configuration(
                FunctionName=name, **{property_: unchanged[property_] for property_ in properties}
            )


@pytest.fixture(scope="module")
def deployment(stack: Stack) -> Deployment:
    return Deployment(stack.aws_endpoint_url)


def test_the_smoke_test_passes_and_leaves_nobody_behind(stack: Stack, deployment: Deployment) -> None:
    answer = deployment.smoke_test()

    assert "FunctionError" not in answer, answer["Payload"].read()
    assert users_named(stack, "smoke-%") == 0


@pytest.mark.parametrize("function", ["FriendApiFunction", "MessagePushFunction"])
def test_the_smoke_test_fails_on_a_broken_release_and_passes_again_once_it_is_rolled_back(
    stack: Stack, deployment: Deployment, function: str
) -> None:
    with deployment.released(function, Handler="functions.nowhere.handler"):
        assert "FunctionError" in deployment.smoke_test()

    assert "FunctionError" not in deployment.smoke_test()
    assert users_named(stack, "smoke-%") == 0


def users_named(stack: Stack, pattern: str) -> int:
    engine = sa.create_engine(stack.database_url)
    with engine.connect() as connection:
        number = connection.scalar(sa.select(sa.func.count()).where(users.c.username.like(pattern)))
    engine.dispose()
    return int(number or 0)
