"""What becomes of messages, and sync, through the deployed template, by plain HTTP and a plain socket."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.contract.frames import check_server_frame
from tests.e2e.people import PASSWORD, PATIENCE_SECONDS


@dataclass
class Someone:
    """An account with one session, spoken for by HTTP alone."""

    http: httpx.AsyncClient
    id: str
    token: str

    async def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token}"})

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.call(method, path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def say(self, conversation: str, text: str) -> dict[str, Any]:
        body = {"client_id": uuid4().hex, "type": "text", "content": {"text": text}}
        message: dict[str, Any] = await self.ok("POST", f"v1/conversations/{conversation}/messages", body)
        return message

    async def sync(self, cursor: str | None) -> tuple[dict[str, list[Any]], str]:
        """Return all that changed, list by list, and the cursor behind it."""
        told: dict[str, list[Any]] = {}
        while True:
            page = await self.ok("GET", "v1/sync" + (f"?cursor={cursor}" if cursor else ""))
            cursor = page.pop("next_cursor")
            has_more = page.pop("has_more")
            for name, items in page.items():
                told.setdefault(name, []).extend(items or [])
            if not has_more:
                return told, str(cursor)

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[ClientConnection]:
        ticket = await self.ok("POST", "v1/ws-tickets")
        async with connect(f"{ticket['url']}?ticket={ticket['ticket']}") as socket:
            yield socket


async def someone(http: httpx.AsyncClient, name: str) -> Someone:
    username = f"{name}-{uuid4().hex[:8]}"
    user = (await http.post("v1/users", json={"username": username, "password": PASSWORD})).json()
    device = {"id": "d", "platform": "cli", "name": "test"}
    session = await http.post("v1/sessions", json={"username": username, "password": PASSWORD, "device": device})
    return Someone(http, user["id"], session.json()["access_token"])


async def befriend(one: Someone, other: Someone) -> str:
    request = await one.ok("POST", "v1/friend-requests", {"user_id": other.id})
    accepted = await other.ok("POST", f"v1/friend-requests/{request['id']}/accept")
    conversation: str = accepted["conversation"]["id"]
    return conversation


Pair = tuple[Someone, Someone, str]


@pytest.fixture
async def pair(http: httpx.AsyncClient) -> Pair:
    alice, bob = await someone(http, "alice"), await someone(http, "bob")
    return alice, bob, await befriend(alice, bob)


async def updated(socket: ClientConnection) -> dict[str, Any]:
    """Wait for the next message that became another."""
    async for frame in socket:
        check_server_frame(frame)
        for event in json.loads(frame).get("events", []):
            if event["type"] == "message.updated":
                message: dict[str, Any] = event["data"]["message"]
                return message
    raise AssertionError("the socket closed")


async def test_edits_reactions_and_recalls_are_pushed_and_come_by_sync(pair: Pair) -> None:
    alice, bob, conversation = pair
    _, cursor = await bob.sync(None)
    seq = (await alice.say(conversation, "helo"))["seq"]
    path = f"v1/conversations/{conversation}/messages/{seq}"

    async with bob.socket() as at_bob:
        edited = await alice.ok("PATCH", path, {"content": {"text": "hello"}})
        assert await updated(at_bob) == edited
        liked = await bob.ok("PUT", f"{path}/reactions/{quote('👍🏽')}")
        assert liked["reactions"] == [{"emoji": "👍🏽", "count": 1, "user_ids": [bob.id]}]
        assert await updated(at_bob) == liked
        unliked = await bob.ok("DELETE", f"{path}/reactions/{quote('👍🏽')}")
        assert await updated(at_bob) == unliked
        recalled = await alice.ok("POST", f"{path}/recall")
        assert await updated(at_bob) == recalled

    told, _ = await bob.sync(cursor)
    assert told["messages"] == [recalled]
    assert recalled["content"] == {}


async def test_a_hidden_message_is_hidden_on_every_device_of_its_hider(pair: Pair) -> None:
    alice, bob, conversation = pair
    said = await alice.say(conversation, "hello")
    _, cursor = await bob.sync(None)

    await bob.ok("DELETE", f"v1/conversations/{conversation}/messages/{said['seq']}")

    told, _ = await bob.sync(cursor)
    assert told["hidden"] == [{"conversation_id": conversation, "seq": said["seq"]}]
    [hidden] = (await bob.ok("GET", f"v1/conversations/{conversation}/messages"))["items"]
    assert (hidden["hidden"], hidden["content"]) == (True, {})
    assert (await alice.ok("GET", f"v1/conversations/{conversation}/messages"))["items"] == [said]


async def test_a_message_is_forwarded_and_its_readers_are_listed(pair: Pair, http: httpx.AsyncClient) -> None:
    alice, bob, conversation = pair
    carol = await someone(http, "carol")
    other = await befriend(alice, carol)
    said = await bob.say(conversation, "news")

    body = {"client_id": uuid4().hex, "conversation_ids": [other]}
    [sent] = (await alice.ok("POST", f"v1/conversations/{conversation}/messages/{said['seq']}/forward", body))["items"]
    await carol.ok("PUT", f"v1/conversations/{other}/read", {"seq": sent["seq"]})

    readers = await alice.ok("GET", f"v1/conversations/{other}/messages/{sent['seq']}/receipts")
    assert [reader["user"]["id"] for reader in readers["items"]] == [carol.id]
    assert (await carol.ok("GET", f"v1/conversations/{other}/messages"))["items"] == [sent]


async def test_history_is_read_between_times(pair: Pair) -> None:
    alice, _, conversation = pair
    first, second, third = [await alice.say(conversation, text) for text in ("one", "two", "three")]
    assert first["created_at"] < second["created_at"] < third["created_at"]

    path = f"v1/conversations/{conversation}/messages"
    since = await alice.ok("GET", f"{path}?from={second['created_at']}")
    until = await alice.ok("GET", f"{path}?to={second['created_at']}")
    between = await alice.ok("GET", f"{path}?from={second['created_at']}&to={third['created_at']}")

    assert since["items"] == [second, third]
    assert until["items"] == [first]
    assert between["items"] == [second]


async def test_the_socket_syncs_too(pair: Pair) -> None:
    alice, bob, conversation = pair
    _, cursor = await bob.sync(None)
    said = await alice.say(conversation, "hello")

    async with bob.socket() as socket:
        await socket.send(json.dumps({"action": "sync", "id": "s-1", "cursor": cursor}))
        async for frame in socket:
            check_server_frame(frame)
            answer = json.loads(frame)
            if answer["type"] == "sync":
                break
        await socket.send(json.dumps({"action": "sync", "id": "s-2", "cursor": "borrowed"}))
        async for frame in socket:
            check_server_frame(frame)
            refused = json.loads(frame)
            if refused["type"] == "error":
                break

    assert (answer["id"], answer["data"]["messages"]) == ("s-1", [said])
    assert (refused["id"], refused["data"]["code"]) == ("s-2", "invalid_cursor")


async def test_what_cannot_be_done_with_a_message_is_said_in_the_contracts_form(pair: Pair) -> None:
    alice, bob, conversation = pair
    seq = (await alice.say(conversation, "hello"))["seq"]
    path = f"v1/conversations/{conversation}/messages"

    refusals = {
        (403, "not_permitted"): await bob.call("PATCH", f"{path}/{seq}", {"content": {"text": "x"}}),
        (404, "message_not_found"): await bob.call("POST", f"{path}/{seq + 1}/recall"),
        (422, "validation_failed"): await bob.call("PUT", f"{path}/{seq}/reactions/x"),
        (400, "invalid_cursor"): await bob.call("GET", "v1/sync?cursor=x"),
        (405, "method_not_allowed"): await bob.call("PATCH", "v1/sync"),
    }

    for expected, answer in refusals.items():
        assert (answer.status_code, answer.json()["code"]) == expected
        assert answer.headers["content-type"] == "application/problem+json"


async def found(someone: Someone, words: str) -> list[dict[str, Any]]:
    answer = await someone.call("GET", f"v1/messages/search?q={quote(words)}")
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # the index is being made
        return []
    assert answer.is_success, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until something holds that comes about by itself after the answer."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.5)


async def test_messages_are_found_by_chinese_words_until_they_are_recalled(pair: Pair, http: httpx.AsyncClient) -> None:
    alice, bob, conversation = pair
    eve = await someone(http, "eve")
    said = await alice.say(conversation, "明天下午三点在图书馆见 🪿")

    async def is_found() -> bool:
        return bool(await found(bob, "图书馆"))

    async def is_gone() -> bool:
        return not await found(bob, "图书馆")

    await until(is_found)
    [hit] = await found(bob, "图书馆")
    assert hit["message"] == said
    assert [said["content"]["text"][part["start"] : part["end"]] for part in hit["highlights"]] == ["图书馆"]
    assert await found(eve, "图书馆") == []

    await alice.ok("POST", f"v1/conversations/{conversation}/messages/{said['seq']}/recall")
    await until(is_gone)


async def test_people_take_their_data_with_them(pair: Pair) -> None:
    alice, _, conversation = pair
    said = await alice.say(conversation, "你好")
    asked = await alice.ok("POST", "v1/exports")

    async def is_ready() -> bool:
        status: str = (await alice.ok("GET", f"v1/exports/{asked['id']}"))["status"]
        assert status != "failed"
        return status == "ready"

    await until(is_ready)
    link = (await alice.ok("GET", f"v1/exports/{asked['id']}"))["download_url"]
    async with httpx.AsyncClient() as anybody:
        fetched = await anybody.get(link)
    archive = zipfile.ZipFile(io.BytesIO(fetched.content))
    assert [json.loads(line) for line in archive.read(f"messages/{conversation}.jsonl").splitlines()] == [said]
