"""What becomes of messages, by calls and on a live connection."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest
from hongyan_client import Gone, HongyanClient, Live, MessageUpdated, NotFound
from stand_in import CONVERSATION, StandIn, problem

HISTORY = f"GET /v1/conversations/{CONVERSATION}/messages"


async def test_an_edited_message_says_so(server: StandIn, alice: HongyanClient) -> None:
    server.store("alice", "helo")
    edited = await alice.edit_message(CONVERSATION, 1, "hello")
    assert (edited.text, edited.change_seq) == ("hello", 2)
    assert edited.edited_at is not None


async def test_a_recalled_message_says_nothing_any_more(server: StandIn, alice: HongyanClient) -> None:
    server.store("alice", "oh")
    recalled = await alice.recall_message(CONVERSATION, 1)
    assert recalled.text is None
    assert recalled.recalled_at is not None


async def test_a_hidden_message_is_hidden_in_the_history(server: StandIn, alice: HongyanClient) -> None:
    server.store("bob", "oh")
    await alice.hide_message(CONVERSATION, 1)
    [message] = (await alice.history(CONVERSATION)).items
    assert (message.hidden, message.text) == (True, None)


async def test_a_reaction_comes_and_goes(server: StandIn, alice: HongyanClient) -> None:
    server.store("bob", "hello")
    [reaction] = (await alice.react(CONVERSATION, 1, "#️⃣")).reactions
    assert (reaction.emoji, reaction.count, list(reaction.user_ids)) == ("#️⃣", 1, ["id-alice"])
    assert not (await alice.take_reaction_back(CONVERSATION, 1, "#️⃣")).reactions


async def test_a_forwarded_message_is_told_once_for_each_conversation(server: StandIn, alice: HongyanClient) -> None:
    server.store("bob", "hello")
    first = await alice.forward_message(CONVERSATION, 1, [CONVERSATION], "f-1")
    again = await alice.forward_message(CONVERSATION, 1, [CONVERSATION], "f-1")
    assert [(message.seq, message.text) for message in first] == [(2, "hello")]
    assert again == first


async def test_the_readers_of_a_message_are_people(server: StandIn, alice: HongyanClient) -> None:
    server.store("alice", "hello")
    assert [reader.username for reader in await alice.readers(CONVERSATION, 1)] == ["bob"]


async def test_history_is_asked_for_by_times(server: StandIn, alice: HongyanClient) -> None:
    day = datetime(2026, 11, 23, tzinfo=UTC)
    await alice.history(CONVERSATION, since=day, until=day.replace(day=24), limit=5)
    assert parse_qs(server.queries[HISTORY]) == {
        "from": ["2026-11-23T00:00:00+00:00"],
        "to": ["2026-11-24T00:00:00+00:00"],
        "limit": ["5"],
    }


async def test_a_message_that_one_may_not_read_is_not_found(server: StandIn, alice: HongyanClient) -> None:
    server.refusals[f"PATCH /v1/conversations/{CONVERSATION}/messages/9"] = [problem(404, "message_not_found")]
    with pytest.raises(NotFound):
        await alice.edit_message(CONVERSATION, 9, "hello")


async def test_a_cursor_that_leads_nowhere_is_gone(server: StandIn, alice: HongyanClient) -> None:
    server.refusals["GET /v1/sync"] = [problem(410, "sync_cursor_expired")]
    with pytest.raises(Gone):
        await alice.sync("0")


async def test_a_change_comes_out_of_a_live_connection(server: StandIn, alice: HongyanClient) -> None:
    server.store("bob", "helo")
    async with alice.live() as live:
        await server.tell("message.updated", {"message": server.change(1, content={"text": "hello"})}, "e-1")
        assert (await _next_change(live)).message.text == "hello"


async def _next_change(live: Live) -> MessageUpdated:
    async for event in live.events():
        if isinstance(event, MessageUpdated):
            return event
    raise AssertionError("the connection is over")
