"""The order of messages: whatever comes, in whatever order, leaves once and in order."""

from datetime import UTC, datetime

from hongyan_client.models import Message
from hongyan_client.timeline import Draft, Outbox, SeenEvents, Timeline, Timelines
from hypothesis import given
from hypothesis import strategies as st


def message(seq: int, *, client_id: str = "", sender_id: str = "me", conversation_id: str = "c") -> Message:
    return Message(
        id=f"{conversation_id}-{seq}",
        conversation_id=conversation_id,
        seq=seq,
        client_id=client_id or f"client-{seq}",
        sender_id=sender_id,
        type="text",
        content={"text": str(seq)},
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
    )


def seqs(messages: list[Message]) -> list[int]:
    return [message.seq for message in messages]


def test_the_next_message_is_released_at_once() -> None:
    assert seqs(Timeline(4).receive(message(5))) == [5]


def test_a_message_ahead_of_a_gap_waits_until_the_gap_is_filled() -> None:
    timeline = Timeline()
    assert timeline.receive(message(2)) == []
    assert timeline.has_gap
    assert seqs(timeline.receive(message(1))) == [1, 2]
    assert not timeline.has_gap


def test_a_message_that_was_released_is_dropped_when_it_comes_again() -> None:
    timeline = Timeline()
    timeline.receive(message(1))
    assert timeline.receive(message(1)) == []
    assert not timeline.has_gap


def test_a_page_of_history_releases_what_waited_behind_it() -> None:
    timeline = Timeline()
    timeline.receive(message(4))
    assert seqs(timeline.merge([message(1), message(2), message(3)])) == [1, 2, 3, 4]


def test_a_hole_inside_a_page_of_history_is_no_gap() -> None:
    timeline = Timeline()
    assert seqs(timeline.merge([message(1), message(3)])) == [1, 3]
    assert timeline.released == 3


def test_an_empty_page_leaves_a_gap_open() -> None:
    timeline = Timeline()
    timeline.receive(message(2))
    assert timeline.merge([]) == []
    assert timeline.has_gap


@given(st.data())
def test_any_order_with_any_repeats_is_released_once_and_in_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    arrivals = data.draw(st.permutations([*range(1, count + 1), *data.draw(st.lists(st.integers(1, count)))]))
    timeline = Timeline()
    released = [seq for arrival in arrivals for seq in seqs(timeline.receive(message(arrival)))]
    assert released == list(range(1, count + 1))


@given(st.data())
def test_events_and_history_together_release_every_message_once(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    timeline = Timeline()
    released: list[int] = []
    for seq in data.draw(st.lists(st.integers(1, count))):
        if data.draw(st.booleans()):
            released += seqs(timeline.receive(message(seq)))
        else:
            last = min(count, timeline.released + seq)
            released += seqs(timeline.merge([message(each) for each in range(timeline.released + 1, last + 1)]))
    released += seqs(timeline.merge([message(each) for each in range(timeline.released + 1, count + 1)]))
    assert released == list(range(1, count + 1))


def test_conversations_do_not_wait_for_each_other() -> None:
    timelines = Timelines()
    timelines.receive(message(2, conversation_id="late"))
    assert seqs(timelines.receive(message(1, conversation_id="prompt"))) == [1]
    assert timelines.gaps() == ["late"]


def test_a_conversation_that_was_begun_is_not_begun_anew() -> None:
    timelines = Timelines()
    timelines.begin("c", 7)
    timelines.begin("c", 0)
    assert timelines.released("c") == 7


def test_an_event_is_new_once() -> None:
    seen = SeenEvents()
    assert [seen.is_new("e"), seen.is_new("e")] == [True, False]


def test_remembering_events_takes_bounded_memory() -> None:
    seen = SeenEvents(capacity=2)
    for event_id in ("a", "b", "c"):
        seen.is_new(event_id)
    assert seen.is_new("a")
    assert not seen.is_new("c")


def test_a_stored_message_settles_its_draft_once() -> None:
    outbox = Outbox("me")
    draft = Draft("c", "mine", "hello")
    outbox.add(draft)
    stored = message(1, client_id="mine")
    assert outbox.settle(stored) == draft
    assert outbox.settle(stored) is None
    assert len(outbox) == 0


def test_another_persons_message_with_the_same_client_id_settles_nothing() -> None:
    outbox = Outbox("me")
    outbox.add(Draft("c", "same", "hello"))
    assert outbox.settle(message(1, client_id="same", sender_id="other")) is None
    assert len(outbox) == 1


def test_a_message_of_another_conversation_with_the_same_client_id_settles_nothing() -> None:
    outbox = Outbox("me")
    outbox.add(Draft("c", "same", "hello"))
    assert outbox.settle(message(1, client_id="same", conversation_id="d")) is None
    assert len(outbox) == 1


def test_unacknowledged_drafts_are_listed_oldest_first() -> None:
    outbox = Outbox("me")
    for client_id in ("z", "a", "m"):
        outbox.add(Draft("c", client_id, client_id))
    outbox.drop("a")
    assert [draft.client_id for draft in outbox] == ["z", "m"]
