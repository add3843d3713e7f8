"""What must hold for the deployment, whatever is added to it."""

import typing
from pathlib import Path

import pytest
import yaml
from hongyan.discovery import MODULES
from hongyan.events import EventType
from hongyan.web import MAX_BODY_BYTES

from functions.message.settings import PushSettings
from functions.speech import api as speech_api
from tests.contract.openapi import document
from tests.support.template import load, resources, rest_routes, template

QUEUES = resources("AWS::SQS::Queue")
FUNCTIONS = resources("AWS::Serverless::Function")
TIMEOUT = template()["Globals"]["Function"]["Timeout"]

# The contract marks these as open.
OPEN = {
    ("GET", "/v1/endpoints"),
    ("GET", "/v1/health"),
    ("POST", "/v1/users"),
    ("POST", "/v1/sessions"),
    ("POST", "/v1/sessions/refresh"),
    ("POST", "/v1/verification-codes"),
    ("POST", "/v1/password-resets"),
}


def alarmed_queues() -> set[str]:
    dimensions = [d for alarm in resources("AWS::CloudWatch::Alarm").values() for d in alarm.get("Dimensions", [])]
    return {d["Value"]["GetAtt"].removesuffix(".QueueName") for d in dimensions if d["Name"] == "QueueName"}


@pytest.mark.parametrize("queue", [name for name in QUEUES if "DeadLetter" not in name])
def test_a_queue_has_a_dead_letter_queue_of_its_own_and_an_alarm_on_it(queue: str) -> None:
    dead_letters = QUEUES[queue]["RedrivePolicy"]["deadLetterTargetArn"]["GetAtt"].removesuffix(".Arn")

    assert dead_letters == queue.removesuffix("Queue") + "DeadLetterQueue"
    assert dead_letters in alarmed_queues()


def test_a_record_stays_hidden_six_times_as_long_as_its_function_may_run() -> None:
    for function in FUNCTIONS.values():
        for source in function.get("Events", {}).values():
            if source["Type"] == "SQS":
                queue = source["Properties"]["Queue"]["GetAtt"].removesuffix(".Arn")
                assert QUEUES[queue]["VisibilityTimeout"] >= 6 * function.get("Timeout", TIMEOUT)
                assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_large_crowds_and_late_sockets_have_functions_of_their_own_that_run_the_push() -> None:
    fed = {
        source["Properties"]["Queue"]["GetAtt"].removesuffix(".Arn"): (name, function["Handler"])
        for name, function in FUNCTIONS.items()
        for source in function.get("Events", {}).values()
        if source["Type"] == "SQS"
    }
    queues = ("MessagePushQueue", "MessageShardQueue", "MessageRetryQueue")

    assert len({fed[queue][0] for queue in queues}) == 3
    assert {fed[queue][1] for queue in queues} == {"functions.message.push.handler"}


@pytest.mark.parametrize("function", ["MessagePushFunction", "MessageShardFunction"])
def test_who_cuts_crowds_up_knows_its_queues_and_may_put_messages_there(function: str) -> None:
    variables = FUNCTIONS[function]["Environment"]["Variables"]
    [allowed] = [
        policy["Statement"]["Resource"]
        for policy in FUNCTIONS[function]["Policies"]
        if policy["Statement"]["Action"] == "sqs:SendMessage"
    ]

    assert {name.upper() for name in PushSettings.model_fields} == set(variables)
    assert [f"{queue['Ref']}.Arn" for queue in variables.values()] == [queue["GetAtt"] for queue in allowed]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_names_a_handler_that_is_there_and_policies_of_its_own(function: str) -> None:
    attached = {role["Ref"] for policy in resources("AWS::IAM::Policy").values() for role in policy["Roles"]}

    assert callable(load(FUNCTIONS[function]["Handler"]))
    assert FUNCTIONS[function].get("Policies") or f"{function}Role" in attached
    assert "Role" not in FUNCTIONS[function]


def test_every_route_of_the_apps_is_deployed_and_leads_to_its_module() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            route = next(route for route in rest_routes() if route.matches(method.upper(), path))
            assert route.handler.startswith(f"functions.{operation['tags'][0]}."), (method, path)


def test_just_what_the_contract_opens_is_open() -> None:
    assert {(route.method, route.path) for route in rest_routes() if route.is_open} == OPEN


def test_the_push_hears_of_every_event_that_the_asyncapi_document_names() -> None:
    subscribed = set(resources("AWS::SNS::Subscription")["MessagePushSubscription"]["FilterPolicy"]["type"])
    known = set(typing.get_args(EventType))
    asyncapi = yaml.safe_load((Path(__file__).parents[3] / "docs" / "asyncapi.yaml").read_text())
    documented = {
        schema["properties"]["type"]["const"]
        for schema in asyncapi["components"]["schemas"].values()
        if "event_id" in schema.get("properties", {}) and "const" in schema["properties"]["type"]
    }

    assert subscribed == known == documented


