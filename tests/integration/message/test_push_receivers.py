"""Receivers that are slow, refuse or have died: they are told later, and nobody else notices."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from hongyan import aws, connections, management

from functions.message import delivery
from tests.support.deployment import Deployment
from tests.support.gateway import Socket
from tests.support.groups import a_group
from tests.support.people import Person

People = Callable[[str], Person]
Team = tuple[Person, Person, Person, str]

# One post's time-out and no more, with room for a busy machine; two after one another would take longer.
ONE_TIMEOUT = management.CALL_SECONDS + 0.9


@pytest.fixture
def team(person: People, deployment: Deployment) -> Team:
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)
    deployment.drain()
    return alice, bob, carol, group


@pytest.fixture
def hang(deployment: Deployment) -> Iterator[Callable[[Socket], None]]:
    """Let nothing that is posted to a socket be answered; all are released at the end."""
    hung: list[Socket] = []

    def start(socket: Socket) -> None:
        deployment.management.hang(socket.connection_id)
        hung.append(socket)

    yield start
    for socket in hung:
        if socket.connection_id in deployment.management._hanging:
            deployment.management.release(socket.connection_id)
    delivery._avoided_until.clear()


Hang = Callable[[Socket], None]


def texts(socket: Socket) -> list[str]:
    return [e["data"]["message"]["content"]["text"] for e in socket.events if e["type"] == "message.created"]


def test_who_hangs_is_told_later_and_the_others_at_once_and_only_once(
    team: Team, deployment: Deployment, hang: Hang
) -> None:
    alice, bob, carol, group = team
    at_alice, at_bob, at_carol = alice.connect(), bob.connect(), carol.connect()
    deployment.drain()
    hang(at_bob)
    alice.say(group, "hello")

    began = time.monotonic()
    assert deployment.push() == []
    took = time.monotonic() - began

    assert took < ONE_TIMEOUT
    assert (texts(at_alice), texts(at_bob), texts(at_carol)) == (["hello"], [], ["hello"])
    deployment.management.release(at_bob.connection_id)
    assert deployment.retry() == []
    assert (texts(at_alice), texts(at_bob), texts(at_carol)) == (["hello"], ["hello"], ["hello"])


def test_who_still_hangs_is_tried_again_alone(team: Team, deployment: Deployment, hang: Hang) -> None:
    alice, bob, carol, group = team
    at_bob, at_carol = bob.connect(), carol.connect()
    deployment.drain()
    hang(at_bob)
    deployment.management.fail(at_carol.connection_id)
    alice.say(group, "hello")
    deployment.push()
    late = deployment.retrying.queued()
    deployment.management.fail(at_carol.connection_id, failing=False)

    answer = deployment.retrying.invoke(late)

    [of_bob] = [record for record in late if at_bob.connection_id in record["body"]]
    assert answer == {"batchItemFailures": [{"itemIdentifier": of_bob["messageId"]}]}
    assert texts(at_carol) == ["hello"]
    deployment.management.release(at_bob.connection_id)
    assert deployment.retrying.invoke([of_bob]) == {"batchItemFailures": []}
    assert (texts(at_bob), texts(at_carol)) == (["hello"], ["hello"])


def test_who_hung_does_not_hold_up_the_next_batch(team: Team, deployment: Deployment, hang: Hang) -> None:
    alice, bob, carol, group = team
    at_bob, at_carol = bob.connect(), carol.connect()
    deployment.drain()
    hang(at_bob)
    alice.say(group, "one")
    deployment.push()
    posts = deployment.management.posts

    alice.say(group, "two")
    deployment.push()

    assert deployment.management.posts == posts + 1
    assert texts(at_carol) == ["one", "two"]
    deployment.management.release(at_bob.connection_id)
    deployment.retry()
    assert texts(at_bob) == ["one", "two"]


def test_more_who_hang_than_are_posted_to_at_once_end_within_a_bound(
    team: Team, deployment: Deployment, hang: Hang
) -> None:
    alice, bob, carol, group = team
    hung = [bob.connect() for _ in range(3 * management.CALLS_AT_ONCE)]
    at_carol = carol.connect()
    deployment.drain()
    for socket in hung:
        hang(socket)
    alice.say(group, "hello")

    began = time.monotonic()
    assert deployment.push() == []
    took = time.monotonic() - began

    assert took < delivery._BEGIN_WITHIN_SECONDS + ONE_TIMEOUT
    for socket in hung:
        deployment.management.release(socket.connection_id)
    assert deployment.retry() == []
    assert texts(at_carol) == ["hello"]
    assert [texts(socket) for socket in hung] == [["hello"]] * len(hung)


@pytest.fixture
def opening(team: Team, monkeypatch: pytest.MonkeyPatch) -> Socket:
    """Return a socket of bob's of which `$connect` has been answered, and which the gateway takes its time to open."""
    monkeypatch.setattr(connections, "_ANSWERED_SECONDS", 60)
    _, bob, _, _ = team
    return Socket.open(bob.management, token=bob.token, is_accepted=False)


