"""AWS clients, made once per environment: making one costs tens of milliseconds, using one does not."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_servicediscovery import ServiceDiscoveryClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

# Below any function's own time-out, so that a dead service is an error and not a killed function.
_TIMEOUTS = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
# The older signature, which boto3 would take for links in some regions, is not accepted in newer ones (S3 guide).
# A link to store something is signed with the checksum that it names, and no other of an empty body.
_SIGNED_LINKS = _TIMEOUTS.merge(
    Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
)
# DiscoverInstances lives on its own host, `data-servicediscovery`; a single local endpoint has no such name.
# What it said before will do (`hongyan.discovery`), so nobody waits long for it.
_DISCOVERY = _TIMEOUTS.merge(
    Config(connect_timeout=1, read_timeout=1, inject_host_prefix="AWS_ENDPOINT_URL" not in os.environ)
)


@cache
def secrets_manager() -> "SecretsManagerClient":
    """Return the client of Secrets Manager."""
    return boto3.client("secretsmanager", config=_TIMEOUTS)


@cache
def service_discovery() -> "ServiceDiscoveryClient":
    """Return the client of Cloud Map."""
    return boto3.client("servicediscovery", config=_DISCOVERY)


@cache
def sns() -> "SNSClient":
    """Return the client of SNS."""
    return boto3.client("sns", config=_TIMEOUTS)


@cache
def sqs() -> "SQSClient":
    """Return the client of SQS."""
    return boto3.client("sqs", config=_TIMEOUTS)


@cache
def s3() -> "S3Client":
    """Return the client of S3."""
    return boto3.client("s3", config=_SIGNED_LINKS)
