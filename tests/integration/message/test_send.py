"""Sending: stored before it is acknowledged, once, in order."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa
from hongyan import rate_limits, stores
from hongyan.tables import messages, outbox

from functions.message import sending
from tests.support.people import Person, a_text

People = Callable[[str], Person]


@pytest.fixture
def pair(person: People) -> tuple[Person, Person, str]:
    """Two friends and their conversation."""
    alice, bob = person("alice"), person("bob")
    return alice, bob, alice.befriend(bob)


Pair = tuple[Person, Person, str]


def stored() -> list[sa.Row[tuple[object, ...]]]:
    with stores.engine().connect() as connection:
        return list(connection.execute(sa.select(messages).order_by(messages.c.seq)))


def test_a_message_gets_the_next_seq_and_comes_back_whole(pair: Pair) -> None:
    alice, bob, conversation = pair

    first, second = alice.say(conversation, "你好 👋🏽", "c-1"), bob.say(conversation, "hi")

    assert first.status == second.status == 201
    assert first.json["seq"] == 1
    assert second.json["seq"] == 2
    assert first.json["sender_id"] == alice.id
    assert first.json["content"] == {"text": "你好 👋🏽"}
    assert first.json["client_id"] == "c-1"
    assert first.json["mentions"] == first.json["reactions"] == []
    assert first.json["reply_to_seq"] is first.json["edited_at"] is first.json["recalled_at"] is None
    assert bob.history(conversation) == [first.json, second.json]


def test_sending_twice_with_one_client_id_stores_one_message(pair: Pair) -> None:
    alice, _, conversation = pair

    first, second = (alice.say(conversation, "once", "c-1") for _ in range(2))

    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json
    assert len(stored()) == 1


def test_sending_many_times_at_once_with_one_client_id_stores_one_message(pair: Pair) -> None:
    alice, _, conversation = pair

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: alice.say(conversation, "once", "c-1"), range(16)))

    assert sorted(answer.status for answer in answers) == [200] * 15 + [201]
    assert len(stored()) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"content": {"text": "something else"}},
        {"content": {"text": "once "}},
        {"reply_to_seq": 1},
    ],
)
def test_a_client_id_with_another_body_is_a_conflict(pair: Pair, other: dict[str, object]) -> None:
    alice, _, conversation = pair
    path = f"/v1/conversations/{conversation}/messages"
    alice.post(path, a_text("once", "c-1"))

    answer = alice.post(path, {**a_text("once", "c-1"), **other})

    assert (answer.status, answer.code) == (409, "client_id_conflict")
    assert len(stored()) == 1


def test_a_client_id_used_in_another_conversation_is_a_conflict(pair: Pair, person: People) -> None:
    alice, _, conversation = pair
    elsewhere = alice.befriend(person("carol"))
    alice.say(conversation, "once", "c-1")

    assert alice.say(elsewhere, "once", "c-1").code == "client_id_conflict"


def test_a_client_id_used_in_two_conversations_at_once_is_a_conflict_in_one(pair: Pair, person: People) -> None:
    alice, _, conversation = pair
    elsewhere = alice.befriend(person("carol"))

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda c: alice.say(c, "once", "c-1"), (conversation, elsewhere)))

    assert sorted(answer.status for answer in answers) == [201, 409]


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("a", "a "), ("é", "e"), ("ß", "ss"), ("日", "曰")])
def test_client_ids_are_told_apart_to_the_byte(pair: Pair, one: str, other: str) -> None:
    alice, _, conversation = pair

    assert [alice.say(conversation, "x", client_id).status for client_id in (one, other)] == [201, 201]


def test_client_ids_of_two_senders_are_their_own(pair: Pair) -> None:
    alice, bob, conversation = pair

    assert [who.say(conversation, "x", "c-1").status for who in (alice, bob)] == [201, 201]


def test_seq_is_dense_under_concurrent_senders(pair: Pair) -> None:
    alice, bob, conversation = pair

    with ThreadPoolExecutor(8) as pool:
        senders = itertools.islice(itertools.cycle((alice, bob)), 60)
        answers = list(pool.map(lambda who: who.say(conversation, "x"), senders))

    assert [answer.status for answer in answers] == [201] * 60
    assert [row.seq for row in stored()] == list(range(1, 61))


def test_the_message_and_its_announcement_are_stored_together_or_not_at_all(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, conversation = pair

    def die(*_: object) -> None:
        raise RuntimeError("the function died between the rows and the outbox")

    with monkeypatch.context() as patch:
        patch.setattr("hongyan.outbox.write", die)
        assert alice.say(conversation, "lost?", "c-1").code == "internal_error"

    assert stored() == []
    assert alice.say(conversation, "lost?", "c-1").json["seq"] == 1


def test_an_internal_error_shows_no_internals(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _, conversation = pair

    def die(*_: object) -> None:
        raise RuntimeError("secret boom")

    monkeypatch.setattr("hongyan.outbox.write", die)

    answer = alice.say(conversation, "x")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "boom" not in answer.text


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\t ", "\u200b", "\u3000", "x" * 5_001, "😀" * 5_001, "a\u0000b", "a\u0007b", "\ud83d", None, 5, ["x"]],
)
def test_a_text_that_is_none_is_refused(pair: Pair, text: object) -> None:
    alice, _, conversation = pair
    body = {"client_id": "c-1", "type": "text", "content": {"text": text}}

    answer = alice.post(f"/v1/conversations/{conversation}/messages", body)

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"] == ["body", "content", "text"]
    assert stored() == []


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "x" * 5_000,
        "😀" * 5_000,
        "👨‍👩‍👧‍👦",
        "\u202eright to left\u202c",
        "שלום עליכם",
        "line\r\nbreak\tand tab",
        "'; DROP TABLE messages; --",
        "<script>alert(1)</script>",
        '"\\',
        "\ufdfa",
        "é vs e\u0301",
    ],
)
def test_a_text_comes_back_as_it_was_sent(pair: Pair, text: str) -> None:
    alice, bob, conversation = pair

    assert alice.say(conversation, text).status == 201

    assert bob.history(conversation)[0]["content"]["text"] == text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", ""),
        ("client_id", "x" * 65),
        ("client_id", 7),
        ("client_id", "a\nb"),
        ("type", "system"),
        ("type", "poem"),
        ("type", None),
        ("content", "text"),
        ("content", {"text": "x", "html": "x"}),
        ("reply_to_seq", 0),
        ("reply_to_seq", "1"),
        ("reply_to_seq", 1),
        ("reply_to_seq", 2**63),
        ("mentions", ["x"]),
        ("mentions", ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]),
        ("mentions", ["01ARZ3NDEKTSV4RRFFQ69G5FAV"] * 101),
        ("colour", "red"),
    ],
)
def test_a_message_of_other_form_is_refused(pair: Pair, field: str, value: object) -> None:
    alice, _, conversation = pair

    answer = alice.post(f"/v1/conversations/{conversation}/messages", {**a_text("x"), field: value})

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"][:2] == ["body", field]


def test_a_reply_and_a_mention_come_back(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "question?")

    body = {**a_text("@alice answer"), "reply_to_seq": 1, "mentions": [alice.id]}
    answer = bob.post(f"/v1/conversations/{conversation}/messages", body)

    assert answer.json["reply_to_seq"] == 1
    assert answer.json["mentions"] == [alice.id]


def test_a_stranger_can_neither_send_nor_read_nor_see_that_there_is_something(pair: Pair, person: People) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "private")
    stranger = person("eve")

    for there in (conversation, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "x"):
        answers = [
            stranger.say(there, "hello?"),
            stranger.get(f"/v1/conversations/{there}/messages"),
            stranger.get(f"/v1/conversations/{there}"),
            stranger.read(there, 1),
        ]
        assert [(answer.status, answer.code) for answer in answers] == [(404, "conversation_not_found")] * 4


def test_a_sent_message_leaves_the_outbox_empty(pair: Pair) -> None:
    alice, _, conversation = pair

    alice.say(conversation, "x")

    with stores.engine().connect() as connection:
        assert list(connection.execute(sa.select(outbox))) == []


def test_sending_over_the_socket_is_acknowledged_with_the_stored_message(pair: Pair) -> None:
    alice, bob, conversation = pair

    answer = alice.connect().send(action="send", id="f-1", conversation_id=conversation, message=a_text("hi", "c-1"))

    assert answer["type"] == "ack"
    assert answer["id"] == "f-1"
    assert bob.history(conversation) == [answer["data"]["message"]]


def test_one_client_id_over_socket_and_rest_is_one_message(pair: Pair) -> None:
    alice, _, conversation = pair
    over_rest = alice.say(conversation, "hi", "c-1")

    answer = alice.connect().send(action="send", id="f-1", conversation_id=conversation, message=a_text("hi", "c-1"))

    assert answer["data"]["message"] == over_rest.json


def test_whoever_sends_too_much_waits_on_both_ways(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SENDING", rate_limits.at_most(2, 30, "sending"))
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)

    answers = [alice.say(conversation_id, "again") for _ in range(3)]
    frame = alice.connect().send(action="send", id="1", conversation_id=conversation_id, message=a_text("and again"))

    assert [answer.status for answer in answers] == [201, 201, 429]
    assert answers[2].code == frame["data"]["code"] == "rate_limited"
    assert 0 < int(answers[2].headers["retry-after"]) <= 30
    assert [message["seq"] for message in bob.history(conversation_id)] == [1, 2]
    assert bob.say(conversation_id, "slow down").status == 201


def test_without_redis_messages_are_sent_uncounted(
    person: People, monkeypatch: pytest.MonkeyPatch, without_redis: Callable[[], AbstractContextManager[None]]
) -> None:
    monkeypatch.setattr(sending, "SENDING", rate_limits.at_most(1, 30, "sending"))
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)

    with without_redis():
        assert [alice.say(conversation_id, text).status for text in ("one", "two")] == [201, 201]


def test_an_address_that_sends_too_much_waits_whoever_sends(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SENDING_FROM_ADDRESS", rate_limits.at_most(2, 30, "sending-from-address"))
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)

    assert [one.say(conversation_id, "hello").status for one in (alice, bob, alice)] == [201, 201, 429]
    frame = bob.connect().send(action="send", id="1", conversation_id=conversation_id, message=a_text("hello"))
    assert frame["data"]["code"] == "rate_limited"
