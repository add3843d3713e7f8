"""Uploading: how much somebody may, how to, and what becomes of it once the bytes are there."""

import hashlib
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple, NoReturn

from hongyan import aws, files, idempotency, metrics, rate_limits
from hongyan.clock import now
from hongyan.errors import (
    FileChecksumWrong,
    FileNotFound,
    FileSizeWrong,
    FileTooLarge,
    PartsWrong,
    Problem,
    RateLimited,
    StorageFull,
    UnsupportedFile,
    UploadIncomplete,
)
from hongyan.ids import new_id
from hongyan.metrics import Metric
from hongyan.observability import correlation_id
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.file import inspection, repository, storage
from functions.file.repository import Row
from functions.file.schemas import CompletedPart, NewUpload, Part, Put, StoredPart, Upload
from functions.file.settings import settings

MIB = 1024 * 1024
# Contract, File, Limits.
MOST_BYTES = {"avatar": 5 * MIB, "image": 20 * MIB, "voice": 10 * MIB, "file": 2048 * MIB}
PART_BYTES = 16 * MIB
# What is read and verified while the client waits; API Gateway gives it 29 s.
VERIFIED_AT_ONCE = 64 * MIB

# Then whoever put it on the queue may have died before.
VERIFIED_WITHIN = timedelta(minutes=15)

# The attribute of what is put on the queue that tells by whose request it is there.
CAUSE = "correlation_id"

AVATAR_SIDE = 512

UPLOAD_FOR = timedelta(days=1)
UNUSED_FOR = timedelta(days=7)

BEGINNING = rate_limits.at_most(600, 60 * 60, "uploads")


class Range(NamedTuple):
    """A part of a file: its number, the file's offset of its first byte, and its size, in bytes."""

    number: int
    offset: int
    size: int


def ranges(size: int) -> list[Range]:
    """Return the parts that a file is uploaded by; none if it is at once.

    >>> ranges(16 * MIB)
    []
    >>> [part.size for part in ranges(16 * MIB + 1)]
    [16777216, 1]
    """
    if size <= PART_BYTES:
        return []
    offsets = range(0, size, PART_BYTES)
    return [Range(n, offset, min(PART_BYTES, size - offset)) for n, offset in enumerate(offsets, 1)]


def begin(user_id: str, wanted: NewUpload, key: str | None) -> Upload:
    """Let somebody upload a file, within a day; or go on with what the key has begun before.

    Raises:
        IdempotencyKeyConflict: the key was used for another request.
        Problem: as :func:`resume`, where it was begun before.
        FileTooLarge: it is larger than any file for its purpose.
        UnsupportedFile: its type is not one for its purpose.
        StorageFull: they would store more than they may.
        RateLimited: they upload too many, or too much for a day.

    """
    if wanted.size > MOST_BYTES[wanted.purpose]:
        raise FileTooLarge
    if not inspection.takes(wanted.purpose, wanted.mime):
        raise UnsupportedFile
    rate_limits.take_if_counted(BEGINNING, user_id)
    return resume(user_id, perform(lambda unit: _begin(unit, user_id, wanted, key)))


def resume(user_id: str, file_id: str) -> Upload:
    """Return anew how to upload what is not there yet.

    Raises:
        FileNotFound: there is none such, or it is somebody else's, or complete.
        Problem: the bytes were refused (`inspection.REFUSALS`).

    """
    row = find_own(user_id, file_id)
    if row.completed_at is not None or row.verifying_since is not None:
        raise FileNotFound
    refuse_again(row)
    key = storage.upload_key(row.purpose, row.id)
    parts = ranges(row.size)
    if not parts:
        url, headers = storage.put_link(key, row.mime, row.size, row.sha256)
        put = Put(url=url, headers=headers, expires_at=_in(storage.PUT_SECONDS))
        return Upload(file_id=row.id, upload=put, expires_at=put.expires_at)
    upload_id = _upload_id(row, key)
    sizes = {part.number: part.size for part in parts}
    stored = [part for part in storage.list_parts(key, upload_id) if part.size == sizes.get(part.number)]
    there = {part.number for part in stored}
    if row.upload_id is not None and not stored and storage.size_of(key) is not None:
        there = {part.number for part in parts}  # they are one object: whoever completed it died before saying so
    return Upload(
        file_id=row.id,
        parts=[
            Part(**part._asdict(), url=storage.part_link(key, upload_id, part.number, part.size))
            for part in parts
            if part.number not in there
        ],
        stored_parts=[StoredPart(number=part.number, etag=part.etag) for part in stored],
        expires_at=_in(storage.PARTS_SECONDS),
    )


