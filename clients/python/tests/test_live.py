"""The live connection against a server that loses, repeats, reorders and hangs up."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest
from hongyan_client import (
    ConnectionFailed,
    FriendRemoved,
    HongyanClient,
    Live,
    LiveClosed,
    MessageEvent,
    NotAcknowledged,
    NotFound,
    Pace,
    PresenceChanged,
    SessionEnded,
    Typing,
    Unsendable,
    UserUpdated,
)
from hongyan_client.events import ConnectionLost, ConnectionRestored, LiveEvent, MessageRead
from stand_in import CONVERSATION, StandIn, event_of, problem, profile

# Seconds; the product's own are for real networks.
PACE = Pace(
    open_timeout=5,
    answer_timeout=0.3,
    pong_timeout=0.3,
    give_up=10,
    first_delay=0.05,
    longest_delay=0.2,
    gap_grace=0.01,
)
PATIENCE = 5.0
READ = {"conversation_id": CONVERSATION, "user_id": "id-bob", "seq": 1}


@pytest.fixture
async def live(server: StandIn, alice: HongyanClient) -> AsyncIterator[Live]:
    async with alice.live(pace=PACE) as connection:
        await caught_up(server)
        yield connection


async def caught_up(server: StandIn) -> None:
    """Wait until the lists have been asked for after connecting, the first time having been before."""
    await until(lambda: server.calls["GET /v1/friend-requests"] >= 2)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the server's state has nothing to wait on
            await asyncio.sleep(0.005)


async def take(live: Live, kind: type[LiveEvent], count: int) -> list[Any]:
    """Return the next events of one kind."""
    taken: list[Any] = []
    async with asyncio.timeout(PATIENCE), aclosing(live.events()) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, kind):
                taken.append(event)
            if len(taken) == count:
                break
    return taken


async def seqs(live: Live, count: int) -> list[int]:
    return [event.message.seq for event in await take(live, MessageEvent, count)]


async def rest_of(live: Live) -> list[LiveEvent]:
    """Close the connection and return what nobody has taken."""
    await live.close()
    return [event async for event in live.events()]


async def test_a_message_that_is_sent_is_acknowledged_and_comes_as_an_event_once(server: StandIn, live: Live) -> None:
    stored = await live.send_text(CONVERSATION, "鸿雁 🪿")
    assert (stored.seq, stored.text) == (1, "鸿雁 🪿")
    assert await seqs(live, 1) == [1]
    assert not [event for event in await rest_of(live) if isinstance(event, MessageEvent)]


async def test_a_friend_who_changes_their_profile_is_told_once(server: StandIn, live: Live) -> None:
    server.copies = 2
    await server.tell("user.updated", {"user": profile("bob") | {"nickname": "鲍勃"}}, "e-1")
    await server.tell("user.updated", {"user": profile("bob") | {"nickname": "Bob"}}, "e-2")
    assert [event.user.nickname for event in await take(live, UserUpdated, 2)] == ["鲍勃", "Bob"]


async def test_messages_that_come_twice_and_in_disorder_are_told_once_and_in_order(server: StandIn, live: Live) -> None:
    first, second, third = (server.store("bob", text) for text in "abc")
    server.copies = 2
    await server.announce(third, first, second)
    assert await seqs(live, 3) == [1, 2, 3]
    assert not [event for event in await rest_of(live) if isinstance(event, MessageEvent)]


async def test_a_gap_is_filled_from_history(server: StandIn, live: Live) -> None:
    # Twice: what is fetched after connecting may fill the first gap, and nothing but the gap itself the second.
    for expected in ([1, 2], [3, 4]):
        server.store("bob", "never announced")
        await server.announce(server.store("bob", "announced"))
        assert await seqs(live, 2) == expected


async def test_a_gap_of_several_pages_is_filled(server: StandIn, live: Live) -> None:
    for number in range(230):
        server.store("bob", str(number))
    await server.announce(server.store("bob", "the last"))
    assert await seqs(live, 231) == list(range(1, 232))


async def test_history_that_is_away_for_long_is_asked_again(server: StandIn, live: Live) -> None:
    server.refusals[f"GET /v1/conversations/{CONVERSATION}/messages"] = [problem(500, "internal_error")] * 2
    server.store("bob", "missed")
    await server.announce(server.store("bob", "announced"))
    assert await seqs(live, 2) == [1, 2]


async def test_another_event_that_comes_twice_is_told_once(server: StandIn, live: Live) -> None:
    server.copies = 3
    await server.tell("message.read", READ, "e-read")
    await server.tell("message.read", {**READ, "seq": 2}, "e-read-2")
    told = await take(live, MessageRead, 2)
    assert [event.reading.seq for event in told] == [1, 2]


async def test_a_changed_profile_is_told(server: StandIn, live: Live) -> None:
    await server.tell("user.updated", {"user": {**profile("bob"), "nickname": "鲍勃"}}, "e-updated")
    [told] = await take(live, UserUpdated, 1)
    assert (told.user.username, told.user.nickname) == ("bob", "鲍勃")


async def test_messages_stored_while_the_connection_was_lost_are_told_after_it(server: StandIn, live: Live) -> None:
    await server.announce(server.store("bob", "before"))
    await server.cut()
    for text in ("meanwhile", "meanwhile too"):
        server.store("bob", text)
    assert await seqs(live, 3) == [1, 2, 3]


async def test_a_lost_connection_is_made_again_with_a_new_ticket(server: StandIn, live: Live) -> None:
    for _ in range(3):
        await server.cut()
        await take(live, ConnectionRestored, 1)
    assert server.calls["POST /v1/ws-tickets"] >= 4
    await live.send_text(CONVERSATION, "still there")
    assert len(server.messages) == 1


async def test_a_message_whose_acknowledgement_is_lost_is_stored_once(server: StandIn, live: Live) -> None:
    server.lost_acks = 1
    stored = await live.send_text(CONVERSATION, "once")
    sent = [frame for frame in server.frames if frame["action"] == "send"]
    assert len(sent) == 2
    assert {frame["message"]["client_id"] for frame in sent} == {stored.client_id}
    assert len(server.messages) == 1
    assert await seqs(live, 1) == [1]


async def test_a_message_lost_with_its_connection_is_stored_once(server: StandIn, live: Live) -> None:
    server.lost_acks = 1
    server.cut_with_ack = True
    stored = await live.send_text(CONVERSATION, "once")
    assert stored.seq == 1
    assert len(server.messages) == 1
    assert live.unacknowledged == []


async def test_a_message_sent_while_disconnected_goes_out_when_the_connection_is_back(
    server: StandIn, live: Live
) -> None:
    server.refusals["POST /v1/ws-tickets"] = [problem(500, "internal_error")] * 2
    await server.cut()
    assert (await live.send_text(CONVERSATION, "patience")).seq == 1


@pytest.mark.parametrize("code", ["service_unavailable", "internal_error"])
async def test_a_send_that_the_server_could_not_take_now_is_sent_again(server: StandIn, live: Live, code: str) -> None:
    server.frame_errors = [code, code]
    assert (await live.send_text(CONVERSATION, "again")).seq == 1


async def test_a_send_that_is_refused_is_not_sent_again(server: StandIn, live: Live) -> None:
    server.frame_errors = ["conversation_not_found"]
    with pytest.raises(NotFound):
        await live.send_text(CONVERSATION, "nowhere")
    assert len([frame for frame in server.frames if frame["action"] == "send"]) == 1
    assert live.unacknowledged == []


async def test_messages_sent_at_once_are_stored_in_the_order_of_the_calls(server: StandIn, live: Live) -> None:
    server.frame_errors = ["service_unavailable"]  # the first one has to be sent again
    texts = [str(number) for number in range(20)]
    await asyncio.gather(*(live.send_text(CONVERSATION, text) for text in texts))
    assert [message["content"]["text"] for message in server.messages] == texts


async def test_a_frame_over_the_limit_is_not_sent(server: StandIn, live: Live) -> None:
    with pytest.raises(Unsendable):
        await live.send_text(CONVERSATION, "鸿" * 11_000)
    assert not [frame for frame in server.frames if frame["action"] == "send"]


async def test_half_a_character_is_not_sent(live: Live) -> None:
    with pytest.raises(Unsendable):
        await live.send_text(CONVERSATION, "\ud83e")


async def test_reading_returns_what_stands(live: Live) -> None:
    assert (await live.mark_read(CONVERSATION, 3)).seq == 3


async def test_a_connection_without_pongs_is_replaced(server: StandIn, alice: HongyanClient) -> None:
    async with alice.live(ping_seconds=0.05, pace=PACE) as live:
        server.silent = True
        await until(lambda: not live.connected)
        server.silent = False
        await take(live, ConnectionRestored, 1)


async def test_a_pong_that_says_resync_fetches_what_was_missed(server: StandIn, alice: HongyanClient) -> None:
    async with alice.live(ping_seconds=0.05, pace=PACE) as live:
        await caught_up(server)
        server.store("bob", "passed by")
        server.resync = True
        assert await seqs(live, 1) == [1]


async def test_messages_after_what_the_caller_has_are_told_first(server: StandIn, alice: HongyanClient) -> None:
    for text in "abc":
        server.store("bob", text)
    async with alice.live(since={CONVERSATION: 1}, pace=PACE) as live:
        assert await seqs(live, 2) == [2, 3]


async def test_an_ended_session_ends_the_events(server: StandIn, live: Live, alice: HongyanClient) -> None:
    assert alice.session is not None
    await server.end_session(alice.session.session_id, "replaced")
    with pytest.raises(SessionEnded, match="replaced"):
        await take(live, MessageEvent, 1)
    assert alice.session is None


async def test_the_end_of_another_device_ends_nothing(server: StandIn, live: Live) -> None:
    await server.end_session("another", "logged_out")
    assert (await live.send_text(CONVERSATION, "still here")).seq == 1


async def test_an_expired_token_is_refreshed_for_the_next_connection(server: StandIn, live: Live) -> None:
    server.expire_access_tokens()
    await server.cut()
    await take(live, ConnectionRestored, 1)
    assert server.calls["POST /v1/sessions/refresh"] == 1


async def test_a_session_that_ended_meanwhile_ends_the_events_and_fails_what_waits(server: StandIn, live: Live) -> None:
    server.lost_acks = 1
    server.cut_with_ack = True
    server.end_sessions()
    with pytest.raises(SessionEnded):
        await live.send_text(CONVERSATION, "too late")
    with pytest.raises(SessionEnded):
        await take(live, MessageEvent, 1)


async def test_closing_leaves_no_task_behind(server: StandIn, alice: HongyanClient) -> None:
    async with alice.live(pace=PACE) as live:
        await live.send_text(CONVERSATION, "hello")
        waiting = asyncio.create_task(live.send_text(CONVERSATION, "world"))
        await waiting
    left = [task.get_name() for task in asyncio.all_tasks() if "hongyan" in task.get_name()]
    assert left == []


async def test_an_event_that_is_not_as_expected_costs_no_other_one(server: StandIn, live: Live) -> None:
    message = server.store("bob", "after it")
    events = [
        event_of("message.created", {"message": {"seq": "many"}}, "e-bad"),
        7,
        event_of("message.created", {"message": message}, "e-good"),
    ]
    await server.say(json.dumps({"type": "events", "events": events}))
    assert await seqs(live, 1) == [1]


@pytest.mark.parametrize(
    "frame",
    [
        "not JSON",
        "null",
        "[1]",
        '{"message": "Internal server error", "connectionId": "c", "requestId": "r"}',
        '{"type": "tomorrow"}',
        '{"type": "events", "events": 7}',
        '{"type": "pong", "id": "1", "data": [7]}',
        '{"type": "ack", "id": "1", "data": {"message": 7}}',
        '{"type": "error", "id": "1", "data": null}',
    ],
)
async def test_a_frame_that_nobody_understands_disturbs_nothing(server: StandIn, live: Live, frame: str) -> None:
    await server.say(frame)
    await live.send_text(CONVERSATION, "as before")
    assert not [event for event in await rest_of(live) if isinstance(event, ConnectionLost)]


async def test_a_message_without_acknowledgement_is_given_up_and_can_be_sent_again(
    server: StandIn, alice: HongyanClient
) -> None:
    impatient = Pace(answer_timeout=0.1, pong_timeout=0.1, give_up=0.3, first_delay=0.01, longest_delay=0.02)
    async with alice.live(pace=impatient) as live:
        server.answering.clear()
        with pytest.raises(NotAcknowledged) as given_up:
            await live.send_text(CONVERSATION, "once")
        server.answering.set()
        again = await live.send_text(CONVERSATION, "once", client_id=given_up.value.client_id)
    assert again.seq == 1
    assert len(server.messages) == 1


async def test_closing_fails_what_waits_for_an_acknowledgement(server: StandIn, live: Live) -> None:
    server.lost_acks = 100
    waiting = asyncio.create_task(live.send_text(CONVERSATION, "too late"))
    await until(lambda: bool(server.messages))
    await live.close()
    with pytest.raises(LiveClosed):
        await waiting


async def test_a_connection_that_cannot_be_made_fails_in_time(server: StandIn, alice: HongyanClient) -> None:
    server.refusals["POST /v1/ws-tickets"] = [problem(500, "internal_error") for _ in range(100)]
    with pytest.raises(ConnectionFailed, match="internal_error"):
        async with alice.live(pace=Pace(open_timeout=0.3, first_delay=0.01, longest_delay=0.02)):
            pass


async def test_a_connection_by_header_needs_no_ticket(server: StandIn, alice: HongyanClient) -> None:
    async with alice.live(by_header=True, pace=PACE) as live:
        await live.send_text(CONVERSATION, "hello")
    assert server.calls["POST /v1/ws-tickets"] == 0


async def test_an_expired_token_in_the_header_is_refreshed(server: StandIn, alice: HongyanClient) -> None:
    async with alice.live(by_header=True, pace=PACE) as live:
        await caught_up(server)
        server.expire_access_tokens()
        await server.cut()
        await take(live, ConnectionRestored, 1)
    assert server.calls["POST /v1/sessions/refresh"] == 1


async def test_a_session_that_has_ended_is_not_connected_by_header(server: StandIn, alice: HongyanClient) -> None:
    async with alice.live(by_header=True, pace=PACE) as live:
        await caught_up(server)
        server.end_sessions()
        await server.cut()
        with pytest.raises(SessionEnded):
            await take(live, ConnectionRestored, 1)


async def test_frames_are_shown_to_who_wants_to_see_them(server: StandIn, alice: HongyanClient) -> None:
    seen: list[str] = []
    async with alice.live(pace=PACE, on_frame=seen.append) as live:
        await live.send_text(CONVERSATION, "hello")
    assert any('"ack"' in frame for frame in seen)


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("friend.removed", {"user_id": "id-bob"}, FriendRemoved(user_id="id-bob")),
        (
            "typing",
            {"conversation_id": CONVERSATION, "user_id": "id-bob"},
            Typing(conversation_id=CONVERSATION, user_id="id-bob"),
        ),
        (
            "presence.changed",
            {"user_id": "id-bob", "online": True, "last_seen_at": "2026-11-23T17:48:23.123Z"},
            PresenceChanged(
                user_id="id-bob", online=True, last_seen_at=datetime(2026, 11, 23, 17, 48, 23, 123_000, tzinfo=UTC)
            ),
        ),
    ],
)
async def test_what_happens_to_friends_is_told(
    server: StandIn, live: Live, kind: str, data: dict[str, object], told: LiveEvent
) -> None:
    await server.tell(kind, data, "e-told")
    assert await take(live, type(told), 1) == [told]


async def test_typing_waits_for_no_answer_and_for_no_connection(
    server: StandIn, live: Live, alice: HongyanClient
) -> None:
    await live.typing(CONVERSATION)
    await live.ping()
    assert [frame["action"] for frame in server.frames if frame["action"] == "typing"] == ["typing"]

    await Live.typing(alice.live(pace=PACE), CONVERSATION)  # never connected: nothing is shown, nothing fails
