"""`make bench`: starts a stack of its own, measures, prints tables in Markdown."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench import cold_start, crowds, groups, history, memory, search, sync
from bench.people import Account, befriend, make_accounts, socket_address
from local.stack import Stack
from tests.support.deployment import Deployment

_HOME = Path(__file__).parents[1] / ".local" / "bench"

_WARM_UP, _SEQUENTIAL = 100, 500
_SENDERS, _SENDER_PROCESSES, _BURST = 20, 4, 15

_COMMANDS = ("select", "insert", "update", "update_multi", "delete", "commit")


def main() -> None:
    """Measure everything."""
    with Stack(_HOME) as stack:
        rest_url = stack.endpoints.rest_url
        prefix = f"bench-{int(time.time())}"
        sequential(stack, rest_url, f"{prefix}-s")
        burst(rest_url, f"{prefix}-b")
        memory.report(stack)
    with groups.in_one_process() as deployment:
        group_operations(deployment)
        syncs(deployment)
        crowds.report(deployment)
        history.report(deployment)
    search.report_where_possible()
    cold_start.report()


def group_operations(deployment: Deployment) -> None:
    """Count what each operation in a group costs, by the size of the group."""
    costs = groups.measure(deployment)
    sizes = [f"{size:,}" for size in groups.SIZES]
    print("\n## What is done in groups: SQL statements, and time as a multiple of that in a group of 10\n")
    headings = [*(f"statements, {size}" for size in sizes), *(f"time, {size}" for size in sizes)]
    print(f"| operation | {' | '.join(headings)} |")
    print("|---|" + "---|" * len(headings))
    smallest = costs[groups.SIZES[0]]
    for operation, least in smallest.items():
        row = [costs[size].get(operation) for size in groups.SIZES]
        statements = [str(cost.statements) if cost else "–" for cost in row]
        ratios = [f"{cost.seconds / least.seconds:.1f}" if cost else "–" for cost in row]
        print(f"| {operation} | {' | '.join(statements)} | {' | '.join(ratios)} |")


def syncs(deployment: Deployment) -> None:
    """Count what a sync costs, by how many conversations somebody has and how many have a new message."""
    costs = sync.measure(deployment)
    least = costs[sync.CONVERSATIONS[0]][0].seconds
    print("\n## A sync: SQL statements, and time as a multiple of that of 10 conversations without news\n")
    headings = [f"{what}, {changes} changed" for what in ("statements", "time") for changes in sync.CHANGES]
    print(f"| conversations | {' | '.join(headings)} |\n|---|{'---|' * len(headings)}")
    for count, by_changes in costs.items():
        statements = [str(cost.statements) for cost in by_changes.values()]
        ratios = [f"{cost.seconds / least:.1f}" for cost in by_changes.values()]
        print(f"| {count:,} | {' | '.join(statements + ratios)} |")


def sequential(stack: Stack, rest_url: str, prefix: str) -> None:
    """One sender, one receiver, one message after the other."""
    sender, receiver = asyncio.run(make_accounts(rest_url, prefix, 2))
    conversation_id = asyncio.run(befriend(rest_url, sender, receiver))
    senders = [{"token": sender.token, "conversation_id": conversation_id}]
    _exchange(rest_url, [senders], _WARM_UP, receiver)

    before = _commands(stack)
    sent, received = _exchange(rest_url, [senders], _SEQUENTIAL, receiver)
    after = _commands(stack)

    acked = [message["acked"] - message["begin"] for message in sent]
    delivered = [received["arrived"][message["id"]] - message["begin"] for message in sent]
    print(f"\n## {_SEQUENTIAL} messages one after the other, after {_WARM_UP} to warm up\n")
    print("| | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|")
    for name, seconds in (("send → ack", acked), ("send → delivered", delivered)):
        print(f"| {name} | {' | '.join(f'{_percentile(seconds, p):.1f}' for p in (50, 95, 99))} |")
    print("\nStatements a message, everything counted (send, push, sweeper):\n")
    print(f"| {' | '.join(_COMMANDS)} |\n|{'---|' * len(_COMMANDS)}")
    print(f"| {' | '.join(f'{(after[c] - before[c]) / _SEQUENTIAL:.2f}' for c in _COMMANDS)} |")


def burst(rest_url: str, prefix: str) -> None:
    """Many senders at once, each with a conversation of their own to one receiver."""
    receiver, *senders = asyncio.run(make_accounts(rest_url, prefix, _SENDERS + 1))
    told = [
        {"token": sender.token, "conversation_id": asyncio.run(befriend(rest_url, sender, receiver))}
        for sender in senders
    ]
    groups = [told[n::_SENDER_PROCESSES] for n in range(_SENDER_PROCESSES)]
    _exchange(rest_url, groups, 3, receiver)

    sent, received = _exchange(rest_url, groups, _BURST, receiver)

    begin = min(message["begin"] for message in sent)
    last_acked = max(message["acked"] for message in sent)
    last_delivered = max(received["arrived"].values())
    print(f"\n## {_SENDERS} senders at once, {_BURST} messages each, warm\n")
    print(
        "| messages | acknowledged/s | delivered/s | delivered | every seq once, no hole | overtaken by a later seq |"
    )
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(sent)} | {len(sent) / (last_acked - begin):.0f} | {len(sent) / (last_delivered - begin):.0f} "
        f"| {len({m['id'] for m in sent} & set(received['arrived']))} "
        f"| {'yes' if received['complete'] else 'no'} | {received['out_of_order']} |"
    )


def _exchange(
    rest_url: str, groups: list[list[dict[str, str]]], messages: int, receiver: Account
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Let each group of senders send from a process of its own, and the receiver listen in another."""
    websocket_url = asyncio.run(socket_address(rest_url))
    expected = messages * sum(len(group) for group in groups)
    listening = {"websocket_url": websocket_url, "token": receiver.token, "expected": expected}
    with _process("receive", listening) as listener:
        if _line(listener) != "listening":
            sys.exit("the receiver could not connect")
        jobs = [{"websocket_url": websocket_url, "senders": group, "messages": messages} for group in groups]
        talkers = [_start("send", job) for job in jobs]
        sent = [message for talker in talkers for message in json.loads(_line(talker))["messages"]]
        received = json.loads(_line(listener))
        for talker in talkers:
            talker.wait()
    return sent, received


@contextmanager
def _process(role: str, job: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    process = _start(role, job)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _start(role: str, job: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.talk", role]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    if process.stdin is None:
        sys.exit("a client process has no standard input")
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    return process


def _line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None or not (line := process.stdout.readline()):
        sys.exit("a client process ended early; what it said stands above")
    return line.strip()


def _commands(stack: Stack) -> dict[str, int]:
    engine = sa.create_engine(stack.database_url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SHOW GLOBAL STATUS LIKE 'Com\\_%'")).all()
    engine.dispose()
    counted = {name.removeprefix("Com_"): int(value) for name, value in rows}
    return {command: counted[command] for command in _COMMANDS}


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] * 1000


if __name__ == "__main__":
    main()