def connections_of(someone: Person) -> list[str]:
    return [c.connection_id for c in connections.of_users([someone.id])[someone.id]]


def test_who_is_about_to_open_is_told_in_the_same_batch(team: Team, deployment: Deployment, opening: Socket) -> None:
    alice, _, _, group = team
    alice.say(group, "hello")

    def accept() -> None:
        assert deployment.management.refused.wait(10)
        opening.accept()

    with ThreadPoolExecutor() as pool:
        accepting = pool.submit(accept)
        assert deployment.push() == []
        accepting.result()

    assert texts(opening) == ["hello"]
    assert deployment.retrying.queued() == []


def test_who_opens_only_later_is_told_then_and_stays_known(team: Team, deployment: Deployment, opening: Socket) -> None:
    alice, bob, _, group = team
    alice.say(group, "hello")

    assert deployment.push() == []
    assert connections_of(bob) == [opening.connection_id]
    opening.accept()
    assert deployment.retry() == []

    assert texts(opening) == ["hello"]


def test_who_does_not_open_holds_up_one_batch_only(team: Team, deployment: Deployment, opening: Socket) -> None:
    alice, _, _, group = team
    alice.say(group, "one")
    deployment.push()
    posts = deployment.management.posts

    alice.say(group, "two")
    deployment.push()

    assert deployment.management.posts == posts
    assert len(deployment.retrying.queued()) == 2


def test_who_has_not_opened_though_there_was_time_is_gone(
    team: Team, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, _, group = team
    monkeypatch.setattr(connections, "_ANSWERED_SECONDS", 0)
    Socket.open(bob.management, token=bob.token, is_accepted=False)
    alice.say(group, "hello")

    assert deployment.push() == []

    assert connections_of(bob) == []
    assert deployment.retrying.queued() == []


def test_who_refuses_is_told_later_and_the_others_only_once(team: Team, deployment: Deployment) -> None:
    alice, bob, _, group = team
    at_alice, at_bob = alice.connect(), bob.connect()
    deployment.drain()
    deployment.management.fail(at_bob.connection_id)
    alice.say(group, "one")
    alice.say(group, "two")

    assert deployment.push() == []
    deployment.management.fail(at_bob.connection_id, failing=False)
    assert deployment.retry() == []

    assert texts(at_alice) == texts(at_bob) == ["one", "two"]
    assert len(deployment.management.frames(at_bob.connection_id)) == 1


def test_who_is_told_later_reads_a_message_as_it_is_then(team: Team, deployment: Deployment) -> None:
    alice, bob, _, group = team
    at_bob = bob.connect()
    deployment.drain()
    deployment.management.fail(at_bob.connection_id)
    sent = alice.say(group, "in a hurry").json
    deployment.push()
    [late] = deployment.retrying.queued()
    assert alice.post(f"/v1/conversations/{group}/messages/{sent['seq']}/recall", {}).status == 200
    deployment.management.fail(at_bob.connection_id, failing=False)

    deployment.retrying.invoke([late])

    assert "in a hurry" not in late["body"]
    [heard] = at_bob.events
    assert heard["data"]["message"]["recalled_at"]


def test_a_session_that_ended_is_closed_later_if_it_could_not_be_told(team: Team, deployment: Deployment) -> None:
    alice, _, _, _ = team
    at_alice = alice.connect()
    deployment.drain()
    deployment.management.fail(at_alice.connection_id)
    alice.delete("/v1/sessions/current")
    deployment.push()
    assert deployment.management.is_open(at_alice.connection_id)
    deployment.management.fail(at_alice.connection_id, failing=False)

    deployment.retry()

    assert [e["type"] for e in at_alice.events] == ["session.ended"]
    assert not deployment.management.is_open(at_alice.connection_id)


def test_what_can_be_left_to_no_queue_comes_again(
    team: Team, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, _, group = team
    at_bob = bob.connect()
    deployment.drain()
    deployment.management.fail(at_bob.connection_id)
    alice.say(group, "hello")
    [sent] = deployment.queued()
    away = boto3.client("sqs", endpoint_url="http://127.0.0.1:1")
    monkeypatch.setattr(aws, "sqs", lambda: away)

    assert deployment.invoke_push([sent]) == {"batchItemFailures": [{"itemIdentifier": sent["messageId"]}]}
