"""Avatars: a profile refers to an uploaded picture, and shows it by a link that works for a while."""

import time
from functools import lru_cache

from hongyan import aws
from hongyan.schemas import Avatar
from hongyan.settings import settings

LINK_SECONDS = 60 * 60
# A link is shown again for this long, so that clients find the picture in their cache.
_SHOWN_AGAIN_SECONDS = 15 * 60


def avatar(file_id: str | None) -> Avatar | None:
    """Return the reference to a picture and a link that works for at least three quarters of an hour."""
    if file_id is None:
        return None
    return Avatar(file_id=file_id, url=_link(file_id, int(time.time()) // _SHOWN_AGAIN_SECONDS))


@lru_cache(maxsize=1_000)
def _link(file_id: str, quarter_of_an_hour: int) -> str:  # noqa: ARG001  # part of the key
    return aws.s3().generate_presigned_url(
        "get_object",
        Params={"Bucket": settings().files_bucket, "Key": f"avatar/{file_id}"},
        ExpiresIn=LINK_SECONDS,
    )
