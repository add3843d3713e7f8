"""What the deployed functions do with each permission of their roles.

An exercise does what needs a permission, by calling the very function with a sample event, and tells whether it worked:
by its answer, by where its links lead, or, where a failure is swallowed so that nobody waits for it, by its log.
"""

import asyncio
import hashlib
import io
import re
import time
import zipfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import sqlalchemy as sa
from hongyan import connections, outbox, stores
from hongyan.clock import now
from hongyan.connections import Connection
from hongyan.events import ConnectionAudience, ConversationAudience, Event, SessionAudience, UsersAudience, event
from hongyan.ids import new_id
from hongyan.sessions import Principal
from hongyan.tables import exports, files, members, messages
from hongyan.tables import outbox as outbox_table
from websockets.asyncio.client import ClientConnection

from tests.e2e.people import PATIENCE_SECONDS
from tests.e2e.test_files import eventually, send, uploaded
from tests.e2e.test_messages import Someone, befriend, someone
from tests.support.cloudformation import awaiting
from tests.support.deployed import Deployed, Invocation, permissions
from tests.support.gateway import rest_event
from tests.support.recordings import spoken
from tests.support.uploads import a_picture

_MIB = 1024 * 1024
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
# Nothing but what this module dates back is as old.
KEPT_DAYS = 20 * 365
# What goes round for a minute shows in its first seconds whether it may.
ROUND_SECONDS = 6


@dataclass
class World:
    """A deployed stack in which nothing happens by itself, with people who have sent each other everything there is."""

    deployed: Deployed
    http: httpx.AsyncClient
    alice: Someone
    bob: Someone
    chat: str
    files: dict[str, str]
    image_seq: int
    voice_seq: int
    sockets: AsyncExitStack
    contexts: dict[str, dict[str, str]] = field(default_factory=dict)

    async def invoke(self, function: str, event: dict[str, Any]) -> Invocation:
        return await asyncio.to_thread(self.deployed.invoke, function, event)

    async def rest(
        self, function: str, method: str, path: str, body: str | bytes | None = None, **headers: str
    ) -> Invocation:
        """Call a function as API Gateway does when Alice asks."""
        path, _, query = path.partition("?")
        event = rest_event(method, path, dict([query.split("=")]) if query else {}, headers, body)
        # Who asks for a code comes from another address each time.
        address = f"10.{time.time_ns() // 65_536 % 250}.{time.time_ns() // 256 % 250}.{time.time_ns() % 250}"
        event["requestContext"]["identity"]["sourceIp"] = address
        event["requestContext"]["authorizer"] = await self.context(self.alice)
        return await self.invoke(function, event)

    async def socket(self, function: str, route: str, who: Someone, connection_id: str, body: str = "") -> Invocation:
        """Call a function as API Gateway does for a frame of somebody's."""
        context: dict[str, Any] = {"routeKey": route, "connectionId": connection_id, "requestId": uuid4().hex}
        context |= {"identity": {"sourceIp": "127.0.0.1"}, "authorizer": await self.context(who)}
        return await self.invoke(function, {"requestContext": context, "body": body, "isBase64Encoded": False})

    async def queue(self, function: str, *bodies: str) -> Invocation:
        """Call a function with what a queue held."""
        return await self.invoke(function, {"Records": [_record(body) for body in bodies]})

    async def context(self, who: Someone) -> dict[str, str]:
        """Return what the authorizer says of somebody."""
        if who.id not in self.contexts:
            allowed = await self.invoke("WsConnectAuthorizerFunction", _handshake(who.token))
            self.contexts[who.id] = {**allowed.answer["context"], "principalId": who.id}
        return self.contexts[who.id]

    async def principal(self, who: Someone) -> Principal:
        context = await self.context(who)
        return Principal(context["user_id"], context["session_id"])

    async def connected(self) -> tuple[Someone, ClientConnection, Connection]:
        """Let somebody new open a socket."""
        who = await someone(self.http, "dave")
        socket = await self.sockets.enter_async_context(who.socket())
        [connection] = connections.of_users([who.id])[who.id]
        return who, socket, connection


Exercise = Callable[[World], Awaitable[bool]]


