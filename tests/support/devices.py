"""Devices as tests speak of them: each keeps a LocalState of the Python client, and its way to the server is bad."""

import json
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from hongyan_client.errors import ConnectionFailed, error_for
from hongyan_client.events import (
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
    UserUpdated,
)
from hongyan_client.models import Changes, Message, Page, Problem, Reading
from hongyan_client.state import LocalState

from tests.support.gateway import Response, Socket
from tests.support.people import Person

Result = TypeVar("Result")

_EVENTS: dict[str, Any] = {
    "message.created": MessageEvent,
    "message.updated": MessageUpdated,
    "conversation.created": ConversationCreated,
    "conversation.updated": ConversationUpdated,
    "friend.accepted": FriendAccepted,
    "friend.removed": FriendRemoved,
    "friend.requested": FriendRequested,
    "presence.changed": PresenceChanged,
    "user.updated": UserUpdated,
}


class Line:
    """A way to the server by one session. After some answers it breaks: the next one is given, and does not arrive."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self.answers_left: int | None = None
        self.has_lost_cursor = False

    async def sync(self, cursor: str | None = None, *, limit: int = 100) -> Changes:
        if self.has_lost_cursor and cursor is not None:
            self.has_lost_cursor = False
            raise error_for(Problem(status=410, code="sync_cursor_expired"))
        query = f"limit={limit}" + ("" if cursor is None else f"&cursor={cursor}")
        return Changes.model_validate(self._arrived(self._person.get(f"/v1/sync?{query}")))

    async def history(self, conversation_id: str, *, before_seq: int | None = None, limit: int = 20) -> Page[Message]:
        query = f"limit={limit}" + ("" if before_seq is None else f"&before_seq={before_seq}")
        answer = self._person.get(f"/v1/conversations/{conversation_id}/messages?{query}")
        return Page[Message].model_validate(self._arrived(answer))

    def _arrived(self, answer: Response) -> Any:
        if answer.status >= 300:
            raise error_for(Problem.model_validate(answer.json))
        if self.answers_left == 0:
            raise ConnectionFailed("The answer was lost.")
        if self.answers_left is not None:
            self.answers_left -= 1
        return answer.json


class Device:
    """One of somebody's devices."""

    def __init__(self, person: Person, path: Path) -> None:
        self.person = person
        self._path = path
        self.state = LocalState(path, person.id)
        self._socket: Socket | None = None
        self._frames_heard = 0
        self._events: list[LiveEvent] = []

    def restart(self) -> None:
        self.state.close()
        self.state = LocalState(self._path, self.person.id)

    def sync(self, limit: int = 100, *, answers: int | None = None, lose_cursor: bool = False) -> None:
        """Sync until there is no more, or the answer after so many is lost."""
        line = Line(self.person)
        line.answers_left, line.has_lost_cursor = answers, lose_cursor
        try:
            finish(self.state.sync(line, limit=limit))
        except ConnectionFailed:
            assert answers is not None

    def fill(self, conversation_id: str, limit: int) -> bool:
        return finish(self.state.fill(Line(self.person), conversation_id, limit=limit))

    def connect_or_drop(self) -> None:
        if self._socket is None:
            self._socket, self._frames_heard = self.person.connect(), 0
            return
        self._hear()
        self._socket.die()
        self._socket = None

    def listen(self, random: Random) -> None:
        """Take some of the events that came, in any order, some of them once more; the others stay on their way."""
        self._hear()
        random.shuffle(self._events)
        count = random.randrange(len(self._events) + 1)
        for event in self._events[:count]:
            for _ in range(random.choice((1, 1, 2))):
                self.state.receive(event)
        self._events = self._events[count:]

    def hear_out(self, random: Random) -> None:
        """Take all events that are still on their way."""
        while self._events:
            self.listen(random)

    def _hear(self) -> None:
        if self._socket is None:
            return
        frames = self.person.management.frames(self._socket.connection_id)
        for frame in frames[self._frames_heard :]:
            self._events += [typed(event) for event in json.loads(frame)["events"]]
        self._frames_heard = len(frames)


def typed(event: dict[str, Any]) -> LiveEvent:
    """Return an event as the client's live connection tells it."""
    if event["type"] == "message.read":
        return MessageRead(reading=Reading.model_validate(event["data"]))
    kind = _EVENTS.get(event["type"])
    if kind is None:
        return OtherEvent(type=event["type"], event_id=event["event_id"], data=event["data"])
    told: LiveEvent = kind.model_validate(event["data"])
    return told


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine that waits for nothing: the gateway of the tests needs the thread's event loop for itself."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("it waits for something")
