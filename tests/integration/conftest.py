"""Real MariaDB, Redis and OpenSearch-compatible engine, AWS on moto; each test starts with empty stores."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import boto3
import httpx
import pytest
import redis
from argon2 import PasswordHasher
from hongyan import rate_limits, stores

from functions.user import passwords
from local.stack import Stack
from migrations.schema import migrate
from tests.support.deployment import Deployment, deployed
from tests.support.people import Person
from tests.support.phones import Phone

# Of this run and no other: the inbox keeps what it got.
_phone_numbers = itertools.count(random.randrange(10**7))
_HOME = Path(__file__).parents[2] / ".local" / "integration"


@pytest.fixture(scope="session")
def engines() -> Iterator[Stack]:
    stack = Stack(_HOME)
    stack.start_engines()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def whole_deployment(engines: Stack) -> Iterator[Deployment]:
    with (
        pytest.MonkeyPatch.context() as patch,
        deployed(engines, patch) as deployment,
    ):
        migrate()
        yield deployment


@pytest.fixture(autouse=True)
def cheap_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with little work: hundreds of accounts are made. `real_passwords` leaves the work in place."""
    if "real_passwords" in request.fixturenames:
        return
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def real_passwords() -> None:
    """Ask for the product's own parameters of argon2."""


@pytest.fixture
def deployment(whole_deployment: Deployment) -> Deployment:
    """A deployment in which nothing has happened yet."""
    whole_deployment.empty()
    return whole_deployment


@pytest.fixture
def person(deployment: Deployment) -> Callable[[str], Person]:
    """Register somebody and log them in."""
    numbers = itertools.count(1)
    return lambda name: Person.join(deployment.management, f"{name}-{next(numbers)}")


@pytest.fixture
def phone(deployment: Deployment, engines: Stack) -> Callable[[], Phone]:
    """Hand out a phone that nobody had before."""
    return lambda: Phone(f"+86138{next(_phone_numbers):08}", engines.sms_inbox_url)


@pytest.fixture
def without_redis(deployment: Deployment) -> Callable[[], AbstractContextManager[None]]:
    """Let nobody answer where Redis should, for a while."""

    @contextmanager
    def away() -> Iterator[None]:
        nowhere = redis.Redis(port=1, socket_connect_timeout=0.1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stores, "cache_client", lambda: nowhere)
            rate_limits._limiter.cache_clear()
            yield
        rate_limits._limiter.cache_clear()

    return away


@pytest.fixture
def vendor_fault(engines: Stack) -> Iterator[Callable[[str], None]]:
    """Let the SMS vendor fail at its next call."""
    url = engines.sms_account["endpoint"] + "/fault"

    def fail(kind: str) -> None:
        httpx.put(url, json={"kind": kind}).raise_for_status()

    yield fail
    httpx.delete(url).raise_for_status()


@pytest.fixture
def bucket(deployment: Deployment) -> Iterator[None]:
    bucket = boto3.resource("s3").create_bucket(Bucket="files")
    yield
    bucket.objects.delete()
    bucket.delete()