async def a_world(
    deployed: Deployed, http: httpx.AsyncClient, storage: httpx.AsyncClient, sockets: AsyncExitStack
) -> World:
    alice, bob = await someone(http, "alice"), await someone(http, "bob")
    chat = await befriend(alice, bob)
    avatar = await uploaded(bob, storage, a_picture(), "image/png", "avatar")
    await bob.ok("PUT", "v1/users/me/avatar", {"file_id": avatar["id"]})
    voice = await uploaded(alice, storage, spoken(), "audio/wav", "voice")
    said = await send(alice, chat, "voice", voice["id"])
    own_avatar = await uploaded(alice, storage, a_picture(), "image/png", "avatar")
    image = await uploaded(alice, storage, a_picture(640, 480), "image/png", "image")
    shown = await send(alice, chat, "image", image["id"])
    listed = partial(alice.ok, "GET", f"v1/conversations/{chat}/messages")
    await eventually(listed, lambda page: bool(page["items"][-1]["content"].get("thumbnail")))
    found = partial(alice.ok, "GET", "v1/messages/search?q=name")
    await eventually(found, lambda page: any(hit["message"]["type"] == "image" for hit in page["items"]))
    ids = {"avatar": own_avatar["id"], "voice": voice["id"], "image": image["id"]}
    return World(deployed, http, alice, bob, chat, ids, shown["seq"], said["seq"], sockets)


def _record(body: str) -> dict[str, Any]:
    return {"messageId": uuid4().hex, "receiptHandle": "r", "body": body, "attributes": {}, "messageAttributes": {}} | {
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue",
        "awsRegion": "us-east-1",
    }


def _handshake(token: str) -> dict[str, Any]:
    return {
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:us-east-1:000000000000:api/live/$connect",
        "headers": {"Authorization": f"Bearer {token}", "Accept-Language": "en"},
        "queryStringParameters": None,
        "requestContext": {"requestId": "handshake"},
    }


def worked(called: Invocation) -> bool:
    """Tell whether a function answered as it does when all is well."""
    answer = called.answer if isinstance(called.answer, dict) else {}
    status = answer.get("statusCode", 200)
    has_error = '"type":"error"' in str(answer.get("body")).replace(" ", "")
    return not (called.has_failed or called.failed_records or status >= 400 or has_error)


# ---------------------------------------------------------------- Calls that need the stores, of each function


async def authorize(world: World) -> Invocation:
    event = {**_handshake(world.alice.token), "path": "/v1/sync", "httpMethod": "GET"}
    return await world.invoke("UserAuthorizerFunction", event)


async def ask_for_a_code(world: World) -> Invocation:
    body = f'{{"phone": "+86139{time.time_ns() % 10**8:08}", "purpose": "login"}}'
    return await world.rest("UserCodesFunction", "POST", "/v1/verification-codes", body, **_JSON)


async def recognize(world: World) -> Invocation:
    body = f'{{"file_id": "{world.files["voice"]}", "language": "en"}}'
    return await world.rest("SpeechApiFunction", "POST", "/v1/speech/recognitions", body, **_JSON)


async def handshake(world: World) -> Invocation:
    return await world.invoke("WsConnectAuthorizerFunction", _handshake(world.alice.token))


async def on_a_socket(world: World, *, function: str, route: str, body: str = "") -> Invocation:
    connection_id = f"{uuid4().hex}="
    called = await world.socket(function, route, world.alice, connection_id, body)
    principal = await world.principal(world.alice)
    connections.remove(principal.user_id, Connection(principal.session_id, connection_id))
    return called


async def migrate(world: World) -> Invocation:
    with awaiting("Update") as (request, told):
        called = await world.invoke("MigrationFunction", request)
    return replace(called, has_failed=[answer["Status"] for answer in told] != ["SUCCESS"])


async def tell_nobody(world: World, *, function: str) -> Invocation:
    return await world.queue(function, event("friend.removed", UsersAudience(user_ids=[new_id()])).model_dump_json())


async def index_people(world: World) -> Invocation:
    changed = event("user.updated", UsersAudience(user_ids=[]), user={"id": world.alice.id})
    return await world.queue("UserIndexFunction", changed.model_dump_json())


async def index_messages(world: World) -> Invocation:
    return await world.queue("MessageIndexFunction", _about(world, world.image_seq).model_dump_json())


async def transcribe(world: World) -> Invocation:
    _forget_what_was_found_out(world, world.voice_seq, "transcript")
    return await world.queue("SpeechTranscribeFunction", _about(world, world.voice_seq).model_dump_json())


async def verify_nothing(world: World) -> Invocation:
    return await world.queue("FileVerifyFunction", new_id())


async def make_thumbnails(world: World) -> Invocation:
    _forget_what_was_found_out(world, world.image_seq, "thumbnail")
    with stores.engine().begin() as connection:
        connection.execute(sa.update(files).where(files.c.id == world.files["image"]).values(thumbnails=None))
    told = f'{{"Records": [{{"s3": {{"object": {{"key": "image/{world.files["image"]}"}}}}}}]}}'
    return await world.queue("FileThumbnailFunction", told)


def a_call(function: str, event: dict[str, Any]) -> Callable[[World], Awaitable[Invocation]]:
    return lambda world: world.invoke(function, event)


