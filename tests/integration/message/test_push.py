"""From the commit to every open socket: at least once, never in the way of others."""

import json
from collections.abc import Callable
from datetime import timedelta

import boto3
import pytest
import redis
import sqlalchemy as sa
from hongyan import connections, outbox, stores
from hongyan.clock import now
from hongyan.events import ConversationAudience, event
from hongyan.ids import new_id
from hongyan.tables import outbox as outbox_table

from tests.support.cache import lose_cache
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, request
from tests.support.people import Person
from tests.support.template import load

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]


@pytest.fixture
def pair(person: People, deployment: Deployment) -> Pair:
    alice, bob = person("alice"), person("bob")
    conversation = alice.befriend(bob)
    deployment.drain()
    return alice, bob, conversation


def texts(events: list[dict[str, dict[str, dict[str, dict[str, str]]]]]) -> list[str]:
    return [e["data"]["message"]["content"]["text"] for e in events]


def waiting() -> int:
    with stores.engine().connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(outbox_table)) or 0


def left_behind() -> None:
    """Let the rows of the outbox be older than the sweeper waits for."""
    with stores.engine().begin() as connection:
        earlier = now() - outbox.LEFT_BEHIND_AFTER - timedelta(seconds=1)
        connection.execute(sa.update(outbox_table).values(created_at=earlier))


def sweep() -> int:
    announced: int = load("functions.message.sweep.handler")({}, LambdaContext())["announced"]
    return announced


def record(body: str, message_id: str = "m-1") -> dict[str, object]:
    return {
        "messageId": message_id,
        "receiptHandle": "r",
        "body": body,
        "attributes": {},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:push",
    }


