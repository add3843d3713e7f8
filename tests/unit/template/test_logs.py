"""What is logged, where, and for how long."""

import json
import re
from typing import Any

import pytest

from tests.support.template import resources, template

OF_ALL = template()["Globals"]["Function"]
APIS = {"RestApi": "AccessLogSetting", "SocketApi": "AccessLogSettings"}


def access_log(api: str) -> dict[str, Any]:
    condition, setting, otherwise = template()["Resources"][api]["Properties"][APIS[api]]["If"]
    assert (condition, otherwise) == ("InAws", {"Ref": "AWS::NoValue"})
    found: dict[str, Any] = setting
    return found


@pytest.mark.parametrize("group", resources("AWS::Logs::LogGroup"))
def test_a_log_group_forgets_after_a_while(group: str) -> None:
    assert resources("AWS::Logs::LogGroup")[group]["RetentionInDays"] == 30


def test_every_function_logs_json_to_the_one_group_and_is_traced() -> None:
    assert OF_ALL["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionLogGroup"}, "LogFormat": "JSON"}
    assert OF_ALL["Tracing"] == "Active"
    for function in resources("AWS::Serverless::Function").values():
        assert not {"LoggingConfig", "Tracing", "PermissionsBoundary"} & set(function)
    assert template()["Resources"]["RestApi"]["Properties"]["TracingEnabled"] is True


def test_a_function_may_write_logs_to_that_group_and_do_nothing_else_with_logs() -> None:
    assert OF_ALL["PermissionsBoundary"] == {"Ref": "FunctionBoundary"}
    others, logs = resources("AWS::IAM::ManagedPolicy")["FunctionBoundary"]["PolicyDocument"]["Statement"]

    assert others == {"Effect": "Allow", "NotAction": "logs:*", "Resource": "*"}
    assert set(logs["Action"]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert logs["Resource"] == {"GetAtt": "FunctionLogGroup.Arn"}


@pytest.mark.parametrize("api", APIS)
def test_the_gateways_log_is_json_under_the_id_that_the_functions_log(api: str) -> None:
    line = json.loads(access_log(api)["Format"])

    assert line["correlation_id"] == "$context.requestId"
    assert "AccessLogGroup" in str(access_log(api)["DestinationArn"])


@pytest.mark.parametrize("api", APIS)
def test_the_gateways_log_holds_neither_paths_nor_queries_nor_messages(api: str) -> None:
    named = set(re.findall(r"\$context\.([\w.]+)", access_log(api)["Format"]))

    assert not {
        name for name in named if re.search(r"^path$|query|body|error\.message|authorizer\.(title|detail)", name)
    }
    assert {name for name in named if name.startswith("authorizer.")} == {"authorizer.user_id"}
