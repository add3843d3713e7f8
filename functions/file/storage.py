"""Where the bytes are: objects of the bucket, and links by which clients store and fetch them there."""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from botocore.exceptions import ClientError
from hongyan import aws, links
from hongyan.settings import settings

if TYPE_CHECKING:
    from botocore.response import StreamingBody

PUT_SECONDS = 15 * 60
PARTS_SECONDS = 60 * 60
DOWNLOAD_SECONDS = 15 * 60

# The longer side of each thumbnail, in pixels.
THUMBNAIL_SIDES = {"small": 320, "large": 1280}

_CHUNK = 1024 * 1024

# What browsers show without running anything of it. All else is fetched as bytes.
_HARMLESS = re.compile(r"image/(png|jpeg|gif|webp)|audio/[a-z0-9.+-]+|video/[a-z0-9.+-]+|application/pdf|text/plain")


class Object(NamedTuple):
    """What S3 has."""

    size: int
    chunks: Iterator[bytes]


class StoredPart(NamedTuple):
    """A part of an upload, as S3 has it."""

    number: int
    etag: str
    size: int


class GoneError(Exception):
    """There is no such object any more."""


class PartsRefusedError(Exception):
    """S3 has no such parts."""


def key_of(purpose: str, file_id: str) -> str:
    """Return where a file is that clients may fetch."""
    return f"{purpose}/{file_id}"


def upload_key(purpose: str, file_id: str) -> str:
    """Return where a file is stored: a picture that becomes an avatar waits elsewhere until it is one."""
    return key_of("avatar-upload" if purpose == "avatar" else purpose, file_id)


def put_link(key: str, mime: str, size: int, sha256: bytes) -> tuple[str, dict[str, str]]:
    """Return a link, and the headers it is signed with: it stores these bytes and no others, however often."""
    checksum = base64.b64encode(sha256).decode()
    parameters = {"Key": key, "ContentType": mime, "ContentLength": size, "ChecksumSHA256": checksum}
    url = aws.s3().generate_presigned_url("put_object", Params=_in_bucket(**parameters), ExpiresIn=PUT_SECONDS)
    headers = {"Content-Type": mime, "Content-Length": str(size), "x-amz-checksum-sha256": checksum}
    return url, headers


def part_link(key: str, upload_id: str, number: int, size: int) -> str:
    """Return a link that stores a part of exactly ``size`` bytes."""
    parameters = {"Key": key, "UploadId": upload_id, "PartNumber": number, "ContentLength": size}
    return aws.s3().generate_presigned_url("upload_part", Params=_in_bucket(**parameters), ExpiresIn=PARTS_SECONDS)


def download_link(purpose: str, file_id: str, name: str, mime: str) -> str:
    """Return a link that has browsers save the file under its name, and run nothing of it."""
    answers = {"ResponseContentDisposition": disposition(name), "ResponseContentType": shown_as(mime)}
    return links.download(key_of(purpose, file_id), DOWNLOAD_SECONDS, **answers)


def shown_as(mime: str) -> str:
    """Return the type that a file is served as."""
    return mime if _HARMLESS.fullmatch(mime) else "application/octet-stream"


def disposition(name: str) -> str:
    r"""Return a Content-Disposition that saves a file under its name, in any script (RFC 6266, RFC 8187).

    >>> disposition("鸿雁.png")
    'attachment; filename="__.png"; filename*=UTF-8\'\'%E9%B8%BF%E9%9B%81.png'
    """
    plain = unicodedata.normalize("NFKD", name)
    simple = "".join(
        c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in plain if not unicodedata.combining(c)
    )
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(name, safe='')}"


def begin_parts(key: str, mime: str) -> str:
    """Begin an upload by parts, and return S3's name for it."""
    return aws.s3().create_multipart_upload(**_in_bucket(Key=key, ContentType=mime))["UploadId"]


def list_parts(key: str, upload_id: str) -> list[StoredPart]:
    """Return the parts that are there, none if there is no such upload any more."""
    pages = aws.s3().get_paginator("list_parts").paginate(**_in_bucket(Key=key, UploadId=upload_id))
    try:
        return [
            StoredPart(part["PartNumber"], part["ETag"], part["Size"])
            for page in pages
            for part in page.get("Parts", [])
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchUpload":
            return []
        raise


def complete_parts(key: str, upload_id: str, parts: list[tuple[int, str]]) -> None:
    """Make one object of parts. If that was done before, there is nothing to do.

    Raises:
        PartsRefusedError: S3 has none such, or got others since.

    """
    wanted = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
    try:
        aws.s3().complete_multipart_upload(**_in_bucket(Key=key, UploadId=upload_id, MultipartUpload={"Parts": wanted}))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in {"InvalidPart", "InvalidPartOrder", "EntityTooSmall"}:
            raise PartsRefusedError from error
        if code != "NoSuchUpload":
            raise


def size_of(key: str) -> int | None:
    """Return an object's size in bytes, and nothing if there is none."""
    try:
        return aws.s3().head_object(**_in_bucket(Key=key))["ContentLength"]
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
            return None
        raise


def chunks(key: str) -> Iterator[bytes]:
    """Yield an object's bytes, a MiB at a time.

    Raises:
        GoneError: there is none.

    """
    yield from _body(key).iter_chunks(_CHUNK)


def read(key: str) -> bytes:
    """Return a small object's bytes.

    Raises:
        GoneError: there is none.

    """
    return _body(key).read()


def write(key: str, data: bytes, mime: str) -> None:
    """Store an object."""
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    aws.s3().put_object(**_in_bucket(Key=key, Body=data, ContentType=mime, ChecksumSHA256=checksum))


def delete(keys: list[str]) -> None:
    """Delete objects; what is not there is no error."""
    for key in keys:
        aws.s3().delete_object(**_in_bucket(Key=key))


def abort_parts(key: str, upload_id: str) -> None:
    """Forget an upload by parts and what it stored, if there is one."""
    try:
        aws.s3().abort_multipart_upload(**_in_bucket(Key=key, UploadId=upload_id))
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchUpload":
            raise


def _body(key: str) -> "StreamingBody":
    try:
        return aws.s3().get_object(**_in_bucket(Key=key))["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            raise GoneError from error
        raise


def _in_bucket(**parameters: Any) -> Any:
    return {"Bucket": settings().files_bucket, **parameters}
