"""The data stores of the local stack: a private MariaDB, Redis and osmem-server, each on a loopback port."""

import importlib.util
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

import httpx
import pymysql
import redis

from local.failures import StackError
from local.home import Home

HOST = "127.0.0.1"
_DATABASE = "hongyan"
_OWNER = "hongyan"
_FUNCTIONS = "hongyan_functions"
# What functions may do in Redis, here and in AWS (stores.yaml).
CACHE_ACCESS = "on ~hongyan:* +@all -@admin -@dangerous"
# Debian keeps servers where an ordinary user's PATH does not look.
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


class NotReadyError(Exception):
    """The service does not answer yet."""


class Service(ABC):
    """A program of the stack. Its methods block; the supervisor calls them in threads."""

    name: str
    title: str
    disposable = False  # may its data be thrown away while the stack runs?

    def __init__(self, home: Home, *, wanted_port: int | None = None) -> None:
        self.home = home
        self.port = home.port(self.name, wanted=wanted_port)

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it answers, credentials included."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what the program needs before it starts.

        Raises:
            StackError: it cannot run on this machine.

        """

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line, free of secrets."""

    @abstractmethod
    def check(self) -> None:
        """Ask the program itself whether it works.

        Raises:
            NotReadyError: not yet.

        """

    def empty(self) -> None:  # noqa: B027  # most have nothing on disk that may go
        """Forget the data; only while it is stopped, and only when `disposable`."""


class MariaDB(Service):
    """The relational store."""

    name = "mariadb"
    title = "MariaDB"

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database for the functions, whom the migration function lets in."""
        return self._url(_FUNCTIONS, self.home.secret("mariadb-functions"))

    @property
    def owner_url(self) -> str:
        """SQLAlchemy URL of the database for its owner, who makes tables and users."""
        return self._url(_OWNER, self.home.secret(self.name))

    def _url(self, user: str, password: str) -> str:
        return f"mysql+pymysql://{user}:{password}@{HOST}:{self.port}/{_DATABASE}?charset=utf8mb4"

    @property
    def _data(self) -> Path:
        return self.home.data / self.name

    @property
    def _first_statements(self) -> Path:
        return self.home.path / "mariadb.sql"

    def prepare(self) -> None:
        """Make the data directory at the first start, and the statements that open the database to its owner."""
        find_program("mariadbd")
        if not self._data.exists():
            self._install()
        # One statement a line: the server reads the file so, before it takes connections.
        statements = (
            f"CREATE DATABASE IF NOT EXISTS {_DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;",
            f"CREATE USER IF NOT EXISTS '{_OWNER}'@'{HOST}';",
            f"ALTER USER '{_OWNER}'@'{HOST}' IDENTIFIED BY '{self.home.secret(self.name)}';",
            f"GRANT ALL ON {_DATABASE}.* TO '{_OWNER}'@'{HOST}' WITH GRANT OPTION;",
            f"GRANT CREATE USER ON *.* TO '{_OWNER}'@'{HOST}';",
        )
        write_private(self._first_statements, "\n".join(statements) + "\n")

    def _install(self) -> None:
        draft = self._data.with_name("mariadb.new")
        shutil.rmtree(draft, ignore_errors=True)  # of a first start that was cut off
        log = self.home.log / "mariadb-install.log"
        with log.open("w") as output:
            done = subprocess.run(
                [
                    find_program("mariadb-install-db"),
                    "--no-defaults",
                    f"--datadir={draft}",
                    *_as_root(),
                    # No account has an empty password: the database's root is the machine's, by the socket.
                    "--auth-root-authentication-method=socket",
                    "--auth-root-socket-user=root",
                    "--skip-test-db",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            msg = f"MariaDB's data directory could not be made (exit code {done.returncode}); see {log}"
            raise StackError(msg)
        draft.rename(self._data)

    def command(self) -> list[str]:
        """Return the server's command line."""
        return [
            find_program("mariadbd"),
            "--no-defaults",
            *_as_root(),
            f"--datadir={self._data}",
            "--socket=mariadb.sock",  # in the data directory; a whole path may be longer than sockets allow
            f"--pid-file={self._data / 'mariadb.pid'}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--init-file={self._first_statements}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_520_ci",
            "--transaction-isolation=READ-COMMITTED",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=64M",
            "--innodb-buffer-pool-load-at-startup=OFF",
            "--performance-schema=OFF",
            "--max-connections=300",
        ]

    def check(self) -> None:
        """Log in and select something."""
        try:
            with pymysql.connect(
                host=HOST,
                port=self.port,
                user=_OWNER,
                password=self.home.secret(self.name),
                database=_DATABASE,
                connect_timeout=2,
                read_timeout=5,
            ) as connection:
                connection.cursor().execute("SELECT 1")
        except pymysql.Error as error:
            raise NotReadyError(str(error)) from error


