"""Usernames that nobody may choose."""

import re

# What would let somebody pass for the service or its staff, or reads as part of an address of ours.
_RESERVED = frozenset({
    "about", "admin", "administrator", "all", "anonymous", "api", "bot", "contact", "everyone", "help", "here",
    "hongyan", "me", "mod", "moderator", "null", "official", "postmaster", "root", "search", "security", "service",
    "staff", "support", "sysadmin", "system", "undefined", "user", "users", "webmaster",
})  # fmt: skip

# Names of accounts that came by phone, and of closed ones: a word and the user's id.
_MADE = re.compile(r"(user|closed)[0-9a-z]{26}")


def not_reserved(username: str) -> str:
    """Return the username.

    Raises:
        ValueError: nobody may choose it.

    """
    if username.casefold().strip("_-") in _RESERVED or _MADE.fullmatch(username.casefold()):
        raise ValueError("is reserved")
    return username


def made_for(user_id: str) -> str:
    """Return the username of somebody who came by phone and chose none."""
    return f"user{user_id.lower()}"


def left_by(user_id: str) -> str:
    """Return the username of a closed account: what it had is free for others."""
    return f"closed{user_id.lower()}"