def test_a_message_reaches_every_device_of_both_sides(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    sockets = [alice.connect(), alice.on_another_device().connect(), bob.connect(), bob.on_another_device().connect()]

    message = alice.say(conversation, "你好").json
    deployment.push()

    for socket in sockets:
        [received] = socket.events
        assert received["type"] == "message.created"
        assert received["data"] == {"message": message}


def test_a_stranger_hears_nothing(pair: Pair, person: People, deployment: Deployment) -> None:
    alice, _, conversation = pair
    at_eve = person("eve").connect()

    alice.say(conversation, "private")
    deployment.push()

    assert at_eve.events == []


def test_a_batch_is_one_frame_a_connection(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    deployment.drain()

    for n in range(10):
        alice.say(conversation, f"message {n}")
    deployment.push()

    assert len(deployment.management.frames(at_bob.connection_id)) == 1
    assert texts(at_bob.events) == [f"message {n}" for n in range(10)]


def test_a_batch_too_large_for_a_frame_is_split(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()

    for _ in range(4):
        alice.say(conversation, "😀" * 4_000)
    deployment.push()

    frames = deployment.management.frames(at_bob.connection_id)
    assert len(frames) > 1
    assert all(len(frame.encode()) <= 32 * 1024 for frame in frames)
    assert texts(at_bob.events) == ["😀" * 4_000] * 4


def test_a_connection_that_is_gone_is_forgotten_and_delays_nobody(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    gone, at_bob = bob.connect(), bob.connect()
    gone.die()

    alice.say(conversation, "hello")
    assert deployment.push() == []

    assert texts(at_bob.events) == ["hello"]
    assert [c.connection_id for c in connections.of_users([bob.id])[bob.id]] == [at_bob.connection_id]


def test_a_poison_record_fails_alone(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    deployment.drain()
    alice.say(conversation, "hello")
    [sent] = deployment.queued()

    answer = deployment.invoke_push([record("not an event", "poison"), sent, record('{"type": "x"}', "other poison")])

    failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    assert failed == {"poison", "other poison"}
    assert texts(at_bob.events) == ["hello"]


def test_an_event_that_comes_twice_in_a_batch_is_told_once(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    deployment.drain()
    alice.say(conversation, "hello")
    [sent] = deployment.queued()

    deployment.invoke_push([sent, {**sent, "messageId": "again"}])

    assert texts(at_bob.events) == ["hello"]


def test_events_of_a_batch_come_in_the_order_they_happened(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    for n in range(5):
        alice.say(conversation, f"message {n}")
    records = deployment.queued()

    deployment.invoke_push(records[::-1])

    assert texts(at_bob.events) == [f"message {n}" for n in range(5)]


def test_while_redis_is_away_nothing_is_taken_from_the_queue(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "hello")
    [sent] = deployment.queued()

    def away(_: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(connections, "of_users", away)
    answer = deployment.invoke_push([sent])

    assert answer == {"batchItemFailures": [{"itemIdentifier": sent["messageId"]}]}


def test_a_connection_that_redis_forgot_registers_with_its_next_frame(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    lose_cache()
    alice.say(conversation, "missed")
    deployment.push()

    assert at_bob.send(action="ping", id="p")["data"] == {"resync": True}
    assert at_bob.send(action="ping", id="p")["data"] == {"resync": False}
    alice.say(conversation, "heard")
    deployment.push()

    assert texts(at_bob.events) == ["heard"]


def test_a_closed_socket_is_not_posted_to(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    bob.connect().close()

    alice.say(conversation, "hello")
    posts = deployment.management.posts
    deployment.push()

    assert deployment.management.posts == posts


def test_logging_out_tells_and_closes_the_sockets_of_that_session_only(pair: Pair, deployment: Deployment) -> None:
    alice, _, _ = pair
    phone, laptop = alice.connect(), alice.on_another_device().connect()

    request("DELETE", "/v1/sessions/current", token=alice.token)
    deployment.push()

    [ended] = phone.events
    assert ended["type"] == "session.ended"
    assert ended["data"] == {"session_id": alice.session_id, "reason": "logged_out"}
    assert not deployment.management.is_open(phone.connection_id)
    assert laptop.events == []
    assert deployment.management.is_open(laptop.connection_id)


def test_a_frame_of_an_ended_session_is_refused(pair: Pair) -> None:
    alice, _, _ = pair
    socket = alice.connect()
    socket.send(action="ping", id="p")
    request("DELETE", "/v1/sessions/current", token=alice.token)

    answer = socket.send(action="ping", id="p")

    assert (answer["type"], answer["data"]["code"]) == ("error", "session_ended")
    assert connections.of_users([alice.id])[alice.id] == []


def test_a_topic_that_refuses_never_fails_the_send_and_the_sweeper_makes_up_for_it(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    with monkeypatch.context() as patch:
        patch.setenv("EVENTS_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:nowhere")
        from hongyan.settings import settings  # noqa: PLC0415

        settings.cache_clear()
        assert alice.say(conversation, "hello").status == 201
        settings.cache_clear()
    settings.cache_clear()
    deployment.push()
    assert at_bob.events == []
    assert waiting() == 1

    left_behind()
    assert sweep() == 1
    deployment.push()

    assert texts(at_bob.events) == ["hello"]
    assert waiting() == 0


def test_a_publication_that_fails_in_whatever_way_never_fails_the_send(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, conversation = pair

    def die(_: object) -> list[str]:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(outbox, "_publish", die)

    assert alice.say(conversation, "hello").status == 201
    assert waiting() == 1


def test_the_sweeper_leaves_fresh_rows_to_the_function_that_wrote_them(deployment: Deployment) -> None:
    fresh = event("message.read", ConversationAudience(conversation_id="c"), seq=1)
    with stores.engine().begin() as connection:
        outbox.write(connection, [fresh])

    assert sweep() == 0
    assert waiting() == 1
    left_behind()
    assert sweep() == 1


def test_the_sweeper_empties_a_long_outbox(deployment: Deployment) -> None:
    with stores.engine().begin() as connection:
        outbox.write(
            connection, [event("message.read", ConversationAudience(conversation_id="c"), seq=n) for n in range(210)]
        )
    left_behind()

    assert sweep() == 210
    assert len(deployment.queued()) == 210


def test_events_of_a_later_release_stay_and_hold_up_nothing_behind_them(deployment: Deployment) -> None:
    """Their release was rolled back, and comes again."""
    unknown = [new_id() for _ in range(201)]
    rows = [{"event_id": each, "body": '{"type": "later"}', "created_at": now()} for each in unknown]
    with stores.engine().begin() as connection:
        connection.execute(sa.insert(outbox_table).values(rows))
        outbox.write(connection, [event("message.read", ConversationAudience(conversation_id="c"), seq=1)])
    left_behind()

    assert sweep() == 1

    assert waiting() == len(unknown)
    assert len(deployment.queued()) == 1


def test_two_sweepers_at_once_announce_each_event_once(deployment: Deployment) -> None:
    with stores.engine().begin() as connection:
        outbox.write(connection, [event("message.read", ConversationAudience(conversation_id="c"), seq=1)])
    left_behind()

    with stores.engine().begin() as other:
        other.execute(sa.select(outbox_table).with_for_update())
        assert sweep() == 0

    assert sweep() == 1


def test_only_events_for_people_reach_the_push_queue(deployment: Deployment) -> None:
    boto3.client("sns").publish(
        TopicArn=deployment.topic_arn,
        Message=json.dumps({"type": "something.else"}),
        MessageAttributes={"type": {"DataType": "String", "StringValue": "something.else"}},
    )

    assert deployment.queued() == []


def test_a_changed_profile_reaches_friends_and_ones_own_devices_and_nobody_else(
    pair: Pair, person: People, deployment: Deployment
) -> None:
    alice, bob, _ = pair
    eve = person("eve")
    eve.ask(alice)
    deployment.drain()
    sockets = [alice.connect(), alice.on_another_device().connect(), bob.connect(), bob.on_another_device().connect()]
    at_eve = eve.connect()

    alice.patch("/v1/users/me", {"nickname": "爱丽丝"})
    deployment.push()

    profile = bob.get(f"/v1/users/{alice.id}").json
    for socket in sockets:
        [heard] = socket.events
        assert (heard["type"], heard["data"]) == ("user.updated", {"user": profile})
    assert at_eve.events == []


def test_who_becomes_a_friend_before_the_push_hears_of_the_change(
    pair: Pair, person: People, deployment: Deployment
) -> None:
    alice, _, _ = pair
    carol = person("carol")
    deployment.drain()
    alice.patch("/v1/users/me", {"nickname": "爱丽丝"})
    [changed] = deployment.queued()
    alice.befriend(carol)
    at_carol = carol.connect()

    deployment.invoke_push([changed])

    assert [e["type"] for e in at_carol.events] == ["user.updated"]


def test_a_registration_is_told_to_nobody(pair: Pair, person: People, deployment: Deployment) -> None:
    alice, _, _ = pair
    newcomer = person("newcomer")
    sockets = [alice.connect(), newcomer.connect()]

    deployment.push()

    assert [socket.events for socket in sockets] == [[], []]


def test_changing_nothing_is_told_to_nobody(pair: Pair, deployment: Deployment) -> None:
    alice, _, _ = pair

    alice.patch("/v1/users/me", {})

    assert deployment.queued() == []
