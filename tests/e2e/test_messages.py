"""What becomes of messages, and sync, through the deployed template, by plain HTTP and a plain socket."""

import asyncio
import hashlib
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
import sqlalchemy as sa
from hongyan.ids import new_id
from websockets.asyncio.client import ClientConnection, connect

from local.deploy import account
from local.stack import Stack
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

    async def send_a_file(self, conversation: str, data: bytes) -> None:
        wanted = {"name": "notes.txt", "mime": "text/plain", "size": len(data), "purpose": "file"}
        begun = await self.ok("POST", "v1/files", wanted | {"sha256": hashlib.sha256(data).hexdigest()})
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "text/plain"}
        stored = await self.http.put(f"v1/files/{begun['file_id']}/content", content=data, headers=headers)
        assert stored.is_success, stored.text
        body = {"client_id": uuid4().hex, "type": "file", "content": {"file_id": begun["file_id"]}}
        await self.ok("POST", f"v1/conversations/{conversation}/messages", body)

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


Trio = tuple[Someone, Someone, Someone, str]


@pytest.fixture
async def trio(http: httpx.AsyncClient) -> Trio:
    """Make a group of three, of whom the first is the owner."""
    alice, bob, carol = [await someone(http, name) for name in ("alice", "bob", "carol")]
    for friend in (bob, carol):
        await befriend(alice, friend)
    group = await alice.ok("POST", "v1/conversations", {"name": "鸿雁", "member_ids": [bob.id, carol.id]})
    return alice, bob, carol, group["id"]


@pytest.fixture(scope="module")
async def spoilt(stack: Stack) -> AsyncIterator[Pair]:
    """A conversation with a text of the first, and a recalled text and a file of the second, which nothing changes."""
    async with httpx.AsyncClient(base_url=stack.endpoints.rest_url, timeout=PATIENCE_SECONDS) as http:
        alice, bob = await someone(http, "alice"), await someone(http, "bob")
        conversation = await befriend(alice, bob)
        await alice.say(conversation, "hello")
        await bob.say(conversation, "oh")
        await bob.ok("POST", f"v1/conversations/{conversation}/messages/2/recall")
        await bob.send_a_file(conversation, b"some notes")
        yield alice, bob, conversation


async def hear(socket: ClientConnection, kind: str, data: Any = None) -> Any:
    """Wait for an event of a kind that says just that, or anything, and return what it says."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for frame in socket:
            check_server_frame(frame)
            for event in json.loads(frame).get("events", []):
                if event["type"] == kind and data in (None, event["data"]):
                    return event["data"]
    raise AssertionError("the socket closed")


async def see(socket: ClientConnection, message: dict[str, Any]) -> None:
    """Wait until a message is shown so. What became of it at once is pushed as one event, of its coming maybe."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for frame in socket:
            check_server_frame(frame)
            if any(event["data"].get("message") == message for event in json.loads(frame).get("events", [])):
                return
    raise AssertionError("the socket closed")


async def updated(socket: ClientConnection) -> dict[str, Any]:
    """Wait for the next message that became another."""
    message: dict[str, Any] = (await hear(socket, "message.updated"))["message"]
    return message


# What no client can bring about: a crowd, the past, another policy.


def change_rows(stack: Stack, statement: str, *rows: dict[str, Any]) -> None:
    engine = sa.create_engine(stack.database_url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), rows)
    engine.dispose()


def join_by_hundreds(stack: Stack, group: str, count: int) -> None:
    statement = """INSERT INTO members
        (conversation_id, user_id, read_seq, own_after_read, muted, pinned, joined_at, role)
        VALUES (:group, :user_id, 0, 0, FALSE, FALSE, UTC_TIMESTAMP(), 'member')"""
    change_rows(stack, statement, *({"group": group, "user_id": new_id()} for _ in range(count)))
    counting = "UPDATE conversations SET member_count = member_count + :count WHERE id = :group"
    change_rows(stack, counting, {"group": group, "count": count})


def say_it_was_sent_days_ago(stack: Stack, message_id: str, days: int) -> None:
    statement = "UPDATE messages SET created_at = created_at - INTERVAL :days DAY WHERE id = :id"
    change_rows(stack, statement, {"id": message_id, "days": days})


