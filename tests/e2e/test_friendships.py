"""Friendships through the deployed template: they end, begin again, and are blocked, each seen from outside."""

from uuid import uuid4

import pytest
from hongyan_client import (
    Conflict,
    ConversationUpdated,
    Draft,
    Forbidden,
    FriendRemoved,
    MessageEvent,
    NotFound,
)

from tests.e2e.conftest import Join
from tests.e2e.people import Person, screen


def a_text(conversation_id: str, text: str) -> Draft:
    return Draft(conversation_id, uuid4().hex, text)


async def refusal(someone: Person, conversation_id: str) -> str:
    """Return the code that somebody's message is refused with."""
    with pytest.raises((Forbidden, Conflict)) as refused:
        await someone.client.send(a_text(conversation_id, "hello?"))
    return refused.value.code


async def test_a_friendship_ends_and_goes_on_with_its_history(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation_id = await alice.befriend(bob)
    await alice.client.send(a_text(conversation_id, "one"))
    assert (await alice.client.set_remark(bob.id, "老李")).remark == "老李"

    async with screen(bob.client) as at_bob:
        await alice.client.remove_friend(bob.id)
        await at_bob.until(lambda s: FriendRemoved(user_id=alice.id) in s.events)
        assert await refusal(alice, conversation_id) == await refusal(bob, conversation_id) == "not_friends"
        assert [m.text for m in (await bob.client.history(conversation_id)).items] == ["one"]

        assert await bob.befriend(alice) == conversation_id
        await at_bob.until(lambda s: any(isinstance(event, ConversationUpdated) for event in s.events))
        await alice.client.send(a_text(conversation_id, "two"))
        await at_bob.until(lambda s: s.texts(conversation_id)[-1:] == ["two"])

    assert [friend.remark for friend in await alice.client.friends()] == [None]
    with pytest.raises(NotFound):
        await alice.client.remove_friend(alice.id)


async def test_a_blocked_person_can_neither_write_nor_ask_and_is_not_told(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation_id = await alice.befriend(bob)

    async with screen(alice.client) as at_alice:
        await alice.client.block(bob.id)

        assert await refusal(bob, conversation_id) == "not_friends"
        assert await refusal(alice, conversation_id) == "user_blocked"
        assert [blocked.user.id for blocked in await alice.client.blocked()] == [bob.id]
        assert [friend.user.id for friend in await bob.client.friends()] == [alice.id]
        found = await bob.client.search_users(alice.username)
        assert alice.id not in [user.id for user in found.items]

        await alice.client.unblock(bob.id)
        await bob.client.send(a_text(conversation_id, "hello!"))
        await at_alice.until(lambda s: s.texts(conversation_id) == ["hello!"])
        assert len([event for event in at_alice.events if isinstance(event, MessageEvent)]) == 1


async def test_a_request_is_rejected_or_taken_back_once(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")

    first = await alice.client.request_friend(bob.id)
    assert (await bob.client.reject_friend_request(first.id)).status == "rejected"
    with pytest.raises(Conflict):
        await bob.client.accept_friend_request(first.id)

    second = await alice.client.request_friend(bob.id)
    assert second.id != first.id
    await alice.client.withdraw_friend_request(second.id)
    with pytest.raises(Conflict):
        await bob.client.accept_friend_request(second.id)
    assert await bob.client.friends() == []
