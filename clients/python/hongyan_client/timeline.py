"""The order of messages, without any I/O: what was seen, may be shown, is missing, or is not yet acknowledged.

The server delivers at least once and in any order (docs/asyncapi.yaml, "Events"), and the same message may come as an
event, as an acknowledgement and in a page of history. Whatever comes here, in whatever order, leaves once and in order
of `seq`.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hongyan_client.models import Message


class Timeline:
    """One conversation: releases each message after ``released`` once, in order of ``seq``."""

    def __init__(self, released: int = 0) -> None:
        self.released = released
        self._waiting: dict[int, Message] = {}

    @property
    def has_gap(self) -> bool:
        """Whether a message waits for earlier ones; a page of history after ``released`` mends it."""
        return bool(self._waiting)

    def receive(self, message: Message) -> list[Message]:
        """Take a message that came by itself; return what may be shown now, in order (often it, often nothing)."""
        if message.seq > self.released:
            self._waiting.setdefault(message.seq, message)
        return self._release()

    def merge(self, page: Sequence[Message]) -> list[Message]:
        """Take a page of history that was asked for after some ``seq``, ascending; return what may be shown now.

        The page is the server's word that between the asked ``seq`` and the page's last one there is nothing else that
        the caller may read (messages before one joined, or hidden ones): holes inside it are no gaps. So a page must
        only be merged when it was asked for after a ``seq`` not above ``released``.
        """
        if not page:
            return []
        last = page[-1].seq
        known = {**self._waiting, **{message.seq: message for message in page}}
        shown = [known[seq] for seq in sorted(known) if self.released < seq <= last]
        self._waiting = {seq: message for seq, message in self._waiting.items() if seq > last}
        self.released = max(self.released, last)
        return shown + self._release()

    def _release(self) -> list[Message]:
        shown = []
        while (message := self._waiting.pop(self.released + 1, None)) is not None:
            self.released = message.seq
            shown.append(message)
        return shown


class Timelines:
    """The timelines of all conversations. One that was not begun at some ``seq`` begins with its first message."""

    def __init__(self) -> None:
        self._timelines: dict[str, Timeline] = {}

    def begin(self, conversation_id: str, released: int = 0) -> None:
        """Hold that everything up to ``released`` is already known. Changes nothing about a timeline that there is."""
        self._timelines.setdefault(conversation_id, Timeline(released))

    def released(self, conversation_id: str) -> int:
        """Return the highest ``seq`` without a hole before it, 0 for an unknown conversation."""
        timeline = self._timelines.get(conversation_id)
        return timeline.released if timeline else 0

    def receive(self, message: Message) -> list[Message]:
        """See Timeline.receive."""
        return self._timelines.setdefault(message.conversation_id, Timeline()).receive(message)

    def merge(self, conversation_id: str, page: Sequence[Message]) -> list[Message]:
        """See Timeline.merge."""
        return self._timelines.setdefault(conversation_id, Timeline()).merge(page)

    def has_gap(self, conversation_id: str) -> bool:
        """See Timeline.has_gap."""
        timeline = self._timelines.get(conversation_id)
        return timeline is not None and timeline.has_gap

    def forget(self, conversation_id: str) -> None:
        """Forget a conversation that the caller is no longer in."""
        self._timelines.pop(conversation_id, None)

    def gaps(self) -> list[str]:
        """Return the ids of the conversations in which something is missing."""
        return [conversation_id for conversation_id, timeline in self._timelines.items() if timeline.has_gap]


class SeenEvents:
    """Remembers the last ``capacity`` event ids, to drop what is delivered again."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, event_id: str) -> bool:
        """Tell whether this is the first time, and remember it."""
        if event_id in self._ids:
            self._ids.move_to_end(event_id)
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._capacity:
            self._ids.popitem(last=False)
        return True


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is on its way: ``client_id`` stays the same however often it is sent."""

    conversation_id: str
    client_id: str
    text: str
    reply_to_seq: int | None = None
    mentions: Sequence[str] = field(default=())

    def body(self) -> dict[str, object]:
        """Return it as the API takes it."""
        body: dict[str, object] = {"client_id": self.client_id, "type": "text", "content": {"text": self.text}}
        if self.reply_to_seq is not None:
            body["reply_to_seq"] = self.reply_to_seq
        if self.mentions:
            body["mentions"] = list(self.mentions)
        return body


class Outbox:
    """Drafts of ``user_id`` that the server has not acknowledged, oldest first."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id
        self._drafts: dict[str, Draft] = {}

    def __iter__(self) -> Iterator[Draft]:
        return iter(tuple(self._drafts.values()))

    def __len__(self) -> int:
        return len(self._drafts)

    def add(self, draft: Draft) -> None:
        """Keep a draft until it is settled or dropped."""
        self._drafts[draft.client_id] = draft

    def drop(self, client_id: str) -> None:
        """Forget a draft that was refused or given up."""
        self._drafts.pop(client_id, None)

    def settle(self, message: Message) -> Draft | None:
        """Take any stored message, however it came; return the draft that it acknowledges, once, else None.

        A ``client_id`` is only unique among one sender's messages: somebody else's message never settles a draft.
        """
        draft = self._drafts.get(message.client_id)
        if draft is None or message.sender_id != self._user_id or message.conversation_id != draft.conversation_id:
            return None
        return self._drafts.pop(message.client_id)
