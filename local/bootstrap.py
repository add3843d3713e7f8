"""Install what the project needs into the checkout: four virtual environments, and the data stores' programs.

Run by the system's Python (3.11 to 3.13), standard library only. Does nothing, quickly, when nothing changed.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

_OLDEST, _NEWEST = (3, 11), (3, 13)  # what AWS Lambda runs and the pinned wheels exist for
_PIP = "pip==26.3"
_LINES_OF_AN_ERROR = 40  # pip says the cause above its advice
_STAMP = ".requirements.sha256"
_PROGRAMS = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",  # mariadb-install-db calls it
    "redis-server": "redis-server",
    "espeak-ng": "espeak-ng",  # speaks in tests
}
_HOMEBREW = ("mariadb", "redis", "espeak-ng")
_BEGAN = time.monotonic()


class BootstrapError(Exception):
    """Something cannot be installed; the text is one clear sentence."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what belongs into it."""

    folder: Path
    requirements: Path
    editable: Path | None = None

    def fingerprint(self) -> str:
        """Return a hash over the interpreter and everything that names a requirement."""
        digest = hashlib.sha256(sys.version.encode())
        for file in requirement_files(self.requirements):
            digest.update(file.read_bytes())
        if self.editable is not None:
            digest.update(str(self.editable).encode())
            digest.update((self.editable / "pyproject.toml").read_bytes())
        return digest.hexdigest()

    def is_current(self) -> bool:
        """Tell whether it was installed from these very requirements."""
        stamp = self.folder / _STAMP
        return stamp.exists() and stamp.read_text() == self.fingerprint()


def requirement_files(file: Path) -> Iterator[Path]:
    """Yield a requirement file and those that it names by `-r` and `-c`."""
    yield file
    for line in file.read_text().splitlines():
        if line.startswith(("-r ", "-c ")):
            yield from requirement_files(file.parent / line[len("-r ") :].strip())


def environments(repository: Path) -> tuple[Environment, ...]:
    """Return the project's environment, and those of ministack, the SAM CLI and Checkov, whose pins do not agree."""
    client = repository / "clients" / "python"
    requirements = repository / "requirements"
    local = repository / ".local" / "venv"
    return (
        Environment(
            repository / ".venv",
            requirements / "project.txt",
            client if (client / "pyproject.toml").exists() else None,
        ),
        Environment(local / "sam", requirements / "sam.txt"),
        Environment(local / "ministack", requirements / "ministack.txt"),
        Environment(local / "checkov", requirements / "checkov.txt"),
    )


def main() -> int:
    """Install what is missing; return 0, or 1 after one sentence that says what failed."""
    try:
        _check_interpreter()
        with _alone(REPOSITORY / ".local"):
            _install(environments(REPOSITORY))
    except BootstrapError as error:
        print(f"hongyan: {error}", file=sys.stderr)
        return 1
    return 0


def _check_interpreter() -> None:
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        msg = f"Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11 ..."
        raise BootstrapError(msg)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other bootstrap works on this checkout."""
    folder.mkdir(exist_ok=True)
    with (folder / "bootstrap.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another installation in this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(wanted: tuple[Environment, ...]) -> None:
    stale = [environment for environment in wanted if not environment.is_current()]
    with ThreadPoolExecutor() as pool:
        work = [pool.submit(_install_environment, environment) for environment in stale]
        work.append(pool.submit(_install_programs))
        for job in work:
            job.result()


def _install_environment(environment: Environment) -> None:
    name = environment.folder.relative_to(REPOSITORY)
    _say(f"installing {name} from {environment.requirements.relative_to(REPOSITORY)}")
    log = REPOSITORY / ".local" / f"install-{environment.folder.name.removeprefix('.')}.log"
    stamp = environment.folder / _STAMP
    stamp.unlink(missing_ok=True)
    fingerprint = environment.fingerprint()
    if not _is_usable(environment.folder):
        _make(environment.folder, log)
    python = environment.folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(environment.requirements)]
    if environment.editable is not None:
        command += ["-e", str(environment.editable)]
    _run(command, log, f"installing {name}")
    stamp.write_text(fingerprint)
    _say(f"{name} is installed")


def _is_usable(folder: Path) -> bool:
    """Tell whether there is an environment of this very interpreter, with pip: it is then brought up to date."""
    python = folder / "bin" / "python"
    if not python.exists():
        return False
    question = [str(python), "-c", "import pip, sys; print(sys.version)"]
    answer = subprocess.run(question, capture_output=True, text=True, check=False, env=_plain_environment())
    return answer.stdout.strip() == sys.version


def _make(folder: Path, log: Path) -> None:
    """Make an empty environment with pip in it; `sam build` calls that pip."""
    if importlib.util.find_spec("ensurepip") is not None:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], log, f"making {folder.name}")
        return
    # Debian keeps ensurepip in a package of its own (python3-venv); a pip outside the environment does as well.
    if importlib.util.find_spec("pip") is None:
        msg = "Python has neither ensurepip nor pip; install one of Debian's packages python3-venv and python3-pip."
        raise BootstrapError(msg)
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], log, f"making {folder.name}")
    python = str(folder / "bin" / "python")
    _run([sys.executable, "-m", "pip", "--python", python, "install", _PIP], log, f"installing pip in {folder.name}")


def _install_programs() -> None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program, path=path) is None}
    if not missing:
        return
    packages = sorted(missing)
    _say(f"installing {' '.join(packages)}")
    log = REPOSITORY / ".local" / "install-programs.log"
    for command in _package_commands(packages):
        _run(command, log, f"installing {' '.join(packages)}")
    _say(f"{' '.join(packages)} installed")


def _package_commands(packages: list[str]) -> list[list[str]]:
    if shutil.which("apt-get") is not None:
        return [
            [*_as_root(packages), "apt-get", "update"],
            [*_as_root(packages), "apt-get", "install", "--yes", "--no-install-recommends", *packages],
        ]
    if shutil.which("brew") is not None:
        return [["brew", "install", *_HOMEBREW]]
    msg = f"These programs are needed on the PATH: {', '.join(_PROGRAMS)}; MariaDB 10.11 and Redis 7."
    raise BootstrapError(msg)


def _as_root(packages: list[str]) -> list[str]:
    variable = "DEBIAN_FRONTEND=noninteractive"
    if os.geteuid() == 0:
        return ["env", variable]
    if shutil.which("sudo") is not None:
        return ["sudo", "env", variable]
    msg = f"These packages are needed; as root: apt-get install --no-install-recommends {' '.join(packages)}"
    raise BootstrapError(msg)


def _run(command: list[str], log: Path, what: str) -> None:
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=output, check=False, env=_plain_environment())
    if done.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines()[-_LINES_OF_AN_ERROR:]
        errors = [line.strip() for line in lines if "error" in line.lower()]
        msg = (
            f"{what} failed with exit code {done.returncode}; the end of {log}: {(errors or lines or ['nothing'])[-1]}"
        )
        raise BootstrapError(msg)


def _plain_environment() -> dict[str, str]:
    # Not what the Makefile sets for the project's own code, nor its flags for wheels of another machine.
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}


def _say(line: str) -> None:
    print(f"  {time.monotonic() - _BEGAN:5.1f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
