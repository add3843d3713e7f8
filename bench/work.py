"""What functions and stores work for a message, on the deployed stack.

The processes of a function tell their processor time, the emulator's logs how long each call took (Linux only).
"""

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
import websockets
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.tables import conversations, members
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from bench.people import Account, befriend, make_accounts, socket_address
from local import control
from local.deploy import STACK, account
from local.engines import MariaDB, Redis
from local.home import Home
from local.stack import Stack

ONLINE = 25  # sockets that are told, where many are
GROUP, CROWD = 100, 10_000

_WARM_UP = 30
_MESSAGES = 100
_MESSAGES_TO_MANY = 20
_MESSAGES_TO_A_CROWD = 8
_CONNECTS = 30
_PATIENCE_SECONDS = 240
_TEXT = "你好, how are you? I ask because I should like to know whether you will come on Sunday."

_MS_A_TICK = 1000 / os.sysconf("SC_CLK_TCK")
_LOG_EVENT_BYTES = 26  # which CloudWatch adds to each event (PutLogEvents)
# What the clock calls is no part of a message.
_BY_THE_CLOCK = ("SweepFunction", "ReindexFunction", "ExportFunction", "RetentionFunction")


async def measure(stack: Stack, home: Path) -> dict[str, Any]:
    """Return what a send, read, ping and connection take of functions and stores, and what the clock calls."""
    meter = _Meter(stack, home)
    rest_url = stack.endpoints.rest_url
    alice, bob, carol = await make_accounts(rest_url, f"cost-{time.time_ns()}", 3)
    single = await befriend(rest_url, alice, bob)
    await befriend(rest_url, alice, carol)
    url = await socket_address(rest_url)
    async with _Screen.at(url, alice.token) as screen, _Screen.at(url, bob.token) as other:
        # Cold starts are no part of it.
        await _connect(rest_url, url, carol, 5)
        await _talk(screen, [other], single, _WARM_UP)
        measured = {
            "send to 1": await meter.during(_MESSAGES, partial(_talk, screen, [other], single, _MESSAGES)),
            "read": await meter.during(_MESSAGES, partial(_read, other, single, _MESSAGES)),
            "ping": await meter.during(_MESSAGES, partial(_ping, other, _MESSAGES)),
            "connect": await meter.during(_CONNECTS, partial(_connect, rest_url, url, carol, _CONNECTS)),
        }
        async with AsyncExitStack() as screens:
            many = [await screens.enter_async_context(_Screen.at(url, carol.token)) for _ in range(ONLINE - 1)]
            for size, messages in ((GROUP, _MESSAGES_TO_MANY), (CROWD, _MESSAGES_TO_A_CROWD)):
                group = await _group(rest_url, stack.database_url, alice, [bob, carol], size)
                await _talk(screen, [other, *many], group, 3)
                told = await meter.during(messages, partial(_talk, screen, [other, *many], group, messages))
                measured[f"send to {ONLINE} of {size}"] = told
    return {"work": measured, "clock": meter.by_the_clock()}


