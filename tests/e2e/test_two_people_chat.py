"""Two people meet and talk, through the deployed template, with the real client; and what goes wrong meanwhile."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

import pytest
import redis
import sqlalchemy as sa
from hongyan import outbox
from hongyan.events import UsersAudience, event
from hongyan.ids import new_id
from hongyan_client import FriendAccepted, FriendRequested, MessageRead, PresenceChanged, SessionEnded, Typing

from local.stack import Stack
from tests.e2e.conftest import Join
from tests.e2e.people import Person, Screen, check_frame_or_gateway_failure, screen


async def test_two_people_meet_and_talk(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")

    async with screen(alice.client) as at_alice, screen(bob.client) as at_bob:
        request = await alice.client.request_friend(bob.id, "你好, I'm Alice")
        await at_bob.until(lambda shown: any(isinstance(e, FriendRequested) for e in shown.events))
        [asked] = await bob.client.friend_requests("incoming")
        assert asked.id == request.id
        assert asked.message == "你好, I'm Alice"

        accepted = await bob.client.accept_friend_request(request.id)
        conversation = accepted.conversation.id
        await at_alice.until(lambda shown: any(isinstance(e, FriendAccepted) for e in shown.events))
        assert [friend.user.id for friend in await alice.client.friends()] == [bob.id]

        first = await at_alice.live.send_text(conversation, "鸿雁传书")
        second = await at_bob.live.send_text(conversation, "wild geese carry letters 🪿")
        assert (first.seq, second.seq) == (1, 2)
        for shown in (at_alice, at_bob):
            await shown.until(lambda shown: len(shown.seqs(conversation)) == 2)
            assert shown.texts(conversation) == ["鸿雁传书", "wild geese carry letters 🪿"]

        [listed] = await bob.client.conversations()
        assert listed.unread_count == 1
        assert listed.last_message == second
        await at_bob.live.mark_read(conversation, 2)
        await at_alice.until(lambda shown: any(isinstance(e, MessageRead) for e in shown.events))
        [listed] = await bob.client.conversations()
        assert listed.unread_count == 0


async def test_every_device_of_both_sides_shows_every_message_once_and_in_order(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation = await alice.befriend(bob)

    async with (
        alice.another_device() as alices_laptop,
        bob.another_device() as bobs_laptop,
        screen(alice.client) as one,
        screen(alices_laptop) as two,
        screen(bob.client) as three,
        screen(bobs_laptop) as four,
    ):
        screens = (one, two, three, four)
        for n in range(5):
            await asyncio.gather(*(shown.live.send_text(conversation, f"{n} of {id(shown)}") for shown in screens))

        for shown in screens:
            await shown.until(lambda shown: len(shown.seqs(conversation)) == 20)
            assert shown.seqs(conversation) == list(range(1, 21))
        assert len({tuple(shown.texts(conversation)) for shown in screens}) == 1


async def test_what_was_said_while_away_is_there_on_return(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation = await alice.befriend(bob)
    async with screen(alice.client) as at_alice:
        for n in range(3):
            await at_alice.live.send_text(conversation, f"message {n}")

    assert [m.text for m in (await bob.client.history(conversation)).items] == ["message 0", "message 1", "message 2"]
    [listed] = await bob.client.conversations()
    assert listed.unread_count == 3


async def test_logging_out_closes_the_socket_of_this_device_only(join: Join) -> None:
    alice = await join("alice")

    async with alice.another_device() as laptop, screen(laptop) as at_laptop:
        async with alice.client.live() as live:
            await alice.client.logout()
            async with asyncio.timeout(5):  # contract, Conventions: its sockets close within 5 s
                with pytest.raises(SessionEnded):
                    async for _ in live.events():
                        pass
        await at_laptop.live.ping()


async def kill_workers(stack: Stack) -> None:
    for _ in range(3):
        for pid in stack.worker_pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself between being listed and being killed
        await asyncio.sleep(1)  # not a wait: lets the chat go on between the blows


async def empty_redis(stack: Stack) -> None:
    await asyncio.to_thread(stack.restart, "redis", empty=True)


async def restart_mariadb(stack: Stack) -> None:
    await asyncio.to_thread(stack.restart, "mariadb")


@pytest.mark.parametrize("disturb", [kill_workers, empty_redis, restart_mariadb])
async def test_what_was_acknowledged_is_there_once_and_in_order_on_both_sides_whatever_dies(
    stack: Stack, join: Join, disturb: Callable[[Stack], Awaitable[None]]
) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation = await alice.befriend(bob)

    async with (
        screen(alice.client, ping_seconds=2, check=check_frame_or_gateway_failure) as at_alice,
        screen(bob.client, ping_seconds=2, check=check_frame_or_gateway_failure) as at_bob,
    ):
        talking = [asyncio.create_task(talk(shown, conversation)) for shown in (at_alice, at_bob)]
        await at_bob.until(lambda shown: len(shown.seqs(conversation)) >= 5)
        await disturb(stack)
        acknowledged = {seq: text for told in await asyncio.gather(*talking) for seq, text in told.items()}

        assert sorted(acknowledged) == list(range(1, 2 * _EACH + 1))
        for shown in (at_alice, at_bob):
            await shown.until(lambda shown: len(shown.seqs(conversation)) >= 2 * _EACH)
            assert dict(zip(shown.seqs(conversation), shown.texts(conversation), strict=True)) == acknowledged
            assert shown.seqs(conversation) == sorted(acknowledged)
    await see_the_same_in_history(bob, conversation, acknowledged)


_EACH = 30


async def talk(shown: Screen, conversation: str) -> dict[int, str | None]:
    """Say one thing after the other, and return what was acknowledged."""
    acknowledged = {}
    for n in range(_EACH):
        message = await shown.live.send_text(conversation, f"{n} from {id(shown)}")
        acknowledged[message.seq] = message.text
    return acknowledged


async def see_the_same_in_history(person: Person, conversation: str, acknowledged: dict[int, str | None]) -> None:
    stored = await person.client.history(conversation, after_seq=0, limit=100)
    assert {message.seq: message.text for message in stored.items} == acknowledged


async def test_what_a_dying_function_left_in_the_outbox_is_announced_by_the_sweeper(stack: Stack, join: Join) -> None:
    bob = await join("bob")
    left_behind = event(
        "message.read", UsersAudience(user_ids=[bob.id]), conversation_id=new_id(), user_id=bob.id, seq=7
    )
    engine = sa.create_engine(stack.database_url)

    async with screen(bob.client) as at_bob:
        with engine.begin() as connection:
            outbox.write(connection, [left_behind])
        await at_bob.until(lambda shown: any(isinstance(e, MessageRead) for e in shown.events))
    engine.dispose()


def presence(shown: Screen, user_id: str) -> list[bool]:
    return [event.online for event in shown.events if isinstance(event, PresenceChanged) and event.user_id == user_id]


async def test_friends_see_each_other_come_type_and_go(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation_id = await alice.befriend(bob)

    async with screen(bob.client) as shown:
        async with screen(alice.client) as at_alice:
            await shown.until(lambda s: presence(s, alice.id) == [True])
            assert [friend.online for friend in await bob.client.friends()] == [True]
            await at_alice.live.typing(conversation_id)
            hint = Typing(conversation_id=conversation_id, user_id=alice.id)
            await shown.until(lambda s: hint in s.events)
        await shown.until(lambda s: presence(s, alice.id) == [True, False])

    [friend] = await bob.client.friends()
    assert friend.online is False
    assert friend.last_seen_at is not None


async def test_whoever_went_without_a_word_is_gone_for_friends_within_fifteen_seconds(stack: Stack, join: Join) -> None:
    """The gateway's word is lost: here, because one more connection is entered that has closed."""
    alice, bob = await join("alice"), await join("bob")
    await alice.befriend(bob)
    session = alice.client.session
    assert session is not None
    dead = f"{session.session_id}:died-without-a-word="
    async with screen(bob.client) as shown:
        async with screen(alice.client):
            await shown.until(lambda s: presence(s, alice.id) == [True])
            moment = time.time()
            client = redis.Redis.from_url(stack.redis_url)
            client.zadd(f"hongyan:connections:{alice.id}", {dead: moment})
            client.zadd("hongyan:heard", {f"{alice.id}:{dead}": moment})
        async with asyncio.timeout(15):
            await shown.until(lambda s: presence(s, alice.id) == [True, False])

    assert [friend.online for friend in await bob.client.friends()] == [False]
