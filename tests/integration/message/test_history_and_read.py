"""History by seq, read marks, unread counts."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.deployment import Deployment
from tests.support.people import Person

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]


@pytest.fixture
def pair(person: People) -> Pair:
    alice, bob = person("alice"), person("bob")
    return alice, bob, alice.befriend(bob)


def seqs(items: list[dict[str, int]]) -> list[int]:
    return [item["seq"] for item in items]


def unread(person: Person, conversation: str) -> int:
    count: int = person.conversation(conversation)["unread_count"]
    [listed] = [c for c in person.get("/v1/conversations").json["items"] if c["id"] == conversation]
    assert listed["unread_count"] == count
    return count


def test_history_is_read_from_the_newest_backwards(pair: Pair) -> None:
    alice, bob, conversation = pair
    for n in range(7):
        alice.say(conversation, f"message {n}")

    assert seqs(bob.history(conversation, limit=3)) == [5, 6, 7]
    assert seqs(bob.history(conversation, limit=3, before_seq=5)) == [2, 3, 4]
    assert seqs(bob.history(conversation, limit=3, before_seq=2)) == [1]
    assert seqs(bob.history(conversation, limit=3, before_seq=1)) == []


def test_history_is_read_forwards_from_a_seq(pair: Pair) -> None:
    alice, bob, conversation = pair
    for n in range(5):
        alice.say(conversation, f"message {n}")

    assert seqs(bob.history(conversation, limit=3, after_seq=0)) == [1, 2, 3]
    assert seqs(bob.history(conversation, limit=3, after_seq=3)) == [4, 5]
    assert seqs(bob.history(conversation, after_seq=5)) == []
    assert seqs(bob.history(conversation, after_seq=2**63 - 1)) == []


@pytest.mark.parametrize(("start", "expected"), [("", [[4, 5], [2, 3], [1]]), ("after_seq=0&", [[1, 2], [3, 4], [5]])])
def test_the_cursor_goes_on_in_the_same_direction(pair: Pair, start: str, expected: list[list[int]]) -> None:
    alice, _, conversation = pair
    for n in range(5):
        alice.say(conversation, f"message {n}")
    path = f"/v1/conversations/{conversation}/messages?limit=2"

    pages = [alice.get(f"{path}&{start}").json]
    while (cursor := pages[-1]["next_cursor"]) is not None:
        pages.append(alice.get(f"{path}&cursor={cursor}").json)

    assert [seqs(page["items"]) for page in pages] == expected


def test_a_history_cursor_of_another_conversation_is_refused(pair: Pair, person: People) -> None:
    alice, _, conversation = pair
    elsewhere = alice.befriend(person("carol"))
    for n in range(2):
        alice.say(conversation, f"message {n}")
    cursor = alice.get(f"/v1/conversations/{conversation}/messages?limit=1").json["next_cursor"]

    assert alice.get(f"/v1/conversations/{elsewhere}/messages?cursor={cursor}").code == "invalid_cursor"


@pytest.mark.parametrize(
    "query",
    ["before_seq=0", "before_seq=-1", "before_seq=x", f"before_seq={2**63}", "after_seq=-1", f"after_seq={2**63}",
     "limit=0", "limit=101", "limit=many", "before_seq=5&after_seq=1"],
)  # fmt: skip
def test_history_out_of_bounds_is_refused(pair: Pair, query: str) -> None:
    alice, _, conversation = pair

    answer = alice.get(f"/v1/conversations/{conversation}/messages?{query}")

    assert (answer.status, answer.code) == (422, "validation_failed")


def test_what_others_said_is_unread_until_read(pair: Pair) -> None:
    alice, bob, conversation = pair
    for n in range(3):
        alice.say(conversation, f"message {n}")

    assert unread(bob, conversation) == 3
    assert unread(alice, conversation) == 0
    assert bob.read(conversation, 2).json == {"conversation_id": conversation, "user_id": bob.id, "seq": 2}
    assert unread(bob, conversation) == 1


def test_answering_does_not_read_what_was_not_read(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    bob.say(conversation, "two, sent before one was seen")
    alice.say(conversation, "three")

    assert bob.conversation(conversation)["read_seq"] == 0
    assert unread(bob, conversation) == 2
    bob.read(conversation, 1)
    assert unread(bob, conversation) == 1


def test_whoever_had_read_everything_has_read_their_own_message_too(pair: Pair) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "one")
    alice.say(conversation, "two")

    assert alice.conversation(conversation)["read_seq"] == 2


def test_reading_never_goes_back(pair: Pair) -> None:
    alice, bob, conversation = pair
    for n in range(3):
        alice.say(conversation, f"message {n}")
    bob.read(conversation, 3)

    assert bob.read(conversation, 1).json["seq"] == 3
    assert unread(bob, conversation) == 0


@pytest.mark.parametrize("seq", [0, -1, 2, 2**63, "1", 1.5, None, True])
def test_reading_what_is_not_there_is_refused(pair: Pair, seq: object) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "the only one")

    answer = bob.put(f"/v1/conversations/{conversation}/read", {"seq": seq})

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert unread(bob, conversation) == 1


def test_everyone_hears_how_far_somebody_has_read(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "hello")
    deployment.drain()
    at_alice, other_device = alice.connect(), bob.on_another_device().connect()

    bob.read(conversation, 1)
    bob.read(conversation, 1)
    deployment.push()

    for socket in (at_alice, other_device):
        [event] = socket.events
        assert event["type"] == "message.read"
        assert event["data"] == {"conversation_id": conversation, "user_id": bob.id, "seq": 1}


def test_reading_over_the_socket_is_acknowledged(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "hello")

    answer = bob.connect().send(action="read", id="r", conversation_id=conversation, seq=1)

    assert answer == {
        "type": "ack",
        "id": "r",
        "data": {"conversation_id": conversation, "user_id": bob.id, "seq": 1},
    }


def test_unread_is_right_however_sends_and_reads_interleave(pair: Pair) -> None:
    alice, bob, conversation = pair
    dice = random.Random(20261123)
    expected = {alice.id: 0, bob.id: 0}
    senders: list[str] = []
    for _ in range(60):
        who = dice.choice((alice, bob))
        if senders and dice.random() < 0.3:
            expected[who.id] = max(expected[who.id], seq := dice.randint(1, len(senders)))
            who.read(conversation, seq)
        else:
            who.say(conversation, "x")
            senders.append(who.id)

    for who in (alice, bob):
        after = senders[expected[who.id] :]
        assert unread(who, conversation) == sum(sender != who.id for sender in after)


def test_unread_is_right_after_concurrent_sends_and_reads(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "first")

    def act(n: int) -> None:
        if n % 3 == 0:
            bob.read(conversation, 1)
        else:
            (alice if n % 3 == 1 else bob).say(conversation, "x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(45)))

    read_seq = bob.conversation(conversation)["read_seq"]
    after = [m for m in bob.history(conversation, after_seq=read_seq, limit=100) if m["sender_id"] != bob.id]
    assert unread(bob, conversation) == len(after)


def test_conversations_come_newest_activity_first_with_their_last_message(person: People) -> None:
    alice = person("alice")
    conversations = [alice.befriend(person("friend")) for _ in range(3)]
    for conversation in (conversations[1], conversations[0]):
        alice.say(conversation, f"last of {conversation}")

    listed = alice.get("/v1/conversations").json["items"]

    assert [c["id"] for c in listed] == [conversations[0], conversations[1], conversations[2]]
    assert [c["last_seq"] for c in listed] == [1, 1, 0]
    assert listed[0]["last_message"]["content"]["text"] == f"last of {conversations[0]}"
    assert listed[2]["last_message"] is None


def test_conversations_come_in_pages(person: People) -> None:
    alice = person("alice")
    conversations = [alice.befriend(person("friend")) for _ in range(3)]

    first = alice.get("/v1/conversations?limit=2").json
    second = alice.get(f"/v1/conversations?limit=2&cursor={first['next_cursor']}").json

    assert [c["id"] for c in first["items"] + second["items"]] == conversations[::-1]
    assert second["next_cursor"] is None
