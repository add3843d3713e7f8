"""A server that misbehaves on demand: real HTTP and WebSockets on loopback, state in memory.

The real server cannot be told to lose an acknowledgement or to deliver an event twice. This one can; it knows two
people, `alice` and `bob`, who are friends and have one conversation, and `carol` and `caroline`, strangers to both.
"""

import asyncio
import json
import socket as tcp
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_urlsafe
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PASSWORD = "correct horse"
PHONE = "+8613800138000"
MADE_USERNAME = "user01m84qz9wyjmrnv7e9z0c1ht0h"
"""What the server calls whoever registers by phone."""
CONVERSATION = "01M84QZ9WYJMRNV7E9Z0C1HT0H"
_AT = "2026-11-23T17:48:23.123Z"
_PEOPLE = ["alice", "bob", "caroline", "carol"]
_WRONG_TRIES = 5


def problem(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    body = {"type": f"urn:hongyan:problem:{code}", "title": code, "status": status, "detail": f"It is {code}."}
    return JSONResponse(
        {**body, "code": code, "request_id": "r"}, status, headers, media_type="application/problem+json"
    )


def profile(username: str) -> dict[str, Any]:
    return {"id": f"id-{username}", "username": username, "nickname": username, "description": "", "avatar": None}


def event_of(kind: str, data: dict[str, Any], event_id: str) -> dict[str, Any]:
    return {"type": kind, "event_id": event_id, "at": _AT, "data": data}


class StandIn:
    """What the tests look into (`messages`, `calls`, `frames`) and how they make it misbehave (the rest)."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.messages: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.queries: dict[str, str] = {}
        """The query of the last call, by "METHOD path"."""
        self.keys: dict[str, list[str]] = {}
        """The Idempotency-Keys of all calls, by "METHOD path"."""
        self.frames: list[dict[str, Any]] = []
        self.refusals: dict[str, list[Response]] = {}
        """Answers to be given instead, by "METHOD path"."""
        self.frame_errors: list[str] = []
        """Codes with which the next `send` frames are refused."""
        self.lost_acks = 0
        """How many of the next messages are stored without a word to their sender."""
        self.cut_with_ack = False
        self.copies = 1
        """How often each event is delivered."""
        self.answering = asyncio.Event()
        """Cleared, a `send` is stored and waits for its answer."""
        self.answering.set()
        self.silent = False
        """Whether `ping` is not answered."""
        self.unreachable_cursor: str | None = None
        """What comes after it is not to be had."""
        self.resync = False
        """Whether the next `pong` says so."""
        self.codes: dict[str, str] = {}
        """The newest code that was sent to each phone."""
        self.phones: dict[str, str] = {}
        """Usernames by phone."""
        self.closed: set[str] = set()
        """Who has closed their account."""
        self.passwords: dict[str, str] = {}
        """Those that are not `PASSWORD`, by username."""
        self.sockets: dict[WebSocket, str] = {}
        self.connected = asyncio.Event()
        self._access: dict[str, str] = {}
        self._refresh: dict[str, str] = {}
        self._tickets: dict[str, str] = {}
        self._changes: dict[str, dict[str, Any]] = {}
        self._sent_codes: dict[str, tuple[str, str, str]] = {}
        self._wrong_tries: Counter[str] = Counter()
        self._ended: set[str] = set()
        self._feed: list[int] = []
        """Which message changed, change by change: what `sync` tells. Only `alice` hides any."""

    # What a test does to it.

    def expire_access_tokens(self) -> None:
        self._access.clear()

    def end_sessions(self) -> None:
        self._access.clear()
        self._refresh.clear()

    async def cut(self) -> None:
        """Lose every connection, those with it whose answers wait."""
        self.connected.clear()
        self.answering.set()
        for socket in list(self.sockets):
            self.sockets.pop(socket, None)
            await socket.close(1012)

    def store(self, sender: str, text: str, client_id: str | None = None) -> dict[str, Any]:
        """Store a message and tell nobody; the same `client_id` again returns the first one."""
        name = client_id or token_urlsafe(8)
        for message in self.messages:
            if (message["sender_id"], message["client_id"]) == (f"id-{sender}", name):
                return message
        seq = len(self.messages) + 1
        message = {
            "id": f"m-{seq}",
            "conversation_id": CONVERSATION,
            "seq": seq,
            "client_id": name,
            "sender_id": f"id-{sender}",
            "type": "text",
            "content": {"text": text},
            "reply_to_seq": None,
            "mentions": [],
            "reactions": [],
            "created_at": _AT,
            "edited_at": None,
            "recalled_at": None,
            "change_seq": len(self._feed) + 1,
            "hidden": False,
        }
        self.messages.append(message)
        self._feed.append(seq)
        return message

    def change(self, seq: int, **values: Any) -> dict[str, Any]:
        """Let something become of a message, and tell nobody."""
        self._feed.append(seq)
        message = self.messages[seq - 1] = {**self.messages[seq - 1], **values, "change_seq": len(self._feed)}
        return message

    async def announce(self, *messages: dict[str, Any]) -> None:
        """Tell every connection of messages, in the order given."""
        for message in messages:
            await self.tell("message.created", {"message": message}, f"e-{message['id']}")

    async def tell(self, kind: str, data: dict[str, Any], event_id: str) -> None:
        frame = json.dumps({"type": "events", "events": [event_of(kind, data, event_id)]}, ensure_ascii=False)
        for _ in range(self.copies):
            await self.say(frame)

    async def say(self, frame: str) -> None:
        """Send every connection a text frame as it is."""
        for connection in list(self.sockets):
            await connection.send_text(frame)

    async def end_session(self, session_id: str, reason: str) -> None:
        await self.tell("session.ended", {"session_id": session_id, "reason": reason}, f"e-{session_id}")

    # REST.

    async def rest(self, request: Request) -> Response:
        call = f"{request.method} {request.scope['path']}"
        self.calls[call] += 1
        self.queries[call] = request.url.query
        self.keys.setdefault(call, []).append(request.headers.get("idempotency-key", ""))
        if planned := self.refusals.get(call):
            return planned.pop(0)
        body: dict[str, Any] = json.loads(await request.body() or b"{}")
        if open_answer := self._phone_call(call, body) or self._open_call(call, body):
            return open_answer
        username = self._bearer(request)
        if username is None:
            return problem(401, "token_invalid")
        return (
            self._profile_call(call, username, body)
            or self._session_call(call, username)
            or self._people_call(call, username, body, request)
            or self._own_call(call, username, body, request)
        )

    def _phone_call(  # noqa: PLR0911 - one for each route and refusal
        self, call: str, body: dict[str, Any]
    ) -> Response | None:
        if call == "POST /v1/verification-codes":
            return self._send_code(body["phone"], body["purpose"])
        purposes = {
            "POST /v1/users": "register",
            "POST /v1/sessions": "login",
            "POST /v1/password-resets": "reset_password",
        }
        if "code_id" not in body or call not in purposes:
            return None
        purpose, username = purposes[call], self.phones.get(body["phone"])
        if refused := self._refuse_code(body, purpose):
            return refused
        if purpose == "register":
            return self._register(body)
        if username is None:
            return problem(404, "phone_not_registered")
        if purpose == "login":
            return self._session(username)
        self.passwords[username] = body["new_password"]
        self.end_sessions()
        return Response(status_code=204)

    def _send_code(self, phone: str, purpose: str) -> Response:
        code_id, code = f"c-{len(self._sent_codes)}", f"{len(self._sent_codes) + 1:06}"
        self._sent_codes[code_id] = (phone, purpose, code)
        self.codes[phone] = code
        return JSONResponse({"code_id": code_id, "expires_in": 300, "resend_after": 60}, 202)

    def _refuse_code(self, body: dict[str, Any], purpose: str) -> Response | None:
        """Return why a code is refused; one that is right is spent."""
        code_id = body["code_id"]
        if code_id not in self._sent_codes or self._wrong_tries[code_id] == _WRONG_TRIES:
            return problem(410, "verification_code_expired")
        if self._sent_codes[code_id] != (body["phone"], purpose, body["code"]):
            self._wrong_tries[code_id] += 1
            return problem(422, "verification_code_wrong")
        del self._sent_codes[code_id]
        return None

    def _register(self, body: dict[str, Any]) -> Response:
        if body["phone"] in self.phones:
            return problem(409, "phone_taken")
        self.phones[body["phone"]] = MADE_USERNAME
        if nickname := body.get("nickname"):
            self._changes[MADE_USERNAME] = {"nickname": nickname}
        return JSONResponse(self._self(MADE_USERNAME), 201)

    def _open_call(self, call: str, body: dict[str, Any]) -> Response | None:  # noqa: PLR0911 - one for each route
        match call:
            case "GET /v1/endpoints":
                return JSONResponse({"rest_url": self.base, "websocket_url": self._socket_url(), "version": "0"})
            case "POST /v1/users" if body["username"] == "taken":
                return problem(409, "username_taken")
            case "POST /v1/users":
                return JSONResponse({**profile(body["username"]), "phone": None, "created_at": _AT}, 201)
            case "POST /v1/sessions" if body["password"] != self.passwords.get(body["username"], PASSWORD):
                return problem(401, "credentials_invalid")
            case "POST /v1/sessions":
                return self._session(body["username"])
            case "POST /v1/sessions/refresh":
                username = self._refresh.pop(body["refresh_token"], None)
                return problem(401, "refresh_token_invalid") if username is None else self._session(username)
        return None

    def _profile_call(  # noqa: PLR0911 - one for each route
        self, call: str, username: str, body: dict[str, Any]
    ) -> Response | None:
        match call:
            case "GET /v1/users/me":
                return JSONResponse(self._self(username))
            case "PATCH /v1/users/me":
                self._changes.setdefault(username, {}).update(body)
                return JSONResponse(self._self(username))
            case "PUT /v1/users/me/avatar":
                avatar = {"file_id": body["file_id"], "url": f"{self.base}/{body['file_id']}"}
                self._changes.setdefault(username, {})["avatar"] = avatar
                return JSONResponse(self._self(username))
            case "PUT /v1/users/me/phone":
                if refused := self._refuse_code(body, "change_phone"):
                    return refused
                self.phones[body["phone"]] = username
                return JSONResponse(self._self(username))
            case "PUT /v1/users/me/password" if body["old_password"] != self.passwords.get(username, PASSWORD):
                return problem(401, "credentials_invalid")
            case "PUT /v1/users/me/password":
                self.passwords[username] = body["new_password"]
                return Response(status_code=204)
            case "DELETE /v1/users/me":
                self.closed.add(username)
                self.end_sessions()
                return Response(status_code=204)
        return None

    def _session_call(self, call: str, username: str) -> Response | None:
        match call:
            case "DELETE /v1/sessions/current":
                self.end_sessions()
                return Response(status_code=204)
            case "GET /v1/sessions":
                return _page(self._sessions(username))
            case _ if call.startswith("DELETE /v1/sessions/"):
                return self._end_one(username, call.removeprefix("DELETE /v1/sessions/"))
        return None

    def _people_call(self, call: str, username: str, body: dict[str, Any], request: Request) -> Response | None:
        match call:
            case "POST /v1/users/batch-get":
                return JSONResponse({"items": [profile(name) for name in _PEOPLE if f"id-{name}" in body["ids"]]})
            case "GET /v1/users/search":
                start, limit = int(request.query_params.get("cursor", 0)), int(request.query_params["limit"])
                found = [name for name in _PEOPLE if request.query_params["q"].casefold() in name]
                page = [
                    {**profile(name), "relation": _relation(username, name)} for name in found[start : start + limit]
                ]
                return _page(page, str(start + limit) if len(found) > start + limit else None)
            case "POST /v1/friend-requests":
                asked = {"id": "r-1", "message": "", "status": "pending", "created_at": _AT, "decided_at": None}
                to_user = profile(body["user_id"].removeprefix("id-"))
                return JSONResponse({**asked, "from_user": profile(username), "to_user": to_user}, 201)
        return None

    def _own_call(  # noqa: PLR0911 - one for each route
        self, call: str, username: str, body: dict[str, Any], request: Request
    ) -> Response:
        messages = f"/v1/conversations/{CONVERSATION}/messages"
        match call:
            case "POST /v1/ws-tickets":
                ticket = token_urlsafe(8)
                self._tickets[ticket] = username
                return JSONResponse({"ticket": ticket, "url": self._socket_url()}, 201)
            case "GET /v1/friend-requests":
                return _page([])
            case "GET /v1/friends":
                return _page([{"user": profile(_other(username)), "remark": None, "since": _AT}])
            case "GET /v1/conversations":
                return _page([self._conversation(username)])
            case "GET /v1/sync":
                return self._sync(username, request)
            case _ if f" {messages}/" in call:
                return self._message_call(call.replace(f" {messages}", " "), username, body)
            case _ if call == f"GET {messages}":
                return self._history(request)
            case _ if call == f"POST {messages}":
                return JSONResponse(self.store(username, body["content"]["text"], body["client_id"]), 201)
            case _ if call == f"PUT /v1/conversations/{CONVERSATION}/read":
                return JSONResponse(_reading(username, body["seq"]))
        return problem(404, "route_not_found")

    def _bearer(self, request: HTTPConnection) -> str | None:
        return self._access.get(request.headers.get("authorization", "").removeprefix("Bearer "))

    def _session(self, username: str) -> Response:
        access, refresh = f"hya_{token_urlsafe(8)}", f"hyr_{token_urlsafe(8)}"
        self._access[access] = self._refresh[refresh] = username
        tokens = {"access_token": access, "expires_in": 3600, "refresh_token": refresh}
        return JSONResponse({**tokens, "session_id": f"s-{username}", "user": profile(username)}, 201)

    def _self(self, username: str) -> dict[str, Any]:
        phone = next((phone for phone, name in self.phones.items() if name == username), None)
        return {**profile(username), **self._changes.get(username, {}), "phone": phone, "created_at": _AT}

    def _sessions(self, username: str) -> list[dict[str, Any]]:
        here = {"device": {"id": "d", "platform": "cli", "name": "laptop"}, "current": True}
        there = {"device": {"id": "d-2", "platform": "watch", "name": "\x1b[2JWatch"}, "current": False}
        known = {f"s-{username}": here, f"s-{username}-2": there}
        return [{"id": name, **each, "created_at": _AT} for name, each in known.items() if name not in self._ended]

    def _end_one(self, username: str, session_id: str) -> Response:
        if session_id not in {session["id"] for session in self._sessions(username)}:
            return problem(404, "session_not_found")
        self._ended.add(session_id)
        if session_id == f"s-{username}":
            self.end_sessions()
        return Response(status_code=204)

    def _conversation(self, username: str) -> dict[str, Any]:
        return {
            "id": CONVERSATION,
            "kind": "single",
            "peer": profile(_other(username)),
            "muted": False,
            "last_message": self.messages[-1] if self.messages else None,
            "first_seq": 1,
            "last_seq": len(self.messages),
            "read_seq": 0,
            "unread_count": 0,
            "pinned": False,
            "created_at": _AT,
            "last_activity_at": _AT,
        }

    def _history(self, request: Request) -> Response:
        limit = int(request.query_params.get("limit", "20"))
        after = request.query_params.get("after_seq")
        if after is None:
            before = int(request.query_params.get("before_seq", len(self.messages) + 1))
            older = self.messages[: before - 1]
            return _page(older[-limit:], "older" if len(older) > limit else None)
        newer = self.messages[int(after) :]
        return _page(newer[:limit], "newer" if len(newer) > limit else None)

    def _sync(self, username: str, request: Request) -> Response:
        """Tell what changed in the conversation, or how it is; the cursor is how many changes were told."""
        cursor, limit = request.query_params.get("cursor"), int(request.query_params["limit"])
        if cursor is not None and cursor == self.unreachable_cursor:
            return problem(500, "internal_error")
        until = len(self._feed) if cursor is None else min(len(self._feed), int(cursor) + limit)
        told = {len(self.messages)} - {0} if cursor is None else set(self._feed[int(cursor) : until])
        return JSONResponse(
            {
                "conversations": [self._conversation(username)] if told or cursor is None else [],
                "messages": [self.messages[seq - 1] for seq in sorted(told)],
                "friends": [{"user": profile(_other(username)), "since": _AT}] if cursor is None else [],
                "next_cursor": str(until),
                "has_more": until < len(self._feed),
            }
        )

    def _message_call(  # noqa: PLR0911 - one for each route
        self, call: str, username: str, body: dict[str, Any]
    ) -> Response:
        method, _, path = call.partition(" ")
        seq, _, rest = path.strip("/").partition("/")
        match method, rest.split("/"):
            case "PATCH", [""]:
                return JSONResponse(self.change(int(seq), content=body["content"], edited_at=_AT))
            case "POST", ["recall"]:
                return JSONResponse(self.change(int(seq), content={}, recalled_at=_AT))
            case "DELETE", [""]:
                self.change(int(seq), content={}, hidden=True)
                return Response(status_code=204)
            case "PUT", ["reactions", emoji]:
                reactions = [{"emoji": emoji, "count": 1, "user_ids": [f"id-{username}"]}]
                return JSONResponse(self.change(int(seq), reactions=reactions))
            case "DELETE", ["reactions", _]:
                return JSONResponse(self.change(int(seq), reactions=[]))
            case "POST", ["forward"]:
                text = self.messages[int(seq) - 1]["content"]["text"]
                sent = [self.store(username, text, body["client_id"]) for _ in body["conversation_ids"]]
                return JSONResponse({"items": sent}, 201)
            case "GET", ["receipts"]:
                return _page([{"user": profile(_other(username))}])
        return problem(404, "route_not_found")

    # The socket.

    async def socket(self, socket: WebSocket) -> None:
        username = self._tickets.pop(socket.query_params.get("ticket", ""), None) or self._bearer(socket)
        if username is None:
            await socket.send_denial_response(problem(401, "token_invalid"))
            return
        await socket.accept()
        self.sockets[socket] = username
        self.connected.set()
        with suppress(WebSocketDisconnect):
            while True:
                await self._frame(socket, username, json.loads(await socket.receive_text()))
        self.sockets.pop(socket, None)

    async def _frame(self, socket: WebSocket, username: str, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        match frame["action"]:
            case "ping" if self.silent:
                return
            case "ping":
                resync, self.resync = self.resync, False
                await _answer(socket, frame, "pong", {"resync": resync})
            case "read":
                await _answer(socket, frame, "ack", _reading(username, frame["seq"]))
            case "send":
                await self._take(socket, username, frame)

    async def _take(self, socket: WebSocket, username: str, frame: dict[str, Any]) -> None:
        if self.frame_errors:
            code = self.frame_errors.pop(0)
            status = 503 if code == "service_unavailable" else 404
            await _answer(
                socket, frame, "error", {"title": code, "status": status, "detail": code, "code": code, "type": "t"}
            )
            return
        sent = frame["message"]
        message = self.store(username, sent["content"]["text"], sent["client_id"])
        if self.lost_acks:
            self.lost_acks -= 1
            if self.cut_with_ack:
                await self.cut()
            return
        await self.answering.wait()
        await _answer(socket, frame, "ack", {"message": message})
        await self.announce(message)

    def _socket_url(self) -> str:
        return self.base.replace("http", "ws", 1) + "/socket"


def _other(username: str) -> str:
    return "bob" if username == "alice" else "alice"


def _relation(username: str, found: str) -> str:
    if found == username:
        return "self"
    return "friend" if found == _other(username) else "none"


def _reading(username: str, seq: int) -> dict[str, Any]:
    return {"conversation_id": CONVERSATION, "user_id": f"id-{username}", "seq": seq}


def _page(items: list[dict[str, Any]], next_cursor: str | None = None) -> Response:
    return JSONResponse({"items": items, "next_cursor": next_cursor})


async def _answer(socket: WebSocket, frame: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    await _send(socket, {"type": kind, "id": frame.get("id"), "data": data})


async def _send(socket: WebSocket, frame: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(frame, ensure_ascii=False))


class Host:
    """Serves one `StandIn` after the other at the same address: starting a server takes longer than a test."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.current = StandIn(base)

    async def renew(self) -> StandIn:
        """Lose all connections and begin with nothing stored and no fault."""
        await self.current.cut()
        self.current = StandIn(self._base)
        return self.current

    async def rest(self, request: Request) -> Response:
        return await self.current.rest(request)

    async def socket(self, socket: WebSocket) -> None:
        await self.current.socket(socket)


@asynccontextmanager
async def hosting() -> AsyncIterator[Host]:
    """Serve on a free loopback port, in the caller's event loop."""
    # The protocol named: asyncio turns Nagle's algorithm off for no other socket, and each answer would be 40 ms late.
    listener = tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM, tcp.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    host = Host(f"http://127.0.0.1:{listener.getsockname()[1]}")
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    routes = [WebSocketRoute("/socket", host.socket), Route("/v1/{path:path}", host.rest, methods=methods)]
    config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield host
    finally:
        await host.current.cut()
        server.should_exit = True
        await serving
        listener.close()


@asynccontextmanager
async def running() -> AsyncIterator[StandIn]:
    """Run one more server beside the one that the tests share."""
    async with hosting() as host:
        yield host.current
