"""Searching people: who may find whom, how the index follows the database, and what happens while it cannot."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hongyan import rate_limits, reindexing, stores
from hongyan.clock import now
from hongyan.errors import SearchUnavailable
from hongyan.ids import new_id
from hongyan.tables import blocks, users
from opensearchpy import OpenSearch

from functions.user import people as user_people
from functions.user import reindex, repository, user_index
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, Response, request
from tests.support.people import PASSWORD, Person
from tests.support.statements import counted

People = Callable[[str], Person]

PHONE = "+8613800138000"


@pytest.fixture(autouse=True)
def empty_index(deployment: Deployment) -> None:
    make_anew()


def make_anew(*, rebuild: bool = True) -> int:
    read: int = reindex.handler({"rebuild": rebuild}, LambdaContext())["users"]
    return read


def refresh() -> None:
    stores.search_client().indices.refresh(index=user_index.PEOPLE.alias)


def indexed(deployment: Deployment) -> None:
    """Let the index catch up."""
    assert deployment.index() == []
    refresh()


def indices() -> set[str]:
    return set(stores.search_client().indices.get_alias(index="users*"))


def lose_the_index() -> None:
    stores.search_client().indices.delete(index=",".join(indices()))


def change(user_id: str, **values: Any) -> None:
    """Do what another use case will: change a row and count it."""
    with stores.engine().begin() as connection:
        repository.update_user(connection, user_id, **values)


def rows_of(*user_ids: str) -> Any:
    with stores.engine().connect() as connection:
        return repository.find_users(connection, user_ids)


def block(blocker: Person, blocked: Person) -> None:
    with stores.engine().begin() as connection:
        connection.execute(sa.insert(blocks).values(user_id=blocker.id, blocked_id=blocked.id, created_at=now()))


def look_for(person: Person, text: str, **more: Any) -> Response:
    parameters = "".join(f"&{name}={value}" for name, value in more.items())
    return person.get(f"/v1/users/search?q={quote(text)}{parameters}")


def found(person: Person, text: str) -> list[str]:
    answer = look_for(person, text)
    assert answer.status == 200, answer.text
    return [item["id"] for item in answer.json["items"]]


def rename(person: Person, nickname: str) -> None:
    assert person.patch("/v1/users/me", {"nickname": nickname}).status == 200


@pytest.fixture
def engine_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Point the stores at a port where nobody listens; the returned function points them back."""
    nowhere = OpenSearch(["http://127.0.0.1:1"], timeout=2, max_retries=0)
    monkeypatch.setattr(stores, "search_client", lambda: nowhere)
    return monkeypatch.undo


# ---------------------------------------------------------------- what is asked and answered


