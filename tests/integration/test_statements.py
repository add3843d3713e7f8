"""How many statements the hot paths cost, however much there is: a rise is a decision, not an accident."""

from collections.abc import Callable

import pytest

from tests.support.cache import lose_cache
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.groups import a_crowd_of_friends, a_group, fill, remove
from tests.support.people import Person, a_text
from tests.support.statements import counted
from tests.support.template import load

People = Callable[[str], Person]


@pytest.fixture
def pair(person: People) -> tuple[Person, Person, str]:
    alice, bob = person("alice"), person("bob")
    conversation = alice.befriend(bob)
    alice.get("/v1/users/me")
    return alice, bob, conversation


Pair = tuple[Person, Person, str]


def test_a_send_is_five_statements_in_one_transaction_and_one_that_empties_the_outbox(pair: Pair) -> None:
    alice, _, conversation = pair

    with counted() as statements:
        alice.say(conversation, "hello")

    assert len(statements.texts) == 6, statements.texts
    assert statements.texts[-1].startswith("DELETE FROM outbox")
    assert statements.commits == 2  # the message's, and the one of the emptied outbox


def test_a_send_over_the_socket_costs_the_same(pair: Pair) -> None:
    alice, _, conversation = pair
    socket = alice.connect()
    socket.send(action="ping")

    with counted() as statements:
        socket.send(action="send", conversation_id=conversation, message=a_text("hello"))

    assert len(statements.texts) == 6, statements.texts


def test_a_repeated_send_is_two_statements(pair: Pair) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "hello", "c-1")

    with counted() as statements:
        alice.say(conversation, "hello", "c-1")

    assert len(statements.texts) == 2, statements.texts


@pytest.mark.parametrize("messages", [1, 10])
def test_a_push_is_two_statements_however_many_messages_a_batch_holds(
    pair: Pair, deployment: Deployment, messages: int
) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    deployment.drain()
    for _ in range(messages):
        alice.say(conversation, "hello")
    records = deployment.queued()

    with counted() as statements:
        deployment.invoke_push(records)

    assert len(at_bob.events) == messages
    assert len(statements.texts) == 2, statements.texts  # the members, the messages


@pytest.mark.parametrize("changes", [1, 6])
def test_a_push_to_friends_is_one_statement_however_many_people_have_changed(
    person: People, deployment: Deployment, changes: int
) -> None:
    people = [person("friend") for _ in range(changes)]
    deployment.drain()
    for one in people:
        one.patch("/v1/users/me", {"nickname": "changed"})
    records = deployment.queued()

    with counted() as statements:
        deployment.invoke_push(records)

    assert len(statements.texts) == 1, statements.texts


@pytest.mark.parametrize("changes", [1, 6])
def test_indexing_people_is_one_statement_however_many_have_changed(
    person: People, deployment: Deployment, changes: int
) -> None:
    for _ in range(changes):
        person("new")
    records = deployment.indexing.queued()

    with counted() as statements:
        deployment.indexing.invoke(records)

    assert len(records) == changes
    assert len(statements.texts) == 1, statements.texts


@pytest.mark.parametrize("changes", [1, 6])
def test_indexing_messages_is_one_statement_however_many_have_changed(
    pair: Pair, deployment: Deployment, changes: int
) -> None:
    alice, _, conversation = pair
    load("functions.message.reindex.handler")({}, LambdaContext())
    for _ in range(changes):
        alice.say(conversation, "hello")
    records = deployment.message_indexing.queued()

    with counted() as statements:
        assert deployment.message_indexing.invoke(records) == {"batchItemFailures": []}

    assert len(records) == changes
    assert len(statements.texts) == 1, statements.texts


@pytest.mark.parametrize("found", [1, 6])
def test_a_search_of_messages_is_two_statements_however_many_are_found_and_wherever(
    person: People, deployment: Deployment, found: int
) -> None:
    alice = person("alice")
    for _ in range(found):
        alice.say(alice.befriend(person("friend")), "hello")
    load("functions.message.reindex.handler")({"rebuild": True}, LambdaContext())
    alice.get("/v1/users/me")

    with counted() as statements:
        items = alice.get("/v1/messages/search?q=hello").json["items"]

    assert len(items) == found
    assert len(statements.texts) == 2, statements.texts  # what the caller may read, what was found


