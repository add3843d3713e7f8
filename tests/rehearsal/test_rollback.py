"""Releases come and go while two people talk: nothing is lost, and they notice nothing.

Run by `make rehearse`, as it takes minutes. The database is made anew each time: what a release of the rehearsal has
migrated, no other must meet.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
import sqlalchemy as sa

from local.deploy import STACK, account
from local.failures import StackError
from local.home import REPOSITORY
from local.stack import Stack
from tests.e2e.people import Person, Screen, check_frame_or_gateway_failure, screen
from tests.rehearsal.releases import expanding, failing

pytestmark = pytest.mark.rehearsal

_HOME = REPOSITORY / ".local" / "rehearsal"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    shutil.rmtree(_HOME / "data", ignore_errors=True)
    with Stack(_HOME) as started:
        yield started


async def test_a_release_comes_another_fails_and_the_first_is_rolled_back_while_two_people_talk(
    stack: Stack,
) -> None:
    first = stack.built
    url = stack.endpoints.rest_url
    async with (
        Person.joined(url, "alice") as alice,
        Person.joined(url, "bob") as bob,
        screen(alice.client, check=check_frame_or_gateway_failure) as at_alice,
        screen(bob.client, check=check_frame_or_gateway_failure) as at_bob,
    ):
        conversation = await alice.befriend(bob)
        talk = Talk(at_alice, conversation)

        async with talk.going_on():
            with pytest.raises(StackError):
                await asyncio.to_thread(stack.deploy, failing(first, _HOME / "failing"))
        assert "hongyan.nowhere" in await asyncio.to_thread(why_the_migration_failed, stack)
        await talk.say("after the release that failed")
        assert columns(stack) == set()  # and the old code serves: the new one could not have stored this

        async with talk.going_on():
            await asyncio.to_thread(stack.deploy, expanding(first, _HOME / "expanding"))
        released = await talk.say("by the new release")
        assert columns(stack) == {"rehearsed"}
        assert written_by_the_new_code(stack, conversation, released)

        async with talk.going_on():
            await asyncio.to_thread(stack.deploy, first)
        rolled_back = await talk.say("by the old release, on the newer schema")
        assert columns(stack) == {"rehearsed"}
        assert not written_by_the_new_code(stack, conversation, rolled_back)

        assert sorted(talk.acknowledged) == list(range(1, len(talk.acknowledged) + 1))
        for shown in (at_alice, at_bob):
            await shown.until(lambda shown: len(shown.seqs(conversation)) >= len(talk.acknowledged))
            assert dict(zip(shown.seqs(conversation), shown.texts(conversation), strict=True)) == talk.acknowledged


class Talk:
    """What somebody says in a conversation, and what of it was acknowledged."""

    def __init__(self, speaker: Screen, conversation_id: str) -> None:
        self.acknowledged: dict[int, str] = {}
        self._speaker = speaker
        self._conversation_id = conversation_id

    async def say(self, text: str) -> int:
        message = await self._speaker.live.send_text(self._conversation_id, text)
        self.acknowledged[message.seq] = text
        return message.seq

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Let them say one thing after the other meanwhile."""
        over = asyncio.Event()
        talking = asyncio.create_task(self._go_on(over.is_set))
        try:
            yield
        finally:
            over.set()
            await talking

    async def _go_on(self, is_over: Callable[[], bool]) -> None:
        for number in count():
            await self.say(f"{number} meanwhile")
            if is_over():
                return
            await asyncio.sleep(1)  # not a wait: as people talk, so that the deployment has the machine to itself


def why_the_migration_failed(stack: Stack) -> str:
    formation = account().client("cloudformation", endpoint_url=stack.aws_endpoint_url)
    [described] = formation.describe_stacks(StackName=STACK)["Stacks"]
    assert described["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    pages = formation.get_paginator("describe_stack_events").paginate(StackName=STACK)
    events = [event for page in pages for event in page["StackEvents"] if event["LogicalResourceId"] == "Migration"]
    return next(str(event["ResourceStatusReason"]) for event in events if event["ResourceStatus"] == "UPDATE_FAILED")


def columns(stack: Stack) -> set[str]:
    """Return what the rehearsal's migrations have added to the table of messages."""
    with database(stack) as connection:
        found = {column["name"] for column in sa.inspect(connection).get_columns("messages")}
    return found & {"rehearsed"}


def written_by_the_new_code(stack: Stack, conversation_id: str, seq: int) -> bool:
    query = sa.text("SELECT rehearsed FROM messages WHERE conversation_id = :conversation_id AND seq = :seq")
    with database(stack) as connection:
        return bool(connection.scalar(query, {"conversation_id": conversation_id, "seq": seq}))


@contextlib.contextmanager
def database(stack: Stack) -> Iterator[sa.Connection]:
    engine = sa.create_engine(stack.database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()
