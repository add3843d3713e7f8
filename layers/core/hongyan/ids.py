"""Identifiers: ULIDs, 26 characters of Crockford's base 32, sortable by the millisecond of their making."""

import re
from typing import Annotated

from pydantic import StringConstraints
from ulid import ULID

PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
_ULID = re.compile(PATTERN)

Id = Annotated[str, StringConstraints(pattern=PATTERN)]


def new_id() -> str:
    """Return a fresh identifier."""
    return str(ULID())


def is_id(text: str) -> bool:
    """Tell whether ``text`` could name anything at all; what could not need not be looked up."""
    return _ULID.fullmatch(text) is not None