def a_request(
    function: str, method: str, path: str, body: str | bytes | None = None
) -> Callable[[World], Awaitable[Invocation]]:
    """Name a request; `{chat}` and the kinds of files stand for their ids, `{new}` for what was never there before."""

    def filled(world: World, text: str) -> str:
        values = {"chat": world.chat, "bob": world.bob.id, "new": uuid4().hex[:12], **world.files}
        return re.sub(r"{(\w+)}", lambda found: values[found[1]], text)

    async def called(world: World) -> Invocation:
        sent = filled(world, body) if isinstance(body, str) else body
        return await world.rest(function, method, filled(world, path), sent, **_JSON)

    return called


_JSON = {"content-type": "application/json"}
_HELLO = '"type": "text", "content": {"text": "hello"}'
_SAY = f'{{"client_id": "{{new}}", {_HELLO}}}'
_SEND = f'{{"action": "send", "id": "1", "conversation_id": "{{chat}}", "message": {_SAY}}}'
_PING = '{"action": "ping", "id": "1"}'

CALLS: dict[str, Callable[[World], Awaitable[Invocation]]] = {
    "UserAuthorizerFunction": authorize,
    "UserApiFunction": a_request("UserApiFunction", "GET", "/v1/users/me"),
    "UserCodesFunction": ask_for_a_code,
    "UserIndexFunction": index_people,
    "UserReindexFunction": a_call("UserReindexFunction", {}),
    "FriendApiFunction": a_request("FriendApiFunction", "GET", "/v1/friends"),
    "FileApiFunction": a_request("FileApiFunction", "GET", "/v1/files/{image}"),
    "FileVerifyFunction": verify_nothing,
    "FileThumbnailFunction": make_thumbnails,
    "FileSweepFunction": a_call("FileSweepFunction", {}),
    "MessageApiFunction": a_request("MessageApiFunction", "GET", "/v1/conversations/{chat}/messages"),
    "MessageSearchFunction": a_request("MessageSearchFunction", "GET", "/v1/messages/search?q=name"),
    "MessageSocketFunction": partial(
        on_a_socket, function="MessageSocketFunction", route="sync", body='{"action": "sync", "id": "1"}'
    ),
    "MessagePushFunction": partial(tell_nobody, function="MessagePushFunction"),
    "MessageShardFunction": partial(tell_nobody, function="MessageShardFunction"),
    "MessageRetryFunction": partial(tell_nobody, function="MessageRetryFunction"),
    "MessageIndexFunction": index_messages,
    "MessageReindexFunction": a_call("MessageReindexFunction", {}),
    "MessageSweepFunction": a_call("MessageSweepFunction", {}),
    "MessageExportFunction": a_call("MessageExportFunction", {}),
    "MessageRetentionFunction": a_call("MessageRetentionFunction", {}),
    "SpeechApiFunction": recognize,
    "SpeechTranscribeFunction": transcribe,
    "WsConnectAuthorizerFunction": handshake,
    "WsConnectConnectFunction": partial(on_a_socket, function="WsConnectConnectFunction", route="$connect"),
    "WsConnectDisconnectFunction": partial(on_a_socket, function="WsConnectDisconnectFunction", route="$disconnect"),
    "WsConnectFrameFunction": partial(on_a_socket, function="WsConnectFrameFunction", route="ping", body=_PING),
    "MigrationFunction": migrate,
}


def needs_a_secret(function: str) -> Exercise:
    """A secret is read once in an environment, so in a new one."""

    async def exercise(world: World) -> bool:
        world.deployed.restart(function)
        return worked(await CALLS[function](world))

    return exercise


# ---------------------------------------------------------------- What announces


async def come(world: World, function: str) -> Invocation:
    """Let somebody be there for the first time, as their friends hear."""
    carol, connection_id = await someone(world.http, "carol"), f"{uuid4().hex}="
    route, body = ("ping", _PING) if "Frame" in function else ("$connect", "")
    return await world.socket(function, route, carol, connection_id, body)


async def go(world: World) -> Invocation:
    carol, connection_id = await someone(world.http, "carol"), f"{uuid4().hex}="
    await world.socket("WsConnectConnectFunction", "$connect", carol, connection_id)
    return await world.socket("WsConnectDisconnectFunction", "$disconnect", carol, connection_id)


async def find_gone(world: World, *, function: str) -> Invocation:
    """Push to somebody's only connection, which was open and is not there any more."""
    carol, connection_id = await someone(world.http, "carol"), f"{uuid4().hex}="
    await world.socket("WsConnectFrameFunction", "ping", carol, connection_id, _PING)
    principal = await world.principal(carol)
    told = _told(function, principal.user_id, Connection(principal.session_id, connection_id))
    return await world.queue(function, event("friend.removed", UsersAudience(user_ids=[])).to(told).model_dump_json())


