"""Files straight to the deployed storage, by plain HTTP, and what becomes of images and voices that are sent."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import boto3
import httpx
import pytest
from botocore.config import Config
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed
from websockets.asyncio.client import ClientConnection

from local.stack import Stack
from tests.e2e.conftest import Join
from tests.e2e.people import PASSWORD, PATIENCE_SECONDS
from tests.e2e.test_groups import befriended, hongyan
from tests.e2e.test_messages import Pair, Someone, befriend, someone
from tests.support.recordings import WORDS, spoken
from tests.support.uploads import a_picture

T = TypeVar("T")


@pytest.fixture
async def pair(http: httpx.AsyncClient) -> Pair:
    alice, bob = await someone(http, "alice"), await someone(http, "bob")
    return alice, bob, await befriend(alice, bob)


@pytest.fixture
async def storage() -> AsyncIterator[httpx.AsyncClient]:
    """Speak to where the links lead, with nothing but them."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        yield client


async def begin(owner: Someone, data: bytes, mime: str, purpose: str = "file", name: str = "name") -> Any:
    sha256 = hashlib.sha256(data).hexdigest()
    wanted = {"name": name, "mime": mime, "size": len(data), "sha256": sha256, "purpose": purpose}
    return await owner.ok("POST", "v1/files", wanted)


async def store(storage: httpx.AsyncClient, begun: Any, data: bytes, **changed: str) -> httpx.Response:
    upload = begun["upload"]
    headers = {**upload["headers"], **changed}
    if "Content-Length" not in changed:
        headers["Content-Length"] = str(len(data))
    return await storage.put(upload["url"], content=data, headers=headers)


async def uploaded(owner: Someone, storage: httpx.AsyncClient, data: bytes, mime: str, purpose: str) -> Any:
    begun = await begin(owner, data, mime, purpose)
    assert (await store(storage, begun, data)).status_code == 200
    return await owner.ok("POST", f"v1/files/{begun['file_id']}/complete")


