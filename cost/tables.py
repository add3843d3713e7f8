"""The tables of docs/cost.md, in Markdown."""

from collections.abc import Iterable, Iterator, Mapping

from cost import messages, months
from cost.measurement import measurement
from cost.months import People
from cost.prices import Usage, list_prices, region

_MILLION = 1_000_000
# The columns, in the order in which the rows below name them.
_PER_MESSAGE = ("API Gateway", "Lambda", "SNS and SQS", "Aurora", "Network", "CloudWatch", "WAF")
_PER_MONTH = (
    *("Aurora", "RDS Proxy", "ElastiCache", "OpenSearch", "Network"),
    *("Lambda", "SNS and SQS", "CloudWatch", "Secrets and keys", "Cloud Map", "API Gateway", "WAF"),
)

# Fewer calls are of what the gateway keeps in mind, or fell into it by chance.
_CALLED_EACH_TIME = 0.5

ACTIVE = {
    "writes 10 a day to one, connected for 1 h": People(1, 10, 2, 0.5, 1),
    "writes 40 a day to one, connected for 3 h": People(1, 40, 2, 0.5, 3),
    "writes 40 a day to one, connected for 12 h": People(1, 40, 2, 0.5, 12),
    "writes 40 a day into groups of 100, connected for 3 h": People(1, 40, 100, 0.2, 3),
    "writes 40 a day into groups of 10,000, connected for 3 h": People(1, 40, 10_000, 0.01, 3),
}


def everything() -> dict[str, str]:
    """Return all tables by the names under which docs/cost.md holds them."""
    return {
        "messages": _table("a million of", _PER_MESSAGE, _per_million()),
        "active": _table("a month of somebody who", _PER_MESSAGE, _per_active_user()),
        "idle": idle(),
        "requests": requests(),
        "lambda": milliseconds(),
    }


def idle() -> str:
    """Return what a month costs in which nobody comes, for each size, and what endpoints for calls of AWS add."""
    table = _columns("an idle month of", {name: months.idle(size) for name, size in months.sizes().items()})
    more = _dollars(months.endpoints().dollars(list_prices()))
    return f"{table}\n| and with `AwsCalls=endpoints` | {' | '.join([more] * len(months.sizes()))} |"


def of_month(size: str, people: People) -> str:
    """Return what a month of these people costs."""
    whole = months.month(months.sizes()[size], people)
    return _columns("a month of", {f"{people.users:,} users, `Size={size}`": whole})


def requests() -> str:
    """Return what one piece of work asks for, counted, and what the stores' processors work for it."""
    named = {
        "published": "PublishBatch",
        "shards": "queued messages",
        "posts": "PostToConnection",
        "bytes posted": "posted bytes",
        "statements": "statements",
        "commits": "commits",
        "Redis commands": "Redis commands",
    }
    rows = [
        f"| | {' | '.join(named)} | database, ms | its log, bytes | Redis, ms |",
        "|---|" + "---|" * (len(named) + 3),
    ]
    for work, asked in measurement().requests.items():
        counts = " | ".join(f"{asked.of(name):,}" for name in named.values())
        taken = measurement().work.get(messages.FEW if work == messages.TO_ONE else work)
        stores = (
            f"{taken.database_processor_ms:g} | {taken.database_redo_bytes:,.0f} | {taken.redis_processor_ms:g}"
            if taken
            else "– | – | –"
        )
        rows.append(f"| {work} | {counts} | {stores} |")
    return "\n".join(rows)


def milliseconds() -> str:
    """Return what one call of each function is billed for."""
    rows = ["| function, at | calls | ms here | of that processor | ms billed |", "|---|---|---|---|---|"]
    for work, taken in measurement().work.items():
        for function, one in taken.functions.items():
            if one.calls < _CALLED_EACH_TIME:
                continue
            used = messages.call(function, one).quantities
            billed = used["lambda_gb_second"] / (messages.memory_mb(function) / 1024) * 1000
            rows.append(
                f"| {function.removesuffix('Function')}, {work} | {one.calls:g} | {one.wall_ms:g} "
                f"| {one.processor_ms:g} | {billed:.0f} |"
            )
    return "\n".join(rows)


def price_note() -> str:
    """Return of what region the prices are and of when the measurement is."""
    known = measurement()
    return f"List prices of {region()} (cost/prices.toml); measured on {known.as_of}, {known.machine}."


def _per_million() -> Iterator[tuple[str, Usage]]:
    yield "messages to one who is not there", messages.sent(2, 0) * _MILLION
    yield "messages to one who is there", messages.sent(2, 1) * _MILLION
    for online in (1, 10, 50, 99):
        yield f"messages in a group of 100, {online} online", messages.sent(100, online) * _MILLION
    for online in (10, 100, 1_000, 9_999):
        yield f"messages in a group of 10,000, {online:,} online", messages.sent(10_000, online) * _MILLION
    yield "read marks between two", messages.read(2, 2) * _MILLION
    yield "read marks in a group of 50, 25 online", messages.read(50, 25) * _MILLION
    yield "read marks in a larger group", messages.read(100, 1) * _MILLION
    yield "pings", messages.ping() * _MILLION
    yield "connections, from ticket to good-bye", messages.connection() * _MILLION
    yield "hours connected", messages.connected_hour() * _MILLION


def _per_active_user() -> Iterator[tuple[str, Usage]]:
    for name, people in ACTIVE.items():
        yield name, months.of_people(people)


def _table(of: str, services: tuple[str, ...], rows: Iterable[tuple[str, Usage]]) -> str:
    lines = [f"| {of} | {' | '.join(services)} | all |", "|---|" + "---|" * (len(services) + 1)]
    for name, usage in rows:
        dollars = usage.by_service(list_prices())
        every = [_dollars(dollars.pop(service, 0)) for service in services]
        if dollars:
            raise ValueError(f"{name} uses what has no column: {dollars}")
        lines.append(f"| {name} | {' | '.join(every)} | {_dollars(usage.dollars(list_prices()))} |")
    return "\n".join(lines)


def _columns(of: str, usages: Mapping[str, Usage]) -> str:
    lines = [f"| {of} | {' | '.join(usages)} |", "|---|" + "---|" * len(usages)]
    by_service = [usage.by_service(list_prices()) for usage in usages.values()]
    lines += [
        f"| {service} | {' | '.join(_dollars(dollars.get(service, 0)) for dollars in by_service)} |"
        for service in _PER_MONTH
    ]
    lines.append(f"| all | {' | '.join(_dollars(usage.dollars(list_prices())) for usage in usages.values())} |")
    return "\n".join(lines)


def _dollars(amount: float) -> str:
    if not amount:
        return "0"
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"
