"""How the index of messages follows the database, what happens while it cannot, and how it is made anew."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hongyan import reindexing, search_index, stores
from hongyan.clock import now
from hongyan.errors import SearchUnavailable
from hongyan.events import Reference
from hongyan.schemas import Message
from opensearchpy import OpenSearch

from functions.message import message_index, reindex, repository, search_repository
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.groups import a_group
from tests.support.people import Person
from tests.support.statements import counted

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]

MESSAGES = message_index.MESSAGES


@pytest.fixture(autouse=True)
def empty_index(deployment: Deployment) -> None:
    make_anew()


@pytest.fixture
def pair(person: People) -> Pair:
    alice, bob = person("alice"), person("bob")
    return alice, bob, alice.befriend(bob)


@pytest.fixture
def engine_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Point the stores at a port where nobody listens; the returned function points them back."""
    nowhere = OpenSearch(["http://127.0.0.1:1"], timeout=2, max_retries=0)
    monkeypatch.setattr(stores, "search_client", lambda: nowhere)
    return monkeypatch.undo


def make_anew(*, rebuild: bool = True) -> int:
    read: int = reindex.handler({"rebuild": rebuild}, LambdaContext())["messages"]
    return read


def refresh() -> None:
    stores.search_client().indices.refresh(index=MESSAGES.alias)


def indexed(deployment: Deployment) -> None:
    """Let the index catch up."""
    assert deployment.message_indexing.work() == []
    refresh()


def indices() -> set[str]:
    return set(stores.search_client().indices.get_alias(index="messages*"))


def documents() -> list[dict[str, Any]]:
    """Return what the index holds, tombstones too."""
    refresh()
    everything = stores.search_client().search(index=MESSAGES.alias, body={"size": 1_000})
    return [hit["_source"] for hit in everything["hits"]["hits"]]


def lines() -> list[str]:
    """Return what the index can find."""
    return sorted(document["text"] for document in documents() if "text" in document)


def found(person: Person, text: str) -> list[str]:
    answer = person.get(f"/v1/messages/search?limit=100&q={quote(text)}")
    assert answer.status == 200, answer.text
    return [item["message"]["content"]["text"] for item in answer.json["items"]]


def edit(person: Person, conversation: str, seq: int, text: str) -> None:
    body = {"content": {"text": text}}
    assert person.patch(f"/v1/conversations/{conversation}/messages/{seq}", body).status == 200


def recall(person: Person, conversation: str, seq: int) -> None:
    assert person.post(f"/v1/conversations/{conversation}/messages/{seq}/recall").status == 200