@dataclass
class _Calls:
    milliseconds: list[float] = field(default_factory=list)
    log_bytes: int = 0

    @property
    def count(self) -> int:
        return len(self.milliseconds)

    def add(self, line: str) -> None:
        """Count a line of a function's log; the one that reports a call tells how long it took."""
        self.log_bytes += len(line.encode()) + _LOG_EVENT_BYTES
        if line.startswith("REPORT "):
            self.milliseconds.append(float(line.partition("Duration: ")[2].partition(" ms")[0]))

    def typical(self) -> dict[str, float]:
        """Return what one call takes: of the time, what a tenth fell below, as the machine does other things too."""
        shortest = sorted(self.milliseconds)[self.count // 10]
        return {"wall_ms": shortest, "log_bytes": round(self.log_bytes / self.count)}


class _Meter:
    """What the deployed functions and the stores have worked up to now."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self._stack = stack
        services = control.record(Home(home))["services"]
        self._stores = {name: services[name]["pid"] for name in (MariaDB.name, Redis.name)}
        self._logs = account().client("logs", endpoint_url=stack.aws_endpoint_url)
        self._sqs = account().client("sqs", endpoint_url=stack.aws_endpoint_url)
        formation = account().client("cloudformation", endpoint_url=stack.aws_endpoint_url)
        made = formation.describe_stack_resources(StackName=STACK)["StackResources"]
        self._functions = {
            r["PhysicalResourceId"]: r["LogicalResourceId"]
            for r in made
            if r["ResourceType"] == "AWS::Lambda::Function"
        }
        self._queues = [r["PhysicalResourceId"] for r in made if r["ResourceType"] == "AWS::SQS::Queue"]
        self._database = sa.create_engine(stack.database_url)

    async def during(self, times: int, do: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Do something that does a piece of work so many times, and return what one piece takes."""
        await self._settle()
        began, before, written = int(time.time() * 1000), self._processor(), self._redo_bytes()
        await do()
        await self._settle()
        used, redo_bytes = self._processor() - before, self._redo_bytes() - written
        calls = await asyncio.to_thread(self._calls_since, began)
        return {
            "functions": {
                name: {
                    "calls": round(call.count / times, 2),
                    "processor_ms": round(used[name] / call.count, 1),
                    **call.typical(),
                }
                for name, call in sorted(calls.items())
                if not name.endswith(_BY_THE_CLOCK)
            },
            "database_processor_ms": round(used[MariaDB.name] / times, 2),
            "database_redo_bytes": round(redo_bytes / times),
            "redis_processor_ms": round(used[Redis.name] / times, 2),
        }

    def by_the_clock(self) -> dict[str, Any]:
        """Return what a call of each function takes that the clock calls, all since the start of the stack."""
        calls = self._calls_since(0).items()
        return {name: call.typical() for name, call in sorted(calls) if name.endswith(_BY_THE_CLOCK)}

    def _processor(self) -> Counter[str]:
        """Return the milliseconds of processor time that the processes of each function and store have used."""
        used: Counter[str] = Counter()
        for pid in self._stack.worker_pids():
            if function := _function_of(pid):
                used[self._functions[function]] += _processor_ms(pid)
        return used + Counter({name: _processor_ms(pid) for name, pid in self._stores.items()})

    def _calls_since(self, moment_ms: int) -> dict[str, _Calls]:
        calls: dict[str, _Calls] = defaultdict(_Calls)
        for group in self._logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
            name = self._functions[group["logGroupName"].removeprefix("/aws/lambda/")]
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"], startTime=moment_ms
            )
            for event in (event for page in pages for event in page["events"]):
                calls[name].add(event["message"])
        return {name: call for name, call in calls.items() if call.count}

    def _redo_bytes(self) -> int:
        with self._database.connect() as connection:
            return int(connection.execute(sa.text("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'")).one()[1])

    async def _settle(self) -> None:
        """Wait until no queue holds anything, nor a function anything of one."""
        await AsyncRetrying(
            retry=retry_if_result(bool), wait=wait_fixed(0.5), stop=stop_after_delay(_PATIENCE_SECONDS)
        )(asyncio.to_thread, self._queued)

    def _queued(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answers = [self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names) for url in self._queues]  # type: ignore[arg-type]
        return sum(int(count) for answer in answers for count in answer["Attributes"].values())


def _function_of(pid: int) -> str | None:
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next((v.partition("=")[2] for v in variables if v.startswith("AWS_LAMBDA_FUNCTION_NAME=")), None)


