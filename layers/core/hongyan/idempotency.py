"""Requests that are made again and take effect once, by their `Idempotency-Key` (contract, Conventions).

The key is noted in the transaction that makes the thing. So whoever dies in the middle leaves neither, and of two
requests at the same moment the second waits for the first and finds what that has made. Keys are the caller's own.
"""

import hashlib
from datetime import timedelta

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.mysql import insert

from hongyan.clock import now
from hongyan.errors import IdempotencyKeyConflict
from hongyan.tables import idempotency_keys
from hongyan.unit_of_work import UnitOfWork

KEPT_FOR = timedelta(days=1)

# More than one for each that comes, so that none is left in the end.
_FORGOTTEN_AT_ONCE = 10


def made_before(unit: UnitOfWork, user_id: str, key: str | None, wanted: BaseModel, resource_id: str) -> str | None:
    """Note that the key makes a resource, and return None; or what it has made before, by the same request.

    Raises:
        IdempotencyKeyConflict: the key has made something by another request.

    """
    if key is None:
        return None
    request = hashlib.sha256(f"{type(wanted).__name__}:{wanted.model_dump_json()}".encode()).digest()
    row = {"user_id": user_id, "client_key": key, "request": request, "resource_id": resource_id, "created_at": now()}
    claim = insert(idempotency_keys).values(row)
    unit.connection.execute(claim.on_duplicate_key_update(user_id=claim.inserted.user_id))
    noted = unit.connection.execute(
        sa.select(idempotency_keys.c.request, idempotency_keys.c.resource_id)
        .where(idempotency_keys.c.user_id == user_id, idempotency_keys.c.client_key == key)
        .with_for_update()  # as it is now, and not as it was when the transaction began
    ).one()
    if noted.request != request:
        raise IdempotencyKeyConflict
    if noted.resource_id != resource_id:
        return str(noted.resource_id)
    _forget_some_old(unit)
    return None


def _forget_some_old(unit: UnitOfWork) -> None:
    old = sa.delete(idempotency_keys).where(idempotency_keys.c.created_at < now() - KEPT_FOR)
    unit.connection.execute(old.with_dialect_options(mysql_limit=_FORGOTTEN_AT_ONCE))
