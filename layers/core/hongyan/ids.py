"""Identifiers: ULIDs, 26 characters of Crockford's base 32, sortable by the millisecond of their making."""

import os
import random
import re
import ssl
from typing import Annotated

import ulid
from pydantic import StringConstraints
from snapshot_restore_py import register_after_restore
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


def diverge() -> None:
    """Let the copies of one snapshot (SnapStart) draw other numbers from here on, though all began in the same state.

    The kernel's generator (`secrets`, `uuid4`, `os.urandom`) needs nothing: its state is not the process's, and Lambda
    sees to it (AWS Lambda guide, Handling uniqueness with SnapStart). These are in the process: Python's Mersenne
    Twister, which retries take their jitter from; the last identifier, from which the next is counted on within the
    same millisecond; and OpenSSL's.
    """
    random.seed()
    ulid.default_generator = ulid.ULIDGenerator()
    ssl.RAND_add(os.urandom(32), 32)


register_after_restore(diverge)
