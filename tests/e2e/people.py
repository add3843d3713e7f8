"""People with the real client, and devices that keep what they were told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from hongyan_client import Device, HongyanClient, Live, LiveEvent, Message, MessageEvent

from tests.contract.frames import check_server_frame

PASSWORD = "correct horse battery staple"
PATIENCE_SECONDS = 90


@dataclass
class Screen:
    """A connected device: every event it was told, in order, every frame checked against the AsyncAPI document."""

    live: Live
    events: list[LiveEvent] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def texts(self, conversation_id: str) -> list[str | None]:
        return [m.text for m in self._messages(conversation_id)]

    def seqs(self, conversation_id: str) -> list[int]:
        return [m.seq for m in self._messages(conversation_id)]

    async def until(self, holds: Callable[[Self], bool]) -> None:
        """Wait until something holds of what was shown."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: holds(self))

    async def watch(self) -> None:
        async for event in self.live.events():
            async with self._changed:
                self.events.append(event)
                self._changed.notify_all()

    def _messages(self, conversation_id: str) -> list[Message]:
        shown = [event.message for event in self.events if isinstance(event, MessageEvent)]
        return [message for message in shown if message.conversation_id == conversation_id]


@dataclass
class Person:
    """Somebody with an account, and the client of their first device."""

    client: HongyanClient
    endpoint: str
    id: str
    username: str

    @classmethod
    @asynccontextmanager
    async def joined(cls, endpoint: str, username: str) -> AsyncIterator[Self]:
        async with HongyanClient(endpoint) as client:
            await client.register(username, PASSWORD)
            session = await client.login(username, PASSWORD, a_device("phone"))
            yield cls(client, endpoint, session.user.id, username)

    @asynccontextmanager
    async def another_device(self, name: str = "laptop") -> AsyncIterator[HongyanClient]:
        async with HongyanClient(self.endpoint) as client:
            await client.login(self.username, PASSWORD, a_device(name))
            yield client

    async def befriend(self, other: "Person") -> str:
        """Become friends and return the id of the conversation."""
        request = await self.client.request_friend(other.id)
        accepted = await other.client.accept_friend_request(request.id)
        return accepted.conversation.id


@asynccontextmanager
async def screen(
    client: HongyanClient, *, ping_seconds: float = 20, check: Callable[[str], None] = check_server_frame
) -> AsyncIterator[Screen]:
    """Connect a device and watch."""
    async with client.live(ping_seconds=ping_seconds, on_frame=check) as live:
        shown = Screen(live)
        watching = asyncio.create_task(shown.watch())
        try:
            yield shown
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def check_frame_or_gateway_failure(frame: str) -> None:
    """Check a frame, or take what the gateway says by itself when a function died (docs/asyncapi.yaml, Answers)."""
    if set(json.loads(frame)) == {"message", "connectionId", "requestId"}:
        assert json.loads(frame)["message"] == "Internal server error"
    else:
        check_server_frame(frame)


def a_device(name: str) -> Device:
    return Device(id=name, platform="cli", name=name)
