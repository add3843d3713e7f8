"""Avatars: a profile refers to an uploaded picture, and shows it by a link that works for a while."""

from hongyan import links
from hongyan.schemas import Avatar


def avatar(file_id: str | None) -> Avatar | None:
    """Return the reference to a picture and a link that works for at least three quarters of an hour."""
    return None if file_id is None else Avatar(file_id=file_id, url=links.avatar(file_id))
