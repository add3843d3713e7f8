"""Where the parts of a deployment are, by name at run time, from AWS Cloud Map (architecture, decision 10)."""

import time

from botocore.exceptions import BotoCoreError, ClientError
from snapshot_restore_py import register_before_snapshot

from hongyan import aws
from hongyan.observability import logger
from hongyan.settings import settings

CACHE_SECONDS = 30.0

_found: dict[str, tuple[float, dict[str, str]]] = {}


class ServiceNotRegisteredError(LookupError):
    """No instance is registered under the service's name."""


def attributes_of(service: str) -> dict[str, str]:
    """Return the attributes of the service's instance, ``CACHE_SECONDS`` old at most unless Cloud Map is out of reach.

    Raises:
        ServiceNotRegisteredError: nothing is registered under the name.
        botocore.exceptions.ClientError: Cloud Map is out of reach and the service was never found before.

    """
    known = _found.get(service)
    if known is not None and time.monotonic() - known[0] < CACHE_SECONDS:
        return known[1]
    try:
        attributes = _discover(service)
    except (BotoCoreError, ClientError) as error:
        if known is None:
            raise
        logger.warning("Cloud Map is out of reach, using what it said before", service_name=service, error=str(error))
        return known[1]
    _found[service] = (time.monotonic(), attributes)
    return attributes


def forget() -> None:
    """Drop what was found, so that the next question goes to Cloud Map."""
    _found.clear()


# The monotonic clock stands still in a snapshot (SnapStart): what was found a month ago would seem fresh.
register_before_snapshot(forget)


def _discover(service: str) -> dict[str, str]:
    answer = aws.service_discovery().discover_instances(
        NamespaceName=settings().cloud_map_namespace, ServiceName=service, HealthStatus="ALL"
    )
    if not answer["Instances"]:
        raise ServiceNotRegisteredError(service)
    return answer["Instances"][0]["Attributes"]
