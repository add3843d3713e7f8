"""Uploading: what is begun, verified, refused, and for how long it stays."""

import hashlib
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.tables import file_accounts, files

from functions.file import storage, sweep, uploads
from functions.file.settings import settings
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, request
from tests.support.groups import a_group
from tests.support.people import Person
from tests.support.recordings import MIMES as RECORDINGS
from tests.support.recordings import converted, tone, waved
from tests.support.uploads import a_picture, begun, completed, keys, put

pytestmark = pytest.mark.usefixtures("bucket")

People = Callable[..., Person]


def test_a_completed_upload_is_shown_with_a_link(person: People) -> None:
    alice = person("alice")

    file = completed(alice, b"hello", name="你好.txt", mime="text/plain")

    assert file["status"] == "ready"
    assert file["size"] == 5
    assert file["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert alice.get(f"/v1/files/{file['id']}").json["download_url"].startswith("http")


def test_a_single_put_is_signed_with_its_length_type_and_checksum(person: People) -> None:
    upload = begun(person("alice"), b"hello", mime="text/plain").json["upload"]

    assert upload["method"] == "PUT"
    signed = next(part for part in upload["url"].split("&") if part.startswith("X-Amz-SignedHeaders="))
    assert set(signed.partition("=")[2].split("%3B")) == {
        "content-length",
        "content-type",
        "host",
        "x-amz-checksum-sha256",
    }
    assert upload["headers"]["Content-Length"] == "5"


@pytest.mark.parametrize(
    ("purpose", "most"), [("avatar", 5 * 2**20), ("image", 20 * 2**20), ("voice", 10 * 2**20), ("file", 2**31)]
)
def test_a_file_is_as_large_as_its_purpose_allows_and_not_one_byte_larger(
    person: People, purpose: str, most: int
) -> None:
    alice = person("alice")

    assert begun(alice, b"x", purpose=purpose, size=most).status == 201
    over = begun(alice, b"x", purpose=purpose, size=most + 1)
    assert (over.status, over.code) == (413, "file_too_large")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": -1},
        {"size": 2**63},
        {"sha256": "abc"},
        {"sha256": "g" * 64},
        {"purpose": "video"},
        {"mime": "png"},
        {"mime": "image/png; charset=x"},
        {"mime": "image/png\r\nx: y"},
        {"name": ""},
        {"name": " "},
        {"name": ".."},
        {"name": "../x"},
        {"name": "a\\b"},
        {"name": "a\0b"},
        {"name": "a\nb"},
        {"name": "photo\u202egpj.exe"},
        {"name": "x" * 256},
        {"more": 1},
    ],
)
def test_what_is_declared_wrongly_is_refused_before_a_byte_is_sent(person: People, wrong: dict[str, Any]) -> None:
    answer = person("alice").post(
        "/v1/files",
        {"name": "a", "mime": "image/png", "size": 1, "sha256": "0" * 64, "purpose": "file", **wrong},
    )

    assert (answer.status, answer.code) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("purpose", "mime"),
    [
        ("image", "image/svg+xml"),
        ("image", "application/pdf"),
        ("avatar", "image/gif"),
        ("voice", "video/mp4"),
        ("file", "text/html"),
    ],
)
def test_a_type_that_does_not_serve_the_purpose_is_refused(person: People, purpose: str, mime: str) -> None:
    answer = begun(person("alice"), b"x", purpose=purpose, mime=mime)

    assert (answer.status, answer.code) == (415, "unsupported_file")


def test_an_upload_whose_bytes_are_not_there_can_be_completed_later(person: People) -> None:
    alice = person("alice")
    file_id = begun(alice, b"hello").json["file_id"]

    early = alice.post(f"/v1/files/{file_id}/complete")

    assert (early.status, early.code) == (422, "upload_incomplete")
    boto3.client("s3").put_object(Bucket="files", Key=f"file/{file_id}", Body=b"hello")
    assert alice.post(f"/v1/files/{file_id}/complete").status == 200