async def say_on_a_socket(world: World) -> Invocation:
    body = _SEND.replace("{chat}", world.chat).replace("{new}", uuid4().hex)
    return await on_a_socket(world, function="MessageSocketFunction", route="send", body=body)


async def send_an_image_on_a_socket(world: World) -> Invocation:
    content = f'"type": "image", "content": {{"file_id": "{world.files["image"]}"}}'
    body = _SEND.replace(_HELLO, content).replace("{chat}", world.chat).replace("{new}", uuid4().hex)
    return await on_a_socket(world, function="MessageSocketFunction", route="send", body=body)


async def announce_what_was_left(world: World) -> Invocation:
    left = event("friend.removed", UsersAudience(user_ids=[])).model_copy(update={"at": now() - timedelta(minutes=1)})
    with stores.engine().begin() as connection:
        outbox.write(connection, [left])
    return await world.invoke("MessageSweepFunction", {})


async def empty_what_is_too_old(world: World) -> Invocation:
    seq = (await world.alice.say(await befriend(world.alice, await someone(world.http, "erin")), "long ago"))["seq"]
    with stores.engine().begin() as connection:
        newest = sa.select(sa.func.max(messages.c.conversation_id)).where(messages.c.sender_id == world.alice.id)
        old = sa.and_(messages.c.conversation_id == connection.scalar(newest), messages.c.seq <= seq)
        connection.execute(sa.update(messages).where(old).values(created_at=_LONG_AGO))
    called = await world.invoke("MessageRetentionFunction", {})
    assert called.answer["emptied"]
    return called


ANNOUNCING: dict[str, Callable[[World], Awaitable[Invocation]]] = {
    "UserApiFunction": a_request("UserApiFunction", "PATCH", "/v1/users/me", '{"nickname": "{new}"}'),
    "FriendApiFunction": a_request("FriendApiFunction", "PATCH", "/v1/friends/{bob}", '{"remark": "{new}"}'),
    "MessageApiFunction": a_request("MessageApiFunction", "POST", "/v1/conversations/{chat}/messages", _SAY),
    "MessageSocketFunction": say_on_a_socket,
    "MessagePushFunction": partial(find_gone, function="MessagePushFunction"),
    "MessageShardFunction": partial(find_gone, function="MessageShardFunction"),
    "MessageRetryFunction": partial(find_gone, function="MessageRetryFunction"),
    "MessageSweepFunction": announce_what_was_left,
    "MessageRetentionFunction": empty_what_is_too_old,
    "SpeechTranscribeFunction": transcribe,
    "FileThumbnailFunction": make_thumbnails,
    "WsConnectConnectFunction": partial(come, function="WsConnectConnectFunction"),
    "WsConnectFrameFunction": partial(come, function="WsConnectFrameFunction"),
    "WsConnectDisconnectFunction": go,
}


def announces(function: str) -> Exercise:
    """What cannot be announced is left in the outbox, and its function answers as ever."""

    async def exercise(world: World) -> bool:
        return not (await ANNOUNCING[function](world)).was_denied("sns:Publish")

    return exercise


# ---------------------------------------------------------------- Links, which who signs them must be able to follow


def shows(call: Callable[[World], Awaitable[Invocation]], folder: str) -> Exercise:
    async def exercise(world: World) -> bool:
        called = await call(world)
        assert worked(called), called
        return await _leads_somewhere(_link(called.answer["body"], folder))

    return exercise


def pushes_thumbnails(function: str) -> Exercise:
    async def exercise(world: World) -> bool:
        who, socket, connection = await world.connected()
        message = _about(world, world.image_seq).to(_told(function, who.id, connection))
        assert worked(await world.queue(function, message.model_dump_json()))
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for frame in socket:
                if "/thumbnail/" in str(frame):
                    return await _leads_somewhere(_link(str(frame), "thumbnail"))
        raise AssertionError("the socket closed")

    return exercise


def archives(folder: str) -> Exercise:
    async def exercise(world: World) -> bool:
        assert worked(await _archive(world))
        bucket, key = world.deployed.names["FilesBucket"], f"export/{world.files['export']}.zip"
        data = world.deployed.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            text = "".join(archive.read(name).decode() for name in archive.namelist())
        return await _leads_somewhere(_link(text, folder))

    return exercise


async def shows_archives(world: World) -> bool:
    assert worked(await _archive(world))
    called = await world.rest("MessageApiFunction", "GET", f"/v1/exports/{world.files['export']}")
    return await _leads_somewhere(_link(called.answer["body"], "export"))


async def puts_archives(world: World) -> bool:
    return not (await _archive(world)).was_denied("s3:PutObject")


