"""One's own profile out of a row of `users`."""

from typing import Any

import sqlalchemy as sa
from hongyan.errors import UserNotFound
from hongyan.profiles import public_profile

from functions.user.schemas import Self


def own_profile_of(row: sa.Row[Any] | None) -> Self:
    """Return what only its owner sees of an account.

    Raises:
        UserNotFound: there is no row.

    """
    if row is None:
        raise UserNotFound
    return Self(**public_profile(row).model_dump(), phone=row.phone, created_at=row.created_at)
