"""Passwords: which are refused, and argon2id with the library's parameters (RFC 9106, the low-memory profile)."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

_hasher = PasswordHasher()

# As many as attackers try first (NIST SP 800-63B-4, 3.1.1.2: compare with a list of common ones).
_MOST_COMMON = 1_000


def weakness(password: str, username: str) -> str | None:
    """Return why the password is none for this user, or nothing when it will do."""
    if password.casefold() == username.casefold():
        return "is the username"
    if password.casefold() in _common_passwords():
        return "is one of the most common passwords"
    return None


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


@cache
def _common_passwords() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415  # 30 ms that only setting a password pays

    return frozenset(FREQUENCY_LISTS["passwords"][:_MOST_COMMON])


_nobodys_hash()  # at start, so that the first unknown user does not take twice the time of the second
