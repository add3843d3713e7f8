"""A deployed stack as the account's owner sees it, by the names of the template: functions, their logs, their roles."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple
from uuid import uuid4

from botocore.config import Config

from local.deploy import STACK, account
from local.stack import Stack
from tests.support.production import LOCAL, production_resources

_PATIENCE = Config(read_timeout=60, retries={"total_max_attempts": 1})


class Permission(NamedTuple):
    """One action that a function's role may do on one resource: the least that can be taken away of it."""

    function: str
    policy: str
    action: str
    resource: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """Who may do what with what."""
        return self.function, self.action, self.resource

    @property
    def name(self) -> str:
        return "-".join(self.kind)


@cache
def permissions() -> list[Permission]:
    """Return what the template lets the functions of a local stack do, one by one. What it denies is not among it."""
    roles = production_resources("AWS::IAM::Role", **LOCAL)
    functions = production_resources("AWS::Lambda::Function", **LOCAL)
    apart = production_resources("AWS::IAM::Policy", **LOCAL).values()
    policies = [
        *(
            (name, policy)
            for name, function in functions.items()
            for policy in roles[function["Role"]["Fn::GetAtt"][0]].get("Policies", [])
        ),
        *((role["Ref"].removesuffix("Role"), policy) for policy in apart for role in policy["Roles"]),
    ]
    return [
        Permission(name, policy["PolicyName"], action, shown(resource))
        for name, policy in policies
        for statement in as_list(policy["PolicyDocument"]["Statement"])
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]


@cache
def consumers() -> dict[str, str]:
    """Return the functions that queues feed, and the queue of each."""
    functions = production_resources("AWS::Lambda::Function", **LOCAL)
    return {
        next(function for function in functions if name.startswith(function)): source["EventSourceArn"]["Fn::GetAtt"][0]
        for name, source in production_resources("AWS::Lambda::EventSourceMapping", **LOCAL).items()
    }


def as_list(one_or_many: Any) -> list[Any]:
    """Return what IAM allows to be written without a list as one."""
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def shown(resource: Any) -> str:
    """Return a resource of a statement in short: the resource of the template, or what stands behind it.

    >>> shown({"Fn::Sub": "${FilesBucket.Arn}/avatar/*"}), shown({"Fn::GetAtt": ["PushQueue", "Arn"]})
    ('avatar/*', 'PushQueue')
    """
    if isinstance(resource, str):
        return resource
    [(function, operand)] = resource.items()
    match function:
        case "Ref":
            return str(operand)
        case "Fn::GetAtt":
            return str(operand[0])
        case _:
            return str(operand).rpartition("}/")[2].removeprefix("live/")


@dataclass(frozen=True)
class Invocation:
    """What came of calling a function: its answer, and what it logged meanwhile."""

    answer: Any
    has_failed: bool
    log: str

    @property
    def failed_records(self) -> list[str]:
        """The records of a queue that the function gives back."""
        return [failure["itemIdentifier"] for failure in (self.answer or {}).get("batchItemFailures", [])]

    def was_denied(self, action: str) -> bool:
        """Tell whether IAM refused something in its course, whatever became of it."""
        return f"is not authorized to perform: {action}" in f"{self.answer} {self.log}"


