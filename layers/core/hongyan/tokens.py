"""Opaque secrets in clients' hands: 256 random bits with a prefix that says what it is. Only their SHA-256 is kept."""

import hashlib
import re
import secrets
from typing import Literal

Prefix = Literal["hya", "hyr", "hyt"]  # access token, refresh token, ticket

_FORM = re.compile(r"(hya|hyr|hyt)_[A-Za-z0-9_-]{43}")


def new_token(prefix: Prefix) -> str:
    """Return a fresh secret."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def is_token(prefix: Prefix, text: str) -> bool:
    """Tell whether ``text`` has the form of such a secret; what has not need not be looked up."""
    return _FORM.fullmatch(text) is not None and text.startswith(prefix)


def digest(token: str) -> bytes:
    """Return what is kept of a secret. A fast hash will do: 256 random bits cannot be guessed from it."""
    return hashlib.sha256(token.encode()).digest()
