"""Messages that carry files: who may send them, what they show, and who may read the file."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.settings import settings
from hongyan.tables import files, messages

from functions.file import sweep
from functions.message import reindex, retention
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, Response
from tests.support.groups import a_group, remove
from tests.support.people import Person
from tests.support.recordings import tone, waved
from tests.support.uploads import a_picture, an_upload, begun, completed, keys

pytestmark = pytest.mark.usefixtures("bucket")

People = Callable[..., Person]


def send(sender: Person, conversation_id: str, kind: str, file_id: str, **more: Any) -> Response:
    content = {"file_id": file_id, **more.pop("content", {})}
    body = {"client_id": f"{kind}-{file_id}", "type": kind, "content": content, **more}
    return sender.post(f"/v1/conversations/{conversation_id}/messages", body)


def pair(person: People) -> tuple[Person, Person, str]:
    alice, bob = person("alice"), person("bob")
    return alice, bob, alice.befriend(bob)


def test_a_file_is_sent_with_what_is_known_of_it_and_the_other_may_fetch_it(person: People) -> None:
    alice, bob, chat = pair(person)
    file = completed(alice, b"hello", name="报告.txt", mime="text/plain")

    sent = send(alice, chat, "file", file["id"])

    assert sent.status == 201, sent.text
    assert sent.json["content"] == {"file_id": file["id"], "name": "报告.txt", "mime": "text/plain", "size": 5}
    assert bob.get(f"/v1/files/{file['id']}").status == 200
    assert bob.get(f"/v1/files/{file['id']}/content").text == "hello"


def test_sending_it_again_is_the_same_message(person: People) -> None:
    alice, _, chat = pair(person)
    file = completed(alice, b"hello")

    first, second = (send(alice, chat, "file", file["id"]) for _ in range(2))

    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("another's", 404, "file_not_found"), ("avatar", 422, "file_not_usable"), ("incomplete", 422, "file_not_usable")],
)
def test_what_is_no_upload_for_such_a_message_is_not_sent(person: People, kind: str, status: int, code: str) -> None:
    alice, bob, chat = pair(person)
    file_ids: dict[str, Callable[[], str]] = {
        "another's": lambda: str(completed(bob, b"hello")["id"]),
        "avatar": lambda: an_upload(alice),
        "incomplete": lambda: str(begun(alice, b"hello").json["file_id"]),
    }

    answer = send(alice, chat, "file", file_ids[kind]())

    assert (answer.status, answer.code) == (status, code)
    assert alice.get(f"/v1/conversations/{chat}").json["last_message"] is None


def test_a_voice_message_lasts_as_long_as_its_recording(person: People) -> None:
    alice, _, chat = pair(person)
    file = completed(alice, waved(tone(2)), purpose="voice")

    lie = send(alice, chat, "voice", file["id"], content={"duration_ms": 60_000})
    sent = send(alice, chat, "voice", file["id"], content={"duration_ms": 2_400})

    assert (lie.status, lie.code) == (422, "validation_failed")
    assert sent.json["content"]["duration_ms"] == 2_000
    assert sent.json["content"]["transcript"] is None


def test_a_file_is_read_by_those_who_were_there_when_it_was_sent(person: People) -> None:
    alice, bob, carol, dave = (person(name) for name in ("alice", "bob", "carol", "dave"))
    group = a_group(alice, bob, dave)
    assert remove(alice, group, dave).status == 204
    file = completed(alice, b"hello")
    assert send(alice, group, "file", file["id"]).status == 201
    alice.befriend(carol)
    assert alice.post(f"/v1/conversations/{group}/members", {"user_ids": [carol.id]}).status in {200, 201, 204}

    answers = {one.username: one.get(f"/v1/files/{file['id']}").status for one in (bob, carol, dave)}

    assert list(answers.values()) == [200, 404, 404]
    asked = {"ids": [file["id"]]}
    assert [item["id"] for item in bob.post("/v1/files/batch-get", asked).json["items"]] == [file["id"]]
    assert carol.post("/v1/files/batch-get", asked).json["items"] == []


def test_forwarding_an_image_lets_others_read_it_and_copies_no_bytes(person: People) -> None:
    alice, bob, chat = pair(person)
    carol = person("carol")
    other = bob.befriend(carol)
    file = completed(alice, a_picture(), purpose="image")
    sent = send(alice, chat, "image", file["id"]).json
    before = keys()

    forwarded = bob.post(
        f"/v1/conversations/{chat}/messages/{sent['seq']}/forward", {"client_id": "f", "conversation_ids": [other]}
    )

    assert forwarded.status == 201, forwarded.text
    assert forwarded.json["items"][0]["content"] == sent["content"]
    assert keys() == before
    assert carol.get(f"/v1/files/{file['id']}").status == 200


def test_a_recalled_file_is_nobodys_to_read_and_its_bytes_go(person: People) -> None:
    alice, bob, chat = pair(person)
    file = completed(alice, b"hello")
    sent = send(alice, chat, "file", file["id"]).json

    assert alice.post(f"/v1/conversations/{chat}/messages/{sent['seq']}/recall").status == 200

    assert bob.get(f"/v1/files/{file['id']}").code == "file_not_found"
    with stores.engine().begin() as connection:
        past = now() - timedelta(hours=1, seconds=1)
        connection.execute(sa.update(files).where(files.c.id == file["id"]).values(expires_at=past))
    assert sweep.handler({}, LambdaContext()) == {"removed": 1}
    assert keys() == set()


def test_a_file_that_was_sent_is_kept_without_end(person: People) -> None:
    alice, _, chat = pair(person)
    file = completed(alice, b"hello")

    send(alice, chat, "file", file["id"])

    with stores.engine().connect() as connection:
        assert connection.scalar(sa.select(files.c.expires_at).where(files.c.id == file["id"])) is None


def test_a_recalled_images_thumbnails_go_too(person: People, deployment: Deployment) -> None:
    alice, _, chat = pair(person)
    file = completed(alice, a_picture(400, 400), purpose="image")
    made(deployment, file["id"])
    seq = send(alice, chat, "image", file["id"]).json["seq"]
    assert len(keys()) == 3
    alice.post(f"/v1/conversations/{chat}/messages/{seq}/recall")
    with stores.engine().begin() as connection:
        past = now() - timedelta(hours=1, seconds=1)
        connection.execute(sa.update(files).where(files.c.id == file["id"]).values(expires_at=past))

    assert sweep.handler({}, LambdaContext()) == {"removed": 1}
    assert keys() == set()


def test_a_file_that_was_forwarded_outlives_its_first_message(person: People) -> None:
    alice, bob, chat = pair(person)
    other = bob.befriend(person("carol"))
    file = completed(alice, b"hello")
    seq = send(alice, chat, "file", file["id"]).json["seq"]
    bob.post(f"/v1/conversations/{chat}/messages/{seq}/forward", {"client_id": "f", "conversation_ids": [other]})

    alice.post(f"/v1/conversations/{chat}/messages/{seq}/recall")

    assert bob.get(f"/v1/files/{file['id']}").status == 200
    assert alice.delete(f"/v1/files/{file['id']}").code == "file_in_use"


def test_what_is_past_its_time_leaves_no_file_behind(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, chat = pair(person)
    file = completed(alice, b"hello")
    send(alice, chat, "file", file["id"])
    kept = settings().model_copy(update={"message_retention_days": 30})
    monkeypatch.setattr(retention, "settings", lambda: kept)
    with stores.engine().begin() as connection:
        connection.execute(sa.update(messages).values(created_at=now() - timedelta(days=31)))

    assert retention.handler({}, LambdaContext(remaining_ms=300_000)) == {"emptied": 1}

    assert bob.get(f"/v1/files/{file['id']}").code == "file_not_found"


def made(deployment: Deployment, file_id: str) -> None:
    """Tell of an image as S3 does."""
    told = {"Records": [{"s3": {"bucket": {"name": "files"}, "object": {"key": f"image/{file_id}"}}}]}
    record = {
        "messageId": "1",
        "receiptHandle": "1",
        "body": json.dumps(told),
        "attributes": {},
        "messageAttributes": {},
    }
    assert deployment.thumbnailing.invoke([record])["batchItemFailures"] == []


def test_an_images_thumbnails_come_to_whoever_has_the_message(person: People, deployment: Deployment) -> None:
    alice, bob, chat = pair(person)
    file = completed(alice, a_picture(2_000, 1_000), purpose="image")
    sent = send(alice, chat, "image", file["id"]).json
    assert sent["content"]["thumbnail"] is None
    deployment.push()
    socket = bob.connect()

    made(deployment, file["id"])
    deployment.push()

    [updated] = [event for event in socket.events if event["type"] == "message.updated"]
    thumbnail = updated["data"]["message"]["content"]["thumbnail"]
    assert {name: (one["width"], one["height"]) for name, one in thumbnail.items()} == {
        "small": (320, 160),
        "large": (1280, 640),
    }
    assert updated["data"]["message"]["change_seq"] > sent["change_seq"]
    assert keys() >= {f"thumbnail/{file['id']}/small.webp", f"thumbnail/{file['id']}/large.webp"}


def test_a_link_to_a_thumbnail_is_never_stored(person: People, deployment: Deployment) -> None:
    alice, _, chat = pair(person)
    file = completed(alice, a_picture(400, 400), purpose="image")
    made(deployment, file["id"])

    send(alice, chat, "image", file["id"])

    with stores.engine().connect() as connection:
        stored = connection.scalar(sa.select(messages.c.content).where(messages.c.type == "image"))
    assert stored is not None
    assert stored["thumbnail"] == {"small": {"width": 320, "height": 320}, "large": {"width": 400, "height": 400}}


def test_being_told_twice_of_an_image_changes_its_message_once(person: People, deployment: Deployment) -> None:
    alice, _, chat = pair(person)
    file = completed(alice, a_picture(400, 400), purpose="image")
    send(alice, chat, "image", file["id"])

    made(deployment, file["id"])
    once = alice.history(chat)[-1]
    made(deployment, file["id"])

    assert once["content"]["thumbnail"]["small"]["url"].startswith("http")
    assert alice.history(chat)[-1]["change_seq"] == once["change_seq"]


def test_a_recalled_image_gets_no_thumbnail(person: People, deployment: Deployment) -> None:
    alice, _, chat = pair(person)
    file = completed(alice, a_picture(400, 400), purpose="image")
    seq = send(alice, chat, "image", file["id"]).json["seq"]
    alice.post(f"/v1/conversations/{chat}/messages/{seq}/recall")

    made(deployment, file["id"])

    shown = alice.get(f"/v1/conversations/{chat}/messages").json["items"]
    assert [message["content"] for message in shown if message["seq"] == seq] == [{}]


def test_a_file_is_found_by_its_name(person: People, deployment: Deployment) -> None:
    reindex.handler({"rebuild": True}, LambdaContext())
    alice, bob, chat = pair(person)
    file = completed(alice, b"hello", name="季度报告 final.txt", mime="text/plain")
    send(alice, chat, "file", file["id"])
    assert deployment.message_indexing.work() == []
    stores.search_client().indices.refresh(index="messages")

    [found] = bob.get("/v1/messages/search?q=%E6%8A%A5%E5%91%8A&type=file").json["items"]

    assert found["message"]["content"]["file_id"] == file["id"]
    assert found["highlights"] == [{"start": 2, "end": 4}]
