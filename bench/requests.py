"""What a message asks of AWS and of the stores, each request counted: the functions run in this process."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.client import BaseClient
from hongyan import stores
from hongyan.ids import new_id

from bench.work import CROWD, GROUP, ONLINE
from tests.support.deployment import Consumer, Deployment
from tests.support.gateway import Socket
from tests.support.groups import fill
from tests.support.people import Person
from tests.support.statements import counted

_EVERY_CALL = "_make_api_call"  # of a client: the one place that each request goes through
_TEXT = "你好, how are you? I ask because I should like to know whether you will come on Sunday."


def count(deployment: Deployment) -> dict[str, Any]:
    """Return the requests of a send, of its push by who is online, of a read, a ping and a connection."""
    return dict(_counts(deployment))


def _counts(deployment: Deployment) -> Iterator[tuple[str, dict[str, Any]]]:
    alice, bob, carol, dave = (Person.join(deployment.management, f"cost-{name}") for name in "abcd")
    single = alice.befriend(bob)
    for friend in (carol, dave):
        alice.befriend(friend)
    groups = {size: _group(alice, [bob, carol], size) for size in (GROUP, CROWD)}
    screen = alice.connect()
    deployment.drain()

    yield "send to 0 of 1", _sent(deployment, screen, single)
    other = bob.connect()
    deployment.push()
    yield "send to 1 of 1", _sent(deployment, screen, single)
    yield "read", _seen(deployment, lambda: other.send(action="read", id="r", conversation_id=single, seq=2))
    yield "ping", _seen(deployment, lambda: other.send(action="ping", id="p"))
    for _ in range(ONLINE - 1):
        Socket.open(deployment.management, token=carol.token)
    deployment.push()
    for size, group_id in groups.items():
        yield f"send to {ONLINE} of {size}", _sent(deployment, screen, group_id)
    yield "connect", _seen(deployment, lambda: _come_and_go(dave))


def _come_and_go(who: Person) -> None:
    screen = who.connect()
    screen.send(action="ping", id="p")
    screen.send(action="sync", id="s")
    screen.close()


def _group(owner: Person, others: list[Person], size: int) -> str:
    made = owner.post("/v1/conversations", {"name": f"{size}", "member_ids": [other.id for other in others]})
    group_id: str = made.json["id"]
    fill(group_id, size - 1 - len(others))
    return group_id


def _sent(deployment: Deployment, sender: Socket, conversation_id: str) -> dict[str, Any]:
    message = {"client_id": new_id(), "type": "text", "content": {"text": _TEXT}}
    frame = {"action": "send", "id": "s", "conversation_id": conversation_id, "message": message}
    return _seen(deployment, lambda: sender.send(**frame))


def _seen(deployment: Deployment, do: Callable[[], object]) -> dict[str, Any]:
    """Return what something asks for: by itself, and by what is pushed after it."""
    with _requests() as first:
        do()
    events = deployment.queued()
    with _requests() as pushed:
        if events:
            deployment.invoke_push(events)
    shards = _taken(deployment.sharding)
    for shard in shards:
        with _requests(pushed):
            deployment.sharding.invoke([shard])
    deployment.drain()
    return {"itself": first, "push": pushed, "events": len(events), "shards": len(shards)}


def _taken(consumer: Consumer) -> list[dict[str, Any]]:
    records = consumer.queued()
    consumer.drain()
    return records


@contextmanager
def _requests(seen: Counter[str] | None = None) -> Iterator[Counter[str]]:
    """Count what is asked for meanwhile: AWS by operation, with the bytes that are paid by, and the stores."""
    seen = Counter() if seen is None else seen
    call = getattr(BaseClient, _EVERY_CALL)

    def noted(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        seen[operation] += 1
        if operation == "PublishBatch":
            seen["published bytes"] += sum(len(e["Message"].encode()) for e in parameters["PublishBatchRequestEntries"])
        if operation == "SendMessageBatch":
            seen["queued messages"] += len(parameters["Entries"])
        if operation == "PostToConnection":
            seen["posted bytes"] += len(parameters["Data"])
        return call(client, operation, parameters)

    commands = _redis_commands()
    with pytest.MonkeyPatch.context() as patch, counted() as statements:
        patch.setattr(BaseClient, _EVERY_CALL, noted)
        yield seen
    seen["statements"] += len(statements.texts)
    seen["commits"] += statements.commits
    seen["Redis commands"] += _redis_commands() - commands - 1  # the first question counts as well


def _redis_commands() -> int:
    return int(stores.cache_client().info("stats")["total_commands_processed"])
