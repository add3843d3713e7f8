"""Makes the archives that people asked for, one after the other, every minute.

An archive goes to S3 while it is made, part by part: however much somebody has said, one page of it is in memory.
Whoever dies leaves a lease behind, and when that is over another one begins anew.
"""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

import sqlalchemy as sa
from hongyan import aws, metrics, timeline
from hongyan.clock import Timestamp
from hongyan.friends import show_friends
from hongyan.metrics import Metric
from hongyan.observability import SCHEDULE, logger
from hongyan.schemas import Blocked, Friend, Message
from hongyan.settings import settings
from hongyan.unit_of_work import perform, read
from pydantic import BaseModel

from functions.message import export_repository, exports, repository, sync_repository
from functions.message.repository import Window

T = TypeVar("T")

# Longer than the function may run (template.yaml), so that nobody makes an archive twice at once.
LEASE = timedelta(minutes=16)
ATTEMPTS = 3

_PAGE = 500
# S3: a part has at least 5 MiB and an object at most 10,000 parts, so an archive may have 80 GiB.
PART_BYTES = 8 * 1024 * 1024
# An archive is begun only with this much time left.
_BEGIN_AT_REMAINING_MS = 300_000


class Profile(BaseModel):
    """What somebody gave of themselves."""

    id: str
    username: str
    nickname: str
    description: str
    phone: str | None
    created_at: Timestamp


class Upload(io.RawIOBase):
    """A file that is written to S3 as it grows. Left by an exception, there is no object and no part of one."""

    def __init__(self, key: str) -> None:
        self.size = 0
        self._object: Any = {"Bucket": settings().files_bucket, "Key": key}
        self._buffer = bytearray()
        self._parts: list[Any] = []

    def __enter__(self) -> Self:
        """Begin the upload."""
        begun = aws.s3().create_multipart_upload(**self._object, ContentType="application/zip")
        self._object["UploadId"] = begun["UploadId"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the upload, or take it back."""
        if error is not None:
            aws.s3().abort_multipart_upload(**self._object)
            return
        self._send()
        aws.s3().complete_multipart_upload(**self._object, MultipartUpload={"Parts": self._parts})

    def writable(self) -> bool:
        """Tell that it is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes, and send them on when they make a part."""
        self._buffer += data
        self.size += len(data)
        if len(self._buffer) >= PART_BYTES:
            self._send()
        return len(data)

    def _send(self) -> None:
        number = len(self._parts) + 1
        sent = aws.s3().upload_part(**self._object, PartNumber=number, Body=bytes(self._buffer))
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._buffer.clear()


@logger.inject_lambda_context(clear_state=True, correlation_id_path=SCHEDULE)
@metrics.emitted
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Make archives while there are any to make and time is left, and return how many."""
    made = 0
    while context.get_remaining_time_in_millis() > _BEGIN_AT_REMAINING_MS:
        taken = perform(lambda unit: export_repository.lease(unit.connection, LEASE))
        if taken is None:
            break
        made += _make(taken.id, taken.user_id, taken.attempts + 1)
    return {"made": made}


def write_archive(user_id: str, file: io.RawIOBase) -> None:
    """Write a ZIP of JSON lines: the profile, friends, blocks, and the messages of each conversation.

    Raises:
        LookupError: the account is closed.

    """
    profile = read(lambda connection: export_repository.find_profile(connection, user_id))
    if profile is None:
        raise LookupError(user_id)
    with zipfile.ZipFile(cast("IO[bytes]", file), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("profile.json", Profile.model_validate(profile._mapping).model_dump_json())  # noqa: SLF001
        _write_lines(archive, "friends.jsonl", _friends(user_id))
        _write_lines(archive, "blocks.jsonl", _blocked(user_id))
        for card in _all(partial(sync_repository.list_conversations, user_id=user_id), lambda card: card.id):
            archive.writestr(f"conversations/{card.id}.json", card.model_dump_json())
            _write_lines(archive, f"messages/{card.id}.jsonl", _messages(user_id, card.id))


def _make(export_id: str, user_id: str, attempt: int) -> bool:
    try:
        with Upload(exports.object_key(export_id)) as upload:
            write_archive(user_id, upload)
    except Exception:  # noqa: BLE001  # whatever it was, the others' archives are made
        logger.exception("an archive was not made", export_id=export_id, attempt=attempt)
        metrics.count(Metric.ARCHIVES_FAILED)
        if attempt >= ATTEMPTS:
            perform(lambda unit: export_repository.give_up(unit.connection, export_id))
        return False
    perform(lambda unit: export_repository.finish(unit.connection, export_id, upload.size))
    return True


def _write_lines(archive: zipfile.ZipFile, name: str, items: Iterable[BaseModel]) -> None:
    with archive.open(name, "w", force_zip64=True) as file:
        for item in items:
            file.write(item.model_dump_json().encode() + b"\n")


def _friends(user_id: str) -> Iterator[Friend]:
    for row in _all(partial(sync_repository.list_friends, user_id=user_id), lambda row: row.id):
        yield from show_friends([row])


def _blocked(user_id: str) -> Iterator[Blocked]:
    return _all(partial(sync_repository.list_blocked, user_id=user_id), lambda blocked: blocked.user.id)


def _messages(user_id: str, conversation_id: str) -> Iterator[Message]:
    place = read(lambda connection: timeline.find(connection, conversation_id, user_id))
    if place is None:
        return iter(())
    window = Window(place.joined_seq, place.last_seq if place.left_seq is None else place.left_seq)
    listed = partial(repository.list_after, place=place, window=window)
    return _all(
        lambda connection, after_id, limit: listed(connection, after_seq=after_id, limit=limit),
        lambda message: message.seq,
    )


def _all(list_page: Callable[..., Sequence[T]], key: Callable[[T], Any]) -> Iterator[T]:
    """Go through a list page by page, each in a transaction of its own."""
    after: Any = None
    while page := read(partial(_page, list_page, after)):
        yield from page
        after = key(page[-1])


def _page(list_page: Callable[..., Sequence[T]], after: Any, connection: sa.Connection) -> Sequence[T]:
    return list_page(connection, after_id=after, limit=_PAGE)
