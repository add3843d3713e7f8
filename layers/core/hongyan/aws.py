"""AWS clients, made once per environment: making one costs tens of milliseconds, using one does not."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError
from snapshot_restore_py import register_before_snapshot

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_servicediscovery import ServiceDiscoveryClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

# With its second try below any function's own time-out, so that a dead service is an error and not a killed function.
_TIMEOUTS = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
# The older signature, which boto3 would take for links in some regions, is not accepted in newer ones (S3 guide).
# A link to store something is signed with the checksum that it names, and no other of an empty body.
_SIGNED_LINKS = _TIMEOUTS.merge(
    Config(
        read_timeout=5,  # putting the parts of an object together takes a while
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
def session() -> boto3.Session:
    """Return the session that all clients share: its credentials are looked for once, and renewed by itself."""
    return boto3.Session()


def credentials() -> Credentials:
    """Return those of the function's role; what is signed by them must ask each time, as they are renewed.

    Raises:
        botocore.exceptions.NoCredentialsError: there are none.

    """
    found = session().get_credentials()
    if found is None:
        raise NoCredentialsError
    return found


@cache
def secrets_manager() -> "SecretsManagerClient":
    """Return the client of Secrets Manager."""
    return session().client("secretsmanager", config=_TIMEOUTS)


@cache
def service_discovery() -> "ServiceDiscoveryClient":
    """Return the client of Cloud Map."""
    return session().client("servicediscovery", config=_DISCOVERY)


@cache
def sns() -> "SNSClient":
    """Return the client of SNS."""
    return session().client("sns", config=_TIMEOUTS)


@cache
def sqs() -> "SQSClient":
    """Return the client of SQS."""
    return session().client("sqs", config=_TIMEOUTS)


@cache
def s3() -> "S3Client":
    """Return the client of S3."""
    return session().client("s3", config=_SIGNED_LINKS)


def prepare() -> None:
    """Make every client, with no connection open, before a snapshot (SnapStart) is taken; the first call is spared it.

    They keep no credentials of the moment: with SnapStart, botocore gets them from the environment's own endpoint and
    renews them (AWS Lambda guide, Using SnapStart with AWS SDKs).
    """
    for client in (secrets_manager, service_discovery, sns, sqs, s3):
        client().close()


register_before_snapshot(prepare)
