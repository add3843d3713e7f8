"""What SAM makes of the template in production mode: who calls what, in which order things change, who watches."""

import json
import re
from graphlib import TopologicalSorter
from typing import Any

import pytest

from tests.support.template import resources as of_template
from tests.support.translation import Resources, needed_by, of_type, translated

FUNCTIONS = of_template("AWS::Serverless::Function")
UNWATCHED = {"MigrationFunction", "SmokeFunction"}
# Whom somebody waits for: at a call, at a frame, for a message.
AWAITED = {
    "UserAuthorizerFunction",
    "UserApiFunction",
    "UserCodesFunction",
    "FriendApiFunction",
    "MessageApiFunction",
    "MessageSearchFunction",
    "FileApiFunction",
    "SpeechApiFunction",
    "WsConnectAuthorizerFunction",
    "WsConnectConnectFunction",
    "WsConnectFrameFunction",
    "MessageSocketFunction",
    "MessagePushFunction",
    "MessageShardFunction",
}


@pytest.fixture(scope="module")
def in_aws() -> Resources:
    return translated()


@pytest.fixture(scope="module")
def locally() -> Resources:
    return translated(LocalHost="127.0.0.1:4566", TrafficShift="Unwatched")


def called(target: Any) -> str:
    """Return the one function or alias that an address of API Gateway, a rule or a permission names."""
    [name] = {str(name) for name in re.findall(r"\b(\w+Function(?:Aliaslive)?)\b", json.dumps(target))}
    return name


def rest_targets(resources: Resources) -> list[Any]:
    body = resources["RestApi"]["Properties"]["Body"]
    routes = [
        operation["x-amazon-apigateway-integration"]["uri"]
        for path in body["paths"].values()
        for operation in path.values()
    ]
    authorizers = [
        scheme["x-amazon-apigateway-authorizer"]["authorizerUri"]
        for scheme in body["components"]["securitySchemes"].values()
        if "x-amazon-apigateway-authorizer" in scheme
    ]
    return routes + authorizers


def targets(resources: Resources) -> dict[str, list[Any]]:
    """Return whatever names a function to be called, by the kind of caller."""
    named = {
        "AWS::Lambda::EventSourceMapping": "FunctionName",
        "AWS::ApiGatewayV2::Integration": "IntegrationUri",
        "AWS::ApiGatewayV2::Authorizer": "AuthorizerUri",
        "AWS::Events::Rule": "Targets",
        "AWS::Lambda::Permission": "FunctionName",
        "Custom::Migration": "ServiceToken",
    }
    found = {
        kind: [resource["Properties"][name] for resource in of_type(resources, kind).values()]
        for kind, name in named.items()
    }
    return found | {"REST API": rest_targets(resources)}


@pytest.mark.parametrize(
    "caller",
    [
        "REST API",
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Authorizer",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Events::Rule",
        "Custom::Migration",
    ],
)
def test_whoever_calls_a_function_calls_its_alias(in_aws: Resources, caller: str) -> None:
    callees = [called(target) for target in targets(in_aws)[caller]]

    assert callees
    assert all(callee.endswith("Aliaslive") for callee in callees)


def test_whoever_calls_an_alias_may(in_aws: Resources) -> None:
    """Queues are read by the function's role, and CloudFormation calls as whoever deploys."""
    permissions = of_type(in_aws, "AWS::Lambda::Permission").values()
    allowed = {(called(p["Properties"]["FunctionName"]), p["Properties"]["Principal"]) for p in permissions}
    by = {
        "apigateway.amazonaws.com": ["REST API", "AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::Authorizer"],
        "events.amazonaws.com": ["AWS::Events::Rule"],
    }

    assert allowed == {
        (called(target), principal)
        for principal, callers in by.items()
        for caller in callers
        for target in targets(in_aws)[caller]
    }
    assert all(
        p["Properties"]["Action"] == "lambda:InvokeFunction" and p["Properties"]["SourceArn"] for p in permissions
    )


def test_each_route_and_schedule_has_a_permission_of_its_own(in_aws: Resources) -> None:
    permissions = len(of_type(in_aws, "AWS::Lambda::Permission"))
    calls = targets(in_aws)

    assert permissions == sum(
        len(calls[caller])
        for caller in (
            "REST API",
            "AWS::ApiGatewayV2::Integration",
            "AWS::ApiGatewayV2::Authorizer",
            "AWS::Events::Rule",
        )
    )


def test_no_function_changes_before_the_database_is_migrated(in_aws: Resources) -> None:
    before = {name: needed_by(resource, in_aws) for name, resource in in_aws.items()}
    order = list(TopologicalSorter(before).static_order())  # raises if something waits for itself

    functions = of_type(in_aws, "AWS::Lambda::Function").keys() - {"MigrationFunction"}
    assert all("Migration" in before[function] for function in functions)
    assert all(order.index("Migration") < order.index(function) for function in functions)
    # Roles are there before: the migrations may have to name them.
    assert not any("Migration" in before[role] for role in of_type(in_aws, "AWS::IAM::Role"))


@pytest.mark.parametrize("layer", ["layers/core", "layers/migration"])
def test_another_release_of_a_layer_publishes_what_uses_it(in_aws: Resources, layer: str) -> None:
    changed = translated({layer: "s3://packages/another"})

    def versions(resources: Resources) -> set[str]:
        return set(of_type(resources, "AWS::Lambda::Version"))

    expected = set(FUNCTIONS) if layer == "layers/core" else {"MigrationFunction"}
    assert {re.sub(r"Version\w+$", "", name) for name in versions(changed) - versions(in_aws)} == expected


