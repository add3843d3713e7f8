"""Bytes of files: up to the deployment's storage, by parts where they are many, and back, with checksums verified.

Storage is spoken to by signed links alone: it never sees a token.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from hongyan_client.api import HongyanClient
from hongyan_client.backoff import Backoff
from hongyan_client.errors import ChecksumWrong, ConnectionFailed, StorageRefused
from hongyan_client.models import CompletedPart, File, FilePurpose, Part, Upload

# Bytes that went over the line just now.
Told = Callable[[int], None]

_CHUNK = 256 * 1024
_AT_ONCE = 3
_TRIES = 5
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 0.25, 8.0
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_SERVER_ERROR = 500
_EXPIRED = 403


@dataclass(frozen=True)
class Source:
    """A file of this machine, and what is declared of it."""

    path: Path
    mime: str
    purpose: FilePurpose
    size: int
    sha256: str

    @classmethod
    def read(cls, path: Path, mime: str, purpose: FilePurpose) -> "Source":
        """Look through a file from beginning to end. Raises OSError."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return cls(path, mime, purpose, file.tell(), digest.hexdigest())


async def upload(client: HongyanClient, source: Source, file_id: str, wanted: Upload | None, told: Told) -> File:
    """Store what an upload still wants, nothing if that is None, have it verified, and return the file, ready.

    Raises NotFound for an upload that is over, StorageRefused, ValidationFailed when the bytes are not as declared.
    """
    named: list[CompletedPart] = []
    if wanted is None:
        told(source.size)
    else:
        async with httpx.AsyncClient(timeout=_TIMEOUT) as storage:
            named = await _store(storage, client, source, wanted, told)
    backoff = Backoff(_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
    while True:
        file = await client.complete_upload(file_id, named)
        if file.status != "verifying":
            return file
        await asyncio.sleep(backoff.next())


async def download(file: File, target: Path, told: Told) -> None:
    """Write a file's bytes to ``target``, all of them or none. Raises ChecksumWrong, StorageRefused, OSError."""
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile("wb", dir=target.parent, delete=False) as draft:
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT) as storage, storage.stream("GET", _link(file)) as answer:
                if not answer.is_success:
                    raise StorageRefused(answer.status_code)
                async for chunk in answer.aiter_bytes(_CHUNK):
                    draft.write(chunk)
                    digest.update(chunk)
                    told(len(chunk))
            if digest.hexdigest() != file.sha256:
                raise ChecksumWrong(file.name)
            _replace(draft.name, target)
        except httpx.TransportError as error:
            raise ConnectionFailed(f"The storage stopped answering: {error}") from error
        finally:
            _remove(draft.name)


def _replace(draft: str, target: Path) -> None:
    Path(draft).replace(target)


def _remove(draft: str) -> None:
    Path(draft).unlink(missing_ok=True)


def _link(file: File) -> str:
    if file.download_url is None:
        raise StorageRefused(_EXPIRED)
    return file.download_url


async def _store(
    storage: httpx.AsyncClient, client: HongyanClient, source: Source, wanted: Upload, told: Told
) -> list[CompletedPart]:
    if wanted.upload is not None:
        put = wanted.upload
        await _put(storage, put.url, source, 0, source.size, put.headers)
        told(source.size)
        return []
    there = {part.number: part for part in wanted.stored_parts}
    told(source.size - sum(part.size for part in wanted.parts))
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def stored(part: Part) -> None:
        async with at_once:
            there[part.number] = CompletedPart(
                number=part.number, etag=await _store_part(storage, client, source, part, wanted)
            )
            told(part.size)

    async with asyncio.TaskGroup() as all_parts:
        for part in wanted.parts:
            all_parts.create_task(stored(part))
    return [there[number] for number in sorted(there)]


async def _store_part(
    storage: httpx.AsyncClient, client: HongyanClient, source: Source, part: Part, wanted: Upload
) -> str:
    try:
        return await _put(storage, part.url, source, part.offset, part.size, {})
    except StorageRefused as error:
        if error.status != _EXPIRED:
            raise
    # A slow line: the links ran out before it was this part's turn.
    fresh = await client.resume_upload(wanted.file_id)
    url = next(again.url for again in fresh.parts if again.number == part.number)
    return await _put(storage, url, source, part.offset, part.size, {})


async def _put(
    storage: httpx.AsyncClient, url: str, source: Source, offset: int, size: int, headers: Mapping[str, str]
) -> str:
    """Store bytes, a few times if the storage is away, and return their ETag."""
    backoff = Backoff(_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
    for tries_left in reversed(range(_TRIES)):
        try:
            body = _bytes(source.path, offset, size)
            answer = await storage.put(url, content=body, headers={**headers, "Content-Length": str(size)})
        except httpx.TransportError as error:
            if not tries_left:
                raise ConnectionFailed(f"The storage stopped answering: {error}") from error
        else:
            if answer.is_success:
                return str(answer.headers.get("etag", ""))
            if answer.status_code < _SERVER_ERROR or not tries_left:
                raise StorageRefused(answer.status_code)
        await asyncio.sleep(backoff.next())
    raise AssertionError("the last try returns or raises")


async def _bytes(path: Path, offset: int, size: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while size and (chunk := file.read(min(_CHUNK, size))):
            size -= len(chunk)
            yield chunk
