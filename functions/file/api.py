"""The file module's routes (contract, File)."""

from typing import Annotated, Any

from fastapi import Depends, Response
from hongyan.errors import (
    BodyTooLarge,
    FileInUse,
    FileNotFound,
    FileTooLarge,
    IdempotencyKeyConflict,
    MalformedJson,
    PartsWrong,
    RateLimited,
    StorageFull,
    TokenInvalid,
    UnsupportedFile,
    UnsupportedMediaType,
    UploadIncomplete,
    ValidationFailed,
)
from hongyan.web import Caller, IdempotencyKey, RawBody, create_app, known_id, lambda_handler, problems

from functions.file import service, storage, uploads
from functions.file.inspection import REFUSALS
from functions.file.schemas import Completion, File, FileIds, Files, NewUpload, Upload


def known_file_id(file_id: str) -> str:
    """Return the id in the path.

    Raises:
        FileNotFound: it could not be one.

    """
    return known_id(file_id, FileNotFound)


FileId = Annotated[str, Depends(known_file_id)]

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file as it is, up to 4 MiB. Its type is the one declared before, whatever this one says.",
        "content": {"application/octet-stream": _BYTES},
    },
}
_TAKEN = (TokenInvalid, MalformedJson, BodyTooLarge, UnsupportedMediaType, ValidationFailed)

app = create_app("file", takes_raw_bodies=True)
handler = lambda_handler(app)


@app.post(
    "/v1/files",
    status_code=201,
    response_model_exclude_none=True,
    responses=problems(
        *_TAKEN,
        *(FileTooLarge, UnsupportedFile, StorageFull, RateLimited, IdempotencyKeyConflict, FileNotFound),
        *REFUSALS,
    ),
)
def begin(body: NewUpload, caller: Caller, idempotency_key: IdempotencyKey = None) -> Upload:
    """Begin an upload: at once by `upload`, or when it has more than 16 MiB by `parts`."""
    return uploads.begin(caller.user_id, body, idempotency_key)


@app.get(
    "/v1/files/{file_id}/upload",
    response_model_exclude_none=True,
    responses=problems(TokenInvalid, FileNotFound, *REFUSALS),
)
def resume(file_id: FileId, caller: Caller) -> Upload:
    """Return anew how to upload what is not there yet, and of a large file which parts are."""
    return uploads.resume(caller.user_id, file_id)


@app.post(
    "/v1/files/{file_id}/complete",
    responses={
        202: {"model": File, "description": "It takes a while, as it is large. Ask again."},
        **problems(*_TAKEN, FileNotFound, UploadIncomplete, PartsWrong, *REFUSALS),
    },
)
def complete(file_id: FileId, caller: Caller, response: Response, body: Completion | None = None) -> File:
    """Verify an upload's size, checksum and type, and let it be used. What does not hold is deleted."""
    file = service.complete(caller.user_id, file_id, None if body is None else body.parts)
    if file.status == "verifying":
        response.status_code = 202
    return file


@app.post("/v1/files/batch-get", responses=problems(*_TAKEN))
def find_all(body: FileIds, caller: Caller) -> Files:
    """Return files, each with a link to its bytes; those that the caller may not read are left out."""
    return service.find_all(caller.user_id, body.ids)


@app.get("/v1/files/{file_id}", responses=problems(TokenInvalid, FileNotFound))
def find(file_id: FileId, caller: Caller) -> File:
    """Return a file, with a link to its bytes that works for a quarter of an hour."""
    return service.find(caller.user_id, file_id)


@app.delete("/v1/files/{file_id}", status_code=204, responses=problems(TokenInvalid, FileNotFound, FileInUse))
def delete(file_id: FileId, caller: Caller) -> None:
    """Delete a file that nothing uses."""
    service.delete(caller.user_id, file_id)


@app.put(
    "/v1/files/{file_id}/content",
    responses=problems(TokenInvalid, FileNotFound, FileTooLarge, BodyTooLarge, UploadIncomplete, *REFUSALS),
    openapi_extra=_BODY,
)
def store(file_id: FileId, caller: Caller, body: RawBody) -> File:
    """Store a small upload through the API, and complete it."""
    return service.store(caller.user_id, file_id, body)


@app.get(
    "/v1/files/{file_id}/content",
    response_class=Response,
    responses={
        200: {"description": "The file as it is.", "content": {"application/octet-stream": _BYTES}},
        307: {"description": "A link to it, as it is larger than 4 MiB."},
        **problems(TokenInvalid, FileNotFound),
    },
)
def content(file_id: FileId, caller: Caller) -> Response:
    """Return a file's bytes, or redirect to a link to them."""
    found = service.content(caller.user_id, file_id)
    if isinstance(found.data_or_link, str):
        return Response(status_code=307, headers={"Location": found.data_or_link, "Cache-Control": "private, no-store"})
    headers = {
        "Content-Disposition": storage.disposition(found.name),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return Response(found.data_or_link, media_type=storage.shown_as(found.mime), headers=headers)
