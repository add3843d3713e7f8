"""The whole path of messages without I/O: a server that stores and tells at least once, or never, in any order."""

from dataclasses import dataclass
from datetime import UTC, datetime

from hongyan_client import Draft, Message, Outbox, SeenEvents, Timelines
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

_CONVERSATIONS = ("c1", "c2")
_PAGE = 3
conversations = st.sampled_from(_CONVERSATIONS)
picks = st.integers(0, 1_000)


@dataclass(frozen=True)
class Telling:
    """A message on its way to the client: an event when it has an id, else an acknowledgement."""

    message: Message
    event_id: str | None


class Delivery(RuleBasedStateMachine):
    """What is under way is delivered in any order, again and again, or lost with the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, list[Message]] = {each: [] for each in _CONVERSATIONS}
        self.under_way: list[Telling] = []
        self.pages: list[tuple[str, list[Message]]] = []
        self.drafts: list[Draft] = []

        self.timelines, self.outbox, self.seen = Timelines(), Outbox("me"), SeenEvents()
        self.shown: dict[str, list[Message]] = {each: [] for each in _CONVERSATIONS}
        self.arrived: dict[str, set[int]] = {each: set() for each in _CONVERSATIONS}
        self.settled: list[str] = []

    # The server.

    def store(self, sender_id: str, conversation_id: str, client_id: str) -> Message:
        so_far = self.stored[conversation_id]
        for message in so_far:
            if (message.sender_id, message.client_id) == (sender_id, client_id):
                return message
        message = Message(
            id=f"{conversation_id}-{len(so_far) + 1}",
            conversation_id=conversation_id,
            seq=len(so_far) + 1,
            client_id=client_id,
            sender_id=sender_id,
            type="text",
            content={"text": client_id},
            created_at=datetime(2026, 11, 23, tzinfo=UTC),
        )
        so_far.append(message)
        self.under_way.append(Telling(message, f"e-{message.id}"))
        return message

    def page(self, conversation_id: str) -> list[Message]:
        return self.stored[conversation_id][self.timelines.released(conversation_id) :][:_PAGE]

    @rule(conversation_id=conversations, number=st.integers(0, 3))
    def another_person_writes(self, conversation_id: str, number: int) -> None:
        # Sometimes with a `client_id` that is one of ours: it is only unique among one sender's.
        self.store("other", conversation_id, f"draft-{number}")

    @rule(conversation_id=conversations)
    def a_draft_is_written(self, conversation_id: str) -> None:
        draft = Draft(conversation_id, f"draft-{len(self.drafts)}", "hello")
        self.drafts.append(draft)
        self.outbox.add(draft)

    @rule()
    def what_is_not_acknowledged_is_sent_again(self) -> None:
        for draft in self.outbox:
            message = self.store("me", draft.conversation_id, draft.client_id)
            self.under_way.append(Telling(message, None))

    # The network.

    @rule(pick=picks)
    def something_arrives_and_may_arrive_again(self, pick: int) -> None:
        if not self.under_way:
            return
        telling = self.under_way[pick % len(self.under_way)]
        if telling.event_id and not self.seen.is_new(telling.event_id):
            return
        self.settle(telling.message)
        self.arrived[telling.message.conversation_id].add(telling.message.seq)
        self.show(self.timelines.receive(telling.message))

    @rule(conversation_id=conversations)
    def history_is_asked_for(self, conversation_id: str) -> None:
        self.pages.append((conversation_id, self.page(conversation_id)))

    @rule(pick=picks)
    def a_page_of_history_arrives_and_may_arrive_again(self, pick: int) -> None:
        if self.pages:
            self.merge(*self.pages[pick % len(self.pages)])

    @rule()
    def the_connection_is_lost_with_all_that_is_under_way(self) -> None:
        self.under_way.clear()

    # The client.

    def settle(self, message: Message) -> None:
        if draft := self.outbox.settle(message):
            self.settled.append(draft.client_id)

    def merge(self, conversation_id: str, page: list[Message]) -> None:
        for message in page:
            self.settle(message)
        self.show(self.timelines.merge(conversation_id, page))

    def show(self, messages: list[Message]) -> None:
        for message in messages:
            self.shown[message.conversation_id].append(message)

    @invariant()
    def what_is_shown_is_what_is_stored_up_to_there(self) -> None:
        for conversation_id, shown in self.shown.items():
            assert shown == self.stored[conversation_id][: len(shown)]
            assert self.timelines.released(conversation_id) == len(shown)

    @invariant()
    def only_what_lacks_earlier_ones_waits(self) -> None:
        for conversation_id, arrived in self.arrived.items():
            last_shown = len(self.shown[conversation_id])
            assert last_shown + 1 not in arrived
            assert self.timelines.has_gap(conversation_id) == any(seq > last_shown for seq in arrived)

    @invariant()
    def a_draft_waits_or_is_settled_once(self) -> None:
        waiting = [draft.client_id for draft in self.outbox]
        assert sorted(self.settled + waiting) == sorted(draft.client_id for draft in self.drafts)

    def teardown(self) -> None:
        """After a reconnect everything is there: shown once and in order, stored once, acknowledged."""
        self.under_way.clear()
        self.what_is_not_acknowledged_is_sent_again()
        for conversation_id in _CONVERSATIONS:
            while page := self.page(conversation_id):
                self.merge(conversation_id, page)
        assert self.shown == self.stored
        assert len(self.outbox) == 0
        assert not self.timelines.gaps()
        mine = [message.client_id for kept in self.stored.values() for message in kept if message.sender_id == "me"]
        assert sorted(mine) == sorted(draft.client_id for draft in self.drafts)


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
