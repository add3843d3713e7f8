"""The live connection: events as they happen, sending with acknowledgement, and whatever it takes to stay connected."""

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

import httpx
from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from hongyan_client.backoff import Backoff
from hongyan_client.errors import (
    ApiError,
    ConnectionFailed,
    HongyanError,
    LiveClosed,
    NotAcknowledged,
    NotFound,
    NotLoggedIn,
    SessionEnded,
    UnexpectedAnswer,
    Unsendable,
    error_for,
)
from hongyan_client.events import (
    ConnectionLost,
    ConnectionRestored,
    ConversationCreated,
    ConversationUpdated,
    FriendAccepted,
    FriendRemoved,
    FriendRequested,
    LiveEvent,
    MessageEvent,
    MessageRead,
    MessageUpdated,
    OtherEvent,
    PresenceChanged,
    Typing,
    UserUpdated,
)
from hongyan_client.models import Conversation, FriendRequest, Message, Model, Problem, Reading
from hongyan_client.timeline import Draft, Outbox, SeenEvents, Timelines

if TYPE_CHECKING:
    from hongyan_client.api import HongyanClient

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Events that this library does nothing with but to tell of them.
_PLAINLY_TOLD: dict[
    str, type[MessageUpdated | UserUpdated | FriendRemoved | ConversationUpdated | PresenceChanged | Typing]
] = {
    "message.updated": MessageUpdated,
    "user.updated": UserUpdated,
    "friend.removed": FriendRemoved,
    "conversation.updated": ConversationUpdated,
    "presence.changed": PresenceChanged,
    "typing": Typing,
}