@pytest.mark.parametrize(
    ("data", "declared", "code"),
    [
        (b"hello", {"size": 6}, "file_size_wrong"),
        (b"hello", {"sha256": "0" * 64}, "file_checksum_wrong"),
        (b"MZ\x90\0" + bytes(60), {"purpose": "image"}, "file_type_wrong"),
        (b"MZ\x90\0" + bytes(60), {"mime": "image/png"}, "file_type_wrong"),
        (b"MZ\x90\0" + bytes(60), {"mime": "application/pdf"}, "file_type_wrong"),
        (a_picture(kind="JPEG"), {"purpose": "image", "mime": "image/png"}, "file_type_wrong"),
        (a_picture()[:-30], {"purpose": "image"}, "picture_unreadable"),
        (
            a_picture(50_000, 50_000)[:200] if False else a_picture(17_000, 10),
            {"purpose": "image"},
            "picture_too_large",
        ),
        (b"<svg onload='alert(1)'/>", {"purpose": "image"}, "file_type_wrong"),
        (b"only text", {"purpose": "voice"}, "audio_unreadable"),
    ],
)
def test_bytes_that_are_not_what_was_declared_are_deleted_and_refused_again(
    person: People, data: bytes, declared: dict[str, Any], code: str
) -> None:
    alice = person("alice")
    file_id = put(alice, data, **declared)

    refusals = [alice.post(f"/v1/files/{file_id}/complete") for _ in range(2)]

    assert [(answer.status, answer.code) for answer in refusals] == [(422, code)] * 2
    assert keys() == set()
    assert stored_bytes(alice) == 0


def test_completing_twice_answers_the_same_file(person: People) -> None:
    alice = person("alice")
    file_id = put(alice, b"hello")

    first, second = (alice.post(f"/v1/files/{file_id}/complete") for _ in range(2))

    assert first.status == second.status == 200
    assert {**first.json, "download_url": 0, "download_url_expires_at": 0} == {
        **second.json,
        "download_url": 0,
        "download_url_expires_at": 0,
    }


@pytest.mark.parametrize("action", ["complete", "upload", "delete", "content"])
def test_anothers_upload_is_not_there(person: People, action: str) -> None:
    file_id, mallory = put(person("alice"), b"hello"), person("mallory")
    answers = {
        "complete": lambda: mallory.post(f"/v1/files/{file_id}/complete"),
        "upload": lambda: mallory.get(f"/v1/files/{file_id}/upload"),
        "delete": lambda: mallory.delete(f"/v1/files/{file_id}"),
        "content": lambda: mallory.put(f"/v1/files/{file_id}/content"),
    }

    answer = answers[action]()

    assert (answer.status, answer.code) == (404, "file_not_found")


