"""The order of messages, kept without any I/O.

The server gives every message of a conversation a `seq`: 1, 2, 3, ... without holes. Messages reach a client by event,
acknowledgement or history, late, twice and in any order; a `Timeline` makes one sequence of them again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hongyan_client.models import Message


class Timeline:
    """The messages of one conversation, released in the order of `seq`, each once."""

    def __init__(self, conversation_id: str, last: int = 0) -> None:
        """Begin after the message with `seq` `last`; 0 is before the first one."""
        self.conversation_id = conversation_id
        self.last = last
        """The `seq` up to which messages were released, without a hole."""
        self._ahead: dict[int, Message] = {}
        self._told_last = last

    def add(self, messages: Iterable[Message]) -> list[Message]:
        """Take messages in any order and return those whose turn has come, in order.

        Known ones are dropped; one that is ahead of a gap is kept until the gap is filled.
        Raises ValueError for a message of another conversation.
        """
        for message in messages:
            if message.conversation_id != self.conversation_id:
                raise ValueError(f"message {message.id} is not of conversation {self.conversation_id}")
            if message.seq > self.last:
                self._ahead.setdefault(message.seq, message)
        return self._release()

    def expect(self, last_seq: int) -> None:
        """Hear that the conversation has got to `last_seq`, so that what is not here yet counts as missing."""
        self._told_last = max(self._told_last, last_seq)

    @property
    def missing_after(self) -> int | None:
        """The `seq` after which history is to be fetched; None while nothing is known to be missing."""
        return self.last if self._ahead or self._told_last > self.last else None

    def _release(self) -> list[Message]:
        released: list[Message] = []
        while message := self._ahead.pop(self.last + 1, None):
            released.append(message)
            self.last = message.seq
        return released


@dataclass(frozen=True)
class OutgoingText:
    """A text on its way. The same `client_id` with the same text is stored once, however often it is sent."""

    client_id: str
    conversation_id: str
    text: str


class Outbox:
    """One's own messages that the server has not yet acknowledged, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, OutgoingText] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, outgoing: OutgoingText) -> None:
        """Keep a message until it is settled.

        Raises ValueError when its `client_id` is already waiting with another text or for another conversation.
        """
        waiting = self._waiting.setdefault(outgoing.client_id, outgoing)
        if waiting != outgoing:
            raise ValueError(f"client_id {outgoing.client_id} is already on its way with another message")

    def settle(self, client_id: str) -> OutgoingText | None:
        """Forget a message that was acknowledged or refused; None when it was not waiting."""
        return self._waiting.pop(client_id, None)

    def unacknowledged(self) -> list[OutgoingText]:
        """Return what is to be sent again after a reconnect, in the order of sending."""
        return list(self._waiting.values())