def test_another_release_of_the_migrations_has_cloudformation_call_them(in_aws: Resources) -> None:
    changed = translated({"migrations": "s3://packages/another"})

    assert changed["Migration"]["Properties"] != in_aws["Migration"]["Properties"]


def test_traffic_shifts_little_by_little_under_alarms_that_shift_it_back(in_aws: Resources) -> None:
    for function in FUNCTIONS.keys() - UNWATCHED:
        group = in_aws[f"{function}DeploymentGroup"]["Properties"]

        assert group["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": "Canary10Percent5Minutes"}
        assert {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"} <= set(group["AutoRollbackConfiguration"]["Events"])
        condition, watched, _ = group["AlarmConfiguration"]["Fn::If"]
        assert condition == "ShiftIsWatched"
        assert {alarm["Name"]["Ref"] for alarm in watched["Alarms"]} == {
            name for name in of_type(in_aws, "AWS::CloudWatch::Alarm") if name.startswith("Deployment")
        }


@pytest.mark.parametrize("function", sorted(UNWATCHED))
def test_what_makes_a_change_is_not_itself_shifted(in_aws: Resources, function: str) -> None:
    assert "UpdatePolicy" not in in_aws[f"{function}Aliaslive"]


def test_the_alarm_on_errors_counts_the_versions_that_are_being_deployed(in_aws: Resources) -> None:
    _, *metrics = in_aws["DeploymentErrorsAlarm"]["Properties"]["Metrics"]

    assert 0 < len(metrics) <= 10  # CloudWatch quota: metrics of one alarm
    for metric in metrics:
        dimensions = {d["Name"]: d["Value"] for d in metric["MetricStat"]["Metric"]["Dimensions"]}
        function = dimensions["FunctionName"]["Ref"]
        assert function != "WsConnectAuthorizerFunction", "it refuses by failing"
        assert dimensions["Resource"] == {"Fn::Sub": f"${{{function}}}:live"}
        alias = in_aws[f"{function}Aliaslive"]["Properties"]
        assert dimensions["ExecutedVersion"] == alias["FunctionVersion"]


def test_the_alarms_watch_the_stage_that_is_deployed(in_aws: Resources) -> None:
    watched = in_aws["DeploymentRestErrorsAlarm"]["Properties"]["Dimensions"]

    assert {d["Name"]: d["Value"] for d in watched} == {
        "ApiName": in_aws["RestApi"]["Properties"]["Body"]["info"]["title"],
        "Stage": next(iter(of_type(in_aws, "AWS::ApiGateway::Stage").values()))["Properties"]["StageName"],
    }
    assert "Name" not in in_aws["RestApi"]["Properties"]


def test_what_is_made_fits_into_one_stack(in_aws: Resources) -> None:
    assert len(in_aws) <= 500  # AWS quota: resources of one template
    assert len(json.dumps(in_aws)) <= 1_000_000  # and its bytes


def test_what_the_smoke_test_passes_is_tried_after_its_shift(in_aws: Resources) -> None:
    hooked = {
        name.removesuffix("FunctionAliaslive")
        for name, alias in of_type(in_aws, "AWS::Lambda::Alias").items()
        if "AfterAllowTrafficHook" in alias.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
    }

    assert hooked == {
        "UserAuthorizer",
        "UserApi",
        "FriendApi",
        "MessageApi",
        "WsConnectAuthorizer",
        "WsConnectConnect",
        "WsConnectFrame",
        "MessageSocket",
        "MessagePush",
    }


def test_codedeploy_may_call_the_smoke_test(in_aws: Resources) -> None:
    assert in_aws["SmokeFunction"]["Properties"]["FunctionName"] == {"Fn::Sub": "CodeDeployHook_${AWS::StackName}"}
    assert in_aws["CodeDeployServiceRole"]["Properties"]["ManagedPolicyArns"] == [
        "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"
    ]


def test_just_what_somebody_waits_for_starts_from_a_snapshot(in_aws: Resources) -> None:
    starts = {
        name: function["Properties"]["SnapStart"]["ApplyOn"]
        for name, function in of_type(in_aws, "AWS::Lambda::Function").items()
        if "SnapStart" in function["Properties"]
    }

    assert starts.keys() == AWAITED
    assert all(applied == {"Fn::If": ["SnapStarts", "PublishedVersions", "None"]} for applied in starts.values())


@pytest.mark.parametrize("function", sorted(AWAITED))
def test_what_starts_from_a_snapshot_has_nothing_that_snapstart_refuses(in_aws: Resources, function: str) -> None:
    """AWS Lambda guide, SnapStart: no provisioned concurrency, no EFS, no more than 512 MB of temporary files."""
    properties = in_aws[function]["Properties"]

    assert "FileSystemConfigs" not in properties
    assert properties.get("EphemeralStorage", {"Size": 512})["Size"] <= 512
    assert "ProvisionedConcurrencyConfig" not in in_aws[f"{function}Aliaslive"]["Properties"]


def test_the_emulator_gets_nothing_of_codedeploy(locally: Resources) -> None:
    assert not [name for name, resource in locally.items() if resource["Type"].startswith("AWS::CodeDeploy")]