def test_an_image_shows_its_size_as_its_camera_was_held(person: People) -> None:
    turned = a_picture(40, 30, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")

    file = completed(person("alice"), turned, purpose="image", mime="image/jpeg")

    assert (file["width"], file["height"]) == (30, 40)


def test_an_avatar_becomes_a_square_webp(person: People) -> None:
    file = completed(person("alice"), a_picture(1200, 800), purpose="avatar")

    assert (file["width"], file["height"], file["mime"]) == (512, 512, "image/webp")
    assert keys() == {f"avatar/{file['id']}"}
    stored = storage.read(f"avatar/{file['id']}")
    assert hashlib.sha256(stored).hexdigest() == file["sha256"]
    assert len(stored) == file["size"]


def test_completing_an_avatar_at_once_by_two_makes_one(person: People, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = person("alice")
    file_id = put(alice, a_picture(), purpose="avatar")
    read, others = storage.read, []

    def read_after_another(key: str) -> bytes:
        monkeypatch.setattr(storage, "read", read)
        others.append(alice.post(f"/v1/files/{file_id}/complete"))
        return read(key)

    monkeypatch.setattr(storage, "read", read_after_another)
    answer = alice.post(f"/v1/files/{file_id}/complete")

    assert [answer.status, *(other.status for other in others)] == [200, 200]
    assert answer.json["sha256"] == others[0].json["sha256"]
    assert keys() == {f"avatar/{file_id}"}


def test_what_another_refuses_meanwhile_is_refused_for_the_same(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person("alice")
    file_id = put(alice, b"hello", purpose="image")
    read = storage.read

    def read_after_another(key: str) -> bytes:
        monkeypatch.setattr(storage, "read", read)
        assert alice.post(f"/v1/files/{file_id}/complete").code == "file_type_wrong"
        return read(key)

    monkeypatch.setattr(storage, "read", read_after_another)

    assert alice.post(f"/v1/files/{file_id}/complete").code == "file_type_wrong"


def test_a_recording_shows_how_long_it_lasts(person: People) -> None:
    file = completed(person("alice"), waved(tone(1.5)), purpose="voice")

    assert file["duration_ms"] == 1_500


@pytest.mark.parametrize(("kind", "rate"), [("amr", 8_000), ("m4a", 16_000), ("mp3", 16_000), ("opus", 16_000)])
def test_a_recording_of_any_format_lasts_as_long_as_it_is_heard(person: People, kind: str, rate: int) -> None:
    recording = converted(waved(tone(2)), kind, rate)

    file = completed(person("alice"), recording, purpose="voice", mime=RECORDINGS[kind])

    assert abs(file["duration_ms"] - 2_000) < 150


def test_a_recording_of_more_than_a_quarter_of_an_hour_is_refused(person: People) -> None:
    alice = person("alice")
    file_id = put(alice, converted(waved(tone(1, loudness=0) * 902), "amr", 8_000), purpose="voice", mime="audio/amr")

    assert alice.post(f"/v1/files/{file_id}/complete").code == "recording_too_long"


def test_verifying_a_large_file_takes_no_more_memory_than_a_small_one(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, peaks = person("alice"), []
    for size in (4 * 2**20, 60 * 2**20):
        file_id = begun(alice, bytes(size)).json["file_id"]
        monkeypatch.setattr(storage, "chunks", lambda _, size=size: (bytes(2**20) for _ in range(size >> 20)))
        tracemalloc.start()
        uploads.verify(uploads.find_own(alice.id, file_id))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] * 1.2


def stored_bytes(person: Person) -> int:
    with stores.engine().connect() as connection:
        statement = sa.select(file_accounts.c.stored_bytes).where(file_accounts.c.user_id == person.id)
        return int(connection.scalar(statement) or 0)


@pytest.fixture
def ten_bytes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let a limit of the template's be ten bytes."""

    def limit(name: str) -> None:
        monkeypatch.setenv(name, "10")
        settings.cache_clear()

    yield limit
    settings.cache_clear()


def test_nobody_stores_more_than_the_quota(person: People, ten_bytes: Callable[[str], None]) -> None:
    ten_bytes("FILE_QUOTA_BYTES")
    alice = person("alice")
    begun(alice, b"123456")

    over = begun(alice, b"12345")

    assert (over.status, over.code) == (413, "storage_full")
    assert stored_bytes(alice) == 6


def test_nobody_uploads_more_on_a_day_than_they_may(person: People, ten_bytes: Callable[[str], None]) -> None:
    ten_bytes("FILE_DAILY_BYTES")
    alice = person("alice")
    begun(alice, b"123456")

    over = begun(alice, b"12345")

    assert (over.status, over.code) == (429, "rate_limited")
    assert 0 < int(over.headers["retry-after"]) <= 24 * 60 * 60 + 1


class TestParts:
    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(uploads, "PART_BYTES", 5 * 2**20)  # S3 takes none smaller but the last

    def test_what_is_large_is_uploaded_by_parts_that_can_be_resumed(self, person: People) -> None:
        alice, data = person("alice"), bytes(11 * 2**20)
        begin = begun(alice, data).json
        assert [part["size"] for part in begin["parts"]] == [5 * 2**20, 5 * 2**20, 2**20]
        etag = self.store(begin["file_id"], 2, data[5 * 2**20 : 10 * 2**20])

        again = alice.get(f"/v1/files/{begin['file_id']}/upload").json

        assert [part["number"] for part in again["parts"]] == [1, 3]
        assert again["stored_parts"] == [{"number": 2, "etag": etag}]

    def test_all_parts_make_the_file(self, person: People) -> None:
        alice, data = person("alice"), bytes(6 * 2**20)
        file_id = begun(alice, data).json["file_id"]
        parts = self.store_all(file_id, data)

        answer = alice.post(f"/v1/files/{file_id}/complete", {"parts": parts})

        assert answer.status == 200, answer.text
        assert alice.post(f"/v1/files/{file_id}/complete").status == 200

    @pytest.mark.parametrize("wrong", ["missing", "swapped", "none", "others"])
    def test_parts_that_are_not_as_stored_can_be_named_again(self, person: People, wrong: str) -> None:
        alice, data = person("alice"), bytes(range(256)) * (6 * 2**12)
        file_id = begun(alice, data).json["file_id"]
        one, two = self.store_all(file_id, data)
        named = {
            "missing": [one],
            "swapped": [{**one, "etag": two["etag"]}, {**two, "etag": one["etag"]}],
            "none": [],
            "others": [one, {"number": 3, "etag": two["etag"]}],
        }

        answer = alice.post(f"/v1/files/{file_id}/complete", {"parts": named[wrong]})

        assert (answer.status, answer.code) == (422, "parts_wrong")
        assert alice.post(f"/v1/files/{file_id}/complete", {"parts": [one, two]}).status == 200

    def test_what_takes_long_is_verified_by_the_queue(
        self, person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uploads, "VERIFIED_AT_ONCE", 2**20)
        alice, data = person("alice"), bytes(6 * 2**20)
        file_id = begun(alice, data).json["file_id"]
        parts = self.store_all(file_id, data)

        first = alice.post(f"/v1/files/{file_id}/complete", {"parts": parts})
        assert (first.status, first.json["status"]) == (202, "verifying")
        assert deployment.verifying.work() == []

        assert alice.post(f"/v1/files/{file_id}/complete", {"parts": parts}).json["status"] == "ready"

    def test_the_queue_refuses_what_lies(
        self, person: People, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(uploads, "VERIFIED_AT_ONCE", 2**20)
        alice, data = person("alice"), bytes(6 * 2**20)
        file_id = begun(alice, data, sha256="0" * 64).json["file_id"]
        alice.post(f"/v1/files/{file_id}/complete", {"parts": self.store_all(file_id, data)})

        assert deployment.verifying.work() == []

        assert alice.post(f"/v1/files/{file_id}/complete").code == "file_checksum_wrong"
        assert keys() == set()

    def test_parts_that_were_made_one_object_by_who_then_died_need_not_be_sent_again(self, person: People) -> None:
        alice, data = person("alice"), bytes(6 * 2**20)
        file_id = begun(alice, data).json["file_id"]
        parts = self.store_all(file_id, data)
        storage.complete_parts(f"file/{file_id}", self.upload_id(file_id), [(p["number"], p["etag"]) for p in parts])

        assert alice.get(f"/v1/files/{file_id}/upload").json["parts"] == []
        assert alice.post(f"/v1/files/{file_id}/complete").status == 200

    def test_the_parts_of_an_upload_that_nobody_completes_are_removed(self, person: People) -> None:
        alice, data = person("alice"), bytes(6 * 2**20)
        file_id = begun(alice, data).json["file_id"]
        self.store(file_id, 1, data[: 5 * 2**20])

        age(file_id, timedelta(hours=25, minutes=1))

        assert swept() == 1
        assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket="files")

    def upload_id(self, file_id: str) -> str:
        with stores.engine().connect() as connection:
            return str(connection.scalar(sa.select(files.c.upload_id).where(files.c.id == file_id)))

    def store(self, file_id: str, number: int, data: bytes) -> str:
        s3, key, upload_id = boto3.client("s3"), f"file/{file_id}", self.upload_id(file_id)
        stored = s3.upload_part(Bucket="files", Key=key, UploadId=upload_id, PartNumber=number, Body=data)
        return stored["ETag"]

    def store_all(self, file_id: str, data: bytes) -> list[dict[str, Any]]:
        return [
            {"number": part.number, "etag": self.store(file_id, part.number, data[part.offset :][: part.size])}
            for part in uploads.ranges(len(data))
        ]


def test_small_content_goes_through_the_api(person: People) -> None:
    alice = person("alice")
    data = a_picture()
    file_id = begun(alice, data, purpose="image", name="图.png").json["file_id"]

    stored = store(alice, file_id, data)
    fetched = alice.get(f"/v1/files/{file_id}/content")

    assert stored.status == 200, stored.text
    assert fetched.text.encode("latin-1") == data
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert fetched.headers["content-disposition"] == "attachment; filename=\"_.png\"; filename*=UTF-8''%E5%9B%BE.png"


def test_content_that_lies_is_not_kept_and_may_be_sent_again(person: People) -> None:
    alice = person("alice")
    file_id = begun(alice, b"hello").json["file_id"]

    assert store(alice, file_id, b"hell").code == "file_size_wrong"
    assert store(alice, file_id, b"jello").code == "file_checksum_wrong"
    assert keys() == set()
    assert store(alice, file_id, b"hello").status == 200
    assert store(alice, file_id, b"hello").status == 200


def test_larger_content_is_redirected_to(person: People) -> None:
    alice = person("alice")
    file = completed(alice, bytes(4 * 2**20 + 1))

    answer = alice.get(f"/v1/files/{file['id']}/content")

    assert answer.status == 307
    assert f"file/{file['id']}" in answer.headers["location"]


def store(person: Person, file_id: str, data: bytes) -> Any:
    headers = {"content-type": "application/octet-stream"}
    return request("PUT", f"/v1/files/{file_id}/content", token=person.token, raw=data, headers=headers)


def test_an_own_file_that_nothing_uses_can_be_deleted(person: People) -> None:
    alice = person("alice")
    file = completed(alice, b"hello")

    assert alice.delete(f"/v1/files/{file['id']}").status == 204
    assert alice.get(f"/v1/files/{file['id']}").code == "file_not_found"
    assert alice.delete(f"/v1/files/{file['id']}").code == "file_not_found"


def age(file_id: str, by: timedelta) -> None:
    with stores.engine().begin() as connection:
        row = connection.execute(sa.select(files).where(files.c.id == file_id)).one()
        assert row.expires_at is not None
        connection.execute(sa.update(files).where(files.c.id == file_id).values(expires_at=row.expires_at - by))


def swept() -> int:
    return int(sweep.handler({}, LambdaContext())["removed"])


def test_what_nobody_completes_is_removed_after_a_day(person: People) -> None:
    alice = person("alice")
    file_id = put(alice, b"hello")
    assert swept() == 0

    age(file_id, timedelta(hours=25, minutes=1))

    assert swept() == 1
    assert keys() == set()
    assert stored_bytes(alice) == 0
    assert alice.post(f"/v1/files/{file_id}/complete").code == "file_not_found"


def test_what_nobody_uses_is_removed_after_a_week(person: People) -> None:
    alice = person("alice")
    file = completed(alice, b"hello")
    with stores.engine().connect() as connection:
        expires_at = connection.scalar(sa.select(files.c.expires_at).where(files.c.id == file["id"]))
    assert expires_at is not None
    assert timedelta(days=6, hours=23) < expires_at - now() <= timedelta(days=7)

    age(file["id"], timedelta(days=7, hours=1, minutes=1))

    assert swept() == 1
    assert keys() == set()


def test_an_avatar_that_is_shown_is_never_removed_and_the_one_before_is(person: People) -> None:
    alice = person("alice")
    first, second = (completed(alice, a_picture(20 + n, 20), purpose="avatar") for n in range(2))
    for file in (first, second):
        assert alice.put("/v1/users/me/avatar", {"file_id": file["id"]}).status == 200
    assert alice.delete(f"/v1/files/{second['id']}").code == "file_in_use"

    age(first["id"], timedelta(hours=1, minutes=1))

    assert swept() == 1
    assert keys() == {f"avatar/{second['id']}"}


def test_a_picture_that_a_group_shows_no_more_is_removed(person: People) -> None:
    alice = person("alice")
    group = a_group(alice, person("bob"), person("carol"))
    first, second = (completed(alice, a_picture(20 + n, 20), purpose="avatar") for n in range(2))
    for file in (first, second):
        assert alice.patch(f"/v1/conversations/{group}", {"avatar_file_id": file["id"]}).status == 200
    assert alice.delete(f"/v1/files/{second['id']}").code == "file_in_use"

    age(first["id"], timedelta(hours=1, minutes=1))

    assert swept() == 1
    assert keys() == {f"avatar/{second['id']}"}


def test_a_picture_that_is_shown_is_kept_without_end(person: People) -> None:
    alice = person("alice")
    file = completed(alice, a_picture(), purpose="avatar")

    alice.put("/v1/users/me/avatar", {"file_id": file["id"]})

    with stores.engine().connect() as connection:
        assert connection.scalar(sa.select(files.c.expires_at).where(files.c.id == file["id"])) is None