async def takes_archives_back(world: World) -> bool:
    """Of an account that is closed there is no archive, and what was begun of it is to go."""
    with stores.engine().begin() as connection:
        asked = {"id": new_id(), "user_id": new_id(), "status": "pending", "attempts": 2, "created_at": now()}
        connection.execute(sa.insert(exports).values(asked))
    return not (await world.invoke("MessageExportFunction", {})).was_denied("s3:AbortMultipartUpload")


async def _archive(world: World) -> Invocation:
    """Have an archive of Alice's made, anew each time."""
    with stores.engine().begin() as connection:
        connection.execute(sa.delete(exports).where(exports.c.status == "pending"))
        connection.execute(sa.delete(exports).where(exports.c.user_id == world.alice.id))
    world.files["export"] = (await world.alice.ok("POST", "v1/exports"))["id"]
    return await world.invoke("MessageExportFunction", {})


def _link(text: str, folder: str) -> str:
    found = re.search(rf'https?://[^"\\]+/{folder}/[^"\\]+', text)
    assert found, f"no link to a {folder} in {text[:500]}"
    return found[0]


async def _leads_somewhere(link: str) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as storage:
        answer = await storage.get(link)
    assert answer.status_code in (200, 403), answer.text
    return answer.status_code == 200


# ---------------------------------------------------------------- Files


def a_file(world: World, purpose: str, data: bytes = b"hello", **columns: Any) -> str:
    """Let Alice have begun an upload."""
    sha256 = hashlib.sha256(data).digest()
    mime = {"avatar": "image/png", "image": "image/png", "voice": "audio/wav"}.get(purpose, "text/plain")
    values: dict[str, Any] = {
        "id": new_id(),
        "owner_id": world.alice.id,
        "purpose": purpose,
        "name": "name",
        "mime": mime,
    }
    values |= {"size": len(data), "sha256": sha256, "created_at": now(), "expires_at": now() + timedelta(days=1)}
    with stores.engine().begin() as connection:
        connection.execute(sa.insert(files).values(values | columns))
    return str(values["id"])


def put_object(world: World, key: str, data: bytes) -> None:
    world.deployed.client("s3").put_object(Bucket=world.deployed.names["FilesBucket"], Key=key, Body=data)


def _bytes_of(purpose: str) -> bytes:
    return {"avatar": a_picture(), "image": a_picture(), "voice": spoken(), "file": b"hello"}[purpose]


def reads_uploads(purpose: str, folder: str) -> Exercise:
    async def exercise(world: World) -> bool:
        data = _bytes_of(purpose)
        file_id = a_file(world, purpose, data)
        put_object(world, f"{folder}/{file_id}", data)
        return worked(await world.rest("FileApiFunction", "POST", f"/v1/files/{file_id}/complete"))

    return exercise


def stores_uploads(purpose: str) -> Exercise:
    async def exercise(world: World) -> bool:
        data = _bytes_of(purpose)
        path = f"/v1/files/{a_file(world, purpose, data)}/content"
        return worked(await world.rest("FileApiFunction", "PUT", path, data, **{"content-type": "text/plain"}))

    return exercise


async def makes_avatars(world: World) -> bool:
    return await reads_uploads("avatar", "avatar-upload")(world)


async def reads_avatars(world: World) -> bool:
    return worked(await world.rest("FileApiFunction", "GET", f"/v1/files/{world.files['avatar']}/content"))


def deletes(purpose: str, **columns: Any) -> Exercise:
    """What was begun an hour ago goes at once."""

    async def exercise(world: World) -> bool:
        file_id = a_file(world, purpose, created_at=now() - timedelta(hours=2), **columns)
        return worked(await world.rest("FileApiFunction", "DELETE", f"/v1/files/{file_id}"))

    return exercise


def sweeps(purpose: str, **columns: Any) -> Exercise:
    async def exercise(world: World) -> bool:
        file_id = a_file(world, purpose, expires_at=now() - timedelta(hours=2), **columns)
        swept = worked(await world.invoke("FileSweepFunction", {}))
        with stores.engine().begin() as connection:  # what could not be removed would be tried again by the next
            connection.execute(sa.delete(files).where(files.c.id == file_id))
        return swept

    return exercise


def lists_parts(purpose: str, mime: str) -> Exercise:
    async def exercise(world: World) -> bool:
        wanted = (
            f'{{"name": "name", "mime": "{mime}", "size": {17 * _MIB}, "sha256": "{"0" * 64}", "purpose": "{purpose}"}}'
        )
        return worked(await world.rest("FileApiFunction", "POST", "/v1/files", wanted, **_JSON))

    return exercise


