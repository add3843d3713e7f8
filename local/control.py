"""How other processes talk to a folder's supervisor: JSON to a loopback port, with a token only its user can read."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from local.failures import StackError
from local.home import REPOSITORY, Home, read_json

ERROR_PREFIX = "hongyan: "

_ANSWER_SECONDS = 120
_POLL_SECONDS = 0.05
_STOP_SECONDS = 60


def is_alive(home: Home) -> bool:
    """Tell whether a supervisor that is not already stopping serves this folder."""
    record = read_json(home.supervisor_file)
    try:
        _connect(record["control_port"]).close()
    except (KeyError, OSError):
        return False
    return True


def ask(home: Home, command: str, **arguments: object) -> None:
    """Have the supervisor carry out a command, and wait for its answer.

    Raises:
        StackError: no stack is running, or the command failed.

    """
    record = read_json(home.supervisor_file)
    try:
        with _connect(record["control_port"]) as connection, connection.makefile("rw") as line:
            line.write(json.dumps({"token": record["token"], "command": command, **arguments}) + "\n")
            line.flush()
            reply: dict[str, str] = json.loads(line.readline() or '{"error": "The stack ended meanwhile."}')
    except (KeyError, OSError):
        msg = f"No stack is running in {home.path}."
        raise StackError(msg) from None
    if "error" in reply:
        raise StackError(reply["error"])


def record(home: Home) -> dict[str, Any]:
    """Return what the running supervisor tells about its stack.

    Raises:
        StackError: none is running.

    """
    content = read_json(home.supervisor_file)
    if not content or not is_alive(home):
        msg = f"No stack is running in {home.path}."
        raise StackError(msg)
    return content


def start(home: Home, *, engines_only: bool = False, leashed: bool = False) -> subprocess.Popen[bytes]:
    """Start a stack in the background and return its supervisor when it is ready, the progress shown meanwhile.

    Args:
        home: its folder.
        engines_only: without the emulator and the deployment.
        leashed: the stack is to end with this process.

    Raises:
        StackError: it did not get ready.

    """
    home.make()
    if is_alive(home):
        msg = f"A stack is already running in {home.path}; `make down` stops it."
        raise StackError(msg)
    command = [sys.executable, "-m", "local", "run", "--home", str(home.path)]
    if engines_only:
        command.append("--engines-only")
    if leashed:
        leash = Path(__file__).with_name("leash.py")
        command = [sys.executable, "-I", "-S", str(leash), str(os.getpid()), *command]
    log = home.log / "run.log"
    log.unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=REPOSITORY, start_new_session=True
        )
    try:
        _follow(home, process, log)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    return process


def stop(home: Home) -> None:
    """Stop the stack and return when nothing of it is left.

    Raises:
        StackError: none is running, or it does not end.

    """
    ask(home, "stop")
    deadline = time.monotonic() + _STOP_SECONDS
    while (lock := home.lock()) is None:
        if time.monotonic() > deadline:
            msg = f"The stack in {home.path} did not end within {_STOP_SECONDS} s."
            raise StackError(msg)
        time.sleep(_POLL_SECONDS)
    os.close(lock)


def _follow(home: Home, process: subprocess.Popen[bytes], log: Path) -> None:
    reason = ""
    with log.open() as lines:
        while True:
            ended = process.poll() is not None  # asked first, so that what it said last is read below
            ready = _is_ready(home, process.pid)
            for line in lines:
                if line.startswith(ERROR_PREFIX):
                    reason = line.removeprefix(ERROR_PREFIX).strip()
                else:
                    print(line, end="", flush=True)
            if ended:
                raise StackError(reason or f"The stack ended with exit code {process.returncode}; see {log}")
            if ready:
                return
            time.sleep(_POLL_SECONDS)


def _is_ready(home: Home, pid: int) -> bool:
    content = read_json(home.supervisor_file)
    return content.get("pid") == pid and content["ready"]


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_SECONDS)
