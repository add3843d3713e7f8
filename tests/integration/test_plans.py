"""What the database does for each hot statement, in large tables: it reads a few rows of an index, and no more.

The statements are those that the code sends, taken as it runs. What they read is counted by the server itself.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hongyan import outbox, stores
from hongyan.clock import now, rfc3339
from hongyan.events import ConversationAudience, event
from hongyan.ids import new_id
from hongyan.tables import hidden_messages, members
from hongyan.tables import outbox as outbox_table

from functions.message.audiences import SHARD_SIZE
from tests.support.deployment import Deployment
from tests.support.groups import a_crowd_of_friends, a_group, fill
from tests.support.histories import fill_history, fill_strangers, forget_histories, measure_tables
from tests.support.people import Person
from tests.support.statements import counted

MESSAGES = 200_000
MEMBERS = 10_000
FRIENDS = 2 * SHARD_SIZE + 200
GROUPS = 100
STRANGERS = 5_000
PAGE = 100


class World(NamedTuple):
    """Somebody with many conversations, of which one is a large group with a long history."""

    alice: Person
    group: str
    last_seq: int
    deployment: Deployment


class Plan(NamedTuple):
    """How one statement was run: the indexes it used, what they are besides, and how many rows were read."""

    text: str
    steps: list[dict[str, Any]]
    examined: int

    @property
    def keys(self) -> set[tuple[str, str]]:
        return {(step["table"], step["key"]) for step in self.steps if step["key"]}

    @property
    def is_bad(self) -> bool:
        return any(step["type"] in ("ALL", "index") for step in self.steps)

    @property
    def sorts(self) -> bool:
        return any("filesort" in step["Extra"] or "temporary" in step["Extra"] for step in self.steps)


@pytest.fixture(scope="module")
def world(whole_deployment: Deployment) -> Iterator[World]:
    forget_histories()  # of a run that was cut off
    whole_deployment.empty()
    alice, bob, carol = (Person.join(whole_deployment.management, name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    fill(group, MEMBERS - 3)
    a_crowd_of_friends(alice, FRIENDS)
    fill_strangers(STRANGERS)
    others = [
        alice.post("/v1/conversations", {"name": f"{n}", "member_ids": [bob.id, carol.id]}).json["id"]
        for n in range(GROUPS)
    ]
    fill_history(group, alice.id, bob.id, MESSAGES)
    for conversation_id in others:
        fill_history(conversation_id, alice.id, bob.id, 200)
    last_seq: int = bob.conversation(group)["last_seq"]
    _leave_unread(alice, group, last_seq)
    measure_tables()
    whole_deployment.drain()
    yield World(alice, group, last_seq, whole_deployment)
    forget_histories()
    whole_deployment.empty()


def _leave_unread(someone: Person, group: str, last_seq: int) -> None:
    """Let somebody have much to read, and have hidden some of it and some of what they had read."""
    unread = sa.update(members).where(members.c.conversation_id == group, members.c.user_id == someone.id)
    hidden = [
        {"user_id": someone.id, "conversation_id": group, "seq": seq, "hidden_at": now()}
        for seq in range(1_000, last_seq - 1, 500)
    ]
    with stores.engine().begin() as connection:
        connection.execute(unread.values(read_seq=last_seq - 3_000, own_after_read=1_500))
        connection.execute(sa.insert(hidden_messages).values(hidden))


def plans(do: Callable[[], Any]) -> list[Plan]:
    """Do something and return how its statements were run, without those that only insert."""
    with counted() as statements:
        do()
    return [
        _plan(text, parameters)
        for text, parameters in zip(statements.texts, statements.parameters, strict=True)
        if not text.startswith("INSERT")
    ]


def _plan(text: str, parameters: Any) -> Plan:
    with stores.engine().connect() as connection:
        steps = connection.exec_driver_sql(f"EXPLAIN {text}", parameters).mappings().all()
        before = _rows_read(connection)
        connection.exec_driver_sql(text, parameters)
        examined = _rows_read(connection) - before
        connection.rollback()
    return Plan(text, [{**step, "Extra": step["Extra"] or ""} for step in steps], examined)


def _rows_read(connection: sa.Connection) -> int:
    counters = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
    return sum(int(value) for _, value in counters)


def of(table: str, found: list[Plan]) -> Plan:
    """Return the one statement that reads a table first."""
    [plan] = [plan for plan in found if plan.steps[0]["table"] == table]
    return plan


def assert_bounded(found: list[Plan], most: int) -> None:
    for plan in found:
        assert not plan.is_bad, plan
        assert not plan.sorts, plan
        assert plan.examined <= most, plan


@pytest.mark.parametrize("times", [1, 2])
def test_a_send_finds_its_place_and_its_own_id_by_unique_keys(world: World, times: int) -> None:
    client_id = new_id()
    for _ in range(times - 1):
        world.alice.say(world.group, "hello", client_id)

    found = plans(lambda: world.alice.say(world.group, "hello", client_id))

    assert_bounded(found, most=5)
    place = {("conversations", "PRIMARY"), ("members", "PRIMARY")}
    assert [plan.keys for plan in found if plan.keys & place] == [place] * (3 - times)  # the lock; the update once
    assert of("messages", found).keys == {("messages", "uq_messages_client_id")}


@pytest.mark.parametrize("where", ["", "&before_seq=150000", "&before_seq=50", "&after_seq=0", "&after_seq=150000"])
def test_a_page_of_history_reads_its_own_rows_of_the_primary_key(world: World, where: str) -> None:
    path = f"/v1/conversations/{world.group}/messages?limit={PAGE - 1}{where}"

    found = plans(lambda: world.alice.get(path))

    assert_bounded(found, most=2 * PAGE + 2)  # a row and whether it is hidden
    assert of("messages", found).keys == {("messages", "PRIMARY"), ("hidden_messages", "PRIMARY")}


@pytest.mark.parametrize("where", ["from={from}", "to={to}", "from={from}&to={to}"])
def test_a_page_of_history_by_time_finds_its_bounds_by_one_row_each(world: World, where: str) -> None:
    moments = {"from": rfc3339(now() - timedelta(hours=30)), "to": rfc3339(now() - timedelta(hours=20))}
    path = f"/v1/conversations/{world.group}/messages?limit={PAGE - 1}&{where.format(**moments)}"

    found = plans(lambda: world.alice.get(path))

    assert_bounded(found, most=2 * PAGE + 2)
    bounds = [plan for plan in found if plan.keys == {("messages", "ix_messages_created_at")}]
    assert len(bounds) == where.count("{")
    assert all(plan.examined <= 2 for plan in bounds)


def test_a_read_mark_reads_what_comes_behind_it(world: World) -> None:
    end = world.alice.conversation(world.group)["last_seq"]

    found = plans(lambda: world.alice.read(world.group, end - 10))

    assert_bounded(found, most=12)
    assert of("messages", found).keys == {("messages", "PRIMARY")}


def test_a_card_counts_what_is_not_to_be_read_by_keys(world: World) -> None:
    found = plans(lambda: world.alice.conversation(world.group))

    assert_bounded(found, most=20)


def test_the_list_of_conversations_reads_ones_own_and_no_histories(world: World) -> None:
    found = plans(lambda: world.alice.get(f"/v1/conversations?limit={PAGE}"))

    cards, unsaid = found
    assert not cards.is_bad, cards
    assert {("members", "ix_members_user"), ("conversations", "PRIMARY"), ("last", "PRIMARY")} <= cards.keys
    assert cards.examined < 10 * (GROUPS + 3), cards  # sorted by activity: all of one's own are looked at, once
    assert_bounded([unsaid], most=10 * PAGE)


def test_the_last_message_that_one_has_not_hidden_is_found_from_the_end(world: World) -> None:
    last_seq = world.alice.say(world.group, "hide me").json["seq"]
    assert world.alice.delete(f"/v1/conversations/{world.group}/messages/{last_seq}").status < 300

    found = plans(lambda: world.alice.conversation(world.group))

    assert_bounded(found, most=20)
    assert world.alice.conversation(world.group)["last_message"]["seq"] == last_seq - 1


def test_no_statement_of_a_push_reads_more_of_a_large_group_than_a_shard(world: World) -> None:
    world.deployment.drain()
    world.alice.say(world.group, "hello")

    found = plans(world.deployment.push)

    assert_bounded(found, most=SHARD_SIZE + 1)
    of_members = [plan for plan in found if plan.steps[0]["table"] == "members"]
    assert len(of_members) > 2 * (MEMBERS // SHARD_SIZE)  # to find the parts, and to read each
    assert all(plan.keys == {("members", "PRIMARY")} for plan in of_members if "joined_seq" in plan.text)
    assert {("messages", "PRIMARY")} in [plan.keys for plan in found]


def test_no_statement_of_a_push_reads_more_of_many_friends_than_a_shard(world: World) -> None:
    world.deployment.drain()
    world.alice.patch("/v1/users/me", {"nickname": new_id()[:20]})

    found = plans(world.deployment.push)

    assert_bounded(found, most=3 * (SHARD_SIZE + 1))  # each friend, and whether they are blocked
    keys = {key for plan in found for key in plan.keys}
    assert ("friendships", "PRIMARY") in keys
    assert {table for table, _ in keys} == {"friendships", "blocks"}


def test_the_sweeper_reads_what_it_publishes(world: World) -> None:
    earlier = now() - outbox.LEFT_BEHIND_AFTER - timedelta(seconds=1)
    with stores.engine().begin() as connection:
        waiting = [event("message.read", ConversationAudience(conversation_id=new_id())) for _ in range(3_000)]
        outbox.write(connection, waiting)
        connection.execute(sa.update(outbox_table).values(created_at=earlier))
    measure_tables()

    found = plans(lambda: outbox.sweep(set()))

    assert_bounded(found, most=outbox._SWEEP_ROWS)
    assert [plan.keys for plan in found] == [{("outbox", "ix_outbox_created_at")}, {("outbox", "PRIMARY")}]
