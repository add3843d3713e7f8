"""The server that the client is tested against, and a client that is logged in to it."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

# Test files are imported by path (--import-mode=importlib), which does not let them import what stands beside them.
sys.path.append(str(Path(__file__).parent))

from hongyan_client import Device, HongyanClient
from stand_in import PASSWORD, Host, StandIn, hosting


@pytest_asyncio.fixture(scope="session")
async def host() -> AsyncIterator[Host]:
    async with hosting() as one:
        yield one


@pytest.fixture
async def server(host: Host) -> StandIn:
    return await host.renew()


@pytest.fixture
async def alice(server: StandIn) -> AsyncIterator[HongyanClient]:
    async with HongyanClient(server.base) as client:
        await client.login("alice", PASSWORD, Device(id="d-alice", platform="cli", name="test"))
        yield client