async def asks_for_what_is_not_there(world: World) -> bool:
    called = await world.rest("FileApiFunction", "POST", f"/v1/files/{a_file(world, 'file')}/complete")
    return "upload_incomplete" in called.answer["body"]


async def has_large_files_verified(world: World) -> bool:
    """One who should have verified it died an hour ago."""
    file_id = a_file(world, "file", verifying_since=now() - timedelta(hours=1))
    return worked(await world.rest("FileApiFunction", "POST", f"/v1/files/{file_id}/complete"))


def verifies(stored: bytes) -> Exercise:
    async def exercise(world: World) -> bool:
        file_id = a_file(world, "file", verifying_since=now())
        put_object(world, f"file/{file_id}", stored)
        return worked(await world.queue("FileVerifyFunction", file_id))

    return exercise


async def has_thumbnails_made(world: World) -> bool:
    return worked(await make_thumbnails(world))


async def has_voices_transcribed(world: World) -> bool:
    return worked(await transcribe(world))


# ---------------------------------------------------------------- Sockets


def finds_sockets(function: str) -> Exercise:
    async def exercise(world: World) -> bool:
        world.deployed.restart(function)
        called = await _push(world, function)
        return not called.was_denied("servicediscovery:DiscoverInstances") and "DiscoverInstances" not in called.log

    return exercise


def sweeps_sockets(action: str) -> Exercise:
    """A connection that was silent for long and is not there is asked after and forgotten, and friends are told.

    The sweep goes round until it is stopped, so it is called until it has come to the end of that, or was denied it.
    """

    async def exercise(world: World) -> bool:
        began = now()
        carol, connection_id = await someone(world.http, "carol"), f"{uuid4().hex}="
        await world.socket("WsConnectConnectFunction", "$connect", carol, connection_id)
        for entry in map(str, stores.cache_client().zrange("hongyan:heard", 0, -1)):
            if entry.startswith(carol.id):
                stores.cache_client().zadd("hongyan:heard", {entry: time.time() - 60})
        world.deployed.restart("WsConnectSweepFunction")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                called = await world.invoke("WsConnectSweepFunction", {})
                if called.was_denied(action):
                    return False
                if not connections.of_users([carol.id])[carol.id] and not _unannounced(began):
                    return True

    return exercise


def _unannounced(since: datetime) -> bool:
    """Tell whether anything that happened since then waits in the outbox."""
    with stores.engine().begin() as connection:
        waiting = sa.select(sa.func.count()).select_from(outbox_table).where(outbox_table.c.created_at >= since)
        return bool(connection.scalar(waiting)) or bool(connections.unsettled(1))


def tells_sockets(function: str) -> Exercise:
    async def exercise(world: World) -> bool:
        return "a connection was not told" not in (await _push(world, function)).log

    return exercise


def closes_sockets(function: str) -> Exercise:
    async def exercise(world: World) -> bool:
        who, _, connection = await world.connected()
        audience = SessionAudience(user_id=who.id, session_id=connection.session_id)
        ended = event("session.ended", audience, session_id=connection.session_id, reason="logged_out")
        if "Retry" in function:
            ended = ended.to(_told(function, who.id, connection))
        called = await world.queue(function, ended.model_dump_json())
        return "a connection was not told" not in called.log

    return exercise


def cuts_crowds(function: str) -> Exercise:
    async def exercise(world: World) -> bool:
        conversation_id = new_id()
        rows = [
            {"conversation_id": conversation_id, "user_id": new_id(), "joined_at": now(), "role": "member"}
            | {"read_seq": 0, "own_after_read": 0, "muted": False, "pinned": False}
            for _ in range(501)
        ]
        with stores.engine().begin() as connection:
            connection.execute(sa.insert(members), rows)
        crowded = event("member.changed", ConversationAudience(conversation_id=conversation_id))
        return worked(await world.queue(function, crowded.model_dump_json()))

    return exercise


def leaves_sockets_to_retries(function: str) -> Exercise:
    """A socket cannot be told, as its function may not post for a moment."""

    async def exercise(world: World) -> bool:
        [post] = [each for each in permissions() if (each.function, each.resource) == (function, "POST/@connections/*")]
        with world.deployed.without(post):
            return worked(await _push(world, function))

    return exercise


async def _push(world: World, function: str) -> Invocation:
    who, _, connection = await world.connected()
    told = event("friend.removed", UsersAudience(user_ids=[]), user_id=new_id())
    return await world.queue(function, told.to(_told(function, who.id, connection)).model_dump_json())


def _told(function: str, user_id: str, connection: Connection) -> ConnectionAudience | UsersAudience:
    """Return an audience as it comes to each of the functions that push."""
    if "Retry" in function:
        return ConnectionAudience(user_id=user_id, **connection._asdict())
    return UsersAudience(user_ids=[user_id])


