"""Copies of one environment, as Lambda starts them from a snapshot: `python -m tests.support.copies --hooks yes`.

A process of its own, as it forks. A fork has the same memory and the same open sockets, as a copy would have if they
survived; but Python, redis-py and OpenSSL notice it, by the process id and by handlers, and they could not notice a
snapshot. So what they do about it is undone here. That leaves out OpenSSL, whose state cannot be set back.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import boto3
import sqlalchemy as sa
from awslambdaric import lambda_runtime_hooks_runner as runtime
from hongyan import discovery, stores
from hongyan.ids import new_id
from moto import mock_aws

_NAMESPACE = "copies"
_SERVICE: discovery.Module = "user"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hooks", choices=["yes", "no"], required=True)
    with_hooks = parser.parse_args().hooks == "yes"
    database_url, redis_url = json.load(sys.stdin)
    with mock_aws():
        change = _deployed(database_url, redis_url)
        seen = [_use()]
        if with_hooks:
            runtime.run_before_snapshot()
        change()
        seen += [_in_a_copy(with_hooks=with_hooks) for _ in range(2)]
    json.dump(seen, sys.stdout)


def _deployed(database_url: str, redis_url: str) -> Callable[[], None]:
    """Make the secret and the registry; return what changes both, as time does until a snapshot is used."""
    urls = {"database_url": database_url, "redis_url": redis_url}
    secrets = boto3.client("secretsmanager")
    secret = secrets.create_secret(Name="stores", SecretString=json.dumps(urls | {"opensearch_url": "http://before"}))
    registry = boto3.client("servicediscovery")
    registry.create_http_namespace(Name=_NAMESPACE)
    namespace = registry.list_namespaces()["Namespaces"][0]["Id"]
    service = registry.create_service(Name=_SERVICE, NamespaceId=namespace)["Service"]["Id"]

    def register(url: str) -> None:
        registry.register_instance(ServiceId=service, InstanceId="live", Attributes={"url": url})

    register("before")
    os.environ.update(
        STORES_SECRET_ARN=secret["ARN"], CLOUD_MAP_NAMESPACE=_NAMESPACE, EVENTS_TOPIC_ARN="none", FILES_BUCKET="none"
    )

    def change() -> None:
        registry.deregister_instance(ServiceId=service, InstanceId="live")
        secrets.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps(urls | {"opensearch_url": "after"}))
        register("after")

    return change


def _use() -> dict[str, Any]:
    """Use what an environment keeps, and tell by which connection and with which luck."""
    with stores.engine().connect() as connection:
        database_connection = connection.scalar(sa.text("SELECT CONNECTION_ID()"))
    return {
        "database connection": database_connection,
        "redis connection": stores.cache_client().client_id(),
        "jitter": random.random(),  # which is what retries use
        "identifier": _id_within_one_millisecond(),
        "secret": stores.addresses().opensearch_url,
        "service": discovery.attributes_of(_SERVICE)["url"],
    }


def _id_within_one_millisecond() -> str:
    clock, time.time_ns = time.time_ns, lambda: 1_800_000_000_000_000_000
    try:
        return new_id()
    finally:
        time.time_ns = clock


def _in_a_copy(*, with_hooks: bool) -> dict[str, Any]:
    pid, luck = os.getpid(), random.getstate()
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.getpid = lambda: pid
        random.setstate(luck)
        if with_hooks:
            runtime.run_after_restore()
        os.write(sending, json.dumps(_use()).encode())
        os._exit(0)  # as abruptly as an environment ends: nothing is closed
    os.close(sending)
    os.waitpid(child, 0)
    with os.fdopen(receiving) as answer:
        used: dict[str, Any] = json.load(answer)
    return used


if __name__ == "__main__":
    main()
