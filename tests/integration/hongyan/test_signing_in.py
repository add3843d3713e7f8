"""Signing in to the stores without a password, shown to real servers over TLS.

No server here asks IAM whether a token is good. So each is told, just before it is shown one, to take that very token.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
import redis
import sqlalchemy as sa
import trustme
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from hongyan import aws, iam, stores

from local.engines import CACHE_ACCESS, HOST, MariaDB, NotReadyError, find_program
from local.home import Home
from local.stack import Stack

_PATIENCE_SECONDS = 60
_USER = "hongyan-functions"
_NOBODY = "redis://127.0.0.1:1"


class Proof(NamedTuple):
    """The files with which a server shows who it is."""

    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("stores"))
    home.make()
    return home


@pytest.fixture(scope="module")
def proof(home: Home, authority: trustme.CA) -> Proof:
    files = Proof(home.path / "certificate.pem", home.path / "key.pem")
    issued = authority.issue_cert(HOST)
    issued.cert_chain_pems[0].write_to_path(files.certificate)
    issued.private_key_pem.write_to_path(files.key)
    return files


@contextmanager
def running(command: list[str], check: Callable[[], object], log: Path) -> Iterator[None]:
    """Run a server, and go on once it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603  # a server of the local stack
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                check()
            except (NotReadyError, redis.ConnectionError):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            else:
                break
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def database(home: Home, proof: Proof) -> Iterator[MariaDB]:
    server = MariaDB(home)
    server.prepare()
    command = [*server.command(), f"--ssl-cert={proof.certificate}", f"--ssl-key={proof.key}"]
    with running(command, server.check, home.log / "mariadb.log"):
        yield server


@pytest.fixture(scope="module")
def cache(home: Home, proof: Proof) -> Iterator[tuple[int, redis.Redis]]:
    """Run Redis with TLS; return its port and a client of its administrator, who comes by another."""
    port, inner = home.port("cache"), home.port("cache-inner")
    command = [find_program("redis-server"), "--bind", HOST, "--port", str(inner), "--save", ""]
    command += ["--tls-port", str(port), "--tls-auth-clients", "no"]
    command += ["--tls-cert-file", str(proof.certificate), "--tls-key-file", str(proof.key)]
    with redis.Redis(port=inner) as administrator, running(command, administrator.ping, home.log / "redis.log"):
        yield port, administrator


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Be a function of a role, with other credentials each time."""

    def be(access_key_id: str) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the role")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        aws.session.cache_clear()

    be("AKIAFUNCTION")
    yield be
    aws.session.cache_clear()


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path) -> None:
    """Trust who issued the servers' certificates."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, become: Callable[[str], None]) -> Iterator[Callable[..., None]]:
    """Say where the stores are, and that everybody signs in by IAM."""

    def deploy(**addresses: str) -> None:
        nowhere = dict.fromkeys(("database_url", "redis_url", "opensearch_url"), _NOBODY)
        said = stores.StoreAddresses(
            **{**nowhere, **addresses}, iam=stores.IamUser(cache_name="the-cache", cache_user=_USER)
        )
        monkeypatch.setattr(stores, "addresses", lambda: said)
        forget()

    yield deploy
    forget()


def forget() -> None:
    for made_once in (stores.engine, stores.cache_client, stores.search_client):
        made_once.cache_clear()


def without_password(url: str) -> str:
    return sa.make_url(url)._replace(password=None).render_as_string()


@contextmanager
def tokens_accepted(database: MariaDB, engine: sa.Engine) -> Iterator[list[str]]:
    """Let the server take for the user's password what a connection is about to show; return what was shown."""
    shown: list[str] = []
    owner = sa.create_engine(database.owner_url)

    def accept(_dialect: Any, _record: Any, _positional: Any, parameters: dict[str, Any]) -> None:
        shown.append(parameters["password"])
        with owner.begin() as connection:
            statement = sa.text("CREATE OR REPLACE USER hongyan_functions IDENTIFIED BY :token REQUIRE SSL")
            connection.execute(statement, {"token": shown[-1]})
            connection.execute(sa.text("GRANT SELECT ON hongyan.* TO hongyan_functions"))

    sa.event.listen(engine, "do_connect", accept)
    yield shown
    engine.dispose()
    owner.dispose()