class Redis(Service):
    """The cache."""

    name = "redis"
    title = "Redis"
    disposable = True

    @property
    def url(self) -> str:
        """URL of database 0 for the functions."""
        return f"redis://{_FUNCTIONS}:{self.home.secret(self.name)}@{HOST}:{self.port}/0"

    @property
    def _data(self) -> Path:
        return self.home.data / self.name

    @property
    def _configuration(self) -> Path:
        return self.home.path / "redis.conf"

    def prepare(self) -> None:
        """Write the configuration."""
        find_program("redis-server")
        self._data.mkdir(mode=0o700, exist_ok=True)
        settings = (
            f"bind {HOST}",
            f"port {self.port}",
            # Nobody signs in as the default user; but as them the log is replayed at a start, transactions too.
            f"requirepass {self.home.secret('redis-default')}",
            f"user {_FUNCTIONS} {CACHE_ACCESS} >{self.home.secret(self.name)}",
            f'dir "{self._data}"',
            "appendonly yes",
            'save ""',
        )
        write_private(self._configuration, "\n".join(settings) + "\n")

    def command(self) -> list[str]:
        """Return the server's command line."""
        return [find_program("redis-server"), str(self._configuration)]

    def check(self) -> None:
        """Log in and ping."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                client.ping()
        except redis.RedisError as error:
            raise NotReadyError(str(error)) from error

    def empty(self) -> None:
        """Remove what it wrote to disk."""
        shutil.rmtree(self._data)


class OpenSearch(Service):
    """The search engine: osmem-server, which keeps everything in memory and starts empty."""

    name = "opensearch"
    title = "osmem-server"
    disposable = True

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{HOST}:{self.port}"

    def prepare(self) -> None:
        """See that the binary is there."""
        self.command()

    def command(self) -> list[str]:
        """Return the server's command line."""
        package = importlib.util.find_spec("osmem_server")
        if package is None or package.origin is None:
            msg = "osmem-server is not installed; `python3 local/bootstrap.py` installs what the local stack needs."
            raise StackError(msg)
        binary = Path(package.origin).parent / "bin" / "osmem-server"
        return [str(binary), "-addr", f"{HOST}:{self.port}", "-no-ja", "-no-stdin-watch"]

    def check(self) -> None:
        """Ask for its version."""
        check_http(self.url)


def check_http(url: str) -> None:
    """Get a page.

    Raises:
        NotReadyError: no answer, or not a good one.

    """
    try:
        # Past any proxy of the environment: these are addresses of this machine or the developer's own.
        httpx.get(url, timeout=2, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(str(error)) from error


def find_program(program: str) -> str:
    """Return a program's path.

    Raises:
        StackError: it is not installed.

    """
    path = shutil.which(program, path=_SEARCH_PATH)
    if path is None:
        msg = f"{program} is not installed; `python3 local/bootstrap.py` installs what the local stack needs."
        raise StackError(msg)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _as_root() -> tuple[str, ...]:
    # MariaDB refuses to run as root unless it is told to.
    return ("--user=root",) if os.geteuid() == 0 else ()