@pytest.mark.parametrize("people", [1, 6])
def test_a_search_is_two_statements_however_many_are_found(person: People, deployment: Deployment, people: int) -> None:
    alice = person("alice")
    for _ in range(people):
        person("found")
    load("functions.user.reindex.handler")({"rebuild": True}, LambdaContext())
    alice.get("/v1/users/me")

    with counted() as statements:
        items = alice.get("/v1/users/search?q=found").json["items"]

    assert len(items) == people
    assert len(statements.texts) == 2, statements.texts  # who has blocked the caller, who was found


@pytest.mark.parametrize("friends", [1, 6])
def test_the_list_of_conversations_is_one_statement_however_many_there_are(person: People, friends: int) -> None:
    alice = person("alice")
    for _ in range(friends):
        alice.say(alice.befriend(person("friend")), "hello")
    alice.get("/v1/users/me")

    with counted() as statements:
        listed = alice.get("/v1/conversations").json["items"]

    assert len(listed) == friends
    assert len(statements.texts) == 1, statements.texts


@pytest.mark.parametrize("groups", [1, 4])
def test_the_list_of_groups_and_singles_is_two_statements_and_so_is_a_later_page(person: People, groups: int) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group_ids = [a_group(alice, bob, carol)]
    body = {"name": "x", "member_ids": [bob.id, carol.id]}
    group_ids += [alice.post("/v1/conversations", body).json["id"] for _ in range(groups - 1)]
    remove(bob, group_ids[0], bob)

    with counted() as first:
        page = bob.get("/v1/conversations?limit=1").json
    alice.say(group_ids[-1], "while bob pages")
    with counted() as second:
        assert bob.get(f"/v1/conversations?limit=100&cursor={page['next_cursor']}").json["items"]

    # The conversations, and what does not count as unread where something may be.
    assert len(first.texts) == 2, first.texts
    assert len(second.texts) <= 2, second.texts


@pytest.mark.parametrize("others", [2, 499])
def test_a_group_is_made_by_as_many_statements_whoever_is_in_it(person: People, others: int) -> None:
    alice = person("alice")
    crowd = a_crowd_of_friends(alice, others)
    alice.patch("/v1/users/me", {})  # once in half a minute a session that changes something is looked up

    with counted() as statements:
        assert alice.post("/v1/conversations", {"name": "x", "member_ids": crowd}).status == 201

    assert len(statements.texts) == 11, statements.texts
    assert statements.commits == 2


@pytest.mark.parametrize(("size", "added"), [(3, 1), (3, 500), (9_000, 500)])
def test_people_join_by_as_many_statements_however_many_they_are(person: People, size: int, added: int) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)
    fill(group, size - 3)
    crowd = a_crowd_of_friends(alice, added)

    with counted() as statements:
        assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": crowd}).status == 200

    assert len(statements.texts) == 12, statements.texts
    assert statements.commits == 2


@pytest.mark.parametrize("size", [10, 1_000, 10_000])
def test_a_send_to_a_group_costs_the_same_however_large_it_is(person: People, size: int) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)
    fill(group, size - 3)

    with counted() as statements:
        alice.say(group, "hello")

    assert len(statements.texts) == 6, statements.texts


@pytest.mark.parametrize("size", [3, 50, 51, 1_000])
def test_a_new_name_and_a_leaving_cost_the_same_however_large_a_group_is(person: People, size: int) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)
    fill(group, size - 3)

    with counted() as renaming:
        alice.patch(f"/v1/conversations/{group}", {"name": "new"})
    with counted() as leaving:
        remove(bob, group, bob)

    assert len(renaming.texts) == (10 if size <= 50 else 8), renaming.texts
    assert len(leaving.texts) == 7, leaving.texts


def test_a_page_of_history_is_two_statements(pair: Pair) -> None:
    alice, _, conversation = pair
    for _ in range(3):
        alice.say(conversation, "hello")

    with counted() as statements:
        assert len(alice.history(conversation)) == 3

    assert len(statements.texts) == 2, statements.texts


def test_a_read_is_five_statements_and_one_that_empties_the_outbox(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "hello")
    bob.get("/v1/users/me")

    with counted() as statements:
        bob.read(conversation, 1)

    assert len(statements.texts) == 6, statements.texts


def test_a_known_token_costs_no_statement(pair: Pair) -> None:
    alice, _, _ = pair
    lose_cache()

    with counted() as first:
        alice.get("/v1/users/me")
    with counted() as second:
        alice.get("/v1/users/me")

    assert len(first.texts) == 2, first.texts  # the token, the profile
    assert len(second.texts) == 1, second.texts
