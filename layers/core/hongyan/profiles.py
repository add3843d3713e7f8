"""Profiles out of rows of `users`, as every module shows them."""

from typing import Any

import sqlalchemy as sa

from hongyan.avatars import avatar
from hongyan.schemas import User
from hongyan.tables import users

_COLUMNS = ("id", "username", "nickname", "description", "avatar_file_id")


def profile_columns(table: sa.FromClause = users, prefix: str = "") -> list[sa.Label[Any]]:
    """Return the columns that a profile is made of, each named with the prefix."""
    return [table.c[name].label(prefix + name) for name in _COLUMNS]


def public_profile(row: sa.Row[Any], prefix: str = "") -> User:
    """Return the public profile out of a row that has `profile_columns` with this prefix."""
    values = {name: row._mapping[prefix + name] for name in _COLUMNS}  # noqa: SLF001  # SQLAlchemy's public name for it
    return User(**values, avatar=avatar(values["avatar_file_id"]))
