"""What a month uses: idle, for each size of the deployment, and of people who write."""

import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cost import messages
from cost.assumptions import ASSUMED
from cost.measurement import measurement
from cost.prices import Usage
from tests.support.template import resources

# AWS bills a proxy for at least so many for each instance behind it.
_PROXY_LEAST_ACU = 8
# What Aurora makes and keeps for itself.
_OWN_SECRETS_OF_STORES, _OWN_KEYS = 1, 1
_ENDPOINTS, _ZONES = 4, 2


class Size(NamedTuple):
    """What runs at one size; the names are those of the template's mapping `Sizes`."""

    DatabaseMinimum: float
    DatabaseInstances: int
    CacheNode: str
    CacheNodes: int
    SearchNode: str
    SearchNodes: int
    SearchGigabytes: int
    SearchManager: str
    SearchManagers: int
    NatGateways: int


class People(NamedTuple):
    """Who writes: each so many messages a day into conversations of so many, and is connected so many hours of it."""

    users: int
    messages_a_day: float
    group: int
    online: float
    hours_a_day: float


@cache
def sizes() -> dict[str, Size]:
    """Read what each size has."""
    entries = tomllib.loads(Path(__file__).with_name("sizes.toml").read_text())
    return {name: Size(**entry) for name, entry in entries.items()}


def idle(size: Size) -> Usage:
    """Return what a month uses in which nobody comes."""
    return fixed(size) + database(size, 0) + by_the_clock()


def fixed(size: Size) -> Usage:
    """Return what is there by the hour or month but the database, however much is written."""
    hours = ASSUMED.hours_a_month
    return (
        Usage.of(size.CacheNode, size.CacheNodes * hours)
        + Usage.of(size.SearchNode, size.SearchNodes * hours)
        + Usage.of(size.SearchManager, size.SearchManagers * hours)
        + Usage(
            search_gb_month=size.SearchNodes * size.SearchGigabytes,
            nat_hour=size.NatGateways * hours,
            address_hour=size.NatGateways * hours,
            alarm_month=len(resources("AWS::CloudWatch::Alarm")),
            dashboard_month=len(resources("AWS::CloudWatch::Dashboard")),
            metric_month=ASSUMED.custom_metrics,
            secret_month=len(resources("AWS::SecretsManager::Secret")) + _OWN_SECRETS_OF_STORES,
            key_month=_OWN_KEYS,
            registered_month=len(resources("AWS::ServiceDiscovery::Instance")),
        )
        + snapshots()
        + firewall()
    )


def database(size: Size, busy_acu_hours: float) -> Usage:
    """Return what the database uses: its minimum, or what it is busy with if that is more. A standby scales along."""
    acu_hours = max(size.DatabaseMinimum * ASSUMED.hours_a_month, busy_acu_hours)
    proxied = max(_PROXY_LEAST_ACU * ASSUMED.hours_a_month, acu_hours)
    return Usage(aurora_acu_hour=acu_hours, proxy_acu_hour=proxied) * size.DatabaseInstances


def by_the_clock() -> Usage:
    """Return what runs whether anybody writes or not: functions on a schedule, and asking queues that are empty."""
    minutes = ASSUMED.hours_a_month * 60
    queues = [source for source in _sources() if source["Type"] == "SQS"]
    total = Usage(sqs_request=len(queues) * ASSUMED.queue_requests_a_minute * minutes)
    for function, one in measurement().clock.items():
        total += messages.call(function, one) * (minutes / _minutes_between(function))
    return total


def snapshots() -> Usage:
    """Return what is kept for SnapStart of one published version of each function that starts from a snapshot."""
    functions = [name for name, f in resources("AWS::Serverless::Function").items() if "SnapStart" in f]
    gigabytes = sum(messages.memory_mb(name) for name in functions) / 1024
    return Usage(snapshot_gb_second=gigabytes * ASSUMED.hours_a_month * 3600)


def firewall() -> Usage:
    """Return what the firewall costs whatever comes; with `FirewallRequests=0` there is none."""
    firewalls = resources("AWS::WAFv2::WebACL").values()
    return Usage(firewall_month=len(firewalls), firewall_rule_month=sum(len(f["Rules"]) for f in firewalls))


def endpoints() -> Usage:
    """Return what a month of interface endpoints uses, where functions call AWS by them (`AwsCalls=endpoints`)."""
    return Usage(endpoint_hour=_ENDPOINTS * _ZONES * ASSUMED.hours_a_month)


def of_people(people: People) -> Usage:
    """Return what people's month uses, the database's busy hours among it."""
    online = people.online * (people.group - 1)
    written = (
        messages.sent(people.group, online) + messages.read(people.group, online) * (online / ASSUMED.messages_a_read)
    ) * people.messages_a_day
    there = messages.connection() * ASSUMED.connects_a_day + messages.connected_hour() * people.hours_a_day
    return (written + there) * (people.users * ASSUMED.days_a_month)


def month(size: Size, people: People) -> Usage:
    """Return what a whole month uses."""
    used = of_people(people)
    busy = used.quantities["aurora_acu_hour"]
    return fixed(size) + by_the_clock() + database(size, busy) + used.without("aurora_acu_hour")


def _minutes_between(function: str) -> int:
    [source] = [
        e for e in resources("AWS::Serverless::Function")[function]["Events"].values() if e["Type"] == "Schedule"
    ]
    number, unit = source["Properties"]["Schedule"].removeprefix("rate(").removesuffix(")").split()
    return int(number) * {"minute": 1, "minutes": 1, "hour": 60, "hours": 60}[unit]


def _sources() -> list[dict[str, str]]:
    functions = resources("AWS::Serverless::Function").values()
    return [source for function in functions for source in function.get("Events", {}).values()]