def cut_off(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """Begin to make the index anew in pages of two, and die instead of reading a page, counted from one."""
    monkeypatch.setattr(reindex, "PAGE", 2)
    read, calls = search_repository.list_messages, []

    def die_at_the_page(*asked: Any) -> Sequence[Message]:
        calls.append(1)
        if len(calls) == page:
            raise KeyboardInterrupt
        return read(*asked)

    with monkeypatch.context() as patch:
        patch.setattr(search_repository, "list_messages", die_at_the_page)
        with pytest.raises(KeyboardInterrupt):
            make_anew()


def reading(conversation: str, seq: int) -> list[Message]:
    """Return a message as it is read now."""
    with stores.engine().connect() as connection:
        return list(repository.find_messages(connection, [Reference(conversation, seq)]).values())


# ---------------------------------------------------------------- events


def test_late_doubled_and_reordered_events_leave_what_is_true_last(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    for text in ("two", "three"):
        edit(alice, conversation, 1, text)
    records = deployment.message_indexing.queued()
    assert len(records) == 3

    for record in [*records[::-1], *records]:
        assert deployment.message_indexing.invoke([record]) == {"batchItemFailures": []}

    assert lines() == ["three."]
    assert found(bob, "three") == ["three"]


def test_an_older_reading_that_is_written_late_changes_nothing(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "older")
    older = reading(conversation, 1)
    edit(alice, conversation, 1, "newer")
    indexed(deployment)

    assert MESSAGES.write(older) == set()

    assert lines() == ["newer."]


def test_an_older_reading_never_brings_a_recalled_message_back(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    message = alice.say(conversation, "secret").json
    said_still = reading(conversation, 1)
    recall(alice, conversation, 1)
    indexed(deployment)

    assert MESSAGES.write(said_still) == set()

    assert documents() == [{"id": message["id"]}]


def test_a_reaction_leaves_the_text_to_be_found(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea")
    bob.put(f"/v1/conversations/{conversation}/messages/1/reactions/👍")
    indexed(deployment)

    assert found(alice, "tea") == ["tea"]


def test_a_document_holds_what_is_searched_and_nothing_else(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    message = alice.say(conversation, "Tëa 天气!", "client-1").json
    indexed(deployment)

    [document] = documents()

    assert document == {
        "id": message["id"],
        "conversation_id": conversation,
        "seq": 1,
        "sender_id": alice.id,
        "type": "text",
        "created_at": document["created_at"],
        "text": "tea. 天 气",
    }


def test_a_poison_record_fails_alone(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea")
    [sent] = deployment.message_indexing.queued()
    poison = [{**sent, "messageId": "p-0", "body": "not an event"}]
    for number, data in enumerate(({}, {"message": None}, {"message": {"seq": 1}}, {"message": {"seq": 0}}), 1):
        body = json.dumps({**json.loads(sent["body"]), "data": data})
        poison.append({**sent, "messageId": f"p-{number}", "body": body})

    answer = deployment.message_indexing.invoke([*poison[:2], sent, *poison[2:]])
    refresh()

    assert {failure["itemIdentifier"] for failure in answer["batchItemFailures"]} == {f"p-{n}" for n in range(5)}
    assert found(bob, "tea") == ["tea"]


def test_a_batch_of_poison_only_reads_nothing(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "tea")
    [sent] = deployment.message_indexing.queued()

    with counted() as statements:
        answer = deployment.message_indexing.invoke([{**sent, "body": "{}"}])

    assert len(answer["batchItemFailures"]) == 1
    assert statements.texts == []


def test_an_event_of_a_message_that_is_not_there_is_done(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "tea")
    [sent] = deployment.message_indexing.queued()
    body = json.dumps({**json.loads(sent["body"]), "data": {"message": {"conversation_id": conversation, "seq": 9}}})

    assert deployment.message_indexing.invoke([{**sent, "body": body}]) == {"batchItemFailures": []}


def test_only_messages_and_their_changes_reach_the_index_queue(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    deployment.drain()

    alice.say(conversation, "tea")
    bob.read(conversation, 1)
    edit(alice, conversation, 1, "more tea")
    alice.patch("/v1/users/me", {"nickname": "Alice"})

    types = [json.loads(record["body"])["type"] for record in deployment.message_indexing.queued()]
    assert sorted(types) == ["message.created", "message.updated"]


def test_what_a_queue_holds_says_nothing_that_was_said(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "secret")

    [record] = deployment.message_indexing.queued()

    assert "secret" not in record["body"]


# ---------------------------------------------------------------- while the engine is away


def test_what_is_said_meanwhile_is_found_once_the_engine_is_back(
    pair: Pair, deployment: Deployment, engine_away: Callable[[], None]
) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    alice.say(conversation, "two")
    records = deployment.message_indexing.queued()
    given_back = deployment.message_indexing.invoke(records)["batchItemFailures"]
    assert {failure["itemIdentifier"] for failure in given_back} == {record["messageId"] for record in records}

    engine_away()
    assert deployment.message_indexing.invoke(records) == {"batchItemFailures": []}
    refresh()

    assert found(bob, "one") == ["one"]
    assert found(bob, "two") == ["two"]


def test_what_the_index_does_not_take_comes_again_alone(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "fits")
    alice.say(conversation, "does not")
    records = deployment.message_indexing.queued()
    document = message_index.document

    def with_a_field_too_many(message: Message) -> Any:
        made = document(message)
        return made._replace(fields={**made.fields, "unknown": 1}) if message.seq == 2 else made

    with monkeypatch.context() as patch:
        patch.setattr(MESSAGES, "_document", with_a_field_too_many)
        [failure] = deployment.message_indexing.invoke(records)["batchItemFailures"]
    refresh()

    [failed] = [record for record in records if record["messageId"] == failure["itemIdentifier"]]
    assert json.loads(failed["body"])["data"]["message"]["seq"] == 2
    assert found(bob, "fits") == ["fits"]


def test_a_lost_index_is_not_begun_by_a_message_but_made_anew_whole(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea one")
    indexed(deployment)
    stores.search_client().indices.delete(index=",".join(indices()))
    alice.say(conversation, "tea two")
    [sent] = deployment.message_indexing.queued()

    assert len(deployment.message_indexing.invoke([sent])["batchItemFailures"]) == 1
    assert indices() == set()
    assert bob.get("/v1/messages/search?q=tea").code == "search_unavailable"

    assert make_anew(rebuild=False) == 2
    assert deployment.message_indexing.invoke([sent]) == {"batchItemFailures": []}
    assert found(bob, "tea") == ["tea two", "tea one"]


# ---------------------------------------------------------------- making it anew


def test_it_is_made_of_all_that_is_said_in_all_conversations(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)
    [single] = [c["id"] for c in bob.get("/v1/conversations").json["items"] if c["kind"] == "single"]
    for n in range(4):
        alice.say(single, f"tea {n}")
        bob.say(group, f"tea in the group {n}")
    edit(alice, single, 1, "tea edited")
    recall(alice, single, 2)
    monkeypatch.setattr(reindex, "PAGE", 2)

    with counted() as statements:
        read = make_anew()

    assert read == 9  # eight texts, and that the group was made
    assert len(statements.texts) == 2 + 6, statements.texts  # the lock and its release; five pages, and none behind
    assert len(found(bob, "tea")) == 7
    assert found(bob, "edited") == ["tea edited"]
    assert len(documents()) == 9


def test_an_index_that_is_there_is_left_alone_unless_told_otherwise(pair: Pair) -> None:
    before = indices()

    assert make_anew(rebuild=False) == 0
    assert indices() == before

    make_anew(rebuild=True)
    assert len(indices()) == 1
    assert indices() != before


def test_a_release_with_another_shape_makes_it_anew(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea")
    monkeypatch.setattr(MESSAGES, "shape", MESSAGES.shape + 1)

    assert make_anew(rebuild=False) == 1

    [name] = indices()
    assert name.startswith(f"messages-v{MESSAGES.shape}-")
    assert found(bob, "tea") == ["tea"]


def test_searching_goes_on_and_nothing_is_lost_while_it_is_made_anew(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    for n in range(5):
        alice.say(conversation, f"tea {n}")
    indexed(deployment)
    during: list[list[str]] = []
    fill = MESSAGES.fill

    def fill_while_people_talk(rows: Sequence[Message]) -> None:
        fill(rows)
        if not during:
            edit(alice, conversation, 1, "tea changed behind")
            edit(alice, conversation, 5, "tea changed ahead")
            recall(alice, conversation, 2)
            recall(alice, conversation, 4)
            alice.say(conversation, "tea at last")
            indexed(deployment)
        during.append(found(bob, "tea"))

    monkeypatch.setattr(reindex, "PAGE", 2)
    monkeypatch.setattr(MESSAGES, "fill", fill_while_people_talk)
    assert make_anew() == 6
    monkeypatch.undo()

    expected = ["tea at last", "tea changed ahead", "tea 2", "tea changed behind"]
    assert during == [expected] * 3
    assert found(bob, "tea") == expected
    assert lines() == sorted(["tea. at. last.", "tea. changed. ahead.", "tea. 2.", "tea. changed. behind."])


def test_a_filling_never_puts_an_older_reading_over_a_change(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "older")
    alice.say(conversation, "secret")
    indexed(deployment)
    fill = MESSAGES.fill

    def fill_late(rows: Sequence[Message]) -> None:
        edit(alice, conversation, 1, "newer")
        recall(alice, conversation, 2)
        indexed(deployment)
        fill(rows)

    monkeypatch.setattr(MESSAGES, "fill", fill_late)
    make_anew()

    assert lines() == ["newer."]


@pytest.mark.parametrize("rebuild", [True, False])
def test_killed_in_the_middle_it_leaves_the_old_index_and_the_next_run_cleans_up(
    pair: Pair,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    rebuild: bool,  # noqa: FBT001
) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea")
    indexed(deployment)

    def die(_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MESSAGES, "fill", die)
        with pytest.raises(KeyboardInterrupt):
            make_anew()
    assert len(indices()) == 2
    alice.say(conversation, "more tea")
    indexed(deployment)
    assert found(bob, "tea") == ["more tea", "tea"]

    make_anew(rebuild=rebuild)

    assert len(indices()) == 1
    assert found(bob, "tea") == ["more tea", "tea"]


def test_what_was_cut_off_goes_on_behind_the_last_page_and_knows_what_changed_meanwhile(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    for n in range(1, 10):
        alice.say(conversation, f"tea {n}")
    indexed(deployment)
    cut_off(monkeypatch, page=4)  # behind the sixth message
    before = indices()
    edit(alice, conversation, 1, "tea changed behind")
    recall(alice, conversation, 2)
    edit(alice, conversation, 8, "tea changed ahead")
    recall(alice, conversation, 9)
    alice.say(conversation, "tea at last")
    indexed(deployment)
    edit(alice, conversation, 3, "tea told late")
    recall(alice, conversation, 4)
    late = deployment.message_indexing.queued()
    assert found(bob, "tea 5") == ["tea 5"], "the old index answers"

    with counted() as statements:
        read = make_anew(rebuild=False)

    assert read == 4
    assert len(statements.texts) == 2 + 3, statements.texts  # the lock and its release; two pages, and none behind
    [left] = indices()
    assert left in before, "it is the one that was begun"
    others = ["tea. 5.", "tea. 6.", "tea. 7.", "tea. at. last.", "tea. changed. ahead.", "tea. changed. behind."]
    assert lines() == ["tea. 3.", "tea. 4.", *others]
    assert deployment.message_indexing.invoke(late) == {"batchItemFailures": []}
    assert lines() == [*others, "tea. told. late."]
    assert len(documents()) == 10
    assert found(bob, "late") == ["tea told late"]


@pytest.mark.parametrize(("page", "read_again"), [(1, 5), (2, 3), (3, 1), (4, 0)])
def test_wherever_it_is_cut_off_the_next_run_makes_it_whole(
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
    read_again: int,
) -> None:
    alice, bob, conversation = pair
    for n in range(1, 6):
        alice.say(conversation, f"tea {n}")
    cut_off(monkeypatch, page)

    # In its first page nothing is done yet, and the old index, of the present shape, answers: nothing is to be done.
    assert make_anew(rebuild=page == 1) == read_again

    assert len(indices()) == 1
    assert found(bob, "tea") == [f"tea {n}" for n in (5, 4, 3, 2, 1)]
    assert make_anew(rebuild=False) == 0


def test_a_page_that_was_written_but_not_noted_is_written_again(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, conversation = pair
    for n in range(1, 6):
        alice.say(conversation, f"tea {n}")
    indexed(deployment)
    monkeypatch.setattr(reindex, "PAGE", 2)
    keep, calls = MESSAGES.keep, []

    def die_the_second_time(*kept: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        keep(*kept)

    with monkeypatch.context() as patch:
        patch.setattr(MESSAGES, "keep", die_the_second_time)
        with pytest.raises(KeyboardInterrupt):
            make_anew()
    edit(alice, conversation, 3, "tea changed")
    indexed(deployment)

    assert make_anew(rebuild=False) == 3

    assert lines() == ["tea. 1.", "tea. 2.", "tea. 4.", "tea. 5.", "tea. changed."]


def test_cut_off_without_an_old_index_it_is_gone_on_with_too(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    for n in range(1, 4):
        alice.say(conversation, f"tea {n}")
    indexed(deployment)
    stores.search_client().indices.delete(index=",".join(indices()))
    cut_off(monkeypatch, page=2)
    recall(alice, conversation, 1)
    waiting = deployment.message_indexing.queued()
    assert len(deployment.message_indexing.invoke(waiting)["batchItemFailures"]) == 1
    assert bob.get("/v1/messages/search?q=tea").code == "search_unavailable"

    assert make_anew(rebuild=False) == 1

    assert lines() == ["tea. 2.", "tea. 3."]
    assert deployment.message_indexing.invoke(waiting) == {"batchItemFailures": []}


def test_whoever_asks_for_it_has_it_made_from_the_beginning(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done behind the back of the events, such as a restored backup, is found by no one who goes on."""
    alice, bob, conversation = pair
    for n in range(1, 4):
        alice.say(conversation, f"tea {n}")
    cut_off(monkeypatch, page=2)
    before = indices()

    assert make_anew(rebuild=True) == 3

    assert not indices() & before
    assert found(bob, "tea") == ["tea 3", "tea 2", "tea 1"]


def test_one_of_another_shape_that_was_cut_off_is_removed_and_begun_anew(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    for n in range(1, 4):
        alice.say(conversation, f"tea {n}")
    cut_off(monkeypatch, page=2)
    monkeypatch.setattr(MESSAGES, "shape", MESSAGES.shape + 1)

    assert make_anew(rebuild=False) == 3

    [name] = indices()
    assert name.startswith(f"messages-v{MESSAGES.shape}-")
    assert found(bob, "tea") == ["tea 3", "tea 2", "tea 1"]


def test_one_that_stood_still_for_an_hour_is_not_gone_on_with(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have become useless, or, half a day later, have missed a change that its queue gave up."""
    alice, bob, conversation = pair
    for n in range(1, 4):
        alice.say(conversation, f"tea {n}")
    indexed(deployment)
    before = indices()
    cut_off(monkeypatch, page=2)
    monkeypatch.setattr(search_index, "now", lambda: now() + timedelta(hours=1))

    assert make_anew(rebuild=False) == 0

    assert indices() == before, "the old one answers still, and is of the present shape"
    assert found(bob, "tea") == ["tea 3", "tea 2", "tea 1"]


def test_the_two_indices_are_made_anew_apart(person: People, deployment: Deployment) -> None:
    """Their locks and their names are their own."""
    with stores.engine().connect() as other:
        assert other.scalar(sa.text("SELECT GET_LOCK('hongyan.users_index', 0)")) == 1
        before = indices()

        make_anew()

        other.execute(sa.text("SELECT RELEASE_LOCK('hongyan.users_index')"))
    assert indices() != before


def test_two_do_not_make_it_anew_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexing, "_LOCK_SECONDS", 0)
    before = indices()
    with stores.engine().connect() as other:
        assert other.scalar(sa.text("SELECT GET_LOCK('hongyan.messages_index', 0)")) == 1
        try:
            with pytest.raises(reindexing.ReindexUnderWayError):
                make_anew()
            assert make_anew(rebuild=False) == 0
        finally:
            other.execute(sa.text("SELECT RELEASE_LOCK('hongyan.messages_index')"))

    assert indices() == before


def test_while_the_engine_is_away_it_fails_and_can_be_called_again(pair: Pair, engine_away: Callable[[], None]) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea")
    with pytest.raises(SearchUnavailable):
        make_anew()

    engine_away()

    assert make_anew() == 1
    assert found(bob, "tea") == ["tea"]


def test_a_page_begins_behind_the_last_without_reading_it_again(pair: Pair) -> None:
    """Else filling would become slower with each page of a long conversation."""
    alice, _, conversation = pair
    for n in range(60):
        alice.say(conversation, f"tea {n}")

    with stores.engine().connect() as connection:
        before = rows_read(connection)
        pages, position = [], ("", 0)
        while page := search_repository.list_messages(connection, *position, 10):
            pages.append(page)
            position = (page[-1].conversation_id, page[-1].seq)
        reads = rows_read(connection)

    assert [len(page) for page in pages] == [10] * 6
    reads = {name: count - before[name] for name, count in reads.items()}
    scanned = reads.pop("Handler_read_rnd_next")
    assert sum(reads.values()) <= 60 + 3 * 7
    assert scanned <= len(before) + 1, "only the counters themselves"


def rows_read(connection: sa.Connection) -> dict[str, int]:
    """Return how many rows this connection has read until now, by the way it read them."""
    counts = connection.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return {str(row[0]): int(row[1]) for row in counts}