class Deployed:
    """The stack that runs. What is changed in it is as it was before at the end of each context."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.aws_endpoint_url

    def client(self, service: str) -> Any:
        """Return a client with the owner's rights."""
        return self._clients(service)

    def invoke(self, function: str, event: dict[str, Any]) -> Invocation:
        """Call a function as it is deployed, with an event of any source."""
        began = int(time.time() * 1000)
        name = self.names[function]
        called = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
        answer = json.loads(called["Payload"].read() or b"null")
        return Invocation(answer, "FunctionError" in called, self._log(function, began))

    def restart(self, function: str) -> None:
        """Let the next call find an environment in which nothing is remembered: another variable makes a new one."""
        client, name = self.client("lambda"), self.names[function]
        variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        environment = {"Variables": variables | {"RESTARTED": uuid4().hex}}
        client.update_function_configuration(FunctionName=name, Environment=environment)

    @contextmanager
    def configured(self, function: str, **configuration: Any) -> Iterator[None]:
        """Let a function have another time-out, or other variables beside its own."""
        client, name = self.client("lambda"), self.names[function]
        before = client.get_function_configuration(FunctionName=name)
        if variables := configuration.pop("variables", None):
            configuration["Environment"] = {"Variables": before["Environment"]["Variables"] | variables}
        client.update_function_configuration(FunctionName=name, **configuration)
        try:
            yield
        finally:
            client.update_function_configuration(FunctionName=name, **{key: before[key] for key in configuration})

    @contextmanager
    def without(self, permission: Permission) -> Iterator[None]:
        """Take a permission away from the function's role."""
        iam = self.client("iam")
        policy = {"RoleName": self.names[f"{permission.function}Role"], "PolicyName": permission.policy}
        document = iam.get_role_policy(**policy)["PolicyDocument"]
        left = _left(document["Statement"], *self._as_deployed(permission))
        if left:
            iam.put_role_policy(**policy, PolicyDocument=json.dumps(document | {"Statement": left}))
        else:
            iam.delete_role_policy(**policy)
        try:
            yield
        finally:
            iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))

    def decision(self, function: str, action: str, queue: str) -> str:
        """Return what IAM makes of an action of a function's on a queue, by all policies of its role together."""
        iam = self.client("iam")
        role = iam.get_role(RoleName=self.names[f"{function}Role"])["Role"]["Arn"]
        attributes = self.client("sqs").get_queue_attributes(QueueUrl=self.names[queue], AttributeNames=["QueueArn"])
        [result] = iam.simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[action], ResourceArns=[attributes["Attributes"]["QueueArn"]]
        )["EvaluationResults"]
        return str(result["EvalDecision"])

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let neither the clock nor a queue call a function. What is on queues at the end is nobody's, and goes."""
        events, functions = self.client("events"), self.client("lambda")
        rules = [rule["Name"] for rule in events.list_rules()["Rules"] if rule["State"] == "ENABLED"]
        sources = [source["UUID"] for source in functions.list_event_source_mappings()["EventSourceMappings"]]
        for rule in rules:
            events.disable_rule(Name=rule)
        for source in sources:
            functions.update_event_source_mapping(UUID=source, Enabled=False)
        try:
            yield
        finally:
            for queue in consumers().values():
                self.client("sqs").purge_queue(QueueUrl=self.names[queue])
            for source in sources:
                functions.update_event_source_mapping(UUID=source, Enabled=True)
            for rule in rules:
                events.enable_rule(Name=rule)

    @cached_property
    def names(self) -> dict[str, str]:
        """The names of everything that was made, by those of the template."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
        summaries = [summary for page in pages for summary in page["StackResourceSummaries"]]
        return {summary["LogicalResourceId"]: summary["PhysicalResourceId"] for summary in summaries}

    def _log(self, function: str, since_ms: int) -> str:
        pages = self.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=self._log_groups[function], startTime=since_ms)
        return "\n".join(event["message"] for page in found for event in page["events"])

    @cached_property
    def _log_groups(self) -> dict[str, str]:
        functions = production_resources("AWS::Lambda::Function", **LOCAL)
        names = {self.names[function]: function for function in functions}
        pages = self.client("lambda").get_paginator("list_functions").paginate()
        deployed = [each for page in pages for each in page["Functions"] if each["FunctionName"] in names]
        return {names[each["FunctionName"]]: each["LoggingConfig"]["LogGroup"] for each in deployed}

    def _as_deployed(self, permission: Permission) -> tuple[str, int]:
        """Return the action, and which of the statement's resources it is."""
        same = [each for each in permissions() if each[:3] == permission[:3]]
        return permission.action, same.index(permission)

    @cache  # noqa: B019  # there is one of it for a run
    def _clients(self, service: Any) -> Any:
        return account().client(service, endpoint_url=self._url, config=_PATIENCE)


def _left(statement: Any, action: str, place: int) -> list[dict[str, Any]]:
    """Return what of a policy's one statement is left without an action on one of its resources."""
    [whole] = as_list(statement)
    resources = as_list(whole["Resource"])
    others = [resource for n, resource in enumerate(resources) if n != place]
    kept = [
        {**whole, "Action": [each for each in as_list(whole["Action"]) if each != action], "Resource": resources},
        {**whole, "Action": [action], "Resource": others},
    ]
    return [each for each in kept if each["Action"] and each["Resource"]]
