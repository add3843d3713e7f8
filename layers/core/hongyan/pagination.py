"""Pages of lists: ``limit``, an opaque ``cursor``, ``{"items": [...], "next_cursor": ...}`` (contract, Conventions).

A cursor says after which row the next page starts. It gives nobody any right, since every query asks for the caller's
own rows, so it needs no key: a digest over list, caller and position finds the changed and the borrowed one.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from hongyan.errors import InvalidCursor

T = TypeVar("T")
R = TypeVar("R")

Position = list[Any]

_DIGEST_BYTES = 9


class Page(BaseModel, Generic[T]):
    """One page; ``next_cursor`` is null at the end."""

    items: list[T]
    next_cursor: str | None


def encode_cursor(list_name: str, user_id: str, position: Position) -> str:
    """Return the cursor that continues ``list_name`` of ``user_id`` behind ``position`` (JSON values)."""
    body = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(list_name, user_id, body) + body).decode().rstrip("=")


def decode_cursor(list_name: str, user_id: str, cursor: str) -> Position:
    """Return the position in ``cursor``.

    Raises:
        InvalidCursor: it was changed, or is not of this list and this caller.

    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidCursor from error
    digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(list_name, user_id, body) or encode_cursor(list_name, user_id, json.loads(body)) != cursor:
        raise InvalidCursor
    position: Position = json.loads(body)
    return position


def page_of(rows: Sequence[R], limit: int, show: Callable[[R], T], cursor_after: Callable[[R], str]) -> "Page[T]":
    """Make a page of ``rows``, which hold one more than ``limit`` when there is a next page."""
    shown = rows[:limit]
    next_cursor = cursor_after(shown[-1]) if len(rows) > limit else None
    return Page(items=[show(row) for row in shown], next_cursor=next_cursor)


def _digest(list_name: str, user_id: str, body: bytes) -> bytes:
    return hashlib.sha256(b"\0".join([list_name.encode(), user_id.encode(), body])).digest()[:_DIGEST_BYTES]
