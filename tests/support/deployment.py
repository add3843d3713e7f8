"""The AWS side of a deployment on moto: topic, queues, secret and registry as the template wires them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import sqlalchemy as sa
from hongyan import aws, discovery, metrics, rate_limits, settings, stores
from hongyan.tables import metadata
from moto import mock_aws

from functions.file.settings import settings as file_settings
from functions.message.settings import settings as push_settings
from functions.speech import recognition
from functions.user import sms
from local.stack import Stack
from migrations import owner
from tests.support.cache import lose_cache
from tests.support.gateway import LambdaContext
from tests.support.management import ManagementEndpoint
from tests.support.template import load, resources

_REGION = "us-east-1"


class Consumer:
    """A queue and the function that the template feeds from it, moved by hand."""

    def __init__(self, queue_url: str, handler: str, batch_size: int) -> None:
        self.queue_url = queue_url
        self._handler = handler
        self._batch_size = batch_size
        self._sqs = boto3.client("sqs")

    def work(self, *, at_most: int = 100) -> list[str]:
        """Hand what the queue holds to the function, batch by batch; return the ids of the records that failed."""
        failed: list[str] = []
        for batch in self._receive(at_most):
            answer = self.invoke(batch)
            failures = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            failed += failures
            self._delete([record for record in batch if record["messageId"] not in failures])
        return failed

    def invoke(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Call the function with records of an SQS event."""
        answer: dict[str, Any] = load(self._handler)({"Records": records}, LambdaContext())
        return answer

    def queued(self) -> list[dict[str, Any]]:
        """Take what the queue holds, unprocessed, as records of an SQS event."""
        return [record for batch in self._receive(1_000) for record in batch]

    def drain(self) -> None:
        """Empty the queue."""
        for batch in self._receive(1_000):
            self._delete(batch)

    def _delete(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            self._sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=record["receiptHandle"])

    def _receive(self, at_most: int) -> Iterator[list[dict[str, Any]]]:
        for _ in range(at_most):
            answer = self._sqs.receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=self._batch_size,
                WaitTimeSeconds=0,
                VisibilityTimeout=600,
                MessageAttributeNames=["All"],
            )
            if not (messages := answer.get("Messages")):
                return
            yield [
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": {},
                    "messageAttributes": {
                        name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                        for name, value in message.get("MessageAttributes", {}).items()
                    },
                    "eventSource": "aws:sqs",
                    "eventSourceARN": f"arn:aws:sqs:{_REGION}:123456789012:queue",
                }
                for message in messages
            ]


