"""The deployed template on a stack of the tests' own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import redis

from local.stack import Stack
from tests.e2e.people import PATIENCE_SECONDS, Person
from tests.support.cache import lose_cache

_HOME = Path(__file__).parents[2] / ".local" / "e2e"

Join = Callable[[str], Awaitable[Person]]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Stack(_HOME) as started:
        # What the run before has used up of its limits. A run registers about 200 times from one address, where
        # 1,000 an hour may, and resets fewer than 10 passwords, where 30 may.
        lose_cache(redis.Redis.from_url(started.redis_url))
        yield started


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """Speak HTTP as a client that is not ours would."""
    async with httpx.AsyncClient(base_url=stack.endpoints.rest_url, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
async def join(stack: Stack) -> AsyncIterator[Join]:
    """Let somebody register and log in; at the end they leave."""
    async with AsyncExitStack() as everybody:

        async def joined(name: str) -> Person:
            username = f"{name}-{uuid4().hex[:8]}"
            return await everybody.enter_async_context(Person.joined(stack.endpoints.rest_url, username))

        yield joined
