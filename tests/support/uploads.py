"""Files that somebody has uploaded, and the bytes of some."""

import hashlib
import io
from typing import Any

import boto3
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.tables import files
from PIL import Image

from tests.support.gateway import Response
from tests.support.people import Person

MIMES = {"avatar": "image/png", "image": "image/png", "file": "application/octet-stream", "voice": "audio/wav"}


def an_upload(owner: Person, *, purpose: str = "avatar", completed: bool = True) -> str:
    """Let somebody have uploaded something of which nobody asks for the bytes."""
    file_id = new_id()
    with stores.engine().begin() as connection:
        connection.execute(
            sa.insert(files).values(
                id=file_id,
                owner_id=owner.id,
                purpose=purpose,
                name="portrait.png",
                mime="image/png",
                size=1,
                sha256=bytes(32),
                created_at=now(),
                completed_at=now() if completed else None,
            )
        )
    return file_id


def a_picture(width: int = 40, height: int = 30, kind: str = "PNG", **saved: Any) -> bytes:
    """Return a picture, red on the left and blue on the right."""
    picture = Image.new("RGB", (width, height), "blue")
    picture.paste("red", (0, 0, width // 2, height))
    file = io.BytesIO()
    picture.save(file, kind, **saved)
    return file.getvalue()


def begun(owner: Person, data: bytes, **declared: Any) -> Response:
    """Ask for an upload of bytes, declared as they are unless said otherwise."""
    purpose = declared.get("purpose", "file")
    honest = {"name": "name", "mime": MIMES[purpose], "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return owner.post("/v1/files", {"purpose": purpose, **honest, **declared})


def put(owner: Person, data: bytes, **declared: Any) -> str:
    """Upload bytes, and return the id of a file that is not completed yet."""
    answer = begun(owner, data, **declared)
    assert answer.status == 201, answer.text
    file_id: str = answer.json["file_id"]
    folder = declared.get("purpose", "file").replace("avatar", "avatar-upload")
    boto3.client("s3").put_object(Bucket="files", Key=f"{folder}/{file_id}", Body=data)
    return file_id


def completed(owner: Person, data: bytes, **declared: Any) -> dict[str, Any]:
    """Upload bytes and complete the file."""
    answer = owner.post(f"/v1/files/{put(owner, data, **declared)}/complete")
    assert answer.status == 200, answer.text
    file: dict[str, Any] = answer.json
    return file


def keys() -> set[str]:
    """Return what the bucket holds."""
    return {each.key for each in boto3.resource("s3").Bucket("files").objects.all()}
