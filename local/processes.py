"""Programs run by the supervisor: each in its own process group, its output in a file, none outliving it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.failures import StackError

_LINES_OF_AN_ERROR = 10
_LEASH = Path(__file__).with_name("leash.py")


class Child:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls, command: Sequence[str], *, log: Path, environment: Mapping[str, str], cwd: Path, lock: int | None = None
    ) -> "Child":
        """Start a program; its output is appended to `log`, and `lock` stays held while it runs."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=environment,
                start_new_session=True,  # a Ctrl-C in the terminal reaches the supervisor only, which stops in order
                pass_fds=() if lock is None else (lock,),
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, negative when a signal ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return await self._process.wait()

    async def stop(self, *, grace: float = 20) -> None:
        """Ask it to end, insist after `grace` seconds, and leave nothing of its process group behind."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), grace)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def epitaph(self) -> str:
        """Say how it ended, with the end of its output."""
        code = self.exit_code or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{how}; the end of {self._log}: {self._last_word()}"

    def _last_word(self) -> str:
        """Return the last line, or a line shortly before it that names an error."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [
            line for line in lines[-_LINES_OF_AN_ERROR:] if "error" in line.lower() and not line.startswith("make")
        ]
        return (errors or lines or ["nothing"])[-1]


async def run(
    name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str], cwd: Path, deadline: float
) -> None:
    """Run a program to its end.

    Raises:
        StackError: it failed, or took longer than `deadline` seconds.

    """
    child = await Child.start(command, log=log, environment=environment, cwd=cwd)
    try:
        code = await asyncio.wait_for(child.wait(), deadline)
    except TimeoutError:
        msg = f"{name} did not end within {deadline:.0f} s; see {log}"
        raise StackError(msg) from None
    finally:
        await child.stop(grace=5)
    if code != 0:
        msg = f"{name} {child.epitaph()}"
        raise StackError(msg)