_MAX_FRAME_BYTES = 32 * 1024
_HISTORY_PAGE = 100
_UNAUTHORIZED = 401
# The server leaves open whether it stored the message, or was too busy to look: the same frame may be sent again.
_PASSING_CODES = {"internal_error", "service_unavailable", "rate_limited"}


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a live connection is, all in seconds; the defaults are those of docs/asyncapi.yaml."""

    open_timeout: float = 30.0
    """For the first connection to stand, with all its tries."""
    answer_timeout: float = 25.0
    """For the answer to one frame: a little more than the 20 s after which the gateway gives one itself."""
    pong_timeout: float = 10.0
    """For the answer to a ping; without it the connection is taken for dead. Nothing depends on what it asked for."""
    give_up: float = 120.0
    """For a message or a reading to be acknowledged, over as many connections as it takes."""
    first_delay: float = 1.0
    longest_delay: float = 30.0
    close_timeout: float = 3.0
    gap_grace: float = 0.1
    """For an event that another one overtook, before it is fetched."""


class _Broken(Exception):  # noqa: N818 - a state, not a fault
    """The connection broke while an answer was awaited."""


class _MessageData(Model):
    message: Message


class _Answer(Model):
    id: str | None = None
    data: dict[str, Any] | None = None


class _Events(Model):
    events: Sequence[Any]


class _Envelope(Model):
    type: str
    event_id: str
    data: dict[str, Any]


class Live:
    """A live connection of the client's session. Made by HongyanClient.live, entered with ``async with``.

    Entering returns once connected; it raises what the REST calls raise, or the last failure after Pace.open_timeout.
    From then on every message of every conversation stored after entering (after ``since[conversation_id]``, where
    given) comes out of events() once and in order, over any number of lost connections.

    Args:
        client: a logged-in client.
        ping_seconds: between two pings.
        since: up to which ``seq`` the caller already has a conversation.
        on_frame: called with each text frame received, before anything else is done with it.
        by_header: connect with the access token in a header; else with a ticket, asked for each time.
        pace: time-outs and delays.

    """

    def __init__(
        self,
        client: "HongyanClient",
        *,
        ping_seconds: float,
        since: Mapping[str, int],
        on_frame: Callable[[str], None] | None,
        by_header: bool,
        pace: Pace,
    ) -> None:
        self._client = client
        self._ping_seconds = ping_seconds
        self._since = since
        self._on_frame = on_frame
        self._by_header = by_header
        self._pace = pace
        session = client.session
        if session is None:
            raise NotLoggedIn
        self._session_id = session.session_id
        self._outbox = Outbox(session.user.id)
        self._timelines = Timelines()
        self._seen_events = SeenEvents()
        self._seen_conversations: set[str] = set()
        self._seen_requests: set[str] = set()
        self._events: asyncio.Queue[LiveEvent | None] = asyncio.Queue()
        self._socket: ClientConnection | None = None
        self._open = asyncio.Event()
        self._must_list = False
        self._behind = asyncio.Event()
        self._frame_ids = itertools.count(1)
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._stored: dict[str, asyncio.Future[Message]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._failure: Exception | None = None
        self._was_connected = False
        self._last_error: Exception | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._backoff = Backoff(pace.first_delay, pace.longest_delay)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._begin_timelines()
        self._tasks = [
            asyncio.create_task(self._guard(self._stay_connected()), name="hongyan-live-connection"),
            asyncio.create_task(self._guard(self._keep_up()), name="hongyan-live-history"),
        ]
        try:
            async with asyncio.timeout(self._pace.open_timeout):
                await self._unless_over(self._open.wait())
        except TimeoutError:
            await self.close()
            reason = self._last_error or "no answer in time"
            raise ConnectionFailed(f"No live connection: {reason}.") from self._last_error
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; events() ends, and what waits for an acknowledgement fails with LiveClosed."""
        self._end(LiveClosed("The live connection is closed."))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether the connection stands right now."""
        return self._open.is_set() and self._failure is None

    @property
    def unacknowledged(self) -> list[Draft]:
        """The messages on their way, oldest first."""
        return list(self._outbox)

    async def events(self) -> AsyncIterator[LiveEvent]:
        """Yield events until the connection is closed. One consumer at a time; what nobody takes is kept in memory.

        Raises SessionEnded when the session is over, after the events before it.
        """
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)
        if self._failure and not isinstance(self._failure, LiveClosed):
            raise self._failure

    async def send_text(
        self,
        conversation_id: str,
        text: str,
        *,
        client_id: str | None = None,
        reply_to_seq: int | None = None,
        mentions: Sequence[str] = (),
    ) -> Message:
        """Send a text and return the message as stored; those of one conversation are stored in the order of the calls.

        It is sent again, with the same ``client_id``, until acknowledged. Give a ``client_id`` to go on with a message
        that an earlier call left open.

        Raises NotFound, ValidationFailed, Conflict (``client_id`` of another message), Unsendable, SessionEnded,
        NotAcknowledged after Pace.give_up, LiveClosed when closed meanwhile.
        """
        draft = Draft(conversation_id, client_id or uuid4().hex, text, reply_to_seq, tuple(mentions))
        request = {"action": "send", "conversation_id": conversation_id, "message": draft.body()}
        _encode(request | {"id": "0" * 20})
        if draft.client_id in self._stored:
            raise ValueError(f"a message with client_id {draft.client_id!r} is on its way")
        async with self._turns.setdefault(conversation_id, asyncio.Lock()):
            stored: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            self._outbox.add(draft)
            self._stored[draft.client_id] = stored
            try:
                async with asyncio.timeout(self._pace.give_up):
                    await self._insist(request, stored)
                if not stored.done():
                    raise UnexpectedAnswer("A message was acknowledged with another one.")
                return stored.result()
            except TimeoutError as error:
                raise NotAcknowledged(draft.client_id, self._pace.give_up) from error
            finally:
                self._outbox.drop(draft.client_id)
                self._stored.pop(draft.client_id, None)

    async def mark_read(self, conversation_id: str, seq: int) -> Reading:
        """Say up to where one has read; returns what stands. Raises as send_text does."""
        request = {"action": "read", "conversation_id": conversation_id, "seq": seq}
        try:
            async with asyncio.timeout(self._pace.give_up):
                answer = await self._insist(request)
        except TimeoutError as error:
            raise ConnectionFailed(f"No answer within {self._pace.give_up:g} s.") from error
        try:
            return Reading.model_validate(answer)
        except ValidationError as error:
            raise UnexpectedAnswer("A reading was acknowledged with something else.") from error

    async def typing(self, conversation_id: str) -> None:
        """Show the others that one is typing, every few seconds meanwhile; without a connection nothing is shown."""
        socket = self._socket
        if socket is None:
            return
        try:
            await socket.send(_encode({"action": "typing", "conversation_id": conversation_id}))
        except ConnectionClosed:
            logger.info("typing is not shown: the connection has just been lost")

    async def ping(self) -> None:
        """Ping once and wait for the pong. Raises ConnectionFailed."""
        try:
            await self._ping()
        except (_Broken, TimeoutError) as error:
            raise ConnectionFailed("The connection is not there.") from error

    # Asking over the socket.

    async def _insist(
        self, request: dict[str, Any], stored: "asyncio.Future[Message] | None" = None
    ) -> dict[str, Any] | None:
        """Ask until there is an answer, over as many connections as it takes; None when ``stored`` came first."""
        backoff = Backoff(self._pace.first_delay, self._pace.longest_delay)
        while True:
            await self._unless_over(self._open.wait(), stored)
            if stored and stored.done():
                return None
            try:
                return await self._unless_over(self._ask(request), stored)
            except _Broken:
                continue
            except TimeoutError:
                logger.info("no answer to a %s", request["action"])
            except ApiError as error:
                if error.code not in _PASSING_CODES:
                    raise
                logger.info("%s is tried again: %s", request["action"], error.code)
            await self._unless_over(asyncio.sleep(backoff.next()), stored)

    async def _unless_over(
        self, waiting: Coroutine[Any, Any, Result], stored: "asyncio.Future[Message] | None" = None
    ) -> Result | None:
        """Wait, but raise when the connection is over for good, and return None as soon as ``stored`` is there."""
        task = asyncio.ensure_future(waiting)
        others: list[asyncio.Future[Any]] = [self._over] if stored is None else [self._over, stored]
        try:
            await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
            if stored and stored.done():
                return None
            if self._failure:
                raise self._failure
            return task.result()
        finally:
            task.cancel()
            task.add_done_callback(_retrieve)

    async def _ask(self, request: dict[str, Any], within: float | None = None) -> dict[str, Any]:
        """Send one frame and return the ``data`` of its answer. Raises ApiError, TimeoutError, _Broken."""
        socket = self._socket
        if socket is None:
            raise _Broken("not connected")
        frame_id = str(next(self._frame_ids))
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[frame_id] = answer
        try:
            async with asyncio.timeout(within or self._pace.answer_timeout):
                await socket.send(_encode(request | {"id": frame_id}))
                return await answer
        except ConnectionClosed as error:
            raise _Broken(str(error)) from error
        finally:
            del self._answers[frame_id]

    async def _ping(self) -> None:
        pong = await self._ask({"action": "ping"}, self._pace.pong_timeout)
        if pong.get("resync"):
            logger.info("the server had forgotten this connection")
            self._catch_up_from_list()

    # Staying connected.

    async def _guard(self, running: Coroutine[Any, Any, None]) -> None:
        try:
            await running
        except (SessionEnded, NotLoggedIn) as error:
            self._end(error)
            self._client.forget_session(self._session_id)
        except Exception as error:  # a fault of this library or of the caller's on_frame: events() raises it
            logger.exception("the live connection ends by a fault")
            self._end(error)

    def _end(self, failure: Exception) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        self._over.set_result(None)
        self._events.put_nowait(None)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._connect_once()
            except (SessionEnded, NotLoggedIn):
                raise
            except (HongyanError, _Broken, OSError, TimeoutError, WebSocketException) as error:
                self._last_error = error
                logger.info("not connected: %s", error)
            await asyncio.sleep(self._backoff.next())

    async def _connect_once(self) -> None:
        """Connect and stay until the connection breaks, which always raises."""
        address, headers = await self._way_in()
        try:
            async with connect(
                address,
                additional_headers=headers,
                # Pings of the protocol end at the gateway; those of the application reach the server behind it.
                ping_interval=None,
                open_timeout=self._pace.answer_timeout,
                close_timeout=self._pace.close_timeout,
            ) as socket:
                await self._stay(socket)
        except InvalidStatus as error:
            if self._by_header and error.response.status_code == _UNAUTHORIZED:
                # The next try takes the new token. A ticket needs no such care: asking for one refreshes.
                await self._client.refresh()
            raise

    async def _way_in(self) -> tuple[str, dict[str, str]]:
        """Return the address to connect to, and the headers to do it with."""
        if self._by_header:
            endpoints = await self._client.endpoints()
            session = self._client.session
            if session is None:
                raise NotLoggedIn
            return endpoints.websocket_url, {"Authorization": f"Bearer {session.access_token}"}
        ticket = await self._client.ws_ticket()
        return str(httpx.URL(ticket.url).copy_merge_params({"ticket": ticket.ticket})), {}

    async def _stay(self, socket: ClientConnection) -> None:
        self._opened(socket)
        try:
            await _first_to_end(self._read(socket), self._keep_alive())
        except Exception as error:
            self._lost(str(error) or type(error).__name__)
            raise

    def _opened(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._open.set()
        self._catch_up_from_list()
        if self._was_connected:
            self._events.put_nowait(ConnectionRestored())
        self._was_connected = True

    def _lost(self, reason: str) -> None:
        self._socket = None
        self._open.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(_Broken(reason))
        self._events.put_nowait(ConnectionLost(reason=reason))

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            try:
                await self._ping()
            except TimeoutError as error:
                raise _Broken(f"no pong within {self._pace.answer_timeout:g} s") from error
            except ApiError as error:
                # The connection lives, something behind it does not; the next ping registers it again.
                logger.info("a ping was refused: %s", error.code)

    async def _read(self, socket: ClientConnection) -> None:
        async for raw in socket:
            self._take(raw)
        raise _Broken("closed by the server")

    # Keeping up with what is stored.

    async def _begin_timelines(self) -> None:
        for conversation in await self._client.conversations():
            self._seen_conversations.add(conversation.id)
            self._timelines.begin(conversation.id, self._since.get(conversation.id, conversation.last_seq))
        for conversation_id, seq in self._since.items():
            self._timelines.begin(conversation_id, seq)
        self._seen_requests.update(request.id for request in await self._client.friend_requests("incoming"))

    def _catch_up_from_list(self) -> None:
        self._must_list = True
        self._behind.set()

    async def _keep_up(self) -> None:
        backoff = Backoff(self._pace.first_delay, self._pace.longest_delay)
        while True:
            await self._behind.wait()
            if not self._must_list:
                # Most gaps are events that overtook each other and close by themselves.
                await asyncio.sleep(self._pace.gap_grace)
            self._behind.clear()
            try:
                await self._catch_up()
            except (SessionEnded, NotLoggedIn):
                raise
            except HongyanError as error:
                logger.info("catching up is tried again: %s", error)
                self._behind.set()
            if self._timelines.gaps():
                self._behind.set()
            if not self._behind.is_set():
                backoff.reset()
                continue
            await asyncio.sleep(backoff.next())

    async def _catch_up(self) -> None:
        if self._must_list:
            # Before the calls: should the server forget the connection while they run, they are made again.
            self._must_list = False
            try:
                await self._catch_up_with_list()
            except HongyanError:
                self._must_list = True
                raise
        for conversation_id in self._timelines.gaps():
            await self._fetch(conversation_id)

    async def _catch_up_with_list(self) -> None:
        for conversation in await self._client.conversations():
            self._tell_of_conversation(conversation)
            if conversation.last_seq > self._timelines.released(conversation.id):
                await self._fetch(conversation.id)
        for request in await self._client.friend_requests("incoming"):
            if request.status == "pending":
                self._tell_of_request(request)

    async def _fetch(self, conversation_id: str) -> None:
        while True:
            after_seq = self._timelines.released(conversation_id)
            try:
                page = await self._client.history(conversation_id, after_seq=after_seq, limit=_HISTORY_PAGE)
            except NotFound:
                # One is no longer in it.
                self._timelines.forget(conversation_id)
                return
            for message in page.items:
                self._settle(message)
            self._tell_of_messages(self._timelines.merge(conversation_id, page.items))
            if page.next_cursor is None or not page.items:
                return

    # Frames of the server.

    def _take(self, raw: str | bytes) -> None:
        if isinstance(raw, bytes):
            logger.warning("a binary frame was ignored")
            return
        if self._on_frame:
            self._on_frame(raw)
        try:
            frame = json.loads(raw)
        except ValueError:
            logger.warning("a frame that is not JSON was ignored")
            return
        if not isinstance(frame, dict):
            logger.warning("a frame that is not an object was ignored")
            return
        try:
            self._take_frame(frame)
        except ValidationError as error:
            logger.warning("a frame that is not as expected was ignored: %s", error)

    def _take_frame(self, frame: dict[str, Any]) -> None:
        match frame.get("type"):
            case "events":
                for event in _Events.model_validate(frame).events:
                    self._take_event(event)
            case "ack" | "pong":
                self._take_answer(_Answer.model_validate(frame))
            case "error":
                self._take_error(_Answer.model_validate(frame))
            case other:
                logger.info("a frame of type %r was ignored", other)

    def _take_answer(self, frame: _Answer) -> None:
        self._backoff.reset()
        data = frame.data or {}
        if "message" in data:
            # Whether or not somebody still waits for the answer.
            self._take_message(Message.model_validate(data["message"]))
        answer = self._answers.get(frame.id or "")
        if answer and not answer.done():
            answer.set_result(data)

    def _take_error(self, frame: _Answer) -> None:
        problem = Problem.model_validate(frame.data)
        if problem.code == "session_ended":
            raise SessionEnded(problem.code)
        answer = self._answers.get(frame.id or "")
        if answer and not answer.done():
            answer.set_exception(error_for(problem))
        else:
            logger.warning("an error that answers no open frame: %s %s", problem.code, problem.detail)

    def _take_event(self, raw: Any) -> None:
        try:
            self._tell_of_event(_Envelope.model_validate(raw))
        except ValidationError as error:
            # Here and not for the whole frame: the other events in it are as good as any.
            logger.warning("an event that is not as expected was ignored: %s", error)

    def _tell_of_event(self, event: _Envelope) -> None:
        if not self._seen_events.is_new(event.event_id):
            return
        match event.type:
            case "message.created":
                self._take_message(_MessageData.model_validate(event.data).message)
            case "message.read":
                self._events.put_nowait(MessageRead(reading=Reading.model_validate(event.data)))
            case "friend.requested":
                self._tell_of_request(FriendRequested.model_validate(event.data).friend_request)
            case "friend.accepted":
                accepted = FriendAccepted.model_validate(event.data)
                self._events.put_nowait(accepted)
                self._tell_of_conversation(accepted.conversation)
            case "conversation.created":
                self._tell_of_conversation(ConversationCreated.model_validate(event.data).conversation)
            case kind if kind in _PLAINLY_TOLD:
                self._events.put_nowait(_PLAINLY_TOLD[kind].model_validate(event.data))
            case "session.ended" if event.data.get("session_id") == self._session_id:
                raise SessionEnded(str(event.data.get("reason")))
            case _:
                self._events.put_nowait(OtherEvent(type=event.type, event_id=event.event_id, data=event.data))

    def _take_message(self, message: Message) -> None:
        self._settle(message)
        self._tell_of_messages(self._timelines.receive(message))
        if self._timelines.has_gap(message.conversation_id):
            self._behind.set()

    def _settle(self, message: Message) -> None:
        draft = self._outbox.settle(message)
        if draft and (stored := self._stored.get(draft.client_id)) and not stored.done():
            stored.set_result(message)

    def _tell_of_messages(self, messages: list[Message]) -> None:
        for message in messages:
            self._events.put_nowait(MessageEvent(message=message))

    def _tell_of_conversation(self, conversation: Conversation) -> None:
        if conversation.id in self._seen_conversations:
            return
        self._seen_conversations.add(conversation.id)
        self._events.put_nowait(ConversationCreated(conversation=conversation))

    def _tell_of_request(self, request: FriendRequest) -> None:
        if request.id in self._seen_requests:
            return
        self._seen_requests.add(request.id)
        self._events.put_nowait(FriendRequested(friend_request=request))


def _encode(frame: dict[str, Any]) -> str:
    """Return a frame as text. Raises Unsendable: a server closes the connection for such a frame, on every new try."""
    # Characters as themselves: escaped, 5,000 of them can be more than a frame holds.
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Unsendable("The text holds half a character (a lone surrogate).") from error
    if size > _MAX_FRAME_BYTES:
        raise Unsendable(f"The message is too long: {size} bytes of at most {_MAX_FRAME_BYTES}.")
    return text


async def _first_to_end(*running: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, end the others, and raise what that one raised."""
    tasks = [asyncio.ensure_future(each) for each in running]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _retrieve(task: "asyncio.Future[Any]") -> None:
    """Take note of how a task ended that nobody waits for any more, or asyncio complains that nobody did."""
    if not task.cancelled():
        task.exception()
