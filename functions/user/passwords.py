"""Passwords: argon2id with the library's parameters (RFC 9106, the low-memory profile)."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Return what is kept of a password: about 0.1 s and 64 MiB of work."""
    return _hasher.hash(password)


def is_password(password: str, password_hash: str | None) -> bool:
    """Tell whether the password is right. Without a hash (unknown user) the same work is done before saying no."""
    try:
        return _hasher.verify(password_hash or _nobodys_hash(), password) and password_hash is not None
    except VerificationError:
        return False


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody")


_nobodys_hash()  # at start, so that the first unknown user does not take twice the time of the second
