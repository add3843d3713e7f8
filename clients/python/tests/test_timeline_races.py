"""Pages of history that are under way while events go on: asked for at one time, merged at another, in any order."""

from datetime import UTC, datetime

from hongyan_client import Message, Timeline
from hypothesis import given
from hypothesis import strategies as st

_LAST = 12
_PAGE = 4


def message(seq: int) -> Message:
    return Message(
        id=f"m-{seq}",
        conversation_id="c",
        seq=seq,
        client_id=f"k-{seq}",
        sender_id="u",
        type="text",
        content={"text": str(seq)},
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
    )


STORED = [message(seq) for seq in range(1, _LAST + 1)]


@given(st.lists(st.one_of(st.sampled_from(STORED), st.just("ask"), st.integers(0, 5)), max_size=60))
def test_pages_under_way_and_events_together_release_every_message_once(steps: list[Message | str | int]) -> None:
    """A message is an event (lost, repeated or not), "ask" asks for a page, a number merges an asked one."""
    timeline = Timeline()
    released: list[int] = []
    under_way: list[list[Message]] = []
    for step in steps:
        match step:
            case Message():
                released += [shown.seq for shown in timeline.receive(step)]
            case "ask":
                under_way.append(STORED[timeline.released :][:_PAGE])
            case int() if step < len(under_way):
                # Left in the list: a page may be answered twice, and late.
                released += [shown.seq for shown in timeline.merge(under_way[step])]
    while page := STORED[timeline.released :][:_PAGE]:
        released += [shown.seq for shown in timeline.merge(page)]
    assert released == list(range(1, _LAST + 1))
    assert not timeline.has_gap
