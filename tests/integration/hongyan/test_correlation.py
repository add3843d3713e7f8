"""One id from the request to the push: every line that is logged on the way bears it."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from hongyan import outbox
from hongyan.observability import follow, logger

from functions.file import uploads
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.groups import a_group, fill
from tests.support.people import Person
from tests.support.template import load
from tests.support.uploads import begun

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Return what was logged since the last time one asked."""
    logged = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", logged)

    def taken() -> list[dict[str, Any]]:
        said = [json.loads(line) for line in logged.getvalue().splitlines()]
        logged.truncate(0)
        logged.seek(0)
        return said

    yield taken
    follow()


@pytest.fixture
def pair(person: People, deployment: Deployment) -> Pair:
    alice, bob = person("alice"), person("bob")
    conversation = alice.befriend(bob)
    deployment.drain()
    return alice, bob, conversation


def causes(said: list[dict[str, Any]]) -> list[str | None]:
    return [line.get("correlation_id") for line in said]


def test_a_message_bears_its_requests_id_from_the_answer_to_the_push_and_the_index(
    pair: Pair, deployment: Deployment, lines: Lines
) -> None:
    alice, bob, conversation = pair
    load("functions.message.reindex.handler")({"rebuild": True}, LambdaContext())
    bob.connect()
    deployment.drain()
    lines()

    request_id = alice.say(conversation, "hello").headers["x-request-id"]
    requested = lines()
    assert deployment.push() == []
    pushed = lines()
    assert deployment.message_indexing.work() == []
    indexed = lines()

    for said in (requested, pushed, indexed):
        assert said
        assert set(causes(said)) == {request_id}


def test_a_message_sent_by_a_frame_bears_the_frames_id(pair: Pair, deployment: Deployment, lines: Lines) -> None:
    alice, _, conversation = pair
    socket = alice.connect()
    deployment.drain()
    lines()

    message = {"client_id": "by-frame", "type": "text", "content": {"text": "hello"}}
    socket.send(action="send", id="1", conversation_id=conversation, message=message)
    [requested] = [line for line in lines() if line["message"] == "events are announced"]
    deployment.push()

    assert requested["correlation_id"].startswith("frame-")
    assert set(causes(lines())) == {requested["correlation_id"]}


def test_records_of_a_batch_bear_each_their_own_id_and_what_is_done_for_all_bears_all(
    pair: Pair, deployment: Deployment, lines: Lines
) -> None:
    alice, bob, conversation = pair
    first = alice.say(conversation, "one").headers["x-request-id"]
    second = bob.say(conversation, "two").headers["x-request-id"]
    records = deployment.queued()
    records.append({**records[0], "messageId": "broken", "body": "{}"})
    lines()

    deployment.invoke_push(records)
    said = {line["message_id"]: line.get("correlation_id") for line in lines() if "message_id" in line}

    assert said == {records[0]["messageId"]: first, records[1]["messageId"]: second, "broken": None}


def test_a_store_that_is_away_is_told_of_with_the_ids_of_the_whole_batch(
    pair: Pair, deployment: Deployment, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    ids = {who.say(conversation, "hello").headers["x-request-id"] for who in (alice, bob)}
    records = deployment.queued()
    monkeypatch.setattr("functions.message.push._push_riding_out", lambda _: None)
    lines()

    deployment.invoke_push(records)

    [away] = [line for line in lines() if line["message"] == "a part of the service is out of reach"]
    assert set(away["correlation_id"].split(",")) == ids


def test_what_the_sweeper_announces_bears_the_id_of_the_request_that_committed_it(
    pair: Pair, deployment: Deployment, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, conversation = pair
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "_publish", lambda _: [])
        request_id = alice.say(conversation, "hello").headers["x-request-id"]
    assert deployment.queued() == []
    monkeypatch.setattr(outbox, "LEFT_BEHIND_AFTER", -outbox.LEFT_BEHIND_AFTER)

    load("functions.message.sweep.handler")({"id": "a-minute"}, LambdaContext())
    lines()
    deployment.push()

    assert set(causes(lines())) == {request_id}


def test_shards_of_a_crowd_bear_the_id_of_the_request(person: People, deployment: Deployment, lines: Lines) -> None:
    alice = person("alice")
    conversation = a_group(alice, person("bob"), person("carol"))
    fill(conversation, 500)
    deployment.drain()
    request_id = alice.say(conversation, "hello").headers["x-request-id"]
    assert deployment.pushing.work() == []
    lines()

    assert deployment.sharding.work() == []

    assert set(causes(lines())) == {request_id}


def test_a_retried_socket_bears_the_id_of_the_request(pair: Pair, deployment: Deployment, lines: Lines) -> None:
    alice, bob, conversation = pair
    socket = bob.connect()
    deployment.drain()
    deployment.management.fail(socket.connection_id)
    request_id = alice.say(conversation, "hello").headers["x-request-id"]
    deployment.push()
    deployment.management.fail(socket.connection_id, failing=False)
    lines()

    assert deployment.retry() == []

    assert [event["type"] for event in socket.events] == ["message.created"]
    assert set(causes(lines())) == {request_id}


def test_an_event_of_the_release_before_which_bears_no_id_is_pushed(
    pair: Pair, deployment: Deployment, lines: Lines
) -> None:
    alice, bob, conversation = pair
    socket = bob.connect()
    deployment.drain()
    alice.say(conversation, "hello")
    [record] = deployment.queued()
    old = json.loads(record["body"])
    del old["correlation_id"]
    lines()

    answer = deployment.invoke_push([{**record, "body": json.dumps(old)}])

    assert answer == {"batchItemFailures": []}
    assert len(socket.events) == 1
    assert set(causes(lines())) == {None}


@pytest.mark.usefixtures("bucket")
def test_verifying_a_large_upload_bears_the_id_of_the_request_that_completed_it(
    person: People, deployment: Deployment, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "VERIFIED_AT_ONCE", 0)
    alice = person("alice")
    file_id = begun(alice, b"bytes").json["file_id"]
    boto3.client("s3").put_object(Bucket="files", Key=f"file/{file_id}", Body=b"bytes")
    completed = alice.post(f"/v1/files/{file_id}/complete")
    assert completed.status == 202
    lines()

    assert deployment.verifying.work() == []

    assert set(causes(lines())) == {completed.headers["x-request-id"]}


@pytest.mark.usefixtures("bucket")
def test_an_upload_that_was_queued_by_the_release_before_is_verified(
    person: People, deployment: Deployment, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "VERIFIED_AT_ONCE", 0)
    alice = person("alice")
    file_id = begun(alice, b"bytes").json["file_id"]
    boto3.client("s3").put_object(Bucket="files", Key=f"file/{file_id}", Body=b"bytes")
    alice.post(f"/v1/files/{file_id}/complete")
    [record] = deployment.verifying.queued()

    assert deployment.verifying.invoke([{**record, "messageAttributes": {}}]) == {"batchItemFailures": []}

    assert alice.get(f"/v1/files/{file_id}").status == 200
