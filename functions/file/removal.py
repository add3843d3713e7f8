"""Removing what expired: the bytes first, then what is known of them, so whoever dies leaves it to be done again."""

from hongyan import files, links
from hongyan.unit_of_work import UnitOfWork, perform

from functions.file import repository, storage


def remove(file_id: str) -> bool:
    """Remove a file that has expired, under its lock, and tell whether it had."""
    return perform(lambda unit: _remove(unit, file_id))


def _remove(unit: UnitOfWork, file_id: str) -> bool:
    row = files.lock_any(unit.connection, file_id)
    if row is None or files.is_there(row) or files.is_used(unit.connection, row):
        return False
    key = storage.upload_key(row.purpose, row.id)
    if row.upload_id is not None and row.completed_at is None:
        storage.abort_parts(key, row.upload_id)
    keys = {key, storage.key_of(row.purpose, row.id)}
    if row.purpose == "image":
        keys |= {links.thumbnail_key(row.id, name) for name in storage.THUMBNAIL_SIDES}
    storage.delete(sorted(keys))
    repository.delete(unit.connection, file_id)
    if row.refused_as is None:
        repository.add_stored(unit.connection, row.owner_id, -row.size)
    return True