def complete(user_id: str, file_id: str, parts: list[CompletedPart] | None) -> Row:
    """Verify what was uploaded, and return the file: ready, or being verified if that takes long.

    Asked again, it tells the same. What does not hold is deleted.

    Raises:
        FileNotFound: there is none such, or it is somebody else's.
        UploadIncomplete: the bytes are not there yet.
        PartsWrong: the parts are not all there, or not those that were stored.
        Problem: the bytes are not what was declared, or not what this takes (`inspection.REFUSALS`).

    """
    row = find_own(user_id, file_id)
    if row.completed_at is not None:
        return row
    if row.verifying_since is not None:
        return row if now() - row.verifying_since < VERIFIED_WITHIN else _verify_later(row)
    refuse_again(row)
    key = storage.upload_key(row.purpose, row.id)
    if ranges(row.size):
        _complete_parts(row, key, parts)
    size = storage.size_of(key)
    if size is None:
        raise UploadIncomplete
    if size != row.size:
        refuse(row, FileSizeWrong())
    if row.size > VERIFIED_AT_ONCE:
        return _verify_later(row)
    try:
        return verify(row)
    except storage.GoneError as error:
        return _settled_meanwhile(user_id, file_id, error)


def verify(row: Row) -> Row:
    """Verify a file whose bytes are there, and return it ready.

    Raises:
        FileNotFound: it was deleted meanwhile.
        Problem: the bytes are not what was declared, or not what this takes (`inspection.REFUSALS`).

    """
    key = storage.upload_key(row.purpose, row.id)
    try:
        found = _verified_file(row, key) if row.purpose == "file" else _verified_medium(row, key)
    except inspection.REFUSALS as problem:
        refuse(row, problem)
    done = perform(lambda unit: _finish(unit, row.id, found))
    if row.purpose == "avatar":
        storage.delete([key])  # what dies before this is left to the bucket's lifecycle
    return done


def find_own(user_id: str, file_id: str) -> Row:
    """Return a file of somebody's own.

    Raises:
        FileNotFound: there is none such, or it is somebody else's.

    """
    rows = read(lambda connection: repository.find(connection, [file_id]))
    if not rows or rows[0].owner_id != user_id or not files.is_there(rows[0]):
        raise FileNotFound
    return rows[0]


def refuse_again(row: Row) -> None:
    """Say once more why a file was refused.

    Raises:
        Problem: that for which it was refused (`inspection.REFUSALS`).

    """
    if row.refused_as is not None:
        raise next(kind for kind in inspection.REFUSALS if kind.code == row.refused_as)


def refuse(row: Row, problem: Problem) -> NoReturn:
    """Delete what was uploaded, and remember why.

    Raises:
        Problem: the one given, always.

    """
    perform(lambda unit: _refuse(unit, row, problem.code))
    metrics.count(Metric.UPLOADS_REFUSED)
    storage.delete([storage.upload_key(row.purpose, row.id)])
    raise problem


def _settled_meanwhile(user_id: str, file_id: str, error: storage.GoneError) -> Row:
    """Return what another call made of the same upload, while this one read it."""
    row = find_own(user_id, file_id)
    refuse_again(row)
    if row.completed_at is None:
        raise UploadIncomplete from error
    return row


def _begin(unit: UnitOfWork, user_id: str, wanted: NewUpload, key: str | None) -> str:
    at, file_id = now(), new_id()
    begun_before = idempotency.made_before(unit, user_id, key, wanted, file_id)
    if begun_before is not None:
        return begun_before
    account = repository.lock_account(unit.connection, user_id, at.date())
    uploaded_today = account.day_bytes if account.day == at.date() else 0
    if account.stored_bytes + wanted.size > settings().file_quota_bytes:
        raise StorageFull
    if uploaded_today + wanted.size > settings().file_daily_bytes:
        raise RateLimited(_seconds_to_midnight(at))
    repository.set_account(
        unit.connection,
        user_id,
        stored_bytes=account.stored_bytes + wanted.size,
        day=at.date(),
        day_bytes=uploaded_today + wanted.size,
    )
    declared = wanted.model_dump() | {"sha256": bytes.fromhex(wanted.sha256)}
    repository.insert(
        unit.connection, id=file_id, owner_id=user_id, created_at=at, expires_at=at + UPLOAD_FOR, **declared
    )
    return file_id