def test_a_new_account_is_found_with_its_profile_and_relation(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    rename(bob, "鲍勃")
    indexed(deployment)

    answer = look_for(alice, "鲍")

    profile = alice.get(f"/v1/users/{bob.id}").json
    assert answer.json == {"items": [{**profile, "relation": "none"}], "next_cursor": None}


def test_a_changed_name_is_found_and_the_old_one_is_not(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    rename(alice, "Before")
    rename(alice, "After")
    indexed(deployment)

    assert found(alice, "After") == [alice.id]
    assert found(alice, "Before") == []


@pytest.mark.parametrize(
    "query", ["", "?q=", "?q=%20%20", "?q=a%0Ab", f"?q={'x' * 65}", "?q=%E2%80%8B", "?q=a&limit=0"]
)
def test_a_question_that_is_none_is_refused(person: People, query: str) -> None:
    answer = person("alice").get(f"/v1/users/search{query}")

    assert (answer.status, answer.code) == (422, "validation_failed")


def test_only_who_is_logged_in_may_search(deployment: Deployment) -> None:
    assert request("GET", "/v1/users/search?q=alice").status == 401


def test_pages_hold_everybody_once_even_when_people_join_meanwhile(person: People, deployment: Deployment) -> None:
    everybody = [person("chen") for _ in range(12)]
    indexed(deployment)
    pages: list[list[str]] = []
    more: dict[str, str] = {}

    while not pages or more:
        page = look_for(everybody[0], "chen", limit=5, **more).json
        pages.append([item["id"] for item in page["items"]])
        more = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        rename(person("chen"), "Chen")  # who comes before all others
        indexed(deployment)

    assert [len(page) for page in pages] == [5, 5, 2]
    assert sorted(seen for page in pages for seen in page) == sorted(p.id for p in everybody)


def test_a_cursor_goes_on_with_its_own_question_and_caller_only(person: People, deployment: Deployment) -> None:
    alice, bob = person("chen"), person("chen")
    indexed(deployment)
    cursor = look_for(alice, "chen", limit=1).json["next_cursor"]

    assert look_for(alice, "chen", limit=1, cursor=cursor).json["next_cursor"] is None
    assert look_for(alice, "che", limit=1, cursor=cursor).code == "invalid_cursor"
    assert look_for(bob, "chen", limit=1, cursor=cursor).code == "invalid_cursor"


# ---------------------------------------------------------------- ids and phones


def test_an_id_finds_whose_it_is_without_the_engine(person: People, engine_away: Callable[[], None]) -> None:
    alice, bob = person("alice"), person("bob")

    assert found(alice, bob.id) == [bob.id]
    assert found(alice, f" {bob.id} ") == [bob.id]
    assert found(alice, new_id()) == []


@pytest.mark.parametrize("asked", [PHONE, "13800138000"])
def test_a_whole_phone_finds_whose_it_is_without_the_engine(
    person: People, engine_away: Callable[[], None], asked: str
) -> None:
    alice, bob = person("alice"), person("bob")
    change(bob.id, phone=PHONE)

    assert found(alice, asked) == [bob.id]


@pytest.mark.parametrize("asked", ["1380013800", "3800138000", "8613800138000", "+861380013800", "138001380001"])
def test_a_part_of_a_phone_finds_nobody(person: People, deployment: Deployment, asked: str) -> None:
    alice, bob = person("alice"), person("bob")
    change(bob.id, phone=PHONE)
    indexed(deployment)

    assert found(alice, asked) == []


def test_a_phone_that_nobody_has_may_still_be_a_name(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    rename(bob, "13800138000")
    indexed(deployment)

    assert found(alice, "13800138000") == [bob.id]


def test_a_phone_is_neither_in_the_index_nor_in_answers(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    rename(bob, "鲍勃")
    change(bob.id, phone=PHONE)
    indexed(deployment)

    everything = stores.search_client().search(index="users*", body={"size": 1_000})
    documents = [hit["_source"] for hit in everything["hits"]["hits"]]

    assert {document["id"] for document in documents} == {alice.id, bob.id}
    assert "13800138000" not in json.dumps(everything)
    assert {name for document in documents for name in document} == {
        "id",
        "username",
        "nickname",
        "username_words",
        "nickname_words",
        "length",
    }
    for asked in (PHONE, bob.id, "鲍勃"):
        assert found(alice, asked) == [bob.id]
        assert "13800138000" not in look_for(alice, asked).text


# ---------------------------------------------------------------- who sees whom, and how


def test_each_relation_is_told(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    friend, requested, incoming, blocked, stranger = (person("ding") for _ in range(5))
    alice.befriend(friend)
    alice.ask(requested)
    incoming.ask(alice)
    block(alice, blocked)
    rename(alice, "ding")
    indexed(deployment)

    relations = {item["id"]: item["relation"] for item in look_for(alice, "ding").json["items"]}

    assert relations == {
        alice.id: "self",
        friend.id: "friend",
        requested.id: "requested",
        incoming.id: "incoming",
        blocked.id: "blocked",
        stranger.id: "none",
    }
    assert [look_for(alice, i).json["items"][0]["relation"] for i in relations] == list(relations.values())


def test_a_decided_request_is_no_relation(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    bob.post(f"/v1/friend-requests/{alice.ask(bob)}/reject")
    indexed(deployment)

    [item] = look_for(alice, bob.username).json["items"]

    assert item["relation"] == "none"


def test_a_blocked_friend_is_blocked(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    alice.befriend(bob)
    block(alice, bob)

    assert look_for(alice, bob.id).json["items"][0]["relation"] == "blocked"


def test_who_has_blocked_the_caller_is_found_by_id_alone(person: People, deployment: Deployment) -> None:
    alice, bob, eve = person("alice"), person("bob"), person("eve")
    change(bob.id, phone=PHONE)
    block(bob, alice)
    indexed(deployment)

    assert found(alice, bob.username) == []
    assert found(alice, PHONE) == []
    assert [i["relation"] for i in look_for(alice, bob.id).json["items"]] == ["none"]
    assert found(eve, bob.username) == found(eve, PHONE) == [bob.id]


def test_pages_stay_full_for_who_is_blocked_by_many(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    people = [person("chen") for _ in range(8)]
    for blocker in people[:5]:
        block(blocker, alice)
    indexed(deployment)

    page = look_for(alice, "chen", limit=3).json

    assert [item["id"] for item in page["items"]] == [p.id for p in people[5:]]
    assert page["next_cursor"] is None


def test_who_is_blocked_by_more_than_the_engine_is_told_of_sees_none_of_them(
    person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    people = [person("chen") for _ in range(4)]
    for blocker in people[:3]:
        block(blocker, alice)
    indexed(deployment)
    monkeypatch.setattr(user_people, "_MOST_EXCLUDED", 1)

    assert found(alice, "chen") == [people[3].id]


def test_a_closed_account_is_found_in_no_way_even_while_the_index_is_behind(
    person: People, deployment: Deployment
) -> None:
    alice, bob = person("alice"), person("bob")
    indexed(deployment)
    assert found(alice, bob.username) == [bob.id]

    change(bob.id, phone=PHONE, closed_at=now())

    assert found(alice, bob.username) == found(alice, bob.id) == found(alice, PHONE) == []


# ---------------------------------------------------------------- the index follows the database


def test_late_doubled_and_reordered_events_leave_what_is_true_last(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    for nickname in ("One", "Two", "Three"):
        rename(alice, nickname)
    records = deployment.indexing.queued()
    assert len(records) == 4  # the registration, and three changes

    for record in [*records[::-1], *records]:
        assert deployment.indexing.invoke([record]) == {"batchItemFailures": []}
    refresh()

    assert found(alice, "Three") == [alice.id]
    assert found(alice, "One") == found(alice, "Two") == []


def test_an_older_reading_that_is_written_late_changes_nothing(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    rename(alice, "Older")
    older = rows_of(alice.id)
    rename(alice, "Newer")
    indexed(deployment)

    assert user_index.PEOPLE.write(older) == set()
    refresh()

    assert found(alice, "Newer") == [alice.id]
    assert found(alice, "Older") == []


def test_an_older_reading_never_brings_a_closed_account_back_and_nothing_of_it_stays(
    person: People, deployment: Deployment
) -> None:
    alice = person("alice")
    rename(alice, "Secret")
    open_still = rows_of(alice.id)
    indexed(deployment)
    change(alice.id, closed_at=now())

    assert user_index.PEOPLE.write(rows_of(alice.id)) == set()
    assert user_index.PEOPLE.write(open_still) == set()
    refresh()

    assert user_index.search("Secret", None, 10, []) == []
    everything = stores.search_client().search(index="users", body={})
    assert [hit["_source"] for hit in everything["hits"]["hits"]] == [{"id": alice.id}]


def test_a_poison_record_fails_alone(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    [sent] = deployment.indexing.queued()
    other = json.dumps({**json.loads(sent["body"]), "data": {"user": {"id": "nobody"}}})
    poison = [{**sent, "messageId": "p-1", "body": "not an event"}, {**sent, "messageId": "p-2", "body": other}]

    answer = deployment.indexing.invoke([poison[0], sent, poison[1]])
    refresh()

    assert {failure["itemIdentifier"] for failure in answer["batchItemFailures"]} == {"p-1", "p-2"}
    assert found(alice, alice.username) == [alice.id]


def test_an_event_of_somebody_who_is_not_there_is_done(person: People, deployment: Deployment) -> None:
    person("alice")
    [sent] = deployment.indexing.queued()
    body = json.dumps({**json.loads(sent["body"]), "data": {"user": {"id": new_id()}}})

    assert deployment.indexing.invoke([{**sent, "body": body}]) == {"batchItemFailures": []}


def test_only_changes_of_people_reach_the_index_queue(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    deployment.drain()

    alice.befriend(bob)
    rename(alice, "Alice")

    assert [json.loads(record["body"])["type"] for record in deployment.indexing.queued()] == ["user.updated"]


# ---------------------------------------------------------------- while the engine is away


def test_without_the_engine_only_names_cannot_be_searched(person: People, engine_away: Callable[[], None]) -> None:
    alice = person("alice")

    answer = look_for(alice, "alice")

    assert (answer.status, answer.code) == (503, "search_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert request("POST", "/v1/users", body={"username": "carol", "password": PASSWORD}).status == 201
    rename(alice, "Still here")
    assert alice.get("/v1/users/me").json["nickname"] == "Still here"


def test_what_changes_meanwhile_is_found_once_the_engine_is_back(
    person: People, deployment: Deployment, engine_away: Callable[[], None]
) -> None:
    alice, bob = person("alice"), person("bob")
    rename(bob, "Meanwhile")
    records = deployment.indexing.queued()
    given_back = deployment.indexing.invoke(records)["batchItemFailures"]
    assert {failure["itemIdentifier"] for failure in given_back} == {record["messageId"] for record in records}

    engine_away()
    assert deployment.indexing.invoke(records) == {"batchItemFailures": []}
    refresh()

    assert found(alice, "Meanwhile") == [bob.id]


def test_a_lost_index_is_not_begun_by_a_change_but_made_anew_whole(person: People, deployment: Deployment) -> None:
    alice, bob = person("alice"), person("bob")
    indexed(deployment)
    lose_the_index()
    rename(alice, "Changed")
    [sent] = deployment.indexing.queued()

    assert len(deployment.indexing.invoke([sent])["batchItemFailures"]) == 1
    assert indices() == set()
    assert look_for(alice, "bob").code == "search_unavailable"

    assert make_anew(rebuild=False) == 2
    assert deployment.indexing.invoke([sent]) == {"batchItemFailures": []}
    assert found(alice, "bob") == [bob.id]
    assert found(alice, "Changed") == [alice.id]


# ---------------------------------------------------------------- making it anew


def test_an_index_that_is_there_is_left_alone_unless_told_otherwise(person: People) -> None:
    before = indices()

    assert make_anew(rebuild=False) == 0
    assert indices() == before

    make_anew(rebuild=True)
    assert len(indices()) == 1
    assert indices() != before


def test_a_release_with_another_shape_makes_it_anew(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = person("alice")
    monkeypatch.setattr(user_index.PEOPLE, "shape", user_index.PEOPLE.shape + 1)

    assert make_anew(rebuild=False) == 1

    [name] = indices()
    assert name.startswith(f"users-v{user_index.PEOPLE.shape}-")
    assert found(alice, "alice") == [alice.id]


def test_searching_goes_on_and_nothing_is_lost_while_it_is_made_anew(
    person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [person("chen") for _ in range(5)]
    first, last = people[0], people[-1]
    indexed(deployment)
    during: list[list[str]] = []
    fill = user_index.PEOPLE.fill

    def fill_while_people_change(rows: Any) -> None:
        fill(rows)
        if not during:
            rename(first, "Changed behind")
            rename(last, "Changed ahead")
            person("newcomer")
            indexed(deployment)
        during.append(found(last, "Changed"))

    monkeypatch.setattr(reindex, "PAGE", 2)
    monkeypatch.setattr(user_index.PEOPLE, "fill", fill_while_people_change)
    assert make_anew() == 6
    monkeypatch.undo()

    assert len(during) == 3
    assert all(sorted(answer) == [first.id, last.id] for answer in during)
    assert found(last, "Changed behind") == [first.id]
    assert found(last, "Changed ahead") == [last.id]
    assert len(found(last, "newcomer")) == 1
    assert len(found(last, "chen")) == 5


def test_a_filling_never_puts_an_older_reading_over_a_change(
    person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    rename(alice, "Older")
    indexed(deployment)
    fill = user_index.PEOPLE.fill

    def fill_late(rows: Any) -> None:
        rename(alice, "Newer")
        indexed(deployment)
        fill(rows)

    monkeypatch.setattr(user_index.PEOPLE, "fill", fill_late)
    make_anew()

    assert found(alice, "Newer") == [alice.id]
    assert found(alice, "Older") == []


@pytest.mark.parametrize("rebuild", [True, False])
def test_killed_in_the_middle_it_leaves_the_old_index_and_the_next_run_cleans_up(
    person: People,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    rebuild: bool,  # noqa: FBT001
) -> None:
    alice = person("alice")
    indexed(deployment)

    def die(_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(user_index.PEOPLE, "fill", die)
        with pytest.raises(KeyboardInterrupt):
            make_anew()
    assert len(indices()) == 2
    rename(alice, "Goes on")
    indexed(deployment)
    assert found(alice, "Goes on") == [alice.id]

    make_anew(rebuild=rebuild)

    assert len(indices()) == 1
    assert found(alice, "Goes on") == [alice.id]


def test_what_was_cut_off_goes_on_behind_the_last_page_and_knows_who_changed_meanwhile(
    person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = sorted((person("chen") for _ in range(5)), key=lambda one: one.id)
    indexed(deployment)
    monkeypatch.setattr(reindex, "PAGE", 2)
    read, calls = repository.list_users, []

    def die_at_the_third_page(*asked: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*asked)

    with monkeypatch.context() as patch:
        patch.setattr(repository, "list_users", die_at_the_third_page)
        with pytest.raises(KeyboardInterrupt):
            make_anew()
    rename(people[0], "Changed behind")
    rename(people[4], "Changed ahead")
    newcomer = person("newcomer")
    indexed(deployment)

    with counted() as statements:
        assert make_anew(rebuild=False) == 2
    assert len(statements.texts) == 2 + 2, statements.texts  # the lock and its release; one page, and none behind

    assert len(indices()) == 1
    assert found(newcomer, "Changed behind") == [people[0].id]
    assert found(newcomer, "Changed ahead") == [people[4].id]
    assert found(people[0], "newcomer") == [newcomer.id]
    assert len(found(newcomer, "chen")) == 5


def test_killed_after_the_change_of_places_it_leaves_the_new_index_whole(
    person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    remove, calls = user_index.PEOPLE.remove_leftovers, []

    def die_the_second_time(*spared: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        remove(*spared)

    with monkeypatch.context() as patch:
        patch.setattr(user_index.PEOPLE, "remove_leftovers", die_the_second_time)
        with pytest.raises(KeyboardInterrupt):
            make_anew()
    assert len(indices()) == 2
    assert found(alice, "alice") == [alice.id]
    indexed(deployment)

    assert make_anew(rebuild=False) == 0

    assert len(indices()) == 1
    assert found(alice, "alice") == [alice.id]


def test_two_do_not_make_it_anew_at_once(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexing, "_LOCK_SECONDS", 0)
    before = indices()
    with stores.engine().connect() as other:
        assert other.scalar(sa.text("SELECT GET_LOCK('hongyan.users_index', 0)")) == 1
        try:
            with pytest.raises(reindexing.ReindexUnderWayError):
                make_anew()
            assert make_anew(rebuild=False) == 0
        finally:
            other.execute(sa.text("SELECT RELEASE_LOCK('hongyan.users_index')"))

    assert indices() == before


def test_while_the_engine_is_away_it_fails_and_can_be_called_again(
    person: People, engine_away: Callable[[], None]
) -> None:
    alice = person("alice")
    with pytest.raises(SearchUnavailable):
        make_anew()

    engine_away()

    assert make_anew() == 1
    assert found(alice, "alice") == [alice.id]


def test_every_change_of_a_user_is_counted(person: People) -> None:
    alice = person("alice")
    [before] = rows_of(alice.id)

    rename(alice, "Alice")
    alice.patch("/v1/users/me", {"description": "new"})

    [after] = rows_of(alice.id)
    assert (before.version, after.version) == (1, 3)


def test_a_row_that_the_release_before_inserted_is_indexed(deployment: Deployment) -> None:
    """It has no version of its own."""
    values = {"id": new_id(), "username": "old", "nickname": "old", "description": "", "created_at": now()}
    with stores.engine().begin() as connection:
        connection.execute(sa.insert(users).values(values))

    make_anew()

    assert [hit.id for hit in user_index.search("old", None, 10, [])] == [values["id"]]


def test_whoever_searches_too_often_waits(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_people, "SEARCHES_OF_ACCOUNT", rate_limits.at_most(2, 60, "searches-of-account"))
    alice, bob = person("alice"), person("bob")

    answers = [look_for(alice, bob.id) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].code == "rate_limited"
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert look_for(bob, alice.id).status == 200


def test_an_address_that_searches_too_often_waits_whoever_searches(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_people, "SEARCHES_FROM_ADDRESS", rate_limits.at_most(2, 60, "searches-from-address"))
    alice, bob = person("alice"), person("bob")

    assert [look_for(one, alice.id).status for one in (alice, bob, alice)] == [200, 200, 429]
