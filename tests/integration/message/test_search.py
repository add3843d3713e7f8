"""Searching messages: who finds what, where it stands in the text, and how pages stay what they are."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from hongyan import rate_limits, stores
from hongyan.ids import new_id
from hongyan.tables import conversations, members, messages
from opensearchpy import OpenSearch

from functions.message import message_index, search
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, Response, request
from tests.support.groups import a_group, invite, remove
from tests.support.people import Person
from tests.support.template import load

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]


@pytest.fixture(autouse=True)
def an_index(deployment: Deployment) -> None:
    load("functions.message.reindex.handler")({}, LambdaContext())


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


def indexed(deployment: Deployment) -> None:
    """Let the index catch up."""
    assert deployment.message_indexing.work() == []
    stores.search_client().indices.refresh(index=message_index.MESSAGES.alias)


def look_for(person: Person, text: str, **more: Any) -> Response:
    return person.get(f"/v1/messages/search?{urlencode({'q': text, **more})}")


def found(person: Person, text: str, **more: Any) -> list[str]:
    """Return the texts of a page."""
    answer = look_for(person, text, **more)
    assert answer.status == 200, answer.text
    return [item["message"]["content"]["text"] for item in answer.json["items"]]


def pages(person: Person, text: str, between: Callable[[], object] = lambda: None, **more: Any) -> list[list[str]]:
    """Return the texts of all pages; something may happen between them."""
    read: list[list[str]] = []
    cursor: dict[str, str] = {}
    while not read or cursor:
        page = look_for(person, text, **more, **cursor)
        assert page.status == 200, page.text
        read.append([item["message"]["content"]["text"] for item in page.json["items"]])
        cursor = {"cursor": page.json["next_cursor"]} if page.json["next_cursor"] else {}
        between()
    return read


# ---------------------------------------------------------------- what is asked and answered


def test_a_message_is_found_whole_with_where_the_words_stand_in_it(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    message = alice.say(conversation, "🪿 今天天气好，天气").json
    alice.say(conversation, "别的")
    indexed(deployment)

    answer = look_for(bob, "天气")

    assert answer.json == {
        "items": [{"message": message, "highlights": [{"start": 4, "end": 6}, {"start": 8, "end": 10}]}],
        "next_cursor": None,
    }
    assert bob.history(conversation)[0] == message


@pytest.mark.parametrize(
    ("said", "asked", "parts"),
    [
        ("<script>alert(1)</script> <b>", "script", ["script", "script"]),
        ("<script>alert(1)</script>", "<script>alert", ["<script>alert"]),
        ("Hello WORLD, hello", "hello wor", ["Hello", "WOR", "hello"]),
        ("re\u0301sume\u0301!", "resume", ["re\u0301sume\u0301"]),
        ("pass\u200bword 1", "password", ["pass\u200bword"]),
        ("ok 👍🏽👍🏽", "👍", ["👍🏽👍🏽"]),
        ("哈哈哈哈，哈", "哈哈", ["哈哈哈哈"]),
        ("ﾔﾏﾀﾞさん", "ヤマダ", ["ﾔﾏﾀﾞ"]),
        ("a&amp;b", "amp", ["amp"]),
        ("㎏", "k", ["㎏"]),
        ("see example.com.", "example.com", ["example.com"]),
    ],
)
def test_highlights_are_parts_of_the_text_as_it_was_written(
    pair: Pair, deployment: Deployment, said: str, asked: str, parts: list[str]
) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, said)
    indexed(deployment)

    [item] = look_for(bob, asked).json["items"]

    text = item["message"]["content"]["text"]
    assert text == said
    assert [text[part["start"] : part["end"]] for part in item["highlights"]] == parts


@pytest.mark.parametrize(
    "query",
    ["", "q=", "q=%20%20", "q=a%0Ab", f"q={'x' * 65}", f"q={'x' * 10_000}", "q=%E2%80%8B", "q=%00", "q=a&limit=0",
     "q=a&limit=101", "q=a&order=best", "q=a&type=poem", "q=a&from=yesterday", "q=a&from=2026-01-01T00:00:00",
     "q=a&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", f"q=a&sender_id={'x' * 37}"],
)  # fmt: skip
def test_a_question_that_is_none_is_refused(person: People, query: str) -> None:
    answer = person("alice").get(f"/v1/messages/search?{query}")

    assert (answer.status, answer.code) == (422, "validation_failed")


@pytest.mark.parametrize("asked", ["*", '"', "...", "' \" ,", "？！", "\\", "()", "[]{}"])
def test_a_question_without_words_finds_nothing(pair: Pair, deployment: Deployment, asked: str) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, asked)
    indexed(deployment)

    assert look_for(bob, asked).json == {"items": [], "next_cursor": None}


def test_only_who_is_logged_in_may_search(deployment: Deployment) -> None:
    assert request("GET", "/v1/messages/search?q=hello").status == 401


def test_who_is_in_no_conversation_finds_nothing(person: People) -> None:
    assert look_for(person("alice"), "hello").json == {"items": [], "next_cursor": None}


# ---------------------------------------------------------------- filters and orders


def test_filters_leave_what_they_say(person: People, deployment: Deployment) -> None:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    with_bob, with_carol = alice.befriend(bob), alice.befriend(carol)
    alice.say(with_bob, "tea one")
    bob.say(with_bob, "tea two")
    carol.say(with_carol, "tea three")
    indexed(deployment)

    assert found(alice, "tea") == ["tea three", "tea two", "tea one"]
    assert found(alice, "tea", conversation_id=with_bob) == ["tea two", "tea one"]
    assert found(alice, "tea", sender_id=alice.id) == ["tea one"]
    assert found(alice, "tea", sender_id=bob.id, conversation_id=with_carol) == []
    assert found(alice, "tea", sender_id="nobody") == found(alice, "tea", sender_id=new_id()) == []
    assert len(found(alice, "tea", type="text")) == 3
    assert found(alice, "tea", type="image") == []


def test_times_are_from_the_one_to_before_the_other(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    sent = [alice.say(conversation, f"tea {n}").json["created_at"] for n in range(3)]
    moments = [datetime.fromisoformat("2026-11-20T10:00:00.100+00:00") + timedelta(milliseconds=n) for n in range(3)]
    with stores.engine().begin() as connection:
        for seq, moment in enumerate(moments, 1):
            connection.execute(sa.update(messages).where(messages.c.seq == seq).values(created_at=moment))
    indexed(deployment)
    assert len(sent) == 3

    def between(**times: str) -> list[str]:
        return sorted(found(bob, "tea", **times))

    assert between(**{"from": "2026-11-20T10:00:00.101Z"}) == ["tea 1", "tea 2"]
    assert between(to="2026-11-20T10:00:00.101Z") == ["tea 0"]
    assert between(**{"from": "2026-11-20T18:00:00.101+08:00", "to": "2026-11-20T10:00:00.102Z"}) == ["tea 1"]
    assert between(**{"from": "2026-11-20T10:00:00.1005Z", "to": "2026-11-20T10:00:00.1015Z"}) == ["tea 1"]
    assert between(**{"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-12:00"}) == [
        "tea 0",
        "tea 1",
        "tea 2",
    ]
    assert between(to="1960-01-01T00:00:00Z") == []


def test_order_is_by_the_way_of_matching_or_by_time(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    for text in ("green tea", "teapots, greenish", "tea is green", "greens and teas", "green teapot"):
        alice.say(conversation, text)
    indexed(deployment)

    assert found(bob, "green tea") == [
        "green tea",  # as it stands
        "green teapot",  # as it stands, with letters still to come
        "tea is green",  # all words
        "greens and teas",  # all words, which only begin so; newest first
        "teapots, greenish",
    ]
    assert found(bob, "green tea", order="time") == [
        "green teapot",
        "greens and teas",
        "tea is green",
        "teapots, greenish",
        "green tea",
    ]


# ---------------------------------------------------------------- who may read what


def test_nobody_finds_what_others_said_among_themselves(pair: Pair, person: People, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    carol = person("carol")
    carol.befriend(alice)
    alice.say(conversation, "secret")
    indexed(deployment)

    assert found(bob, "secret") == ["secret"]
    assert found(carol, "secret") == []


@pytest.mark.parametrize("other", ["unknown", "not-an-id", "", "of others"])
def test_a_conversation_that_one_was_never_in_is_not_found(pair: Pair, person: People, other: str) -> None:
    _, _, conversation = pair
    carol = person("carol")
    asked = {"unknown": new_id(), "of others": conversation}.get(other, other)

    answer = look_for(carol, "hello", conversation_id=asked)

    assert (answer.status, answer.code) == (404, "conversation_not_found")


def test_who_joined_later_left_or_came_back_finds_what_they_may_read(person: People, deployment: Deployment) -> None:
    alice, bob, carol, dave = (person(name) for name in ("alice", "bob", "carol", "dave"))
    group = a_group(alice, bob, carol)
    alice.befriend(dave)
    alice.say(group, "tea at first")
    invite(alice, group, dave)
    alice.say(group, "tea with dave")
    remove(bob, group, bob)
    remove(dave, group, dave)
    alice.say(group, "tea without them")
    invite(alice, group, dave)
    alice.say(group, "tea again")
    indexed(deployment)

    for everywhere in ({}, {"conversation_id": group}):
        assert found(alice, "tea", **everywhere) == found(carol, "tea", **everywhere)
        assert found(alice, "tea", **everywhere) == ["tea again", "tea without them", "tea with dave", "tea at first"]
        assert found(bob, "tea", **everywhere) == ["tea with dave", "tea at first"]
        assert found(dave, "tea", **everywhere) == ["tea again"]
    for person_, answer in ((bob, "without"), (dave, "first")):
        assert found(person_, answer) == []


def test_a_dissolved_group_and_a_former_friend_can_still_be_searched(person: People, deployment: Deployment) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    alice.say(group, "tea in the group")
    alice.delete(f"/v1/conversations/{group}")
    [single] = [c["id"] for c in bob.get("/v1/conversations").json["items"] if c["kind"] == "single"]
    alice.say(single, "tea for two")
    alice.delete(f"/v1/friends/{bob.id}")
    indexed(deployment)

    assert found(bob, "tea") == ["tea for two", "tea in the group"]


def test_more_windows_than_fit_into_a_query_are_asked_for_in_several(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine refuses more than 1,024 conditions: here are 700 windows, and with small queries they are paged."""
    alice, bob, conversation = pair
    others = [new_id() for _ in range(700)]
    sample = {"read_seq": 1, "own_after_read": 0, "muted": False, "pinned": False, "joined_seq": 1}
    with stores.engine().begin() as connection:
        row = connection.execute(sa.select(conversations).where(conversations.c.id == conversation)).one()
        said = {"id": conversation, "kind": "group", "last_seq": 2, "last_activity_at": row.last_activity_at}
        connection.execute(
            sa.insert(conversations), [{**said, "id": other, "created_at": row.created_at} for other in others]
        )
        connection.execute(
            sa.insert(members),
            [{**sample, "conversation_id": other, "user_id": bob.id, "joined_at": row.created_at} for other in others],
        )
    alice.say(conversation, "tea in the single")
    with stores.engine().begin() as connection:
        of_single = connection.execute(sa.select(messages)).one()._asdict()
        for number, other in enumerate(others[::100]):
            for seq in (1, 2):
                text = {"text": f"tea {number} {'not mine' if seq == 1 else 'mine'}"}
                mine = {"id": new_id(), "conversation_id": other, "seq": seq, "content": text, "client_id": new_id()}
                connection.execute(sa.insert(messages).values({**of_single, **mine}))
    load("functions.message.reindex.handler")({"rebuild": True}, LambdaContext())

    expected = sorted(["tea in the single", *(f"tea {n} mine" for n in range(7))])
    assert sorted(found(bob, "tea")) == expected
    monkeypatch.setattr(message_index, "_MOST_WINDOWS", 150)
    paged = pages(bob, "tea", limit=3)

    assert [len(page) for page in paged] == [3, 3, 2]
    assert sorted(text for page in paged for text in page) == expected