def _seconds_to_midnight(at: datetime) -> int:
    tomorrow = datetime.combine(at.date() + timedelta(days=1), time.min, tzinfo=UTC)
    return int((tomorrow - at).total_seconds()) + 1


def _upload_id(row: Row, key: str) -> str:
    """Return S3's name of an upload, begun now if whoever should have died before."""
    if row.upload_id is not None:
        known: str = row.upload_id
        return known
    begun = storage.begin_parts(key, row.mime)
    return perform(lambda unit: _keep_upload_id(unit, row.id, begun))


def _keep_upload_id(unit: UnitOfWork, file_id: str, begun: str) -> str:
    row = files.lock(unit.connection, file_id)
    if row is None:
        raise FileNotFound
    if row.upload_id is not None:
        known: str = row.upload_id
        return known
    repository.update(unit.connection, file_id, upload_id=begun)
    return begun


def _complete_parts(row: Row, key: str, parts: list[CompletedPart] | None) -> None:
    given = [] if parts is None else [(part.number, part.etag) for part in parts]
    if not given and storage.size_of(key) is not None:  # asked again, after whoever completed it died
        return
    if row.upload_id is None or [number for number, _ in given] != [part.number for part in ranges(row.size)]:
        raise PartsWrong
    try:
        storage.complete_parts(key, row.upload_id, given)
    except storage.PartsRefusedError as error:
        raise PartsWrong from error


def _verify_later(row: Row) -> Row:
    perform(lambda unit: repository.update(unit.connection, row.id, verifying_since=now()))
    cause = correlation_id()
    aws.sqs().send_message(
        QueueUrl=settings().file_verify_queue_url,
        MessageBody=row.id,
        MessageAttributes={} if cause is None else {CAUSE: {"DataType": "String", "StringValue": cause}},
    )
    return find_own(row.owner_id, row.id)


def _verified_file(row: Row, key: str) -> dict[str, Any]:
    digest, head = hashlib.sha256(), b""
    for chunk in storage.chunks(key):
        head = head or chunk[: inspection.HEAD_BYTES]
        digest.update(chunk)
    _check_digest(row, digest.digest())
    inspection.check_head(head, row.mime)
    return {}


def _verified_medium(row: Row, key: str) -> dict[str, Any]:
    data = storage.read(key)
    _check_digest(row, hashlib.sha256(data).digest())
    if row.purpose == "voice":
        return {"duration_ms": inspection.duration_ms(data, row.mime)}
    return _verified_picture(row, data)


def _verified_picture(row: Row, data: bytes) -> dict[str, Any]:
    """Decode all of a picture, so that a broken one never reaches anybody, and make an avatar of what is to be one."""
    from functions.file import pictures  # noqa: PLC0415  # Pillow, which not every call needs

    picture = pictures.decode(data, inspection.PICTURES[row.mime])
    if row.purpose == "image":
        return {"width": picture.width, "height": picture.height}
    avatar = pictures.square(picture, AVATAR_SIDE)
    storage.write(storage.key_of("avatar", row.id), avatar.data, pictures.MIME)
    width, height = avatar.size
    sha256 = hashlib.sha256(avatar.data).digest()
    return {"width": width, "height": height, "mime": pictures.MIME, "size": len(avatar.data), "sha256": sha256}


def _check_digest(row: Row, digest: bytes) -> None:
    if digest != row.sha256:
        raise FileChecksumWrong


def _finish(unit: UnitOfWork, file_id: str, found: dict[str, Any]) -> Row:
    row = files.lock(unit.connection, file_id)
    if row is None:
        raise FileNotFound
    if row.completed_at is None:
        at = now()
        done = {"completed_at": at, "verifying_since": None, "expires_at": at + UNUSED_FOR}
        repository.update(unit.connection, file_id, **done, **found)
        if "size" in found:
            repository.add_stored(unit.connection, row.owner_id, found["size"] - row.size)
    return repository.find(unit.connection, [file_id])[0]


def _refuse(unit: UnitOfWork, row: Row, code: str) -> None:
    locked = files.lock(unit.connection, row.id)
    if locked is None or locked.completed_at is not None:
        raise FileNotFound
    if locked.refused_as is None:
        repository.update(unit.connection, row.id, refused_as=code, verifying_since=None)
        repository.add_stored(unit.connection, row.owner_id, -row.size)


def _in(seconds: int) -> datetime:
    return now() + timedelta(seconds=seconds)
