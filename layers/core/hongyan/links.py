"""Links to objects in S3 that whoever has them may read for a while: signed here, without asking anybody.

On AWS a link ends with the credentials of the function that signed it too, which last some hours (S3 guide, presigned
URLs).
"""

import time
from functools import lru_cache
from typing import Any

from hongyan import aws
from hongyan.settings import settings

# What is shown as it is, in lists of people and in messages.
PICTURE_SECONDS = 60 * 60
# A link is shown again for this long, so that clients find the picture in their cache.
_SHOWN_AGAIN_SECONDS = 15 * 60


def avatar(file_id: str) -> str:
    """Return a link to an avatar that works for at least three quarters of an hour."""
    return _picture(f"avatar/{file_id}", int(time.time()) // _SHOWN_AGAIN_SECONDS)


def shown(file_id: str, thumbnails: dict[str, dict[str, int]]) -> dict[str, dict[str, Any]]:
    """Return an image's thumbnails, ``{name: {"width", "height"}}``, each with a link."""
    return {name: {**size, "url": thumbnail(file_id, name)} for name, size in thumbnails.items()}


def thumbnail(file_id: str, name: str) -> str:
    """Return a link to an image's thumbnail, ``small`` or ``large``, that works as long as an avatar's."""
    return _picture(thumbnail_key(file_id, name), int(time.time()) // _SHOWN_AGAIN_SECONDS)


def thumbnail_key(file_id: str, name: str) -> str:
    """Return where in the bucket a thumbnail is."""
    return f"thumbnail/{file_id}/{name}.webp"


def download(key: str, seconds: int, **answers: str) -> str:
    """Return a link to any object; ``answers`` are headers that S3 answers it with, as boto3 names them."""
    return _sign(seconds, Key=key, **answers)


@lru_cache(maxsize=1_000)
def _picture(key: str, quarter_of_an_hour: int) -> str:  # noqa: ARG001  # part of the key
    return _sign(PICTURE_SECONDS, Key=key)


def _sign(seconds: int, **parameters: Any) -> str:
    return aws.s3().generate_presigned_url(
        "get_object", Params={"Bucket": settings().files_bucket, **parameters}, ExpiresIn=seconds
    )
