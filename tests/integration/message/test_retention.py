"""What was said longer ago than the deployment keeps it goes, in batches, and only where that is wanted."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.settings import settings
from hongyan.tables import messages, metadata

from functions.message import retention
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.groups import a_group
from tests.support.people import Person
from tests.support.template import load

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]


@pytest.fixture
def pair(person: People) -> Pair:
    alice, bob = person("alice"), person("bob")
    return alice, bob, alice.befriend(bob)


@pytest.fixture
def thirty_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was said be kept for thirty days."""
    monkeypatch.setattr(retention, "settings", lambda: settings().model_copy(update={"message_retention_days": 30}))


def was_said(conversation: str, seqs: range, ago: timedelta) -> None:
    with stores.engine().begin() as connection:
        connection.execute(
            sa.update(messages)
            .where(messages.c.conversation_id == conversation, messages.c.seq.in_(seqs))
            .values(created_at=now() - ago)
        )


def run() -> int:
    emptied: int = load("functions.message.retention.handler")({}, LambdaContext(remaining_ms=300_000))["emptied"]
    return emptied


def test_by_default_everything_is_kept(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "old")
    was_said(conversation, range(1, 2), timedelta(days=9_999))

    assert run() == 0
    assert bob.history(conversation)[0]["content"] == {"text": "old"}


@pytest.mark.usefixtures("thirty_days")
def test_what_is_too_old_is_gone_and_the_rest_stays(pair: Pair) -> None:
    alice, bob, conversation = pair
    for n in range(1, 6):
        alice.say(conversation, f"Geheimnis-{n}")
        alice.put(f"/v1/conversations/{conversation}/messages/{n}/reactions/%F0%9F%91%8D")
    was_said(conversation, range(1, 4), timedelta(days=31))

    assert run() == 3
    assert run() == 0

    told = bob.history(conversation)
    assert [message["content"] for message in told] == [{}, {}, {}, {"text": "Geheimnis-4"}, {"text": "Geheimnis-5"}]
    assert [len(message["reactions"]) for message in told] == [0, 0, 0, 1, 1]
    with stores.engine().connect() as connection:
        for table in metadata.sorted_tables:
            rows = str(connection.execute(sa.select(table)).all())
            assert not any(f"Geheimnis-{n}" in rows for n in (1, 2, 3)), table.name


@pytest.mark.usefixtures("thirty_days")
def test_it_comes_to_every_device_by_sync_and_to_the_index_but_not_to_sockets(
    pair: Pair, deployment: Deployment
) -> None:
    alice, bob, conversation = pair
    for _ in range(3):
        alice.say(conversation, "old")
    cursor = bob.get("/v1/sync").json["next_cursor"]
    was_said(conversation, range(1, 3), timedelta(days=31))
    deployment.drain()
    at_bob = bob.connect()

    run()
    deployment.push()

    assert [message["content"] for message in bob.get(f"/v1/sync?cursor={cursor}").json["messages"]] == [{}, {}]
    assert at_bob.events == []
    assert bob.get(f"/v1/conversations/{conversation}").json["unread_count"] == 1


@pytest.mark.usefixtures("thirty_days")
def test_a_long_past_goes_in_batches(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    alice, bob, conversation = pair
    for n in range(5):
        alice.say(conversation, f"message {n}")
    was_said(conversation, range(1, 6), timedelta(days=31))

    assert run() == 5
    changes = [message["change_seq"] for message in bob.history(conversation)]
    assert len(set(changes)) == 5


@pytest.mark.usefixtures("thirty_days")
def test_what_the_server_said_of_a_group_stays(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    alice.say(group, "old")
    was_said(group, range(1, 3), timedelta(days=31))

    run()

    first, second = alice.history(group)
    assert first["content"]["event"] == "group_created"
    assert second["content"] == {}
