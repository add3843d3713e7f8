"""The folder that holds everything one local stack keeps: data, logs, ports, secrets."""

import fcntl
import json
import os
import random
import secrets
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from local.failures import StackError

REPOSITORY = Path(__file__).resolve().parent.parent

# Below the ranges from which Linux (32768) and macOS (49152) take the local ports of outgoing connections: a port that
# an engine gives up for a restart is then still free a second later.
_PORTS = range(20000, 32768)


class Home:
    """One stack's folder.

    Layout: `data/` (kept between runs), `log/`, `tmp/` (emptied at start, removed at stop), `sam/` (build and cache),
    `ports.json`, `secrets.json` (mode 0600), `supervisor.json` (mode 0600, while a stack runs), `endpoints.json` and
    `sam-local-env.json` (while it is ready).
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.data = self.path / "data"
        self.log = self.path / "log"
        self.tmp = self.path / "tmp"
        self.sam = self.path / "sam"
        self.supervisor_file = self.path / "supervisor.json"
        self.endpoints_file = self.path / "endpoints.json"
        self.sam_local_file = self.path / "sam-local-env.json"

    def make(self) -> None:
        """Make the folders that are missing, closed to other users."""
        for folder in (self.path, self.data, self.log, self.tmp, self.sam):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self) -> int | None:
        """Take the folder for one stack and return the lock's descriptor, None when another has it.

        The children inherit the descriptor, so the lock is free only when the last of them has ended.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def secret(self, name: str) -> str:
        """Return a random password that stays the same between runs."""
        path = self.path / "secrets.json"
        known: dict[str, str] = read_json(path)
        if name not in known:
            known[name] = secrets.token_hex(24)
            write_json(path, known)
        return known[name]

    def port(self, name: str, *, wanted: int | None = None) -> int:
        """Return a free loopback port: the one wanted, else that of the last run, else another.

        Raises:
            StackError: the wanted port is in use.

        """
        if wanted is not None:
            if not _is_free(wanted):
                msg = f"Port {wanted}, which HONGYAN_PORT asks for, is in use by another program."
                raise StackError(msg)
            return wanted
        path = self.path / "ports.json"
        known: dict[str, int] = read_json(path)
        taken = {port for other, port in known.items() if other != name}
        candidates = [known[name]] if name in known else []
        candidates += random.sample(_PORTS, k=len(_PORTS))
        known[name] = next(port for port in candidates if port not in taken and _is_free(port))
        write_json(path, known)
        return known[name]


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file, an empty one when there is no file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=2)
    draft.replace(path)


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        # As the engines do: a port with nothing but connections in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