def _about(world: World, seq: int) -> Event:
    about = {"conversation_id": world.chat, "seq": seq}
    return event("message.created", UsersAudience(user_ids=[]), message=about)


def _forget_what_was_found_out(world: World, seq: int, name: str) -> None:
    this = sa.and_(messages.c.conversation_id == world.chat, messages.c.seq == seq)
    with stores.engine().begin() as connection:
        content = dict(connection.scalar(sa.select(messages.c.content).where(this)) or {})
        content[name] = None
        connection.execute(sa.update(messages).where(this).values(content=content))


async def finds_the_endpoints(world: World) -> bool:
    world.deployed.restart("UserApiFunction")
    return worked(await world.rest("UserApiFunction", "GET", "/v1/endpoints"))


async def finds_the_api(world: World) -> bool:
    """What it meets there is another matter: without queues nobody is told anything."""
    world.deployed.restart("SmokeFunction")
    return "DiscoverInstances" not in (await world.invoke("SmokeFunction", {})).log


async def recognizes_files(world: World) -> bool:
    return worked(await recognize(world))


# ---------------------------------------------------------------- What each permission is for

_SYNC = CALLS["MessageSocketFunction"]
_PUSHES = ("MessagePushFunction", "MessageShardFunction", "MessageRetryFunction")