@pytest.mark.parametrize("name", resources("AWS::S3::Bucket"))
def test_a_bucket_is_private_encrypted_without_versions_and_takes_no_request_in_the_clear(name: str) -> None:
    bucket = resources("AWS::S3::Bucket")[name]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    assert "VersioningConfiguration" not in bucket
    statements = resources("AWS::S3::BucketPolicy")[f"{name}Policy"]["PolicyDocument"]["Statement"]
    assert any(
        statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in statements
    )


def test_the_bucket_answers_one_origin_logs_who_fetched_and_forgets_what_was_left_behind() -> None:
    bucket = template()["Resources"]["FilesBucket"]["Properties"]

    condition, with_origin, _ = bucket["CorsConfiguration"]["If"]
    [rule] = with_origin["CorsRules"]
    assert (condition, rule["AllowedOrigins"]) == ("HasWebOrigin", [{"Ref": "WebOrigin"}])
    assert bucket["LoggingConfiguration"]["If"][:2] == [
        "InAws",
        {"DestinationBucketName": {"Ref": "FilesLogBucket"}, "LogFilePrefix": "files/"},
    ]
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules["uploads-left-behind"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert rules["avatars-left-behind"]["Prefix"] == "avatar-upload/"


def test_a_vendor_that_is_away_is_tried_for_an_hour() -> None:
    queue = QUEUES["SpeechTranscribeQueue"]

    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] == 60 * 60


def test_only_functions_of_files_and_of_speech_reach_what_people_uploaded() -> None:
    reached = {
        name
        for name, function in FUNCTIONS.items()
        if any(f"/{folder}/*" in str(function.get("Policies")) for folder in ("image", "file", "voice"))
    }

    assert {name.removesuffix("Function") for name in reached} == {
        "FileApi",
        "FileVerify",
        "FileThumbnail",
        "FileSweep",
        "SpeechApi",
        "SpeechTranscribe",
    }


def test_no_secret_is_an_environment_variable() -> None:
    of_all = template()["Globals"]["Function"]["Environment"]["Variables"]
    of_one = [function.get("Environment") for function in FUNCTIONS.values()]
    no_echo = {name for name, parameter in template()["Parameters"].items() if parameter.get("NoEcho")}

    assert no_echo == {
        "DatabaseUrl",
        "DatabaseOwnerUrl",
        "RedisUrl",
        "OpenSearchUrl",
        "SmsAccessKeyId",
        "SmsAccessKeySecret",
        "SpeechApiKey",
        "SpeechSecretKey",
    }
    assert not any(name in f"{of_all} {of_one}" for name in no_echo)


def test_a_body_within_our_limits_is_within_that_of_the_gateway() -> None:
    most_of_a_call = 6 * 1024 * 1024  # AWS quota: what Lambda takes in one synchronous call

    assert max(MAX_BODY_BYTES, speech_api.MOST_BYTES) * 4 // 3 <= most_of_a_call - 64 * 1024  # base64, and headers


def test_a_speech_vendor_that_is_away_is_tried_again_for_an_hour() -> None:
    queue = QUEUES["SpeechTranscribeQueue"]

    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] == 60 * 60
    assert queue["MessageRetentionPeriod"] > 60 * 60


def test_voice_messages_go_to_the_recogniser_only_if_they_shall() -> None:
    subscription = template()["Resources"]["SpeechTranscribeSubscription"]

    assert subscription["Condition"] == "TranscribesVoice"
    assert template()["Conditions"]["TranscribesVoice"] == {"Equals": [{"Ref": "TranscribeVoice"}, "true"]}
    assert subscription["Properties"]["FilterPolicy"] == {"type": ["message.created"], "message_type": ["voice"]}


def test_every_module_is_registered_with_where_it_answers_and_what_runs_it() -> None:
    services = {name: service["Name"] for name, service in resources("AWS::ServiceDiscovery::Service").items()}
    instances = {
        services[instance["ServiceId"]["Ref"]]: instance["InstanceAttributes"]
        for instance in resources("AWS::ServiceDiscovery::Instance").values()
    }
    packages = {path.parent.name for path in (Path(__file__).parents[3] / "functions").glob("*/__init__.py")}

    assert set(services.values()) == set(instances) == set(MODULES) == packages
    for module, attributes in instances.items():
        sockets = {"management_url"} if module == "ws_connect" else set()
        assert set(attributes) == {"url", "function"} | sockets
        function = attributes["function"]["Ref"].removesuffix(".Alias")
        assert FUNCTIONS[function]["Handler"].startswith(f"functions.{module}.")