# ---------------------------------------------------------------- what became of a message


def test_an_edited_message_is_found_by_what_it_says_now(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "before noon")
    indexed(deployment)
    alice.patch(f"/v1/conversations/{conversation}/messages/1", {"content": {"text": "after noon"}})

    assert found(bob, "before") == [], "the index is behind, and what it finds is not said any more"
    assert found(bob, "noon") == ["after noon"], "shown as it is now"
    indexed(deployment)

    assert found(bob, "before") == []
    assert found(bob, "after") == ["after noon"]


def test_a_recalled_message_is_found_by_nobody_at_once_and_nothing_of_it_stays(
    pair: Pair, deployment: Deployment
) -> None:
    alice, bob, conversation = pair
    message = alice.say(conversation, "never said").json
    indexed(deployment)
    assert found(bob, "never") == ["never said"]
    alice.post(f"/v1/conversations/{conversation}/messages/1/recall")

    assert found(bob, "never") == found(alice, "never") == []
    indexed(deployment)

    document = stores.search_client().get(index=message_index.MESSAGES.alias, id=message["id"])
    assert document["_source"] == {"id": message["id"]}
    assert found(bob, "never") == []


def test_a_hidden_message_is_found_by_the_others_alone(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea one")
    alice.say(conversation, "tea two")
    indexed(deployment)
    bob.delete(f"/v1/conversations/{conversation}/messages/1")

    assert found(bob, "tea") == ["tea two"]
    assert found(alice, "tea") == ["tea two", "tea one"]


def test_what_the_server_says_is_not_searched(person: People, deployment: Deployment) -> None:
    alice = person("alice")
    a_group(alice, person("bob"), person("carol"), name="tea")
    indexed(deployment)

    assert found(alice, "group_created") == found(alice, "tea") == found(alice, alice.id) == []


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("order", ["relevance", "time"])
def test_pages_hold_everything_once_even_when_messages_arrive_and_change_meanwhile(
    pair: Pair, deployment: Deployment, order: str
) -> None:
    alice, bob, conversation = pair
    said = [f"tea {n}" if n % 3 else f"teas {n}" for n in range(12)]
    for text in said:
        alice.say(conversation, text)
    indexed(deployment)

    def meanwhile() -> None:
        alice.say(conversation, "tea, tea and tea")  # which comes before all others
        alice.put(f"/v1/conversations/{conversation}/messages/1/reactions/👍")
        indexed(deployment)

    read = pages(bob, "tea", meanwhile, limit=5, order=order)

    assert [len(page) for page in read][:2] == [5, 5]
    texts = [text for page in read for text in page]
    in_order = [text for page in pages(bob, "tea", order=order) for text in page if text in said]
    assert [text for text in texts if text in said] == in_order
    assert sorted(text for text in texts if text in said) == sorted(said)


def test_pages_stay_full_when_much_of_what_the_index_finds_is_not_shown(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    for n in range(15):
        alice.say(conversation, f"tea {n}")
    indexed(deployment)
    for seq in range(3, 14):
        bob.delete(f"/v1/conversations/{conversation}/messages/{seq}")

    assert pages(bob, "tea", limit=2) == [["tea 14", "tea 13"], ["tea 1", "tea 0"]]


def test_a_page_that_would_take_too_many_rounds_is_short_and_others_follow(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    for n in range(9):
        alice.say(conversation, f"tea {n}")
    indexed(deployment)
    for seq in range(2, 10):
        bob.delete(f"/v1/conversations/{conversation}/messages/{seq}")
    monkeypatch.setattr(search, "_MOST_ROUNDS", 2)

    assert pages(bob, "tea", limit=1) == [[], [], ["tea 0"]]


def test_a_cursor_goes_on_with_its_own_question_and_caller_only(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea one")
    alice.say(conversation, "tea two")
    indexed(deployment)
    cursor = look_for(alice, "tea", limit=1).json["next_cursor"]

    assert found(alice, "tea", limit=1, cursor=cursor) == ["tea one"]
    for other in (
        look_for(bob, "tea", cursor=cursor),
        look_for(alice, "te", cursor=cursor),
        look_for(alice, "tea", order="time", cursor=cursor),
        look_for(alice, "tea", conversation_id=conversation, cursor=cursor),
        look_for(alice, "tea", sender_id=alice.id, cursor=cursor),
        look_for(alice, "tea", cursor=cursor[:-2]),
        look_for(alice, "tea", cursor="x"),
    ):
        assert (other.status, other.code) == (400, "invalid_cursor")


# ---------------------------------------------------------------- limits, and while the engine is away


def test_without_the_engine_there_is_no_search_and_all_else_goes_on(
    pair: Pair, engine_away: Callable[[], None]
) -> None:
    alice, bob, conversation = pair

    answer = look_for(alice, "tea")

    assert (answer.status, answer.code) == (503, "search_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert alice.say(conversation, "tea").status == 201
    assert len(bob.history(conversation)) == 1


def test_without_redis_searching_goes_on(pair: Pair, deployment: Deployment, without_redis: Any) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "tea")
    indexed(deployment)

    with without_redis():
        assert found(bob, "tea") == ["tea"]


def test_whoever_searches_too_often_waits(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCHES_OF_ACCOUNT", rate_limits.at_most(2, 60, "message-searches-of-account"))
    alice, bob, _ = pair

    answers = [look_for(alice, "tea") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].code == "rate_limited"
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert look_for(bob, "tea").status == 200


def test_an_address_that_searches_too_often_waits_whoever_searches(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCHES_FROM_ADDRESS", rate_limits.at_most(2, 60, "message-searches-from-address"))
    alice, bob, _ = pair

    assert [look_for(one, "tea").status for one in (alice, bob, alice)] == [200, 200, 429]