EXERCISES: dict[tuple[str, str, str], Exercise] = {
    **{(f, "secretsmanager:GetSecretValue", "StoresSecret"): needs_a_secret(f) for f in CALLS},
    ("MigrationFunction", "secretsmanager:GetSecretValue", "OwnerSecret"): needs_a_secret("MigrationFunction"),
    ("UserCodesFunction", "secretsmanager:GetSecretValue", "SmsSecret"): needs_a_secret("UserCodesFunction"),
    ("SpeechApiFunction", "secretsmanager:GetSecretValue", "SpeechSecret"): needs_a_secret("SpeechApiFunction"),
    ("SpeechTranscribeFunction", "secretsmanager:GetSecretValue", "SpeechSecret"): needs_a_secret(
        "SpeechTranscribeFunction"
    ),
    **{(f, "sns:Publish", "EventsTopic"): announces(f) for f in ANNOUNCING},
    **{(f, "servicediscovery:DiscoverInstances", "*"): finds_sockets(f) for f in _PUSHES},
    ("UserApiFunction", "servicediscovery:DiscoverInstances", "*"): finds_the_endpoints,
    ("SmokeFunction", "servicediscovery:DiscoverInstances", "*"): finds_the_api,
    **{
        ("WsConnectSweepFunction", action, resource): sweeps_sockets(action)
        for action, resource in (
            ("secretsmanager:GetSecretValue", "StoresSecret"),
            ("servicediscovery:DiscoverInstances", "*"),
            ("execute-api:ManageConnections", "GET/@connections/*"),
            ("sns:Publish", "EventsTopic"),
        )
    },
    **{(f, "execute-api:ManageConnections", "POST/@connections/*"): tells_sockets(f) for f in _PUSHES},
    **{(f, "execute-api:ManageConnections", "DELETE/@connections/*"): closes_sockets(f) for f in _PUSHES},
    **{(f, "sqs:SendMessage", "MessageShardQueue"): cuts_crowds(f) for f in _PUSHES[:2]},
    **{(f, "sqs:SendMessage", "MessageRetryQueue"): leaves_sockets_to_retries(f) for f in _PUSHES[:2]},
    **{(f, "s3:GetObject", "thumbnail/*"): pushes_thumbnails(f) for f in _PUSHES},
    ("UserApiFunction", "s3:GetObject", "avatar/*"): shows(
        a_request("UserApiFunction", "GET", "/v1/users/{bob}"), "avatar"
    ),
    ("FriendApiFunction", "s3:GetObject", "avatar/*"): shows(CALLS["FriendApiFunction"], "avatar"),
    ("FriendApiFunction", "s3:GetObject", "thumbnail/*"): shows(
        a_request("FriendApiFunction", "GET", "/v1/conversations"), "thumbnail"
    ),
    ("MessageApiFunction", "s3:GetObject", "avatar/*"): shows(
        a_request("MessageApiFunction", "GET", "/v1/sync"), "avatar"
    ),
    ("MessageApiFunction", "s3:GetObject", "thumbnail/*"): shows(CALLS["MessageApiFunction"], "thumbnail"),
    ("MessageApiFunction", "s3:GetObject", "export/*"): shows_archives,
    ("MessageSearchFunction", "s3:GetObject", "thumbnail/*"): shows(CALLS["MessageSearchFunction"], "thumbnail"),
    ("MessageSocketFunction", "s3:GetObject", "avatar/*"): shows(_SYNC, "avatar"),
    ("MessageSocketFunction", "s3:GetObject", "thumbnail/*"): shows(send_an_image_on_a_socket, "thumbnail"),
    ("MessageExportFunction", "s3:GetObject", "avatar/*"): archives("avatar"),
    ("MessageExportFunction", "s3:GetObject", "thumbnail/*"): archives("thumbnail"),
    ("MessageExportFunction", "s3:PutObject", "export/*"): puts_archives,
    ("MessageExportFunction", "s3:AbortMultipartUpload", "export/*"): takes_archives_back,
    ("FileApiFunction", "s3:GetObject", "avatar-upload/*"): reads_uploads("avatar", "avatar-upload"),
    ("FileApiFunction", "s3:GetObject", "avatar/*"): reads_avatars,
    ("FileApiFunction", "s3:GetObject", "image/*"): reads_uploads("image", "image"),
    ("FileApiFunction", "s3:GetObject", "file/*"): reads_uploads("file", "file"),
    ("FileApiFunction", "s3:GetObject", "voice/*"): reads_uploads("voice", "voice"),
    ("FileApiFunction", "s3:GetObject", "thumbnail/*"): shows(CALLS["FileApiFunction"], "thumbnail"),
    ("FileApiFunction", "s3:PutObject", "avatar-upload/*"): stores_uploads("avatar"),
    ("FileApiFunction", "s3:PutObject", "avatar/*"): makes_avatars,
    ("FileApiFunction", "s3:PutObject", "image/*"): stores_uploads("image"),
    ("FileApiFunction", "s3:PutObject", "file/*"): stores_uploads("file"),
    ("FileApiFunction", "s3:PutObject", "voice/*"): stores_uploads("voice"),
    ("FileApiFunction", "s3:DeleteObject", "avatar-upload/*"): deletes("avatar"),
    ("FileApiFunction", "s3:DeleteObject", "avatar/*"): deletes("avatar"),
    ("FileApiFunction", "s3:DeleteObject", "image/*"): deletes("image"),
    ("FileApiFunction", "s3:DeleteObject", "thumbnail/*"): deletes("image"),
    ("FileApiFunction", "s3:DeleteObject", "file/*"): deletes("file"),
    ("FileApiFunction", "s3:DeleteObject", "voice/*"): deletes("voice"),
    ("FileApiFunction", "s3:AbortMultipartUpload", "image/*"): deletes("image", upload_id="gone"),
    ("FileApiFunction", "s3:AbortMultipartUpload", "file/*"): deletes("file", upload_id="gone"),
    ("FileApiFunction", "s3:ListMultipartUploadParts", "image/*"): lists_parts("image", "image/png"),
    ("FileApiFunction", "s3:ListMultipartUploadParts", "file/*"): lists_parts("file", "text/plain"),
    ("FileApiFunction", "sqs:SendMessage", "FileVerifyQueue"): has_large_files_verified,
    ("FileVerifyFunction", "s3:GetObject", "file/*"): verifies(b"hello"),
    ("FileVerifyFunction", "s3:DeleteObject", "file/*"): verifies(b"jello"),
    ("FileThumbnailFunction", "s3:GetObject", "image/*"): has_thumbnails_made,
    ("FileThumbnailFunction", "s3:PutObject", "thumbnail/*"): has_thumbnails_made,
    ("FileSweepFunction", "s3:DeleteObject", "avatar-upload/*"): sweeps("avatar"),
    ("FileSweepFunction", "s3:DeleteObject", "avatar/*"): sweeps("avatar"),
    ("FileSweepFunction", "s3:DeleteObject", "image/*"): sweeps("image"),
    ("FileSweepFunction", "s3:DeleteObject", "thumbnail/*"): sweeps("image"),
    ("FileSweepFunction", "s3:DeleteObject", "file/*"): sweeps("file"),
    ("FileSweepFunction", "s3:DeleteObject", "voice/*"): sweeps("voice"),
    ("FileSweepFunction", "s3:AbortMultipartUpload", "image/*"): sweeps("image", upload_id="gone"),
    ("FileSweepFunction", "s3:AbortMultipartUpload", "file/*"): sweeps("file", upload_id="gone"),
    ("SpeechApiFunction", "s3:GetObject", "voice/*"): recognizes_files,
    ("SpeechTranscribeFunction", "s3:GetObject", "voice/*"): has_voices_transcribed,
}


# The emulator does not enforce these; each with what AWS does otherwise.
NOT_ENFORCED: dict[tuple[str, str, str], Exercise] = {
    # Whoever may not list a bucket is answered 403 for an object that is not there; by the emulator always 404.
    ("FileApiFunction", "s3:ListBucket", "FilesBucket"): asks_for_what_is_not_there,
}
