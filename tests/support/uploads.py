"""Files that somebody has uploaded."""

import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.tables import files

from tests.support.people import Person


def an_upload(owner: Person, *, purpose: str = "avatar", completed: bool = True) -> str:
    file_id = new_id()
    with stores.engine().begin() as connection:
        connection.execute(
            sa.insert(files).values(
                id=file_id,
                owner_id=owner.id,
                purpose=purpose,
                name="portrait.png",
                mime="image/png",
                size=1,
                sha256=bytes(32),
                created_at=now(),
                completed_at=now() if completed else None,
            )
        )
    return file_id
