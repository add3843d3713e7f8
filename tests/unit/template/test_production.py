"""What holds of the template as CloudFormation would carry it out in an account: SAM translated, nothing left open."""

import json
import re
from itertools import groupby
from typing import Any

import pytest
import yaml
from cfnlint.api import ManualArgs, lint

from tests.support.deployed import as_list, consumers, permissions
from tests.support.production import LOCAL, WITH_DOMAINS, production, production_resources
from tests.support.template import TEMPLATE, template

PLAIN: dict[str, str] = {}
WITHOUT_FIREWALL = {"FirewallRequests": "0"}
REGIONS = yaml.safe_load((TEMPLATE.parent / ".cfnlintrc").read_text())["regions"]

FUNCTIONS = production_resources("AWS::Lambda::Function")
ROLES = production_resources("AWS::IAM::Role")
QUEUES = production_resources("AWS::SQS::Queue")


def statements(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the policies of a resource say, wherever they stand in it."""
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    documents += [properties[key] for key in ("PolicyDocument", "KeyPolicy", "AccessPolicies") if key in properties]
    return [statement for document in documents for statement in as_list(document["Statement"])]


def comments() -> list[str]:
    """Return the template's comments, each in one line."""
    lines = [line.strip() for line in TEMPLATE.read_text().splitlines()]
    blocks = groupby(lines, lambda line: line.startswith("#"))
    return [" ".join(line.lstrip("# ") for line in block) for is_comment, block in blocks if is_comment]


def is_argued(name: str) -> bool:
    return any("`*`" in comment and re.search(rf"\b{name}\b", comment) for comment in comments())


@pytest.mark.parametrize(
    "parameters", [PLAIN, WITH_DOMAINS, WITHOUT_FIREWALL, LOCAL], ids=["plain", "domains", "no-firewall", "local"]
)
def test_it_is_valid_in_every_region(parameters: dict[str, str]) -> None:
    # W3002: the nested template is a file until `sam deploy` packs it. E2530: SnapStart is not in China, where the
    # condition SnapStarts, resolved here for the first of the regions, leaves it out.
    checked = ManualArgs(regions=REGIONS, ignore_checks=["W3002", "E2530"])
    assert lint(json.dumps(production(**parameters)), config=checked) == []


def test_nothing_is_allowed_on_everything_without_a_comment_that_says_why() -> None:
    boundaries = {role["PermissionsBoundary"]["Ref"] for role in ROLES.values() if "PermissionsBoundary" in role}
    all_statements = [
        statement
        for name, resource in production(**WITH_DOMAINS)["Resources"].items()
        for statement in statements(resource.get("Properties", {}))
        if statement["Effect"] == "Allow" and name not in boundaries  # which allow nothing by themselves
    ]
    assert not [statement for statement in all_statements if "NotAction" in statement]
    starred = {
        action.partition(":")[2]
        for statement in all_statements
        for action in as_list(statement["Action"])
        if action.endswith("*") or "*" in as_list(statement["Resource"])
    }

    assert starred
    assert {name for name in starred if not is_argued(name)} == set()


def test_no_policy_of_aws_is_attached_without_a_comment_that_says_why() -> None:
    attached = {arn.rpartition("/")[2] for role in ROLES.values() for arn in role.get("ManagedPolicyArns", [])}

    assert "AWSLambdaBasicExecutionRole" in attached
    assert {name for name in attached if not is_argued(name)} == set()


def test_nobody_outside_the_account_is_allowed_anything() -> None:
    for name, resource in production(**WITH_DOMAINS)["Resources"].items():
        for statement in statements(resource.get("Properties", {})):
            if statement["Effect"] == "Allow" and "Principal" in statement:
                [(kind, principal)] = statement["Principal"].items()
                assert kind == "Service" or "*" not in principal, name


def test_a_service_may_put_something_on_a_queue_only_for_what_is_ours() -> None:
    for policy in production_resources("AWS::SQS::QueuePolicy").values():
        for statement in statements(policy):
            assert statement["Condition"]["ArnEquals"]["aws:SourceArn"]


def test_who_may_call_a_function_is_named_with_what_calls_it() -> None:
    for name, permission in production_resources("AWS::Lambda::Permission").items():
        assert "SourceArn" in permission or "SourceAccount" in permission, name


def test_every_function_has_a_role_of_its_own_that_lambda_alone_takes() -> None:
    roles = [function["Role"]["Fn::GetAtt"][0] for function in FUNCTIONS.values()]

    assert len(set(roles)) == len(roles)
    for role in roles:
        [trust] = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": ["lambda.amazonaws.com"]}


@pytest.mark.parametrize(("function", "queue"), consumers().items())
def test_a_function_takes_from_its_own_queue_alone(function: str, queue: str) -> None:
    [denied] = [each for each in statements(ROLES[f"{function}Role"]) if each["Effect"] == "Deny"]

    assert denied == {
        "Effect": "Deny",
        "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        "NotResource": {"Fn::GetAtt": [queue, "Arn"]},
    }


def test_whoever_asks_s3_for_what_may_not_be_there_may_list_the_folders_of_uploads_alone() -> None:
    [listed] = [each for each in statements(ROLES["FileApiFunctionRole"]) if each["Action"] == "s3:ListBucket"]

    assert listed["Resource"] == {"Fn::GetAtt": ["FilesBucket", "Arn"]}
    assert listed["Condition"] == {"StringLike": {"s3:prefix": ["avatar-upload/*", "image/*", "file/*", "voice/*"]}}
    assert [each.function for each in permissions() if each.action == "s3:ListBucket"] == ["FileApiFunction"]


def test_the_smoke_test_may_tell_codedeploy_how_it_went_where_codedeploy_asks() -> None:
    [told] = [each for each in statements(ROLES["SmokeFunctionRole"]) if "codedeploy:" in str(each["Action"])]
    unwatched = production_resources("AWS::IAM::Role", TrafficShift="Unwatched")["SmokeFunctionRole"]

    assert told["Action"] == "codedeploy:PutLifecycleEventHookExecutionStatus"
    assert ":deploymentgroup:hongyan-ServerlessDeploymentApplication-" in told["Resource"]
    assert not any("codedeploy:" in str(each["Action"]) for each in statements(unwatched))


def test_what_lies_in_queues_topics_and_buckets_is_encrypted() -> None:
    assert all(queue["SqsManagedSseEnabled"] is True for queue in QUEUES.values())
    # Alarms' topic holds nobody's words, and AWS's own key does not let CloudWatch publish (SNS guide, key management).
    topics = {name: t for name, t in production_resources("AWS::SNS::Topic").items() if name != "AlarmsTopic"}
    assert all(topic["KmsMasterKeyId"] for topic in topics.values())
    assert all(bucket["BucketEncryption"] for bucket in production_resources("AWS::S3::Bucket").values())


def test_every_log_is_deleted_some_day() -> None:
    groups = production_resources("AWS::Logs::LogGroup")

    assert groups
    assert all(group["RetentionInDays"] for group in groups.values())


def test_secrets_are_in_secrets_manager_and_nowhere_else() -> None:
    # A parameter that is not given is its own name (tests.support.production).
    secret = {name for name, parameter in template()["Parameters"].items() if parameter.get("NoEcho")}
    elsewhere = {
        name: json.dumps(resource)
        for name, resource in production()["Resources"].items()
        if resource["Type"] != "AWS::SecretsManager::Secret"
    }

    assert secret
    assert [(name, each) for name, text in elsewhere.items() for each in secret if each in text] == []


def test_both_apis_take_tls_1_2_or_newer_by_their_own_addresses_and_by_domains() -> None:
    [rest] = production_resources("AWS::ApiGateway::RestApi", **WITH_DOMAINS).values()
    [rest_domain] = production_resources("AWS::ApiGateway::DomainName", **WITH_DOMAINS).values()
    [socket_domain] = production_resources("AWS::ApiGatewayV2::DomainName", **WITH_DOMAINS).values()

    assert rest["SecurityPolicy"] == rest_domain["SecurityPolicy"] == "SecurityPolicy_TLS13_1_2_2021_06"
    assert rest["EndpointAccessMode"] == "STRICT"  # API Gateway asks for it with such a policy
    # WebSocket APIs know no other policy, and have it by their own addresses in any case.
    assert [each["SecurityPolicy"] for each in socket_domain["DomainNameConfigurations"]] == ["TLS_1_2"]


def test_there_is_no_stage_but_the_one_with_firewall_throttles_and_logs() -> None:
    """SAM makes another one with a deployment that names one."""
    deployments = production_resources("AWS::ApiGateway::Deployment").values()

    assert deployments
    assert not any("StageName" in deployment for deployment in deployments)
    assert len(production_resources("AWS::ApiGateway::Stage")) == 1


def test_clients_are_told_the_domains_and_functions_the_sockets_own_address() -> None:
    resources = production(**WITH_DOMAINS)["Resources"]
    rest, socket = (
        resources[name]["Properties"]["InstanceAttributes"] for name in ("UserInstance", "WsConnectInstance")
    )
    outputs = production(**WITH_DOMAINS)["Outputs"]

    assert rest["url"] == outputs["RestUrl"]["Value"] == "https://api.example.com"
    assert socket["url"] == outputs["WebSocketUrl"]["Value"] == "wss://ws.example.com"
    own = "https://${SocketApi}.execute-api.us-east-1.amazonaws.com/live"
    assert socket["management_url"] == {"Fn::Sub": own}
    assert production()["Outputs"]["RestUrl"]["Value"] != outputs["RestUrl"]["Value"]


@pytest.mark.parametrize(("parameters", "is_closed"), [(PLAIN, False), (WITH_DOMAINS, True)], ids=["plain", "domains"])
def test_with_a_domain_the_rest_api_answers_nowhere_else(parameters: dict[str, str], *, is_closed: bool) -> None:
    [rest] = production_resources("AWS::ApiGateway::RestApi", **parameters).values()

    [endpoint] = [server["x-amazon-apigateway-endpoint-configuration"] for server in rest["Body"]["servers"]]
    assert endpoint == {"disableExecuteApiEndpoint": is_closed}


def test_a_domain_without_a_zone_makes_no_records() -> None:
    without = {name: value for name, value in WITH_DOMAINS.items() if name != "HostedZoneId"}

    assert len(production_resources("AWS::Route53::RecordSet", **WITH_DOMAINS)) == 2
    assert production_resources("AWS::Route53::RecordSet", **without) == {}


def test_codes_are_throttled_below_everything_else_and_sockets_too() -> None:
    [stage] = production_resources("AWS::ApiGateway::Stage", CodesPerSecond="3", RestRequestsPerSecond="70").values()
    [sockets] = production_resources("AWS::ApiGatewayV2::Stage", SocketFramesPerSecond="90").values()

    limits = {(each["ResourcePath"], each["HttpMethod"]): each for each in stage["MethodSettings"]}
    assert limits["/*", "*"]["ThrottlingRateLimit"] == limits["/*", "*"]["ThrottlingBurstLimit"] == "70"
    assert limits["/~1v1~1verification-codes", "POST"]["ThrottlingRateLimit"] == "3"
    assert limits["/~1v1~1verification-codes", "POST"]["ThrottlingBurstLimit"] == "3"
    assert sockets["DefaultRouteSettings"] == {"ThrottlingRateLimit": "90", "ThrottlingBurstLimit": "90"}


def test_the_firewall_stands_before_the_rest_api_unless_it_is_switched_off() -> None:
    [association] = production_resources("AWS::WAFv2::WebACLAssociation").values()

    assert association["WebACLArn"] == {"Fn::GetAtt": ["RestFirewall", "Arn"]}
    api = "arn:aws:apigateway:us-east-1::/restapis/${RestApi}/stages/${RestApiliveStage}"
    assert association["ResourceArn"] == {"Fn::Sub": api}
    assert not [each for each in production(**WITHOUT_FIREWALL)["Resources"].values() if "WAFv2" in each["Type"]]


def test_the_firewall_counts_what_one_address_sends_and_more_strictly_what_needs_no_token() -> None:
    limits = {"FirewallRequests": "7000", "FirewallAccountRequests": "300"}
    [firewall] = production_resources("AWS::WAFv2::WebACL", **limits).values()

    everything, open_paths = (rule["Statement"]["RateBasedStatement"] for rule in firewall["Rules"][:2])
    assert (everything["Limit"], open_paths["Limit"]) == ("7000", "300")
    pattern = open_paths["ScopeDownStatement"]["RegexMatchStatement"]["RegexString"]
    for path in ("/v1/sessions", "/live/v1/sessions/refresh", "/live/v1/verification-codes", "/v1/password-resets"):
        assert re.search(pattern, path)
    for path in ("/live/v1/users/me", "/live/v1/conversations", "/v1/health"):
        assert not re.search(pattern, path)


def test_the_firewall_blocks_no_chat_for_what_it_says() -> None:
    [firewall] = production_resources("AWS::WAFv2::WebACL").values()
    groups = [rule["Statement"].get("ManagedRuleGroupStatement") for rule in firewall["Rules"]]
    counted = {
        override["Name"]
        for group in groups
        if group is not None
        for override in group.get("RuleActionOverrides", [])
        if override["ActionToUse"] == {"Count": {}}
    }

    # What these groups look into bodies and questions for, as AWS lists them (WAF guide, baseline rule groups).
    assert counted >= {
        "SizeRestrictions_BODY",
        "CrossSiteScripting_BODY",
        "CrossSiteScripting_QUERYARGUMENTS",
        "GenericLFI_BODY",
        "GenericLFI_QUERYARGUMENTS",
        "GenericRFI_BODY",
        "GenericRFI_QUERYARGUMENTS",
        "EC2MetaDataSSRF_BODY",
        "EC2MetaDataSSRF_QUERYARGUMENTS",
        "Log4JRCE_BODY",
        "Log4JRCE_QUERYSTRING",
        "JavaDeserializationRCE_BODY",
        "JavaDeserializationRCE_QUERYSTRING",
    }


def test_what_the_firewall_logs_names_no_token_and_no_question() -> None:
    [logging] = production_resources("AWS::WAFv2::LoggingConfiguration").values()

    assert {"SingleHeader": {"Name": "authorization"}} in logging["RedactedFields"]
    assert {"QueryString": {}} in logging["RedactedFields"]
