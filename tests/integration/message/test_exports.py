"""A person's own data as an archive in S3."""

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.tables import exports as exports_table
from pydantic import BaseModel

from functions.message import export
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, Response
from tests.support.groups import a_group
from tests.support.people import Person
from tests.support.template import load

People = Callable[[str], Person]


@pytest.fixture(autouse=True)
def bucket(deployment: Deployment) -> Iterator[None]:
    """Let there be the bucket, empty."""
    bucket = boto3.resource("s3").create_bucket(Bucket="files")
    yield
    bucket.objects.delete()
    bucket.delete()


def ask(someone: Person) -> Response:
    return someone.post("/v1/exports")


def make() -> int:
    made: int = load("functions.message.export.handler")({}, LambdaContext(remaining_ms=900_000))["made"]
    return made


def archive(export_id: str) -> zipfile.ZipFile:
    stored = boto3.client("s3").get_object(Bucket="files", Key=f"export/{export_id}.zip")["Body"].read()
    return zipfile.ZipFile(io.BytesIO(stored))


def lines(file: zipfile.ZipFile, name: str) -> list[Any]:
    return [json.loads(line) for line in file.read(name).splitlines()]


def age(by: timedelta) -> None:
    """Let every archive have been asked for, and leased, earlier."""
    with stores.engine().begin() as connection:
        connection.execute(sa.update(exports_table).values(created_at=now() - by, leased_until=now() - by))


def test_an_archive_holds_all_that_is_ones_own_and_nothing_else(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    alice.say(group, "你好")
    alice.delete(f"/v1/conversations/{group}/messages/1")
    carol.say(bob.befriend(carol), "not for alice")
    export_id = ask(alice).json["id"]

    assert make() == 1

    file = archive(export_id)
    assert file.testzip() is None
    assert json.loads(file.read("profile.json"))["username"] == alice.username
    assert {friend["user"]["id"] for friend in lines(file, "friends.jsonl")} == {bob.id, carol.id}
    conversations = {item["id"] for item in alice.get("/v1/conversations").json["items"]}
    assert {name for name in file.namelist() if name.startswith("messages/")} == {
        f"messages/{conversation}.jsonl" for conversation in conversations
    }
    assert lines(file, f"messages/{group}.jsonl") == alice.history(group)
    assert "not for alice" not in str([file.read(name) for name in file.namelist()])


def test_an_archive_larger_than_a_part_comes_whole(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_PAGE", 3)
    monkeypatch.setattr(export, "PART_BYTES", 5 * 1024 * 1024)
    alice, bob = person("alice"), person("bob")
    conversation = alice.befriend(bob)
    for n in range(10):
        alice.say(conversation, f"message {n}")
    told = alice.history(conversation)
    monkeypatch.setattr(export, "_friends", lambda _: noise(7 * 1024 * 1024))
    export_id = ask(alice).json["id"]

    assert make() == 1

    file = archive(export_id)
    assert file.testzip() is None
    assert lines(file, f"messages/{conversation}.jsonl") == told
    assert alice.get(f"/v1/exports/{export_id}").json["size"] > 6 * 1024 * 1024


def test_a_ready_archive_has_a_link(person: People) -> None:
    alice = person("alice")
    asked = ask(alice)
    assert (asked.status, asked.json["status"], asked.json["download_url"]) == (202, "pending", None)

    make()

    ready = alice.get(f"/v1/exports/{asked.json['id']}").json
    assert ready["status"] == "ready"
    assert f"/export/{ready['id']}.zip" in ready["download_url"]
    assert person("bob").get(f"/v1/exports/{ready['id']}").code == "export_not_found"


def test_for_a_day_the_same_archive_is_answered(person: People) -> None:
    alice = person("alice")
    first = ask(alice).json["id"]

    again = ask(alice)
    assert (again.status, again.json["id"]) == (200, first)

    age(timedelta(days=1, seconds=1))
    assert ask(alice).status == 202
    age(timedelta(days=7, seconds=1))
    assert alice.get(f"/v1/exports/{first}").code == "export_not_found"


def test_who_dies_while_making_one_leaves_no_object_and_it_is_made_anew(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    export_id = ask(alice).json["id"]
    with monkeypatch.context() as patch:
        patch.setattr(export, "_blocked", broken)
        assert make() == 0
    s3 = boto3.client("s3")
    assert "Contents" not in s3.list_objects_v2(Bucket="files")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="files")
    assert make() == 0, "its lease goes on"

    age(timedelta(minutes=17))
    assert make() == 1
    assert alice.get(f"/v1/exports/{export_id}").json["status"] == "ready"


def test_one_that_cannot_be_made_fails_in_the_end_and_can_be_asked_for_anew(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    export_id = ask(alice).json["id"]
    monkeypatch.setattr(export, "_blocked", broken)

    for _ in range(export.ATTEMPTS):
        assert make() == 0
        age(timedelta(minutes=17))

    assert alice.get(f"/v1/exports/{export_id}").json["status"] == "failed"
    assert ask(alice).status == 202


def test_whose_account_was_closed_gets_none(person: People) -> None:
    alice = person("alice")
    ask(alice)
    alice.delete("/v1/users/me")

    assert make() == 0
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket="files")


class Noise(BaseModel):
    """Something that does not compress well."""

    text: str


def noise(size: int) -> Iterator[Noise]:
    """Return things of together about so many bytes when they are compressed."""
    chance = random.Random(4711)  # the same every time
    return (Noise(text=chance.randbytes(64 * 1024).hex()) for _ in range(size // (64 * 1024)))


def broken(_: str) -> Iterator[Any]:
    raise RuntimeError("the disk is on fire")
