"""What each deployed function takes of memory and time under calls as large as its limits allow, on the local stack.

A function's process is asked what it had at the most (Linux, `VmHWM`) and for how long it computed. All is done twice:
the first time starts what is cold and takes the most memory, the second tells what a request, frame or record takes of
the processor, which does not depend on what else runs on the machine. Waiting is not measured: it does.
"""

import asyncio
import hashlib
import io
import json
import math
import os
import time
import wave
from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import av
import httpx
import sqlalchemy as sa
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.tables import conversations, members
from PIL import Image
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed
from websockets.asyncio.client import connect

from bench.people import Account, befriend, make_accounts
from local.deploy import account
from local.stack import Stack
from tests.support.template import resources, rest_routes, template

_HOME = Path(__file__).parents[1] / ".local" / "bench-memory"
_PATIENCE_SECONDS = 300
# More or longer ones, and the local search engine takes 13 GB.
_MESSAGES, _MESSAGES_AGAIN = 120, 60
_TEXT = "鸿雁传书" * 100  # 400 characters
_LONGEST_TEXT = "鸿雁传书" * 1_250
_CROWD = 10_000
_PIXELS_A_SIDE = 7_000  # 49 of the 50 million pixels that a picture may have
_VOICE_SECONDS = 59
_AT_ONCE_BYTES, _BY_PARTS_BYTES = 64 * 2**20, 70 * 2**20
# Called by the clock, and here by us, so that a run need not wait for it.
_SCHEDULED = ("FileSweep", "MessageSweep", "MessageExport", "MessageRetention")
_REINDEXING = ("UserReindex", "MessageReindex")
_CLOCK_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Of one function: what it is given and had at the most, in MB; the second time's calls, and ms of each.

    Calls are requests of clients, frames, and records of queues; those of authorizers and of the clock are not counted.
    """

    memory: int
    peak: float | None
    calls: int
    processor_milliseconds: float


class _Worker(NamedTuple):
    """A process that runs a function."""

    function: str
    peak_megabytes: float
    processor_seconds: float


def report(stack: Stack) -> None:
    """Print what `measure` finds."""
    print("\n## Memory of each function, and its time under the largest calls\n")
    print("| function | MemorySize | peak RSS MB | calls | processor ms a call |\n|---|---|---|---|---|")
    for name, usage in measure(stack).items():
        peak = "–" if usage.peak is None else f"{usage.peak:.0f}"
        each = f"{usage.processor_milliseconds:.1f}" if usage.calls else "–"
        print(f"| {name} | {usage.memory} | {peak} | {usage.calls} | {each} |")


def measure(stack: Stack) -> dict[str, Usage]:
    """Call everything twice, and return what each function took."""
    world = asyncio.run(_World.made(stack))
    asyncio.run(world.call_everything(_MESSAGES))
    calls, computed = world.calls + _records(stack), _computed(stack)
    asyncio.run(world.call_everything(_MESSAGES_AGAIN))
    calls = world.calls + _records(stack) - calls
    again = _computed(stack)
    peaks, of_all = _peaks(stack), template()["Globals"]["Function"]["MemorySize"]
    usages = {}
    for function, properties in sorted(resources("AWS::Serverless::Function").items()):
        name = function.removesuffix("Function")
        milliseconds = (again[name] - computed[name]) * 1000 / max(calls[name], 1)
        usages[name] = Usage(properties.get("MemorySize", of_all), peaks.get(name), calls[name], milliseconds)
    return usages


class _World:
    """People, their conversations and a client of the deployment."""

    def __init__(self, stack: Stack, alice: Account, bob: Account, chat: str, crowd: str) -> None:
        self.stack, self.alice, self.bob, self.chat, self.crowd = stack, alice, bob, chat, crowd
        self.rest_url = stack.endpoints.rest_url
        self.calls: Counter[str] = Counter()

    @classmethod
    async def made(cls, stack: Stack) -> "_World":
        rest_url = stack.endpoints.rest_url
        alice, bob, carol = await make_accounts(rest_url, f"memory-{int(time.time())}", 3)
        chat = await befriend(rest_url, alice, bob)
        await befriend(rest_url, alice, carol)
        world = cls(stack, alice, bob, chat, "")
        async with world.http() as http:
            group = {"name": "A crowd", "member_ids": [bob.user_id, carol.user_id]}
            world.crowd = (await world.ok(http, "POST", "/v1/conversations", group))["id"]
        _fill(stack, world.crowd, _CROWD - 3)
        return world

    @asynccontextmanager
    async def http(self, who: Account | None = None) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {(who or self.alice).token}"}
        async with httpx.AsyncClient(base_url=self.rest_url, headers=headers, timeout=_PATIENCE_SECONDS) as client:
            yield client

    async def ok(self, http: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
        self.calls[_answering(method, path)] += 1
        answer = await http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def call_everything(self, messages: int) -> None:
        async with self.http() as http, self.http(self.bob) as bob:
            await make_accounts(self.rest_url, f"more-{uuid4().hex[:8]}", 5)
            self.calls["UserApi"] += 2 * 5  # each registers and logs in
            await self._people(http)
            await self._files(http)
            await self._voice(http)
            ticket = await self.ok(bob, "POST", "/v1/ws-tickets")
            address = f"{ticket['url']}?ticket={ticket['ticket']}"
            async with connect(address, max_size=None, max_queue=None, ping_interval=None) as socket:
                await self._frames(socket, messages // 20)
                await self._talk(http, messages)
            await self._read(http)
            await self._scheduled(http)

    async def _people(self, http: httpx.AsyncClient) -> None:
        phone = f"+86138{time.time_ns() % 10**8:08}"
        await self.ok(http, "POST", "/v1/verification-codes", {"phone": phone, "purpose": "register"})
        for _ in range(20):
            await self.ok(http, "PATCH", "/v1/users/me", {"nickname": f"鸿雁 {uuid4().hex[:6]}"})
            await self.ok(http, "GET", "/v1/users/search?q=memory&limit=100")
            await self.ok(http, "GET", "/v1/friends?limit=100")
            await self.ok(http, "GET", f"/v1/conversations/{self.crowd}/members?limit=100")

    async def _talk(self, http: httpx.AsyncClient, messages: int) -> None:
        at_once = asyncio.Semaphore(4)

        async def say(conversation: str) -> None:
            body = {"client_id": uuid4().hex, "type": "text", "content": {"text": _TEXT}}
            async with at_once:
                await self.ok(http, "POST", f"/v1/conversations/{conversation}/messages", body)

        await asyncio.gather(*(say(self.chat) for _ in range(messages)))
        for _ in range(5):
            await say(self.crowd)

    async def _frames(self, socket: Any, times: int) -> None:
        for n in range(times):
            message = {"client_id": uuid4().hex, "type": "text", "content": {"text": _LONGEST_TEXT}}
            for frame in (
                {"action": "ping"},
                {"action": "send", "conversation_id": self.chat, "message": message},
                {"action": "sync", "cursor": None},
            ):
                self.calls["WsConnectFrame" if frame["action"] == "ping" else "MessageSocket"] += 1
                await socket.send(json.dumps({"id": f"{n}", **frame}))
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    while json.loads(await socket.recv())["type"] == "events":
                        pass

    async def _read(self, http: httpx.AsyncClient) -> None:
        for _ in range(20):
            await self.ok(http, "GET", f"/v1/conversations/{self.chat}/messages?limit=100")
            await self.ok(http, "GET", "/v1/sync")
        for _ in range(10):
            await _until(lambda: self._finds(http), lambda found: len(found) == 100)  # noqa: PLR2004  # a full page

    async def _finds(self, http: httpx.AsyncClient) -> list[Any]:
        """Search; nothing is found while the engine is too busy with indexing what was said."""
        self.calls["MessageSearch"] += 1
        answer = await http.get("/v1/messages/search?q=传书&limit=100")
        return (
            [] if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer.raise_for_status().json()["items"]
        )

    async def _files(self, http: httpx.AsyncClient) -> None:
        picture = io.BytesIO()
        Image.new("RGBA", (_PIXELS_A_SIDE, _PIXELS_A_SIDE), "red").save(picture, "PNG")
        await self._upload(http, picture.getvalue(), "image/png", "image")
        await self._upload(http, picture.getvalue(), "image/png", "avatar")
        await self._upload(http, bytes(_AT_ONCE_BYTES), "application/octet-stream", "file")
        await self._upload(http, bytes(_BY_PARTS_BYTES), "application/octet-stream", "file")

    async def _voice(self, http: httpx.AsyncClient) -> None:
        recording = _m4a(_VOICE_SECONDS)
        file_id = await self._upload(http, recording, "audio/m4a", "voice")
        body = {"client_id": uuid4().hex, "type": "voice", "content": {"file_id": file_id}}
        said = await self.ok(http, "POST", f"/v1/conversations/{self.chat}/messages", body)
        path = f"/v1/conversations/{self.chat}/messages?after_seq={said['seq'] - 1}&limit=1"

        async def transcript() -> Any:
            return (await self.ok(http, "GET", path))["items"][0]["content"]["transcript"]

        self.calls["SpeechApi"] += 1
        await http.post("/v1/speech/recognitions?language=en", content=recording, headers={"Content-Type": "audio/m4a"})
        await _until(transcript, lambda text: text is not None)

    async def _upload(self, http: httpx.AsyncClient, data: bytes, mime: str, purpose: str) -> str:
        declared = {"name": "name", "mime": mime, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        begun = await self.ok(http, "POST", "/v1/files", {**declared, "purpose": purpose})
        named = []
        async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS) as storage:
            if begun.get("upload"):
                put = begun["upload"]
                (await storage.put(put["url"], content=data, headers=put["headers"])).raise_for_status()
            for part in begun.get("parts") or []:
                stored = await storage.put(part["url"], content=data[part["offset"] :][: part["size"]])
                named.append({"number": part["number"], "etag": stored.raise_for_status().headers["etag"]})
        completed = f"/v1/files/{begun['file_id']}/complete"
        body = {"parts": named} if named else None
        await _until(lambda: self.ok(http, "POST", completed, body), lambda file: file["status"] == "ready")
        file_id: str = begun["file_id"]
        return file_id

    async def _scheduled(self, http: httpx.AsyncClient) -> None:
        await self.ok(http, "POST", "/v1/exports")
        await asyncio.to_thread(_invoke_all, self.stack)


def _invoke_all(stack: Stack) -> None:
    client = account().client("lambda", endpoint_url=stack.aws_endpoint_url)
    for function in client.list_functions()["Functions"]:
        name = _logical(function["FunctionName"])
        if name in _SCHEDULED:
            client.invoke(FunctionName=function["FunctionName"], Payload=b"{}")
        elif name in _REINDEXING:
            client.invoke(FunctionName=function["FunctionName"], Payload=b'{"rebuild": true}')


async def _until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> None:
    """Ask until something holds of the answer."""

    async def asked() -> Any:
        return await ask()

    patiently = AsyncRetrying(
        retry=retry_if_result(lambda answer: not holds(answer)),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(_PATIENCE_SECONDS),
    )
    await patiently(asked)


def _answering(method: str, path: str) -> str:
    """Return the function that the template lets answer a request."""
    route = next(route for route in rest_routes() if route.matches(method, path.partition("?")[0]))
    functions = resources("AWS::Serverless::Function").items()
    return next(name for name, function in functions if function["Handler"] == route.handler).removesuffix("Function")


def _records(stack: Stack) -> Counter[str]:
    """Return how many records of queues each function has settled (`hongyan.batches`)."""
    lines = [json.loads(line) for line in stack.function_logs() if line.startswith("{")]  # metrics have no message
    return Counter(_logical(line["function_name"]) for line in lines if line.get("message") == "a record is done")


def _computed(stack: Stack) -> dict[str, float]:
    computed: dict[str, float] = defaultdict(float)
    for worker in _workers(stack):
        computed[worker.function] += worker.processor_seconds
    return computed


def _peaks(stack: Stack) -> dict[str, float]:
    peaks: dict[str, float] = defaultdict(float)
    for worker in _workers(stack):
        peaks[worker.function] = max(peaks[worker.function], worker.peak_megabytes)
    return peaks


def _workers(stack: Stack) -> Iterator[_Worker]:
    for pid in stack.worker_pids():
        with suppress(FileNotFoundError, ProcessLookupError):  # one that has ended since
            if worker := _worker(Path(f"/proc/{pid}")):
                yield worker


def _worker(process: Path) -> _Worker | None:
    variables = (process / "environ").read_text(errors="replace").split("\0")
    environment = dict(variable.split("=", 1) for variable in variables if "=" in variable)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])  # utime and stime (proc(5)), counted behind pid and name
    if "AWS_LAMBDA_FUNCTION_NAME" not in environment or "VmHWM" not in status:
        return None
    return _Worker(
        _logical(environment["AWS_LAMBDA_FUNCTION_NAME"]),
        int(status["VmHWM"].split()[0]) / 1024,
        (user + system) / _CLOCK_TICKS_A_SECOND,
    )


def _logical(function_name: str) -> str:
    """Return the name that the template gives, without `Function`."""
    return function_name.partition("-")[2].partition("Function")[0]


def _fill(stack: Stack, group_id: str, count: int) -> None:
    """Let a group have many more members, past the API, who are nobody in particular."""
    row = {"conversation_id": group_id, "read_seq": 0, "own_after_read": 0, "muted": False, "pinned": False}
    rows = [{**row, "user_id": new_id(), "joined_at": now(), "role": "member"} for _ in range(count)]
    engine = sa.create_engine(stack.database_url)
    with engine.begin() as connection:
        connection.execute(sa.insert(members).values(rows))
        grown = sa.update(conversations).where(conversations.c.id == group_id)
        connection.execute(grown.values(member_count=conversations.c.member_count + count))
    engine.dispose()


def _m4a(seconds: int) -> bytes:
    """Return a tone as a phone records it: AAC of 44.1 kHz."""
    rate = 44_100
    samples = array("h", (int(9_000 * math.sin(n / 40)) for n in range(seconds * rate)))
    plain, file = io.BytesIO(), io.BytesIO()
    with wave.open(plain, "wb") as written:
        written.setparams((1, 2, rate, 0, "NONE", ""))
        written.writeframes(samples.tobytes())
    plain.seek(0)
    with av.open(file, "w", format="ipod") as out, av.open(plain, "r", format="wav") as source:
        stream = out.add_stream("aac", rate=rate, layout="mono")
        for frame in source.decode(audio=0):
            frame.pts = None
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def main() -> None:
    """Measure on a stack of its own."""
    with Stack(_HOME) as stack:
        report(stack)


if __name__ == "__main__":
    main()
