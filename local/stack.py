"""The local stack as an object, for tests and benchmarks."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local import control, deploy
from local.deploy import account
from local.emulator import Emulator
from local.engines import MariaDB, Redis
from local.failures import StackError
from local.home import Home
from local.vendors import SpeechVendor

_STOP_SECONDS = 60


@dataclass(frozen=True)
class Endpoints:
    """Where clients reach a deployed stack."""

    rest_url: str
    websocket_url: str
    sms_inbox_url: str


class Stack:
    """A stack in a folder of its own, which ends with this process at the latest.

    As a context manager it is started whole, and stopped at the end; its folder stays.

    Example:
        with Stack(Path(".local/test")) as stack:
            httpx.get(f"{stack.endpoints.rest_url}/v1/health")

    """

    def __init__(self, home: Path) -> None:
        self._home = Home(home)
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start everything and return when it is ready; to be called in the main thread, with which the stack ends.

        Raises:
            StackError: it did not get ready, or a stack runs in this folder already.

        """
        self._supervisor = control.start(self._home, leashed=True)

    def start_engines(self) -> None:
        """Start the data stores only.

        Raises:
            StackError: as `start`.

        """
        self._supervisor = control.start(self._home, engines_only=True, leashed=True)

    def stop(self) -> None:
        """Stop what was started, and return when nothing of it is left; nothing to do when it has ended by itself."""
        if self._supervisor is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._supervisor.terminate()
        self._supervisor.wait(_STOP_SECONDS)
        self._supervisor = None

    def restart(self, service: str, *, empty: bool = False) -> None:
        """Restart "mariadb", "redis" or "opensearch" on its port, everything else going on meanwhile.

        Args:
            service: its name.
            empty: throw its data away; not for MariaDB.

        Raises:
            StackError: it cannot be restarted so.

        """
        control.ask(self._home, "restart", service=service, empty=empty)

    def deploy(self, built: Path) -> None:
        """Deploy another release over the one that serves.

        Args:
            built: a folder that `sam build` could have made.

        Raises:
            StackError: `sam deploy` failed; the release before it serves on.

        """
        stores = deploy.Stores(self.database_url, self.database_owner_url, self.redis_url, self.opensearch_url)
        sms, speech = deploy.Sms(**self.sms_account), deploy.Speech(**self.speech_account)
        asyncio.run(deploy.deploy(self._home, self.aws_endpoint_url, stores, sms, speech, built))

    @property
    def built(self) -> Path:
        """Where the release is that was built at the start."""
        return self._home.sam / "build"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database for the functions, password included; the migration function lets them in."""
        return str(self._service(MariaDB.name)["url"])

    @property
    def database_owner_url(self) -> str:
        """SQLAlchemy URL of the database for its owner, password included."""
        return str(control.record(self._home)["database_owner_url"])

    @property
    def redis_url(self) -> str:
        """URL of Redis, password included."""
        return str(self._service(Redis.name)["url"])

    @property
    def opensearch_url(self) -> str:
        """Base URL of the search engine."""
        return str(control.record(self._home)["opensearch_url"])

    @property
    def sms_inbox_url(self) -> str:
        """Where what was sent by SMS can be read."""
        return str(control.record(self._home)["sms"]["inbox_url"])

    @property
    def sms_account(self) -> dict[str, Any]:
        """The account at the SMS vendor's stand-in, as the product's secret holds it."""
        return dict(control.record(self._home)["sms"]["account"])

    @property
    def speech_account(self) -> dict[str, str]:
        """The account at the speech vendor's stand-in, as the product's secret holds it."""
        return dict(control.record(self._home)["speech"])

    @property
    def speech_url(self) -> str:
        """Where the speech vendor's stand-in is told to fail."""
        return str(self._service(SpeechVendor.name)["url"])

    @property
    def aws_endpoint_url(self) -> str:
        """The emulator's address, as AWS_ENDPOINT_URL."""
        return str(self._service(Emulator.name)["url"])

    @property
    def endpoints(self) -> Endpoints:
        """Where clients reach it.

        Raises:
            StackError: nothing is deployed.

        """
        addresses = control.record(self._home).get("endpoints")
        if addresses is None:
            msg = f"Nothing is deployed in {self._home.path}: only the data stores run."
            raise StackError(msg)
        return Endpoints(**addresses)

    def function_logs(self) -> list[str]:
        """Return every line that the functions have logged since the start, in order within each of them."""
        logs = account().client("logs", endpoint_url=self.aws_endpoint_url)
        groups = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws/lambda/")
        names = [group["logGroupName"] for page in groups for group in page["logGroups"]]
        events = logs.get_paginator("filter_log_events")
        return [
            event["message"].rstrip("\n")
            for name in names
            for page in events.paginate(logGroupName=name)
            for event in page["events"]
        ]

    def program_logs(self) -> list[str]:
        """Return every line that the programs of the stack have logged since the start."""
        return [line for log in self._home.log.glob("*.log") for line in log.read_text(errors="replace").splitlines()]

    def worker_pids(self) -> list[int]:
        """Return the processes that are there to run functions at the moment (Linux only)."""
        return list(_children(self._service(Emulator.name)["pid"]))

    def _service(self, name: str) -> dict[str, Any]:
        services: dict[str, dict[str, Any]] = control.record(self._home)["services"]
        if name not in services:
            msg = f"{name} does not run in {self._home.path}."
            raise StackError(msg)
        return services[name]


def _children(pid: int) -> Iterator[int]:
    for threads in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from (int(child) for child in threads.read_text().split() if _is_running(int(child)))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""  # empty for one that has ended unnoticed by its parent
    except FileNotFoundError:
        return False
