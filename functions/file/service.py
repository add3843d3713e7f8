"""Reading and deleting files, and small ones straight through the API."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import sqlalchemy as sa
from hongyan import files, links
from hongyan.clock import now
from hongyan.errors import FileChecksumWrong, FileInUse, FileNotFound, FileSizeWrong, FileTooLarge
from hongyan.ids import is_id
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.file import removal, repository, storage, uploads
from functions.file.repository import Row
from functions.file.schemas import CompletedPart, File, Files

# Lambda takes and answers 6 MB a call, in base64.
MOST_BYTES_HERE = 4 * 1024 * 1024


class Content(NamedTuple):
    """A file's bytes, or a link to them when they are too many to pass through here."""

    name: str
    mime: str
    data_or_link: bytes | str


def find(user_id: str, file_id: str) -> File:
    """Return a file, with a link to its bytes that works for a quarter of an hour.

    Raises:
        FileNotFound: there is none such, or the user may not read it.

    """
    return show(_readable(user_id, file_id))


def find_all(user_id: str, file_ids: Sequence[str]) -> Files:
    """Return those of the files that there are and that the user may read."""
    found = read(lambda connection: _find_readable(connection, user_id, file_ids))
    return Files(items=[show(found[file_id]) for file_id in file_ids if file_id in found])


def complete(user_id: str, file_id: str, parts: list[CompletedPart] | None) -> File:
    """Verify an upload, and return the file.

    Raises:
        Problem: as :func:`uploads.complete`.

    """
    return show(uploads.complete(user_id, file_id, parts))


def store(user_id: str, file_id: str, data: bytes) -> File:
    """Store an upload's bytes, and complete it. The same bytes again are the same file.

    Raises:
        FileTooLarge: they are more than pass through the API.
        FileSizeWrong, FileChecksumWrong: they are not those that were declared; nothing is kept.
        Problem: as :func:`uploads.complete`.

    """
    if len(data) > MOST_BYTES_HERE:
        raise FileTooLarge
    row = uploads.find_own(user_id, file_id)
    uploads.refuse_again(row)
    if row.completed_at is None:
        if len(data) != row.size:
            raise FileSizeWrong
        if hashlib.sha256(data).digest() != row.sha256:
            raise FileChecksumWrong
        storage.write(storage.upload_key(row.purpose, row.id), data, row.mime)
    return show(uploads.complete(user_id, file_id, None))


def content(user_id: str, file_id: str) -> Content:
    """Return a file's bytes, or a link to them.

    Raises:
        FileNotFound: there is none such, the user may not read it, or its upload is not complete.

    """
    row = _readable(user_id, file_id)
    if row.completed_at is None:
        raise FileNotFound
    if row.size > MOST_BYTES_HERE:
        return Content(row.name, row.mime, _link(row))
    try:
        return Content(row.name, row.mime, storage.read(storage.key_of(row.purpose, row.id)))
    except storage.GoneError as error:  # deleted since
        raise FileNotFound from error


def delete(user_id: str, file_id: str) -> None:
    """Delete a file of the user's own that nothing uses.

    Raises:
        FileNotFound: there is none such, or it is somebody else's.
        FileInUse: a message carries it, or somebody shows it.

    """
    row = perform(lambda unit: _expire(unit, user_id, file_id))
    # While a link to store it may still work, the sweep waits.
    if now() - row.created_at > timedelta(seconds=storage.PARTS_SECONDS):
        removal.remove(file_id)


def show(row: Row) -> File:
    """Return a file as its readers see it."""
    is_ready = row.completed_at is not None
    status = "ready" if is_ready else "uploading" if row.verifying_since is None else "verifying"
    return File.model_validate(
        {
            **{name: row._mapping[name] for name in _AS_STORED},  # noqa: SLF001  # SQLAlchemy's public name
            "sha256": row.sha256.hex(),
            "status": status,
            "thumbnails": None if row.thumbnails is None else links.shown(row.id, row.thumbnails),
            "download_url": _link(row) if is_ready else None,
            "download_url_expires_at": now() + timedelta(seconds=storage.DOWNLOAD_SECONDS) if is_ready else None,
        }
    )


_AS_STORED = ("id", "owner_id", "purpose", "name", "mime", "size", "created_at", "width", "height", "duration_ms")


def _link(row: Row) -> str:
    return storage.download_link(row.purpose, row.id, row.name, row.mime)


def _readable(user_id: str, file_id: str) -> Row:
    found = read(lambda connection: _find_readable(connection, user_id, [file_id]))
    if file_id not in found:
        raise FileNotFound
    return found[file_id]


def _find_readable(connection: sa.Connection, user_id: str, file_ids: Sequence[str]) -> dict[str, Row]:
    rows = repository.find(connection, [file_id for file_id in file_ids if is_id(file_id)])
    there = [row for row in rows if files.is_there(row) and (row.completed_at is not None or row.owner_id == user_id)]
    readable = files.readable_ids(connection, user_id, there)
    return {row.id: row for row in there if row.id in readable}


def _expire(unit: UnitOfWork, user_id: str, file_id: str) -> Row:
    row = files.lock(unit.connection, file_id)
    if row is None or row.owner_id != user_id:
        raise FileNotFound
    if files.is_used(unit.connection, row):
        raise FileInUse
    files.expire(unit.connection, file_id)
    return row
