"""Whatever the deployed functions may do, something needs: it is taken away of their roles, one by one, and is missed.

The exercises (`exercises.py`) tell whether a function works: without the permission it must not, and again once it is
back. What the emulator does not enforce is named there, shown here not to be, and proves nothing;
tests/unit/template/test_production.py holds it by its text.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial

import httpx
import pytest
import redis
import sqlalchemy as sa
from hongyan import stores
from hongyan.events import UsersAudience, event
from hongyan.ids import new_id

from local.stack import Stack
from tests.e2e.exercises import EXERCISES, KEPT_DAYS, NOT_ENFORCED, ROUND_SECONDS, World, a_world, put_object
from tests.e2e.people import PATIENCE_SECONDS
from tests.e2e.test_files import eventually
from tests.support.deployed import Deployed, Permission, consumers, permissions
from tests.support.production import LOCAL, production_resources


@pytest.fixture(scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
    deployed = Deployed(stack)
    engine = sa.create_engine(stack.database_url)
    cache = redis.Redis.from_url(stack.redis_url, decode_responses=True)
    with ExitStack() as changes:
        patch = changes.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(stores, "engine", lambda: engine)
        patch.setattr(stores, "cache_client", lambda: cache)
        async with (
            httpx.AsyncClient(base_url=stack.endpoints.rest_url, timeout=PATIENCE_SECONDS) as http,
            httpx.AsyncClient(timeout=PATIENCE_SECONDS) as storage,
            AsyncExitStack() as sockets,
        ):
            made = await a_world(deployed, http, storage, sockets)
            changes.enter_context(deployed.quiet())
            retention = {"MESSAGE_RETENTION_DAYS": str(KEPT_DAYS)}
            changes.enter_context(deployed.configured("MessageRetentionFunction", variables=retention))
            changes.enter_context(deployed.configured("WsConnectSweepFunction", Timeout=ROUND_SECONDS))
            yield made
    engine.dispose()


ENFORCED = [permission for permission in permissions() if permission.kind not in NOT_ENFORCED]


def test_each_permission_has_one_exercise_and_each_exercise_a_permission() -> None:
    assert {permission.kind for permission in permissions()} == EXERCISES.keys() | NOT_ENFORCED.keys()
    assert not EXERCISES.keys() & NOT_ENFORCED.keys()


@pytest.mark.parametrize("permission", ENFORCED, ids=[permission.name for permission in ENFORCED])
async def test_what_a_function_may_do_it_needs(world: World, permission: Permission) -> None:
    exercise = EXERCISES[permission.kind]

    with world.deployed.without(permission):
        worked_without = await exercise(world)

    assert not worked_without, "nothing misses it"
    assert await exercise(world), "the exercise does not work with it either"


@pytest.mark.parametrize("kind", NOT_ENFORCED, ids="-".join)
async def test_the_emulator_does_not_enforce(world: World, kind: tuple[str, str, str]) -> None:
    [permission] = [each for each in permissions() if each.kind == kind]

    with world.deployed.without(permission):
        assert await NOT_ENFORCED[kind](world), "it does by now: this belongs to what is shown to be needed"


# ---------------------------------------------------------------- Who may put something on a queue, and take it off


@pytest.mark.parametrize("policy", production_resources("AWS::SQS::QueuePolicy", **LOCAL))
async def test_a_queue_gets_what_its_policy_lets_in_and_nothing_without_it(world: World, policy: str) -> None:
    queue = policy.removesuffix("Policy")
    sqs, url = world.deployed.client("sqs"), world.deployed.names[queue]
    lets_in = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]

    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    lost = _announce(world, queue)
    sqs.set_queue_attributes(QueueUrl=url, Attributes=lets_in)
    got = _announce(world, queue)

    held: list[str] = []
    await eventually(partial(_take, world, url, held), lambda bodies: any(got in body for body in bodies))
    assert not any(lost in body for body in held)


@pytest.mark.parametrize(("function", "own"), consumers().items())
async def test_a_function_may_take_from_its_own_queue_and_no_other(world: World, function: str, own: str) -> None:
    queues = production_resources("AWS::SQS::Queue", **LOCAL)

    decisions = {queue: world.deployed.decision(function, "sqs:ReceiveMessage", queue) for queue in queues}

    assert decisions == {queue: "allowed" if queue == own else "explicitDeny" for queue in queues}


def _announce(world: World, queue: str) -> str:
    """Let what feeds a queue have something for it, and return what tells it from others."""
    mark = new_id()
    if queue == "FileThumbnailQueue":
        put_object(world, f"image/{mark}", b"no picture")
        return mark
    told = event("user.updated" if queue == "UserIndexQueue" else "message.created", UsersAudience(user_ids=[]))
    attributes = told.attributes | {"message_type": "voice"}
    world.deployed.client("sns").publish(
        TopicArn=world.deployed.names["EventsTopic"],
        Message=told.model_copy(update={"event_id": mark}).model_dump_json(),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )
    return mark


async def _take(world: World, url: str, held: list[str]) -> list[str]:
    """Take what a queue holds, and return all that was taken so far."""
    sqs = world.deployed.client("sqs")
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        held.append(message["Body"])
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return held