class Deployment:
    """What tests reach of it: the sockets' management endpoint, and the queues' consumers, moved by hand."""

    def __init__(self, management: ManagementEndpoint, topic_arn: str, consumers: dict[str, Consumer]) -> None:
        self.management = management
        self.topic_arn = topic_arn
        self.pushing = consumers["MessagePush"]
        self.sharding = consumers["MessageShard"]
        self.retrying = consumers["MessageRetry"]
        self.indexing = consumers["UserIndex"]
        self.message_indexing = consumers["MessageIndex"]
        self.verifying = consumers["FileVerify"]
        self.thumbnailing = consumers["FileThumbnail"]
        self.transcribing = consumers["SpeechTranscribe"]
        self._consumers = consumers

    def push(self, *, at_most: int = 100) -> list[str]:
        """Push what the queue holds, shards included; return the ids of the records that failed."""
        return self.pushing.work(at_most=at_most) + self.sharding.work()

    def retry(self) -> list[str]:
        """Tell the sockets that could not be told with the others; return the ids of the records that failed."""
        return self.retrying.work()

    def index(self) -> list[str]:
        """Index what the queue holds; return the ids of the records that failed."""
        return self.indexing.work()

    def invoke_push(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Call the push function with records of an SQS event."""
        return self.pushing.invoke(records)

    def queued(self) -> list[dict[str, Any]]:
        """Take what is to be pushed, unprocessed, as records of an SQS event."""
        return self.pushing.queued()

    def empty(self) -> None:
        """Let nothing have happened yet. The search index keeps what it holds: nobody in it is in the database."""
        with stores.engine().begin() as connection:
            for table in metadata.tables.values():
                connection.execute(sa.delete(table))
        lose_cache()
        self.drain()

    def drain(self) -> None:
        """Empty the queues."""
        for consumer in self._consumers.values():
            consumer.drain()


@contextmanager
def deployed(engines: Stack, patch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """Make the AWS resources on moto and let the environment name them, as the template does for the functions."""
    management = ManagementEndpoint()
    patch.delenv("AWS_ENDPOINT_URL", raising=False)
    _set(
        patch,
        AWS_DEFAULT_REGION=_REGION,
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        POWERTOOLS_SERVICE_NAME="hongyan",
    )
    with mock_aws():
        topic_arn = boto3.client("sns").create_topic(Name="events")["TopicArn"]
        queue_urls = _queues(topic_arn)
        addresses = {
            "database_url": engines.database_url,
            "redis_url": engines.redis_url,
            "opensearch_url": engines.opensearch_url,
        }
        _register("hongyan", management.url)
        _set(
            patch,
            STACK_NAME="hongyan-test",
            STORES_SECRET_ARN=_secret("stores", addresses),
            OWNER_SECRET_ARN=_secret("owner", {"database_url": engines.database_owner_url}),
            SMS_SECRET_ARN=_secret("sms", engines.sms_account),
            SPEECH_SECRET_ARN=_secret("speech", engines.speech_account),
            EVENTS_TOPIC_ARN=topic_arn,
            CLOUD_MAP_NAMESPACE="hongyan",
            FILES_BUCKET="files",
            FILE_QUOTA_BYTES=str(10 * 2**30),
            FILE_DAILY_BYTES=str(5 * 2**30),
            FILE_VERIFY_QUEUE_URL=queue_urls["FileVerify"],
            MESSAGE_SHARD_QUEUE_URL=queue_urls["MessageShard"],
            MESSAGE_RETRY_QUEUE_URL=queue_urls["MessageRetry"],
        )
        _forget_environment()
        try:
            consumers = {name: Consumer(url, *_consumer_of(f"{name}Queue")) for name, url in queue_urls.items()}
            yield Deployment(management, topic_arn, consumers)
        finally:
            stores.engine().dispose()
            owner.engine().dispose()
            _forget_environment()
            management.shut_down()


def _set(patch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        patch.setenv(name, value)


def _secret(name: str, content: dict[str, Any]) -> str:
    made = boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(content))
    return made["ARN"]


def _queues(topic_arn: str) -> dict[str, str]:
    """Make each queue of the template and subscribe those that it does; return URLs by name, without `Queue`."""
    names = [name for name in resources("AWS::SQS::Queue") if "DeadLetter" not in name]
    urls = {name: boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in names}
    for subscription in resources("AWS::SNS::Subscription").values():
        queue_url = urls[subscription["Endpoint"]["GetAtt"].removesuffix(".Arn")]
        _subscribe(topic_arn, queue_url, subscription["FilterPolicy"])
    return {name.removesuffix("Queue"): url for name, url in urls.items()}


def _subscribe(topic_arn: str, queue_url: str, filter_policy: dict[str, list[str]]) -> None:
    sqs = boto3.client("sqs")
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    boto3.client("sns").subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=queue_arn,
        Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps(filter_policy)},
    )


def _consumer_of(queue: str) -> tuple[str, int]:
    """Return the handler that the template feeds from a queue, and how many messages it gets at once."""
    [consumer] = [
        (function["Handler"], source["Properties"]["BatchSize"])
        for function in resources("AWS::Serverless::Function").values()
        for source in function.get("Events", {}).values()
        if source["Type"] == "SQS" and source["Properties"]["Queue"]["GetAtt"] == f"{queue}.Arn"
    ]
    return consumer


def _register(namespace: str, management_url: str) -> None:
    cloud_map = boto3.client("servicediscovery")
    operation = cloud_map.create_http_namespace(Name=namespace)["OperationId"]
    namespace_id = cloud_map.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    services = resources("AWS::ServiceDiscovery::Service")
    for instance in resources("AWS::ServiceDiscovery::Instance").values():
        module = services[instance["ServiceId"]["Ref"]]["Name"]
        values = {
            "url": "wss://sockets.example/live" if module == "ws_connect" else "https://rest.example/live",
            "management_url": management_url,
            "function": f"hongyan-{module}",
        }
        service = cloud_map.create_service(Name=module, NamespaceId=namespace_id, Type="HTTP")["Service"]
        cloud_map.register_instance(
            ServiceId=service["Id"],
            InstanceId=instance["InstanceId"],
            Attributes={name: values[name] for name in instance["InstanceAttributes"]},
        )


def _forget_environment() -> None:
    for made_once in (
        metrics._emf,
        settings.settings,
        file_settings,
        stores.addresses,
        stores.engine,
        stores.cache_client,
        stores.search_client,
        owner.settings,
        owner.engine,
        aws.session,
        aws.secrets_manager,
        aws.service_discovery,
        aws.s3,
        aws.sns,
        aws.sqs,
        push_settings,
        rate_limits._limiter,
        sms.sender,
        recognition.recognizer,
    ):
        made_once.cache_clear()
    discovery.forget()
