"""Starts the stack, keeps it running, stops it whole."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from local import control, deploy, sam_local
from local.emulator import Emulator
from local.engines import HOST, MariaDB, NotReadyError, OpenSearch, Redis, Service, check_http
from local.failures import StackError
from local.home import REPOSITORY, Home, write_json
from local.processes import Child
from local.vendors import SmsVendor, SpeechVendor

_READY_SECONDS = 60
_POLL_SECONDS = 0.05
_RELEASE_SECONDS = 30  # how long a stack that is going down may hold the folder


class Supervisor:
    """One stack in one folder."""

    def __init__(self, home: Home, lock: int, say: Callable[[str], None], *, engines_only: bool) -> None:
        self._home = home
        self._lock = lock
        self._say = say
        self._engines_only = engines_only
        self._began = time.monotonic()
        self._outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._children: dict[str, Child] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._restarting = asyncio.Lock()
        self._record: dict[str, Any] = {"pid": os.getpid(), "token": secrets.token_hex(16), "ready": False}
        self._services: dict[str, Service] = {}
        self._opensearch_url = os.environ.get("OPENSEARCH_URL", "")

    async def run(self) -> None:
        """Start everything and return when asked to stop, nothing of it left running.

        Raises:
            StackError: something did not start, or ended by itself.

        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._finish)
        self._clear()
        server = await asyncio.start_server(self._answer, HOST, 0)
        self._record["control_port"] = server.sockets[0].getsockname()[1]
        start = asyncio.create_task(self._start())
        try:
            await asyncio.wait({start, self._outcome}, return_when=asyncio.FIRST_COMPLETED)
            if not self._outcome.done():
                start.result()  # raises why it could not start
            await self._outcome
            self._say("Stopping.")
        finally:
            server.close()
            start.cancel()
            await asyncio.wait({start})
            await self._end()

    def _finish(self, error: StackError | None = None) -> None:
        if self._outcome.done():
            return
        if error is None:
            self._outcome.set_result(None)
        else:
            self._outcome.set_exception(error)

    def _clear(self) -> None:
        for log in self._home.log.glob("*.log"):
            if log.name != "run.log":  # which `up` has opened for this very process
                log.unlink()
        self._home.endpoints_file.unlink(missing_ok=True)
        self._home.sam_local_file.unlink(missing_ok=True)
        shutil.rmtree(self._home.tmp)
        self._home.make()

    async def _start(self) -> None:
        self._services = {service.name: service for service in self._make_services()}
        self._publish()
        try:
            await self._start_programs()
        except BaseExceptionGroup as failures:  # one sentence is wanted: the first
            raise failures.exceptions[0] from failures
        if not self._engines_only:
            await self._deploy(self._services[Emulator.name].url)
        self._record["ready"] = True
        self._publish()
        self._say(self._welcome())

    async def _start_programs(self) -> None:
        async with asyncio.TaskGroup() as group:
            if not self._engines_only:
                group.create_task(self._step("functions and layers built", deploy.build(self._home)))
            if self._opensearch_url:
                group.create_task(self._step("OpenSearch of OPENSEARCH_URL answers", self._check_opensearch()))
            for service in self._services.values():
                done = f"{service.title} answers on port {service.port}"
                group.create_task(self._step(done, self._launch(service)))

    def _make_services(self) -> list[Service]:
        self._sms = SmsVendor(self._home)
        self._speech = SpeechVendor(self._home)
        self._mariadb = MariaDB(self._home)
        services: list[Service] = [self._mariadb, Redis(self._home), self._sms, self._speech]
        if not self._opensearch_url:
            services.append(OpenSearch(self._home))
        if not self._engines_only:
            services.append(Emulator(self._home, wanted_port=_wanted_port()))
        return services

    async def _check_opensearch(self) -> None:
        try:
            await asyncio.to_thread(check_http, self._opensearch_url)
        except NotReadyError as error:
            msg = f"OPENSEARCH_URL does not answer: {error}"
            raise StackError(msg) from error

    async def _launch(self, service: Service) -> None:
        await asyncio.to_thread(service.prepare)
        child = await Child.start(
            service.command(),
            log=self._home.log / f"{service.name}.log",
            environment=deploy.environment(self._home),
            cwd=REPOSITORY,
            lock=self._lock,
        )
        self._children[service.name] = child
        watcher = asyncio.create_task(self._watch(service, child))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        await self._wait_until_ready(service)
        self._publish()

    async def _watch(self, service: Service, child: Child) -> None:
        await child.wait()
        if self._children.get(service.name) is child:  # nobody asked it to end
            self._finish(StackError(f"{service.title} {child.epitaph()}"))

    async def _wait_until_ready(self, service: Service) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                await asyncio.to_thread(service.check)
            except NotReadyError as error:
                if time.monotonic() > deadline:
                    msg = f"{service.title} did not answer within {_READY_SECONDS} s: {error}"
                    raise StackError(msg) from error
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return

    async def _deploy(self, endpoint_url: str) -> None:
        stores = deploy.Stores(
            database_url=self._mariadb.url,
            database_owner_url=self._mariadb.owner_url,
            redis_url=self._services[Redis.name].url,
            opensearch_url=self._opensearch(),
        )
        sms = deploy.Sms(**self._sms.account)
        speech = deploy.Speech(**self._speech.account)
        await self._step(
            "database migrated, template deployed", deploy.deploy(self._home, endpoint_url, stores, sms, speech)
        )
        outputs = await asyncio.to_thread(deploy.read_outputs, endpoint_url)
        for what, function in (
            ("people", outputs.user_reindex_function),
            ("messages", outputs.message_reindex_function),
        ):
            await self._step(
                f"search index of {what} filled", asyncio.to_thread(deploy.reindex, endpoint_url, function)
            )
        await asyncio.to_thread(sam_local.write_environment, self._home, endpoint_url)
        self._record["endpoints"] = {
            "rest_url": outputs.rest_url,
            "websocket_url": outputs.websocket_url,
            "sms_inbox_url": self._sms.inbox_url,
        }
        write_json(self._home.endpoints_file, self._record["endpoints"])

    async def _step(self, done: str, work: Awaitable[object]) -> None:
        await work
        self._say(f"  {time.monotonic() - self._began:5.1f} s  {done}")

    def _opensearch(self) -> str:
        return self._opensearch_url or self._services[OpenSearch.name].url

    def _publish(self) -> None:
        self._record["services"] = {
            name: {"url": service.url, "pid": self._children[name].pid if name in self._children else None}
            for name, service in self._services.items()
        }
        self._record["database_owner_url"] = self._mariadb.owner_url
        self._record["opensearch_url"] = self._opensearch()
        self._record["sms"] = {"inbox_url": self._sms.inbox_url, "account": self._sms.account}
        self._record["speech"] = self._speech.account
        write_json(self._home.supervisor_file, self._record)

    def _welcome(self) -> str:
        seconds = f"Ready after {time.monotonic() - self._began:.1f} s."
        if self._engines_only:
            return seconds
        endpoints = self._record["endpoints"]
        return "\n".join(
            (
                seconds,
                f"  REST       {endpoints['rest_url']}",
                f"  WebSocket  {endpoints['websocket_url']}",
                f"  SMS inbox  {endpoints['sms_inbox_url']}",
                f"  AWS        {self._services[Emulator.name].url}",
                f"  logs       {self._home.log}",
                "Try, in another terminal:",
                f"  .venv/bin/hongyan register alice --profile alice{self._endpoint_option(endpoints['rest_url'])}",
            )
        )

    def _endpoint_option(self, rest_url: str) -> str:
        # The command line finds the stack of the usual folder by itself.
        return "" if self._home.path == REPOSITORY / ".local" else f" --endpoint {rest_url}"

    async def _end(self) -> None:
        self._home.endpoints_file.unlink(missing_ok=True)
        self._home.sam_local_file.unlink(missing_ok=True)
        async with self._restarting:  # a restart under way ends first, so that nothing starts behind our back
            await self._end_children()
        shutil.rmtree(self._home.tmp, ignore_errors=True)
        self._home.supervisor_file.unlink(missing_ok=True)

    async def _end_children(self) -> None:
        # The emulator first: its functions should not meet stores that are gone.
        emulator = self._children.pop(Emulator.name, None)
        if emulator is not None:
            await emulator.stop()
        children, self._children = self._children, {}
        await asyncio.gather(*(child.stop() for child in children.values()))

    async def restart(self, name: str, *, empty: bool) -> None:
        """Restart one engine on its port while the rest goes on.

        Raises:
            StackError: there is no such engine, or it must not be emptied.

        """
        async with self._restarting:
            if name not in self._children or name == Emulator.name:
                engines = ", ".join(sorted(self._children.keys() - {Emulator.name})) or "none at the moment"
                msg = f"{name} cannot be restarted; these can: {engines}."
                raise StackError(msg)
            service = self._services[name]
            if empty and not service.disposable:
                msg = f"{service.title} is not emptied: its data is the truth. To begin anew: `make clean`."
                raise StackError(msg)
            await self._children.pop(name).stop()
            if empty:
                await asyncio.to_thread(service.empty)
            await self._launch(service)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if line:  # not just a look whether we are here
            writer.write(json.dumps(await self._obey(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _obey(self, request: dict[str, Any]) -> dict[str, str]:
        if not secrets.compare_digest(str(request.get("token")), self._record["token"]):
            return {"error": "This stack is another user's."}
        if request["command"] == "stop":
            self._finish()
            return {}
        try:
            await self.restart(request["service"], empty=request["empty"])
        except StackError as error:
            return {"error": str(error)}
        return {}


async def supervise(home: Home, say: Callable[[str], None], *, engines_only: bool) -> None:
    """Run a stack in the foreground until it is asked to stop.

    Raises:
        StackError: see `Supervisor.run`; or a stack is running there already.

    """
    home.make()
    lock = await _take(home, say)
    try:
        await Supervisor(home, lock, say, engines_only=engines_only).run()
    finally:
        os.close(lock)


async def _take(home: Home, say: Callable[[str], None]) -> int:
    deadline = time.monotonic() + _RELEASE_SECONDS
    waiting = False
    while (lock := home.lock()) is None:
        if control.is_alive(home) or time.monotonic() > deadline:
            msg = f"A stack is already running in {home.path}; `make down` stops it."
            raise StackError(msg)
        if not waiting:
            say("Waiting for the last stack to end.")
            waiting = True
        await asyncio.sleep(_POLL_SECONDS)
    return lock


def _wanted_port() -> int | None:
    text = os.environ.get("HONGYAN_PORT", "")
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65536:  # noqa: PLR2004  # the largest port
        msg = f"HONGYAN_PORT is not a port: {text}"
        raise StackError(msg)
    return int(text)
