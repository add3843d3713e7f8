"""Packing events into frames."""

import itertools
import json

from hongyan.events import UsersAudience, event
from hongyan.sockets import MAX_FRAME_BYTES
from hypothesis import given
from hypothesis import strategies as st

from functions.message.delivery import Outgoing
from tests.contract.frames import check_server_frame

EVERYONE = UsersAudience(user_ids=["u"])


@given(st.lists(st.integers(min_value=0, max_value=30_000), min_size=1, max_size=12))
def test_every_event_is_packed_once_in_order_and_no_frame_is_too_large(sizes: list[int]) -> None:
    outgoing = Outgoing()
    events = [event("message.read", EVERYONE, filler="雁" * (size // 3)) for size in sizes]
    for e in events:
        outgoing.add(e)

    frames = list(outgoing.frames())

    assert all(len(frame.encode()) <= MAX_FRAME_BYTES for frame in frames)
    assert [packed["event_id"] for frame in frames for packed in json.loads(frame)["events"]] == [
        e.event_id for e in events
    ]


@given(st.lists(st.integers(min_value=1, max_value=12_000), min_size=2, max_size=12))
def test_no_two_neighbouring_frames_would_fit_into_one(sizes: list[int]) -> None:
    outgoing = Outgoing()
    for size in sizes:
        outgoing.add(event("message.read", EVERYONE, filler="x" * size))

    frames = list(outgoing.frames())

    for first, second in itertools.pairwise(frames):
        opening_event = json.dumps(json.loads(second)["events"][0], separators=(",", ":"))
        assert len(first) + len(opening_event) + 1 > MAX_FRAME_BYTES


def test_the_longest_message_fits_into_a_frame() -> None:
    outgoing = Outgoing()
    one_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    message = {
        "id": one_id, "conversation_id": one_id, "seq": 2**63 - 1, "client_id": "\U0001f600" * 64, "sender_id": one_id,
        "type": "text", "content": {"text": "\U0001f600" * 5_000}, "reply_to_seq": 2**62, "mentions": [one_id] * 100,
        "reactions": [{"emoji": "👩🏽‍❤️‍💋‍👩🏽", "count": 10_000, "user_ids": [one_id] * 10}] * 20,
        "created_at": "2026-11-23T17:48:23.123Z", "edited_at": "2026-11-23T17:48:23.123Z", "recalled_at": None,
        "change_seq": 2**63 - 1, "hidden": False,
    }  # fmt: skip
    outgoing.add(event("message.created", EVERYONE, message=message))

    [frame] = outgoing.frames()

    check_server_frame(frame)


def test_only_the_end_of_a_session_closes_its_sockets() -> None:
    outgoing = Outgoing()
    outgoing.add(event("message.read", EVERYONE))
    assert not outgoing.closes
    outgoing.add(event("session.ended", EVERYONE))
    assert outgoing.closes
