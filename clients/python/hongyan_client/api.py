"""The REST API, typed. One bootstrap address is all it needs; sessions refresh by themselves."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import TypeAdapter, ValidationError

from hongyan_client.backoff import Backoff
from hongyan_client.errors import (
    ApiError,
    ConnectionFailed,
    NotLoggedIn,
    SessionEnded,
    Unauthorized,
    UnexpectedAnswer,
    error_for,
)
from hongyan_client.live import Live, Pace
from hongyan_client.models import (
    Accepted,
    Added,
    Blocked,
    Changes,
    CompletedPart,
    Conversation,
    Device,
    Direction,
    Endpoints,
    File,
    FilePurpose,
    Forwarded,
    FoundUser,
    Friend,
    FriendRequest,
    Me,
    Member,
    Message,
    OwnSession,
    Page,
    Problem,
    Purpose,
    Reader,
    Reading,
    Role,
    SentCode,
    Session,
    Ticket,
    Upload,
    User,
)
from hongyan_client.store import MemoryStore, SessionStore
from hongyan_client.timeline import Draft

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_TRIES = 5
_FIRST_DELAY_SECONDS = 0.25
_LONGEST_DELAY_SECONDS = 8.0
# What a server asks to wait beyond this is the caller's decision.
_LONGEST_RETRY_AFTER_SECONDS = 30.0
# API Gateway ends a call after 29 s, before which the authorizer may take its 15: a little more, so that its answer is
# heard.
_TIMEOUT = httpx.Timeout(45.0, connect=10.0)
_PAGE = 100
_TOO_MANY = 429
_AWAY = {502, 503, 504}
# The request cannot have reached the server: any call may be tried again.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HongyanClient:
    """A person's way to a Hongyan deployment. An async context manager; safe for concurrent tasks of one event loop.

    Every call raises ConnectionFailed, UnexpectedAnswer, or an ApiError; those that act for a person also NotLoggedIn
    and SessionEnded (see hongyan_client.errors). Calls that may be repeated without harm are, a few times, when the
    server is busy (429), away (502, 503, 504) or out of reach.

    Args:
        endpoint: any base address of the deployment under which ``/v1/endpoints`` answers, e.g. its ``rest_url``.
        store: where the session is kept; in memory by default.

    """

    def __init__(self, endpoint: str, *, store: SessionStore | None = None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._store = store or MemoryStore()
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, headers={"Accept": "application/json"})
        self._endpoints: Endpoints | None = None
        self._refreshing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The session stays."""
        await self._http.aclose()

    @property
    def session(self) -> Session | None:
        """The session that calls act for, None before login and after logout."""
        return self._store.load()

    async def endpoints(self) -> Endpoints:
        """Return where the deployment's APIs are; asked once."""
        if self._endpoints is None:
            answer = await self._exchange("GET", f"{self._endpoint}/v1/endpoints", repeatable=True)
            self._endpoints = _parse(Endpoints, answer)
        return self._endpoints

    # Account and session.

    async def register(self, username: str, password: str, nickname: str | None = None) -> Me:
        """Create an account. Raises Conflict for a taken username, ValidationFailed for a bad name or password."""
        body = {"username": username, "password": password} | ({"nickname": nickname} if nickname else {})
        return _parse(Me, await self._open("POST", "/v1/users", body))

    async def register_by_phone(self, phone: str, code_id: str, code: str, nickname: str | None = None) -> Me:
        """Create an account with a code for "register"; the server makes up its username.

        Raises Conflict (phone_taken), ValidationFailed (verification_code_wrong), Gone (verification_code_expired).
        """
        body = {"phone": phone, "code_id": code_id, "code": code} | ({"nickname": nickname} if nickname else {})
        return _parse(Me, await self._open("POST", "/v1/users", body))

    async def login(self, username: str, password: str, device: Device) -> Session:
        """Begin a session and keep it. Raises Unauthorized (credentials_invalid)."""
        body = {"username": username, "password": password, "device": device.model_dump()}
        return await self._begin_session(body)

    async def login_by_phone(self, phone: str, code_id: str, code: str, device: Device) -> Session:
        """Begin a session with a code for "login" and keep it.

        Raises NotFound (phone_not_registered), and ValidationFailed and Gone as register_by_phone does.
        """
        body = {"phone": phone, "code_id": code_id, "code": code, "device": device.model_dump()}
        return await self._begin_session(body)

    async def request_code(self, phone: str, purpose: Purpose) -> SentCode:
        """Have a code sent by SMS to ``phone`` (E.164, or 11 digits meaning +86), good for one ``purpose``.

        Each call may cost an SMS, so it is not repeated once it may have reached the server. Raises ValidationFailed
        (also phone_not_reachable), TooManyRequests, ServerError (sms_unavailable).
        """
        answer = await self._open("POST", "/v1/verification-codes", {"phone": phone, "purpose": purpose})
        return _parse(SentCode, answer)

    async def reset_password(self, phone: str, code_id: str, code: str, new_password: str) -> None:
        """Set a new password with a code for "reset_password"; all sessions of the account end.

        Raises NotFound (phone_not_registered), and ValidationFailed and Gone as register_by_phone does.
        """
        body = {"phone": phone, "code_id": code_id, "code": code, "new_password": new_password}
        await self._open("POST", "/v1/password-resets", body)

    async def refresh(self) -> Session:
        """Change the session's tokens for new ones; calls do so by themselves. Raises SessionEnded when it is over."""
        return await self._refresh(self._current().access_token)

    async def logout(self) -> None:
        """End the session, here and on the server; one that the server has ended already is only forgotten."""
        session = self._current()
        try:
            await self._act("DELETE", "/v1/sessions/current", repeatable=True)
        except SessionEnded:
            logger.info("session %s had ended before it was logged out", session.session_id)
        self._store.clear(session.session_id)

    async def sessions(self) -> list[OwnSession]:
        """Return all sessions of one's own, on whatever device."""
        return await self._all(OwnSession, "/v1/sessions", {})

    async def end_session(self, session_id: str) -> None:
        """End one of one's own sessions, wherever it is; the client's own is forgotten too. Raises NotFound."""
        await self._act("DELETE", f"/v1/sessions/{_segment(session_id)}")
        self._store.clear(session_id)

    async def close_account(self) -> None:
        """Close the account for good, and forget the session. Others keep the history that they had.

        Not repeated: a second answer could not tell an account that is closed from a session that had ended before.
        """
        session = self._current()
        await self._act("DELETE", "/v1/users/me")
        self._store.clear(session.session_id)

    async def ws_ticket(self) -> Ticket:
        """Return a key to the WebSocket API."""
        return _parse(Ticket, await self._act("POST", "/v1/ws-tickets", repeatable=True))

    # Profiles.

    async def me(self) -> Me:
        """Return one's own profile."""
        return _parse(Me, await self._act("GET", "/v1/users/me", repeatable=True))

    async def user(self, user_id: str) -> User:
        """Return a public profile. Raises NotFound."""
        return _parse(User, await self._act("GET", f"/v1/users/{_segment(user_id)}", repeatable=True))

    async def users(self, user_ids: Sequence[str]) -> list[User]:
        """Return the public profiles of these ids; unknown ones are left out."""
        found: list[User] = []
        for start in range(0, len(user_ids), _PAGE):
            ids = list(user_ids[start : start + _PAGE])
            answer = await self._act("POST", "/v1/users/batch-get", {"ids": ids}, repeatable=True)
            found.extend(_parse(Page[User], answer).items)
        return found

    async def search_users(self, words: str, *, limit: int = 20, cursor: str | None = None) -> Page[FoundUser]:
        """Return people with a name like ``words``, or with exactly this id or full phone; the best match first.

        ``limit`` is 1 to 100; ``cursor`` is the ``next_cursor`` of the page before. Raises ServerError
        (search_unavailable).
        """
        params = {"q": words, "limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return _parse(Page[FoundUser], await self._act("GET", "/v1/users/search", params=params, repeatable=True))

    async def change_profile(self, *, nickname: str | None = None, description: str | None = None) -> Me:
        """Change what is given of one's own profile; None leaves a part as it is. Raises ValidationFailed."""
        wanted = {"nickname": nickname, "description": description}
        body = {name: value for name, value in wanted.items() if value is not None}
        return _parse(Me, await self._act("PATCH", "/v1/users/me", body, repeatable=True))

    async def change_avatar(self, file_id: str) -> Me:
        """Take a completed image upload of one's own for one's picture. Raises NotFound, ValidationFailed."""
        return _parse(Me, await self._act("PUT", "/v1/users/me/avatar", {"file_id": file_id}, repeatable=True))

    async def change_phone(self, phone: str, code_id: str, code: str) -> Me:
        """Take a phone for one's own with a code for "change_phone"; raises what register_by_phone does."""
        body = {"phone": phone, "code_id": code_id, "code": code}
        return _parse(Me, await self._act("PUT", "/v1/users/me/phone", body))

    async def change_password(self, old_password: str, new_password: str) -> None:
        """Change one's own password. Raises Unauthorized (credentials_invalid), ValidationFailed."""
        body = {"old_password": old_password, "new_password": new_password}
        await self._act("PUT", "/v1/users/me/password", body)

    # Friends.

    async def request_friend(self, user_id: str, message: str = "") -> FriendRequest:
        """Ask somebody to become friends.

        Asking twice returns the first request; when the other side has already asked, both are friends then and the
        request is "accepted". Raises Conflict for a friend, ValidationFailed for oneself, NotFound.
        """
        body = {"user_id": user_id} | ({"message": message} if message else {})
        return _parse(FriendRequest, await self._act("POST", "/v1/friend-requests", body))

    async def friend_requests(self, direction: Direction) -> list[FriendRequest]:
        """Return all requests to ("incoming") or by ("outgoing") oneself, pending ones first."""
        return await self._all(FriendRequest, "/v1/friend-requests", {"direction": direction})

    async def accept_friend_request(self, request_id: str) -> Accepted:
        """Become friends; accepting twice returns the same. Raises NotFound, also for a request to somebody else."""
        path = f"/v1/friend-requests/{_segment(request_id)}/accept"
        return _parse(Accepted, await self._act("POST", path, repeatable=True))

    async def friends(self) -> list[Friend]:
        """Return all friends."""
        return await self._all(Friend, "/v1/friends", {})

    async def set_remark(self, user_id: str, remark: str | None) -> Friend:
        """Call a friend by another name, which only oneself sees. Raises NotFound for who is no friend."""
        path = f"/v1/friends/{_segment(user_id)}"
        return _parse(Friend, await self._act("PATCH", path, {"remark": remark}, repeatable=True))

    async def remove_friend(self, user_id: str) -> None:
        """End a friendship, for both; the conversation stays readable. Raises NotFound for who is no friend."""
        await self._act("DELETE", f"/v1/friends/{_segment(user_id)}")

    async def reject_friend_request(self, request_id: str) -> FriendRequest:
        """Reject a request to oneself. Raises NotFound, Conflict for one that was accepted or taken back."""
        path = f"/v1/friend-requests/{_segment(request_id)}/reject"
        return _parse(FriendRequest, await self._act("POST", path, repeatable=True))

    async def withdraw_friend_request(self, request_id: str) -> None:
        """Take back a request of one's own. Raises NotFound, Conflict for one that was decided."""
        await self._act("DELETE", f"/v1/friend-requests/{_segment(request_id)}", repeatable=True)

    async def block(self, user_id: str) -> None:
        """Block somebody: they can neither ask nor write, and are not told. Raises NotFound, ValidationFailed."""
        await self._act("PUT", f"/v1/blocks/{_segment(user_id)}", repeatable=True)

    async def unblock(self, user_id: str) -> None:
        """Unblock somebody, whether they were blocked or not."""
        await self._act("DELETE", f"/v1/blocks/{_segment(user_id)}", repeatable=True)

    async def blocked(self) -> list[Blocked]:
        """Return all whom one has blocked."""
        return await self._all(Blocked, "/v1/blocks", {})

    # Conversations.

    async def conversations(self) -> list[Conversation]:
        """Return all conversations, newest activity first."""
        return await self._all(Conversation, "/v1/conversations", {})

    async def conversation(self, conversation_id: str) -> Conversation:
        """Return one conversation. Raises NotFound."""
        answer = await self._act("GET", f"/v1/conversations/{_segment(conversation_id)}", repeatable=True)
        return _parse(Conversation, answer)

    async def set_settings(
        self, conversation_id: str, *, muted: bool | None = None, pinned: bool | None = None
    ) -> Conversation:
        """Mute or pin a conversation for oneself. Raises NotFound."""
        wanted = {name: value for name, value in (("muted", muted), ("pinned", pinned)) if value is not None}
        path = f"/v1/conversations/{_segment(conversation_id)}/settings"
        return _parse(Conversation, await self._act("PATCH", path, wanted, repeatable=True))

    # Groups. All raise NotFound for what one never was in, Forbidden for what one's role does not include or after
    # leaving, Conflict in a single and in a dissolved group.

    async def create_group(self, name: str, member_ids: Sequence[str]) -> Conversation:
        """Make a group of oneself, who owns it, and 2 to 499 friends. Raises ValidationFailed, naming who is none."""
        body = {"name": name, "member_ids": list(member_ids)}
        return _parse(Conversation, await self._act("POST", "/v1/conversations", body, once=True))

    async def change_group(self, conversation_id: str, **card: str | None) -> Conversation:
        """Change ``name``, ``announcement`` or ``avatar_file_id``; what is left out stays."""
        path = f"/v1/conversations/{_segment(conversation_id)}"
        return _parse(Conversation, await self._act("PATCH", path, card, repeatable=True))

    async def dissolve_group(self, conversation_id: str) -> None:
        """End a group, for good; everyone keeps what was said in it."""
        await self._act("DELETE", f"/v1/conversations/{_segment(conversation_id)}")

    async def members(self, conversation_id: str) -> list[Member]:
        """Return who is in a group."""
        return await self._all(Member, f"/v1/conversations/{_segment(conversation_id)}/members", {})

    async def add_members(self, conversation_id: str, user_ids: Sequence[str]) -> list[Member]:
        """Add up to 500 friends, all or none; returns those who were not in it before. Raises ValidationFailed."""
        path = f"/v1/conversations/{_segment(conversation_id)}/members"
        answer = await self._act("POST", path, {"user_ids": list(user_ids)}, repeatable=True)
        return list(_parse(Added, answer).items)

    async def remove_member(self, conversation_id: str, user_id: str) -> None:
        """Remove somebody, or oneself: leave. Raises Conflict for an owner, who must hand over first."""
        await self._act("DELETE", f"/v1/conversations/{_segment(conversation_id)}/members/{_segment(user_id)}")

    async def set_role(self, conversation_id: str, user_id: str, role: Role) -> Member:
        """Make a member an admin, or an admin a member."""
        path = f"/v1/conversations/{_segment(conversation_id)}/members/{_segment(user_id)}"
        return _parse(Member, await self._act("PATCH", path, {"role": role}, repeatable=True))

    async def hand_over(self, conversation_id: str, user_id: str) -> Conversation:
        """Make another member the owner and oneself an admin. Raises ValidationFailed for who is no member."""
        path = f"/v1/conversations/{_segment(conversation_id)}/owner"
        return _parse(Conversation, await self._act("PUT", path, {"user_id": user_id}))

    # Messages.

    async def send(self, draft: Draft) -> Message:
        """Store a message; the same draft again returns the first message.

        Raises NotFound when not in the conversation, ValidationFailed, Conflict for another message's ``client_id``.
        """
        answer = await self._act("POST", _messages(draft.conversation_id), draft.body(), repeatable=True)
        return _parse(Message, answer)

    async def history(
        self,
        conversation_id: str,
        *,
        before_seq: int | None = None,
        after_seq: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
    ) -> Page[Message]:
        """Return messages in ascending ``seq``: the ``limit`` (1 to 100) newest, the nearest to a ``seq``, or of times.

        Those of times were sent at ``since`` or later and before ``until``; both have a time zone. Of ``before_seq``,
        ``after_seq`` and times one goes. ``next_cursor`` is None when there are no more in that direction. Raises
        NotFound.
        """
        times = {"from": since and since.isoformat(), "to": until and until.isoformat()}
        wanted = {"before_seq": before_seq, "after_seq": after_seq, **times, "limit": limit}
        params = {name: str(value) for name, value in wanted.items() if value is not None}
        answer = await self._act("GET", _messages(conversation_id), params=params, repeatable=True)
        return _parse(Page[Message], answer)

    async def mark_read(self, conversation_id: str, seq: int) -> Reading:
        """Say up to where one has read; what is returned never goes back. Raises NotFound, ValidationFailed."""
        path = f"/v1/conversations/{_segment(conversation_id)}/read"
        return _parse(Reading, await self._act("PUT", path, {"seq": seq}, repeatable=True))

    async def readers(self, conversation_id: str, seq: int) -> list[User]:
        """Return who has read a message, of those who are in the conversation but its sender. Raises NotFound."""
        readers = await self._all(Reader, f"{_message(conversation_id, seq)}/receipts", {})
        return [reader.user for reader in readers]

    # What becomes of a message. All raise NotFound for what one may not read.

    async def edit_message(
        self, conversation_id: str, seq: int, text: str, *, mentions: Sequence[str] | None = None
    ) -> Message:
        """Change a text of one's own; mentions that are not given stay.

        Raises Forbidden, Conflict (edit_window_over, message_recalled, message_not_editable), ValidationFailed.
        """
        body = {"content": {"text": text}} | ({} if mentions is None else {"mentions": list(mentions)})
        return _parse(Message, await self._act("PATCH", _message(conversation_id, seq), body, repeatable=True))

    async def recall_message(self, conversation_id: str, seq: int) -> Message:
        """Take back a message, for everybody. Raises Forbidden, Conflict (recall_window_over, message_not_editable)."""
        path = f"{_message(conversation_id, seq)}/recall"
        return _parse(Message, await self._act("POST", path, repeatable=True))

    async def hide_message(self, conversation_id: str, seq: int) -> None:
        """Hide a message from oneself, on all devices and for good."""
        await self._act("DELETE", _message(conversation_id, seq), repeatable=True)

    async def react(self, conversation_id: str, seq: int, emoji: str) -> Message:
        """React to a message; doing so twice is doing so once. Raises Forbidden, Conflict, ValidationFailed."""
        path = f"{_message(conversation_id, seq)}/reactions/{_segment(emoji)}"
        return _parse(Message, await self._act("PUT", path, repeatable=True))

    async def take_reaction_back(self, conversation_id: str, seq: int, emoji: str) -> Message:
        """Take back a reaction of one's own, if it is there. Raises as react does."""
        path = f"{_message(conversation_id, seq)}/reactions/{_segment(emoji)}"
        return _parse(Message, await self._act("DELETE", path, repeatable=True))

    async def forward_message(
        self, conversation_id: str, seq: int, conversation_ids: Sequence[str], client_id: str
    ) -> list[Message]:
        """Send what a message says on into up to 20 conversations, all or none; the same ``client_id`` again is once.

        Raises ValidationFailed, naming where one may not write, and Conflict (message_recalled, message_not_editable).
        """
        body = {"client_id": client_id, "conversation_ids": list(conversation_ids)}
        path = f"{_message(conversation_id, seq)}/forward"
        return list(_parse(Forwarded, await self._act("POST", path, body, repeatable=True)).items)

    # Files. Their bytes go and come by links: see hongyan_client.transfers.

    async def begin_upload(self, name: str, mime: str, size: int, sha256: str, purpose: FilePurpose) -> Upload:
        """Begin to upload ``size`` bytes, of which ``sha256`` is in hexadecimal.

        Raises ValidationFailed, TooManyRequests for more than a day's share, ApiError (file_too_large, storage_full,
        unsupported_file).
        """
        body = {"name": name, "mime": mime, "size": size, "sha256": sha256, "purpose": purpose}
        return _parse(Upload, await self._act("POST", "/v1/files", body, once=True))

    async def resume_upload(self, file_id: str) -> Upload:
        """Return anew how to store what is not there yet. Raises NotFound for what is complete or over."""
        path = f"/v1/files/{_segment(file_id)}/upload"
        return _parse(Upload, await self._act("GET", path, repeatable=True))

    async def complete_upload(self, file_id: str, parts: Sequence[CompletedPart] = ()) -> File:
        """Have what was stored verified; ``verifying`` means to ask again. Raises NotFound, ValidationFailed."""
        body = {"parts": [part.model_dump() for part in parts]} if parts else {}
        path = f"/v1/files/{_segment(file_id)}/complete"
        return _parse(File, await self._act("POST", path, body, repeatable=True))

    async def file(self, file_id: str) -> File:
        """Return a file, with a link to its bytes once it is ready. Raises NotFound."""
        return _parse(File, await self._act("GET", f"/v1/files/{_segment(file_id)}", repeatable=True))

    async def send_file(self, conversation_id: str, kind: FilePurpose, file_id: str, client_id: str) -> Message:
        """Send a completed upload of one's own as an image, a file or a voice message; again, it is the same message.

        Raises NotFound, ValidationFailed, Conflict.
        """
        body = {"client_id": client_id, "type": kind, "content": {"file_id": file_id}}
        return _parse(Message, await self._act("POST", _messages(conversation_id), body, repeatable=True))

    # Everything at once.

    async def sync(self, cursor: str | None = None, *, limit: int = 100) -> Changes:
        """Return a page of about ``limit`` (1 to 100) changes since the cursor; without one, of the state as it is.

        Raises Gone (sync_cursor_expired) and BadRequest (invalid_cursor) when only beginning anew helps;
        hongyan_client.state.LocalState does all that.
        """
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return _parse(Changes, await self._act("GET", "/v1/sync", params=params, repeatable=True))

    def live(
        self,
        *,
        ping_seconds: float = 20.0,
        since: Mapping[str, int] | None = None,
        on_frame: Callable[[str], None] | None = None,
        by_header: bool = False,
        pace: Pace | None = None,
    ) -> Live:
        """Return a live connection, to be entered with ``async with``; see hongyan_client.live.Live."""
        return Live(
            self,
            ping_seconds=ping_seconds,
            since=since or {},
            on_frame=on_frame,
            by_header=by_header,
            pace=pace or Pace(),
        )

    # How calls are made.

    async def _all(self, kind: type[Answer], path: str, params: dict[str, str]) -> list[Answer]:
        items: list[Answer] = []
        cursor: str | None = None
        while True:
            wanted = params | {"limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
            page = _parse(Page[kind], await self._act("GET", path, params=wanted, repeatable=True))  # type: ignore[valid-type]
            items.extend(page.items)
            if page.next_cursor is None:
                return items
            cursor = page.next_cursor

    async def _begin_session(self, body: object) -> Session:
        session = _parse(Session, await self._open("POST", "/v1/sessions", body))
        self._store.save(session)
        return session

    async def _open(self, method: str, path: str, body: object) -> httpx.Response:
        """Make a call that needs no session; never repeated once it may have reached the server."""
        base = (await self.endpoints()).rest_url.rstrip("/")
        return await self._exchange(method, base + path, body=body)

    async def _act(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: dict[str, str] | None = None,
        repeatable: bool = False,
        once: bool = False,
    ) -> httpx.Response:
        """Make a call for the session's person; one whose access token has run out is made once more with a new one.

        What takes effect ``once`` has an Idempotency-Key, which makes it repeatable.
        """
        url = (await self.endpoints()).rest_url.rstrip("/") + path
        token = self._current().access_token
        key = uuid4().hex if once else None

        async def exchange(token: str) -> httpx.Response:
            again = repeatable or once
            return await self._exchange(method, url, body=body, params=params, token=token, repeatable=again, key=key)

        try:
            return await exchange(token)
        except Unauthorized as error:
            if error.code != "token_invalid":
                raise
        token = (await self._refresh(token)).access_token
        try:
            return await exchange(token)
        except Unauthorized as error:
            if error.code != "token_invalid":
                raise
            # A token fresh from the server: the session was ended in between.
            raise SessionEnded(error.code) from error

    async def _refresh(self, stale_token: str) -> Session:
        """Refresh unless somebody has: many calls fail at once when a token runs out, a refresh token works once."""
        async with self._refreshing, self._store.lock():
            session = self._current()
            if session.access_token != stale_token:
                return session
            try:
                body = {"refresh_token": session.refresh_token}
                fresh = _parse(Session, await self._open("POST", "/v1/sessions/refresh", body))
            except Unauthorized as error:
                self._store.clear(session.session_id)
                raise SessionEnded(error.code) from error
            self._store.save(fresh)
            return fresh

    def forget_session(self, session_id: str) -> None:
        """Forget a session that the server has ended."""
        self._store.clear(session_id)

    def _current(self) -> Session:
        session = self._store.load()
        if session is None:
            raise NotLoggedIn
        return session

    async def _exchange(
        self,
        method: str,
        url: str,
        *,
        body: object = None,
        params: dict[str, str] | None = None,
        token: str | None = None,
        repeatable: bool = False,
        key: str | None = None,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        backoff = Backoff(_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = await self._http.request(method, url, json=body, params=params, headers=headers)
            except httpx.InvalidURL as error:
                raise ConnectionFailed(f"{url} is not an address.") from error
            except httpx.TransportError as error:
                if not tries_left or not (repeatable or isinstance(error, _NEVER_SENT)):
                    raise ConnectionFailed(_unreachable(url, error)) from error
                delay = backoff.next()
            else:
                if answer.is_success:
                    return answer
                failure = _failure(answer)
                if not tries_left or not repeatable or not _may_pass(failure):
                    raise failure
                # Not sooner than asked, and not at the same moment as everybody else who was asked.
                delay = (failure.retry_after or 0.0) + backoff.next()
            logger.info("%s %s is tried again in %.2f s", method, url, delay)
            await asyncio.sleep(delay)
        raise AssertionError("the last try returns or raises")


def _may_pass(failure: ApiError) -> bool:
    if failure.retry_after is not None and failure.retry_after > _LONGEST_RETRY_AFTER_SECONDS:
        return False
    return failure.status == _TOO_MANY or failure.status in _AWAY


def _failure(answer: httpx.Response) -> ApiError:
    retry_after = _seconds(answer.headers.get("Retry-After"))
    try:
        return error_for(Problem.model_validate_json(answer.content), retry_after)
    except ValidationError as error:
        if answer.status_code in _AWAY or answer.status_code == _TOO_MANY:
            # A gateway's own page before the server.
            problem = Problem(
                status=answer.status_code, code="gateway_error", detail=f"The gateway answered {answer.status_code}."
            )
            return error_for(problem, retry_after)
        raise UnexpectedAnswer(
            f"{answer.request.url} answered {answer.status_code} and no problem of Hongyan's."
        ) from error


def _seconds(header: str | None) -> float | None:
    # The other form of Retry-After, a date, is not Hongyan's: the usual back-off does then.
    return float(header) if header is not None and header.isdecimal() else None


def _parse(kind: type[Answer], answer: httpx.Response) -> Answer:
    try:
        return TypeAdapter(kind).validate_json(answer.content)
    except ValidationError as error:
        raise UnexpectedAnswer(f"{answer.request.url} does not answer like Hongyan does.") from error


def _unreachable(url: str, error: httpx.TransportError) -> str:
    host = httpx.URL(url).netloc.decode()
    if isinstance(error, httpx.UnsupportedProtocol):
        return f"{url} is not an address; it begins with http:// or https://."
    if isinstance(error, httpx.TimeoutException):
        return f"{host} did not answer in time."
    return f"{host} cannot be reached: {error or type(error).__name__}."


def _messages(conversation_id: str) -> str:
    return f"/v1/conversations/{_segment(conversation_id)}/messages"


def _message(conversation_id: str, seq: int) -> str:
    return f"{_messages(conversation_id)}/{seq}"


def _segment(value: str) -> str:
    """Return an id as one segment of a path, whatever a person typed for it; "." and ".." stay what they are named."""
    return quote(value, safe="").replace(".", "%2E")
