"""What the file module takes and answers (contract, File)."""

import re
import unicodedata
from typing import Annotated, Any, Literal

from hongyan.clock import Timestamp
from hongyan.ids import Id
from hongyan.schemas import RequestBody
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

Purpose = Literal["avatar", "image", "file", "voice"]

# They change what a name looks like: "photo\u202egpj.exe" is shown as "photoexe.jpg" (Unicode, bidirectional formats).
_TURNING = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _plain_name(text: str) -> str:
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise ValueError("holds a line break or a control character")
    if _TURNING & set(text):
        raise ValueError("holds a character that turns the direction of writing")
    if "/" in text or "\\" in text or text in {".", ".."}:
        raise ValueError("is a path")
    if not text.strip():
        raise ValueError("is blank")
    return text


FileName = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_plain_name)]

_MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")  # RFC 6838, 4.2


def _media_type(text: str) -> str:
    if _MIME.fullmatch(text) is None:
        raise ValueError("must be a media type without parameters, such as image/png")
    return text


Mime = Annotated[str, StringConstraints(to_lower=True, max_length=100), AfterValidator(_media_type)]
Sha256 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{64}$")]
Etag = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r'^"?[!#-~]+"?$')]


class NewUpload(RequestBody):
    """POST /v1/files. ``size`` in bytes; ``sha256`` of all of them, in hexadecimal."""

    name: FileName
    mime: Mime
    size: Annotated[int, Field(ge=1, lt=2**63)]
    sha256: Sha256
    purpose: Purpose


class Put(BaseModel):
    """How to store the whole file: one request with exactly these headers."""

    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]
    expires_at: Timestamp


class Part(BaseModel):
    """How to store a part: a PUT of exactly ``size`` bytes, the first of which is the file's ``offset``."""

    number: int
    offset: int
    size: int
    url: str


class StoredPart(BaseModel):
    """A part that is there already."""

    number: int
    etag: str


class Upload(BaseModel):
    """How to store a file: at once, or by the parts that are not there yet, until ``expires_at``."""

    file_id: str
    upload: Put | None = None
    parts: list[Part] | None = None
    stored_parts: list[StoredPart] | None = None
    expires_at: Timestamp


class CompletedPart(RequestBody):
    """A part as S3 answered it."""

    number: Annotated[int, Field(ge=1, le=10_000)]
    etag: Etag


class Completion(RequestBody):
    """POST .../complete. ``parts``, all of them, of an upload that has parts."""

    parts: Annotated[list[CompletedPart], Field(max_length=10_000)] | None = None


class File(BaseModel):
    """A file. ``status`` is ``uploading`` until its owner completes it, and ``verifying`` while that takes long.

    ``width`` and ``height`` in pixels, as shown; ``thumbnails`` by name, each with a link, once they are made.
    """

    id: str
    owner_id: str
    purpose: Purpose
    name: str
    mime: str
    size: int
    sha256: str
    status: Literal["uploading", "verifying", "ready"]
    created_at: Timestamp
    width: int | None
    height: int | None
    duration_ms: int | None
    thumbnails: dict[str, Any] | None
    download_url: str | None
    download_url_expires_at: Timestamp | None


class FileIds(RequestBody):
    """POST /v1/files/batch-get."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=100)]


class Files(BaseModel):
    """Those of the files that there are, and that the caller may read, in the order of the ids."""

    items: list[File]
