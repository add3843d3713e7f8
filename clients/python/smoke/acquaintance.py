"""Two new people meet and talk, over every part that a message passes; then they leave."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from hongyan_client import Device, HongyanClient, Pace


class NotPushedError(Exception):
    """A message was stored, and its receiver's socket did not hear of it in time."""


class NotStoredError(Exception):
    """A message was acknowledged, and its receiver's history does not have it."""


async def meet_and_talk(endpoint: str, *, patience_seconds: float) -> None:
    """Register two people, let one write to the other, and close both accounts, whatever happens.

    Passes the REST API, its authorizer, accounts, friends, messages, tickets, both directions of the sockets, the
    queues and the push.

    Args:
        endpoint: base of the REST API.
        patience_seconds: for a socket to open, for an acknowledgement, and for the push of the message.

    Raises:
        hongyan_client.HongyanError: a call failed.
        NotPushedError: the push did not come.
        NotStoredError: what was acknowledged is not there.

    """
    async with AsyncExitStack() as everybody:
        alice, bob = [await everybody.enter_async_context(_joined(endpoint)) for _ in range(2)]
        request = await alice.request_friend((await bob.me()).id)
        conversation_id = (await bob.accept_friend_request(request.id)).conversation.id
        heard: asyncio.Queue[str] = asyncio.Queue()
        pace = Pace(open_timeout=patience_seconds, give_up=patience_seconds)
        async with alice.live(pace=pace) as from_alice, bob.live(pace=pace, on_frame=heard.put_nowait):
            message = await from_alice.send_text(conversation_id, "鸿雁传书")
            try:
                # The client would fetch by itself what was not pushed: only the frame tells.
                async with asyncio.timeout(patience_seconds):
                    while message.id not in await heard.get():
                        pass
            except TimeoutError:
                raise NotPushedError(message.id) from None
        stored = await bob.history(conversation_id)
        if message.id not in {item.id for item in stored.items}:
            raise NotStoredError(message.id)


@asynccontextmanager
async def _joined(endpoint: str) -> AsyncIterator[HongyanClient]:
    username, password = f"smoke-{secrets.token_hex(8)}", secrets.token_urlsafe()
    async with HongyanClient(endpoint) as client:
        await client.register(username, password)
        await client.login(username, password, Device(id="smoke", platform="cli", name="smoke test"))
        try:
            yield client
        finally:
            await client.close_account()