def _processor_ms(pid: int) -> int:
    """Return what proc(5) calls utime and stime, the 14th and 15th field; the 2nd is in parentheses."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return round((int(fields[11]) + int(fields[12])) * _MS_A_TICK)


class _Screen:
    """An open socket that counts the messages it was told of."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.told = 0
        self._socket = socket
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, token: str | None = None) -> AsyncIterator["_Screen"]:
        """Open one with a token, or with the ticket in the address, and ping."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with websockets.connect(url, additional_headers=headers, open_timeout=_PATIENCE_SECONDS) as socket:
            screen = cls(socket)
            listening = asyncio.create_task(screen._listen())
            try:
                # What was posted before the handshake was over had it forgotten; a frame registers it again.
                await screen.ask(action="ping", id="ping")
                yield screen
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame and return its answer."""
        await self._socket.send(json.dumps(frame))
        answer = await asyncio.wait_for(self._answers.get(), _PATIENCE_SECONDS)
        if answer["type"] == "error":
            raise SystemExit(f"a frame was refused: {answer}")
        return answer

    async def until_told(self, messages: int) -> None:
        """Wait until so many messages have been shown."""
        async with asyncio.timeout(_PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.told >= messages)

    async def _listen(self) -> None:
        async for text in self._socket:
            frame = json.loads(text)
            if frame["type"] != "events":
                await self._answers.put(frame)
                continue
            async with self._changed:
                self.told += sum(event["type"] == "message.created" for event in frame["events"])
                self._changed.notify_all()


async def _talk(sender: _Screen, receivers: Sequence[_Screen], conversation_id: str, messages: int) -> None:
    """Send messages one after the other, each when all have been told of the last."""
    for _ in range(messages):
        expected = [receiver.told + 1 for receiver in receivers]
        content = {"client_id": f"{time.monotonic_ns()}", "type": "text", "content": {"text": _TEXT}}
        await sender.ask(action="send", id="send", conversation_id=conversation_id, message=content)
        await asyncio.gather(*(r.until_told(told) for r, told in zip(receivers, expected, strict=True)))


async def _read(reader: _Screen, conversation_id: str, messages: int) -> None:
    for seq in range(1, messages + 1):
        await reader.ask(action="read", id="read", conversation_id=conversation_id, seq=seq)


async def _ping(screen: _Screen, times: int) -> None:
    for _ in range(times):
        await screen.ask(action="ping", id="ping")


async def _connect(rest_url: str, url: str, who: Account, times: int) -> None:
    """Come with a ticket, ping, catch up and go."""
    async with httpx.AsyncClient(base_url=rest_url, timeout=_PATIENCE_SECONDS) as http:
        for _ in range(times):
            answer = await http.post("/v1/ws-tickets", headers={"Authorization": f"Bearer {who.token}"})
            ticket = answer.raise_for_status().json()["ticket"]
            async with _Screen.at(f"{url}?ticket={ticket}") as screen:
                await screen.ask(action="sync", id="sync")


async def _group(rest_url: str, database_url: str, owner: Account, others: Sequence[Account], size: int) -> str:
    """Make a group with others, and with as many more who are nobody in particular as it takes."""
    async with httpx.AsyncClient(base_url=rest_url, timeout=_PATIENCE_SECONDS) as http:
        made = await http.post(
            "/v1/conversations",
            json={"name": f"group of {size}", "member_ids": [other.user_id for other in others]},
            headers={"Authorization": f"Bearer {owner.token}"},
        )
    group_id: str = made.raise_for_status().json()["id"]
    await asyncio.to_thread(_fill, database_url, group_id, size - 1 - len(others))
    return group_id


def _fill(database_url: str, group_id: str, count: int) -> None:
    place = {"conversation_id": group_id, "read_seq": 0, "own_after_read": 0, "muted": False, "pinned": False}
    rows = [{**place, "user_id": new_id(), "joined_at": now(), "role": "member"} for _ in range(count)]
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.insert(members), rows)
        more = conversations.c.member_count + count
        connection.execute(sa.update(conversations).where(conversations.c.id == group_id).values(member_count=more))
    engine.dispose()
