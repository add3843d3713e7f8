"""Real MariaDB, Redis and OpenSearch-compatible engine, AWS on moto; each test starts with empty stores."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from hongyan import stores
from hongyan.tables import metadata

from functions.user import passwords
from local.stack import Stack
from tests.support.deployment import Deployment, deployed
from tests.support.gateway import LambdaContext
from tests.support.people import Person
from tests.support.template import load

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
        deployed(engines.database_url, engines.redis_url, engines.opensearch_url, patch) as deployment,
    ):
        assert load("migrations.handler.handler")({}, LambdaContext())["revision"]
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
    with stores.engine().begin() as connection:
        for table in metadata.tables.values():
            connection.execute(sa.delete(table))
    stores.cache_client().flushdb()
    whole_deployment.drain()
    return whole_deployment


@pytest.fixture
def person(deployment: Deployment) -> Callable[[str], Person]:
    """Register somebody and log them in."""
    numbers = itertools.count(1)
    return lambda name: Person.join(deployment.management, f"{name}-{next(numbers)}")