async def send(sender: Someone, conversation: str, kind: str, file_id: str) -> Any:
    body = {"client_id": uuid4().hex, "type": kind, "content": {"file_id": file_id}}
    return await sender.ok("POST", f"v1/conversations/{conversation}/messages", body)


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Ask until something holds of the answer."""

    async def asked() -> T:
        return await ask()

    patiently = AsyncRetrying(
        retry=retry_if_result(lambda answer: not holds(answer)),
        wait=wait_fixed(0.2),
        stop=stop_after_delay(PATIENCE_SECONDS),
    )
    return await patiently(asked)


async def until(socket: ClientConnection, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for an event of a message of which something holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for frame in socket:
            for event in json.loads(frame).get("events", []):
                if event["type"] in {"message.created", "message.updated"} and holds(event["data"]["message"]):
                    message: dict[str, Any] = event["data"]["message"]
                    return message
    raise AssertionError("the socket closed")


async def test_a_file_goes_to_storage_and_comes_back_under_its_name(pair: Pair, storage: httpx.AsyncClient) -> None:
    alice, bob, chat = pair
    data = "鸿雁传书".encode() * 1000
    begun = await begin(alice, data, "text/plain", name='报告 "2026".txt')
    assert (await store(storage, begun, data)).status_code == 200
    file = await alice.ok("POST", f"v1/files/{begun['file_id']}/complete")
    await send(alice, chat, "file", file["id"])

    link = (await bob.ok("GET", f"v1/files/{file['id']}"))["download_url"]
    whole = await storage.get(link)
    part = await storage.get(link, headers={"Range": "bytes=3-8"})

    assert whole.content == data
    assert "filename*=UTF-8''%E6%8A%A5%E5%91%8A%20%222026%22.txt" in whole.headers["content-disposition"]
    assert whole.headers["content-disposition"].startswith("attachment;")
    assert (part.status_code, part.content) == (206, data[3:9])


@pytest.mark.parametrize("lie", ["bytes", "length", "type", "checksum"])
async def test_storage_takes_nothing_but_what_was_declared(pair: Pair, storage: httpx.AsyncClient, lie: str) -> None:
    alice, _, _ = pair
    begun = await begin(alice, b"hello", "text/plain")

    stored = {
        "bytes": lambda: store(storage, begun, b"jello"),
        "length": lambda: store(storage, begun, b"hello and more"),
        "type": lambda: store(storage, begun, b"hello", **{"Content-Type": "text/html"}),
        "checksum": lambda: store(storage, begun, b"hello", **{"x-amz-checksum-sha256": "A" * 43 + "="}),
    }
    refused = await stored[lie]()
    completed = await alice.call("POST", f"v1/files/{begun['file_id']}/complete")

    assert completed.status_code == 422, completed.text
    assert refused.is_error or completed.json()["code"] in {"file_checksum_wrong", "file_size_wrong"}


async def test_a_link_stops_working_after_its_time(stack: Stack, storage: httpx.AsyncClient) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=stack.aws_endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    bucket = next(bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "-files-" in bucket["Name"])
    s3.put_object(Bucket=bucket, Key="file/expired", Body=b"hello")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "file/expired"}, ExpiresIn=2)
    assert (await storage.get(link)).status_code == 200

    refused = await eventually(lambda: storage.get(link), lambda answer: answer.status_code != 200)

    assert refused.status_code == 403


async def test_our_links_work_for_a_quarter_of_an_hour(pair: Pair, storage: httpx.AsyncClient) -> None:
    alice, _, _ = pair
    file = await uploaded(alice, storage, b"hello", "text/plain", "file")

    [seconds] = parse_qs(urlsplit(file["download_url"]).query)["X-Amz-Expires"]

    assert seconds == "900"


async def test_a_large_file_goes_up_by_parts_and_is_verified_by_the_queue(
    pair: Pair, storage: httpx.AsyncClient
) -> None:
    alice, _, _ = pair
    data = bytes(range(256)) * (4096 * 70)
    begun = await begin(alice, data, "application/octet-stream")
    named = []
    for part in begun["parts"]:
        stored = await storage.put(part["url"], content=data[part["offset"] :][: part["size"]])
        assert stored.status_code == 200, stored.text
        named.append({"number": part["number"], "etag": stored.headers["etag"]})

    first = await alice.call("POST", f"v1/files/{begun['file_id']}/complete", {"parts": named})
    assert (first.status_code, first.json()["status"]) == (202, "verifying")

    await eventually(
        lambda: alice.ok("POST", f"v1/files/{begun['file_id']}/complete"), lambda file: file["status"] == "ready"
    )


async def test_an_image_gets_its_thumbnail_from_storages_own_event(pair: Pair, storage: httpx.AsyncClient) -> None:
    alice, bob, chat = pair
    async with bob.socket() as socket:
        file = await uploaded(alice, storage, a_picture(1600, 1200), "image/png", "image")
        await send(alice, chat, "image", file["id"])

        message = await until(socket, lambda message: bool(message["content"].get("thumbnail")))

    small = await storage.get(message["content"]["thumbnail"]["small"]["url"])
    assert small.status_code == 200, small.text
    assert small.content[8:12] == b"WEBP"


async def test_a_voice_message_is_transcribed_pushed_and_found(pair: Pair, storage: httpx.AsyncClient) -> None:
    alice, bob, chat = pair
    async with bob.socket() as socket:
        file = await uploaded(alice, storage, spoken(), "audio/wav", "voice")
        await send(alice, chat, "voice", file["id"])

        message = await until(socket, lambda message: message["content"].get("transcript") is not None)

    assert message["content"]["transcript"] == WORDS
    said = WORDS.split()[-1]
    found = await eventually(lambda: bob.ok("GET", f"v1/messages/search?q={said}"), lambda page: bool(page["items"]))
    assert found["items"][0]["message"]["id"] == message["id"]


async def test_small_bytes_go_through_the_gateway_unharmed(pair: Pair, http: httpx.AsyncClient) -> None:
    alice, _, _ = pair
    data = bytes(range(256)) * 64
    file_id = (await begin(alice, data, "application/octet-stream"))["file_id"]
    own = {"Authorization": f"Bearer {alice.token}", "Content-Type": "application/octet-stream"}

    stored = await http.put(f"v1/files/{file_id}/content", content=data, headers=own)
    fetched = await http.get(f"v1/files/{file_id}/content", headers=own)

    assert stored.status_code == 200, stored.text
    assert fetched.content == data


async def test_an_upload_that_is_killed_goes_on_where_it_stopped(stack: Stack, join: Join, tmp_path: Path) -> None:
    ann, ben = await join("ann"), await join("ben")
    await befriended(ann, ben)
    run = partial(hongyan, tmp_path, stack.endpoints.rest_url)
    for name, person in (("ann", ann), ("ben", ben)):
        await run(name, "login", person.username, "--password-stdin", typed=f"{PASSWORD}\n")
    big, got = tmp_path / "big.bin", tmp_path / "got.bin"
    big.write_bytes(os.urandom(120 * 1024 * 1024))

    interrupted = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from hongyan_client.cli import main; main()"),
        *("send-file", ben.username, str(big), "--profile", "ann"),
        env=os.environ | {"HONGYAN_ENDPOINT": stack.endpoints.rest_url, "HONGYAN_HOME": str(tmp_path)},
    )
    kept = tmp_path / "ann" / "uploads.json"
    await eventually(lambda: asyncio.to_thread(kept.exists), bool)
    [file_id] = [each["file_id"] for each in json.loads(kept.read_text()).values()]
    upload = await eventually(lambda: ann.client.resume_upload(file_id), lambda upload: len(upload.stored_parts) >= 2)
    interrupted.kill()
    assert await interrupted.wait() == -signal.SIGKILL
    assert upload.parts, "it had all been stored before it was killed"

    sent = await run("ann", "send-file", ben.username, str(big))
    await run("ben", "save-file", ann.username, "1", str(got))

    assert sent.strip().endswith("1: “big.bin”")
    assert got.read_bytes() == big.read_bytes()
    assert json.loads(kept.read_text()) == {}


async def test_the_command_line_shows_the_transcript_of_a_voice(stack: Stack, join: Join, tmp_path: Path) -> None:
    ann, ben = await join("ann"), await join("ben")
    await befriended(ann, ben)
    run = partial(hongyan, tmp_path, stack.endpoints.rest_url)
    await run("ann", "login", ann.username, "--password-stdin", typed=f"{PASSWORD}\n")
    said = tmp_path / "said.wav"
    said.write_bytes(spoken())

    shown = await run("ann", "send-file", ben.username, str(said), "--as", "voice")

    assert f"Transcript: “{WORDS}”" in shown


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"size": 2**31 + 1}, 413, "file_too_large"),
        ({"size": 20 * 2**20 + 1, "purpose": "image", "mime": "image/png"}, 413, "file_too_large"),
        ({"purpose": "image", "mime": "image/svg+xml"}, 415, "unsupported_file"),
        ({"size": 0}, 422, "validation_failed"),
        ({"name": "../../etc/passwd"}, 422, "validation_failed"),
        ({"name": "photo\u202egpj.exe"}, 422, "validation_failed"),
    ],
)
async def test_what_is_too_much_or_no_file_is_refused_before_a_byte_is_sent(
    pair: Pair, changed: dict[str, Any], status: int, code: str
) -> None:
    alice, _, _ = pair
    wanted = {"name": "a", "mime": "text/plain", "size": 1, "sha256": "0" * 64, "purpose": "file", **changed}

    answer = await alice.call("POST", "v1/files", wanted)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_program_by_the_name_of_a_picture_is_deleted(pair: Pair, storage: httpx.AsyncClient) -> None:
    alice, _, _ = pair
    begun = await begin(alice, b"MZ\x90\0" + bytes(60), "image/png", "image")
    assert (await store(storage, begun, b"MZ\x90\0" + bytes(60))).status_code == 200

    refusals = [await alice.call("POST", f"v1/files/{begun['file_id']}/complete") for _ in range(2)]

    assert [(answer.status_code, answer.json()["code"]) for answer in refusals] == [(422, "file_type_wrong")] * 2


async def test_a_file_of_anothers_is_neither_read_nor_sent(pair: Pair, storage: httpx.AsyncClient) -> None:
    alice, bob, chat = pair
    file = await uploaded(alice, storage, b"hello", "text/plain", "file")
    body = {"client_id": uuid4().hex, "type": "file", "content": {"file_id": file["id"]}}

    read = await bob.call("GET", f"v1/files/{file['id']}")
    sent = await bob.call("POST", f"v1/conversations/{chat}/messages", body)

    assert (read.status_code, sent.status_code) == (404, 404)


async def test_an_avatar_is_cropped_and_shown_to_anybody(pair: Pair, storage: httpx.AsyncClient) -> None:
    alice, bob, _ = pair
    file = await uploaded(alice, storage, a_picture(900, 600), "image/png", "avatar")
    await alice.ok("PUT", "v1/users/me/avatar", {"file_id": file["id"]})

    shown = (await bob.ok("GET", f"v1/users/{alice.id}"))["avatar"]
    picture = await storage.get(shown["url"])

    assert (file["width"], file["height"]) == (512, 512)
    assert (picture.status_code, picture.content[8:12]) == (200, b"WEBP")