def invoke_retention(stack: Stack, days: int) -> None:
    """Let the deployed function run once as a deployment with `MessageRetentionDays` would."""
    functions = account().client("lambda", endpoint_url=stack.aws_endpoint_url)
    pages = functions.get_paginator("list_functions").paginate()
    deployed = next(f for page in pages for f in page["Functions"] if "MessageRetention" in f["FunctionName"])
    variables = deployed["Environment"]["Variables"]
    name = deployed["FunctionName"]
    try:
        changed = variables | {"MESSAGE_RETENTION_DAYS": str(days)}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": changed})
        answer = functions.invoke(FunctionName=name, Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


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


async def test_replies_and_mentions_reach_a_group_and_only_its_admins_mention_everyone(trio: Trio) -> None:
    alice, bob, _, group = trio
    asked = await alice.say(group, "at three?")
    path = f"v1/conversations/{group}/messages"
    answer = {"client_id": uuid4().hex, "type": "text", "content": {"text": "@alice yes"}}
    everyone = {"client_id": uuid4().hex, "type": "text", "content": {"text": "@all come"}, "mentions": ["all"]}

    async with alice.socket() as at_alice:
        replied = await bob.ok("POST", path, answer | {"reply_to_seq": asked["seq"], "mentions": [alice.id]})
        await hear(at_alice, "message.created", {"message": replied})
    refused = await bob.call("POST", path, everyone)
    allowed = await alice.ok("POST", path, everyone)

    assert (replied["reply_to_seq"], replied["mentions"]) == (asked["seq"], [alice.id])
    assert (refused.status_code, refused.json()["code"]) == (403, "not_permitted")
    assert allowed["mentions"] == ["all"]


async def test_unread_leaves_out_what_was_recalled_hidden_or_is_ones_own_and_reading_reaches_all_devices(
    pair: Pair,
) -> None:
    alice, bob, conversation = pair
    first, second, third = [await alice.say(conversation, text) for text in ("one", "two", "three")]
    path = f"v1/conversations/{conversation}"

    await bob.say(conversation, "my own")
    await alice.ok("POST", f"{path}/messages/{first['seq']}/recall")
    await bob.ok("DELETE", f"{path}/messages/{second['seq']}")
    assert (await bob.ok("GET", path))["unread_count"] == 1

    async with alice.socket() as at_alice, bob.socket() as at_bobs_other_device:
        await bob.ok("PUT", f"{path}/read", {"seq": third["seq"]})
        reading = {"conversation_id": conversation, "user_id": bob.id, "seq": third["seq"]}
        await hear(at_alice, "message.read", reading)
        await hear(at_bobs_other_device, "message.read", reading)
    assert (await bob.ok("GET", path))["unread_count"] == 0
    await bob.ok("PUT", f"{path}/read", {"seq": first["seq"]})
    assert (await bob.ok("GET", path))["read_seq"] == third["seq"]


async def test_a_message_to_more_people_than_one_shard_holds_reaches_who_is_online(stack: Stack, trio: Trio) -> None:
    alice, bob, carol, group = trio
    join_by_hundreds(stack, group, 1_100)

    async with bob.socket() as at_bob, carol.socket() as at_carol:
        said = await alice.say(group, "大家好")

        await hear(at_bob, "message.created", {"message": said})
        await hear(at_carol, "message.created", {"message": said})


async def test_a_recalled_text_stands_in_no_log(stack: Stack, pair: Pair) -> None:
    alice, bob, conversation = pair
    secret, edited = f"secret-{uuid4().hex}", f"edited-{uuid4().hex}"
    async with bob.socket() as at_bob:
        seq = (await alice.say(conversation, secret))["seq"]
        path = f"v1/conversations/{conversation}/messages/{seq}"
        await alice.ok("PATCH", path, {"content": {"text": edited}})
        recalled = await alice.ok("POST", f"{path}/recall")
        await see(at_bob, recalled)

    logged = "\n".join([*await asyncio.to_thread(stack.function_logs), *stack.program_logs()])
    assert logged
    assert (secret in logged, edited in logged) == (False, False)


async def test_what_was_said_is_kept_unless_the_deployment_says_for_how_long(stack: Stack, pair: Pair) -> None:
    alice, bob, conversation = pair
    path = f"v1/conversations/{conversation}/messages"
    old, young = await alice.say(conversation, "long ago"), await alice.say(conversation, "now")
    _, cursor = await bob.sync(None)
    say_it_was_sent_days_ago(stack, old["id"], 3)

    await asyncio.to_thread(invoke_retention, stack, days=0)
    assert (await bob.ok("GET", path))["items"][0]["content"] == {"text": "long ago"}
    await asyncio.to_thread(invoke_retention, stack, days=2)

    emptied, kept = (await bob.ok("GET", path))["items"]
    assert (emptied["seq"], emptied["content"], kept) == (old["seq"], {}, young)
    assert [message["seq"] for message in (await bob.sync(cursor))[0]["messages"]] == [old["seq"]]


A_TEXT = {"client_id": "bad", "type": "text", "content": {"text": "x"}}
STRANGER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NO_SUCH_SEQS = [0, -1, 2**63]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        *[("PATCH", f"/{seq}", {"content": {"text": "x"}}, (422, "validation_failed")) for seq in NO_SUCH_SEQS],
        *[("POST", f"/{seq}/recall", None, (422, "validation_failed")) for seq in NO_SUCH_SEQS],
        *[("GET", f"?before_seq={seq}", None, (422, "validation_failed")) for seq in (0, -1, 2**63)],
        ("GET", "?after_seq=-1", None, (422, "validation_failed")),
        ("PATCH", "/99", {"content": {"text": "x"}}, (404, "message_not_found")),
        ("POST", "/99/recall", None, (404, "message_not_found")),
        ("DELETE", "/99", None, (404, "message_not_found")),
        ("GET", "/99/receipts", None, (404, "message_not_found")),
        ("PUT", "/99/reactions/%F0%9F%91%8D", None, (404, "message_not_found")),
        ("PATCH", "/1", {"content": {"text": "x"}}, (403, "not_permitted")),
        ("PATCH", "/2", {"content": {"text": "x"}}, (409, "message_recalled")),
        ("PATCH", "/3", {"content": {"text": "x"}}, (409, "message_not_editable")),
        ("PUT", "/1/reactions/x", None, (422, "validation_failed")),
        ("PUT", "/1/reactions/%F0%9F%91%8D%F0%9F%91%8D", None, (422, "validation_failed")),
        ("POST", "", A_TEXT | {"mentions": [STRANGER] * 101}, (422, "validation_failed")),
        ("POST", "", A_TEXT | {"mentions": [STRANGER]}, (422, "validation_failed")),
        ("POST", "", A_TEXT | {"reply_to_seq": 99}, (422, "validation_failed")),
        (
            "POST",
            "/1/forward",
            {"client_id": "bad", "conversation_ids": [STRANGER]},
            (422, "validation_failed"),
        ),
    ],
)
async def test_what_cannot_be_done_with_a_message_is_said_in_the_contracts_form(
    spoilt: Pair, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    _, bob, conversation = spoilt
    messages = f"v1/conversations/{conversation}/messages"
    before = (await bob.ok("GET", messages))["items"]

    answer = await bob.call(method, f"{messages}{path}", body)

    assert (answer.status_code, answer.json()["code"]) == expected
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await bob.ok("GET", messages))["items"] == before