@pytest.mark.usefixtures("trusting")
def test_each_connection_to_the_database_shows_a_token_of_its_own(
    database: MariaDB, deployed: Callable[..., None], become: Callable[[str], None]
) -> None:
    deployed(database_url=without_password(database.url))

    with tokens_accepted(database, stores.engine()) as shown:
        with stores.engine().connect() as connection:
            assert connection.scalar(sa.text("SELECT CURRENT_USER()")) == "hongyan_functions@%"
            assert connection.scalar(sa.text("SELECT 2")) == 2
        become("AKIARENEWED")
        stores.engine().dispose()  # as a server does that restarts
        with stores.engine().connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1

    assert ["AKIAFUNCTION" in shown[0], "AKIARENEWED" in shown[1], len(shown)] == [True, True, 2]


def test_no_token_is_shown_to_a_database_whose_certificate_nobody_trusts(
    database: MariaDB, deployed: Callable[..., None]
) -> None:
    deployed(database_url=without_password(database.url))

    with tokens_accepted(database, stores.engine()), pytest.raises(sa.exc.OperationalError, match="CERTIFICATE_VERIFY"):
        stores.engine().connect()


@pytest.mark.usefixtures("trusting")
def test_no_token_is_shown_to_a_database_without_tls(engines: Stack, deployed: Callable[..., None]) -> None:
    deployed(database_url=without_password(engines.database_url))

    with pytest.raises(sa.exc.OperationalError, match="server doesn't support it"):
        stores.engine().connect()


@pytest.fixture
def cache_tokens(monkeypatch: pytest.MonkeyPatch, cache: tuple[int, redis.Redis]) -> list[str]:
    """Let Redis take for the user's password what a connection is about to show; return what was shown."""
    shown: list[str] = []
    get_credentials = iam.CacheCredentials.get_credentials
    _, administrator = cache

    def accept(credentials: iam.CacheCredentials) -> tuple[str, str]:
        user, token = get_credentials(credentials)
        shown.append(token)
        rules = ("reset", *CACHE_ACCESS.split(), f">{token}")
        administrator.execute_command("ACL", "SETUSER", user, *rules)  # type: ignore[no-untyped-call]
        return user, token

    monkeypatch.setattr(iam.CacheCredentials, "get_credentials", accept)
    return shown


@pytest.mark.usefixtures("trusting")
def test_each_connection_to_the_cache_shows_a_token_of_its_own(
    cache: tuple[int, redis.Redis],
    cache_tokens: list[str],
    deployed: Callable[..., None],
    become: Callable[[str], None],
) -> None:
    deployed(redis_url=f"rediss://{HOST}:{cache[0]}/0")
    client = stores.cache_client()

    client.set("hongyan:greeting", "hello")
    assert client.acl_whoami() == _USER
    become("AKIARENEWED")
    client.connection_pool.disconnect()  # as ElastiCache does after twelve hours
    assert client.get("hongyan:greeting") == "hello"

    assert [token.partition("/")[0] for token in cache_tokens] == ["the-cache"] * 2
    assert ["AKIAFUNCTION" in cache_tokens[0], "AKIARENEWED" in cache_tokens[1]] == [True, True]


def test_no_token_is_shown_to_a_cache_whose_certificate_nobody_trusts(
    cache: tuple[int, redis.Redis], cache_tokens: list[str], deployed: Callable[..., None]
) -> None:
    deployed(redis_url=f"rediss://{HOST}:{cache[0]}/0")

    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY"):
        stores.cache_client().ping()

    assert cache_tokens == []


@pytest.fixture
def search_requests() -> Iterator[tuple[str, list[AWSRequest]]]:
    """Answer as a search engine that found nothing; return its address and what it is asked."""
    asked: list[AWSRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            url = f"http://{self.headers['Host']}{self.path}"
            asked.append(AWSRequest("POST", url, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"hits": {"hits": []}}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer((HOST, 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_each_request_to_the_search_engine_is_signed(
    search_requests: tuple[str, list[AWSRequest]], deployed: Callable[..., None]
) -> None:
    url, asked = search_requests
    deployed(opensearch_url=url)

    stores.search_client().search(index="users", body={"query": {"match_all": {}}})

    [request] = asked
    scope, signed, signature = request.headers["Authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    assert scope.startswith("Credential=AKIAFUNCTION/")
    assert scope.endswith("/eu-west-1/es/aws4_request")
    assert signature == f"Signature={what_aws_expects(request, signed.removeprefix('SignedHeaders='))}"


def what_aws_expects(request: AWSRequest, signed_headers: str) -> str:
    """Sign what arrived once more, as the service does that knows the role's secret."""
    signer = SigV4Auth(aws.credentials().get_frozen_credentials(), "es", "eu-west-1")
    names = signed_headers.split(";")
    again = AWSRequest(request.method, request.url, {name: request.headers[name] for name in names}, request.body)
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))