async def test_a_question_or_a_cursor_that_is_none_is_refused(spoilt: Pair) -> None:
    alice, bob, conversation = spoilt
    _, of_alice = await alice.sync(None)

    refusals = {
        "v1/sync?cursor=x": (400, "invalid_cursor"),
        f"v1/sync?cursor={of_alice}": (400, "invalid_cursor"),
        f"v1/messages/search?q={'x' * 5_000}": (422, "validation_failed"),
        "v1/messages/search?q=%20%20": (422, "validation_failed"),
        f"v1/messages/search?q=x&conversation_id={STRANGER}": (404, "conversation_not_found"),
    }

    for path, expected in refusals.items():
        answer = await bob.call("GET", path)
        assert (answer.status_code, answer.json()["code"]) == expected, path
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await bob.call("PUT", f"v1/conversations/{conversation}/read", {"seq": 2**63})).status_code == 422
    assert (await bob.call("PATCH", "v1/sync")).json()["code"] == "method_not_allowed"
    await until(lambda: is_searchable(bob))
    for harmless in ("*", '"', "<script>alert(1)</script>", "a AND (b OR"):
        assert await bob.ok("GET", f"v1/messages/search?q={quote(harmless)}") == {"items": [], "next_cursor": None}


async def is_searchable(someone: Someone) -> bool:
    return (await someone.call("GET", "v1/messages/search?q=x")).is_success


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
