"""Uploads: what uses them, for how long they stay, and who may read them (contract, File).

Nothing counts the uses of a file, as counts go wrong. `files.expires_at` is NULL while something uses it; whoever stops
using it looks under the file's lock whether anything else does, and lets it expire if not. From then on there is no
such file, and an hour later the file module's sweep deletes what is left of it. Whoever locks a conversation too, locks
it first.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from hongyan.clock import now
from hongyan.errors import FileNotFound, FileNotUsable
from hongyan.tables import conversations, files, members, message_files, users

Row = sa.Row[Any]


def is_there(row: Row) -> bool:
    """Tell whether a file has not expired."""
    return row.expires_at is None or row.expires_at > now()


def lock(connection: sa.Connection, file_id: str) -> Row | None:
    """Lock and return a file, unless it has expired: until the transaction ends, nobody else uses or deletes it."""
    row = lock_any(connection, file_id)
    return None if row is None or not is_there(row) else row


def lock_any(connection: sa.Connection, file_id: str) -> Row | None:
    """Lock and return a file, expired or not."""
    return connection.execute(sa.select(files).where(files.c.id == file_id).with_for_update()).first()


def use(connection: sa.Connection, owner_id: str, file_id: str, purpose: str) -> Row:
    """Let somebody's own upload stay for as long as it is used, and return it.

    Raises:
        FileNotFound: there is none such, or it is somebody else's.
        FileNotUsable: its upload is not completed, or was for another purpose.

    """
    row = lock(connection, file_id)
    if row is None or row.owner_id != owner_id:
        raise FileNotFound
    if row.completed_at is None or row.purpose != purpose:
        raise FileNotUsable
    _keep(connection, file_id)
    return row


def use_again(connection: sa.Connection, file_id: str) -> None:
    """Let a file that a message carries stay for another message, whosever it is.

    Raises:
        FileNotFound: it is gone.

    """
    if lock(connection, file_id) is None:
        raise FileNotFound
    _keep(connection, file_id)


def attach(connection: sa.Connection, file_id: str, conversation_id: str, seq: int) -> None:
    """Let a message carry a file that is in use: who may read the one may read the other."""
    values = {"file_id": file_id, "conversation_id": conversation_id, "seq": seq}
    connection.execute(sa.insert(message_files).values(values))


def detach(connection: sa.Connection, conversation_id: str, first_seq: int, last_seq: int) -> None:
    """Let messages from one seq to another carry no files any more. Their conversation is locked."""
    of_messages = sa.and_(
        message_files.c.conversation_id == conversation_id,
        message_files.c.seq >= first_seq,
        message_files.c.seq <= last_seq,
    )
    file_ids = connection.scalars(sa.select(message_files.c.file_id).where(of_messages).distinct()).all()
    if not file_ids:
        return
    connection.execute(sa.delete(message_files).where(of_messages))
    # In the order of their ids, so that two who do this at once do not wait for each other.
    for file_id in sorted(file_ids):
        _let_go(connection, file_id)


def release_avatar(connection: sa.Connection, file_id: str | None) -> None:
    """Let a picture expire that somebody or a group does not show any more, unless another does."""
    if file_id is not None:
        _let_go(connection, file_id)


def is_used(connection: sa.Connection, row: Row) -> bool:
    """Tell whether a locked file is used."""
    if row.purpose == "avatar":
        return any(
            connection.execute(sa.select(shows.c.id).where(shows.c.avatar_file_id == row.id).limit(1)).first()
            for shows in (users, conversations)
        )
    statement = sa.select(message_files.c.seq).where(message_files.c.file_id == row.id).limit(1)
    return connection.execute(statement).first() is not None


def expire(connection: sa.Connection, file_id: str) -> None:
    """Let there be no such file from now on. It is locked, and nothing uses it."""
    connection.execute(sa.update(files).where(files.c.id == file_id).values(expires_at=now()))


def readable_ids(connection: sa.Connection, user_id: str, rows: Collection[Row]) -> set[str]:
    """Return which of the files somebody may read: own ones, avatars, and what was sent within their membership."""
    open_to_all = {row.id for row in rows if row.owner_id == user_id or row.purpose == "avatar"}
    others = {row.id for row in rows} - open_to_all
    if not others:
        return open_to_all
    in_window = sa.and_(
        members.c.conversation_id == message_files.c.conversation_id,
        members.c.user_id == user_id,
        members.c.joined_seq < message_files.c.seq,
        sa.or_(members.c.left_seq.is_(None), members.c.left_seq >= message_files.c.seq),
    )
    statement = sa.select(message_files.c.file_id).join(members, in_window).where(message_files.c.file_id.in_(others))
    return open_to_all | set(connection.scalars(statement.distinct()))


def _keep(connection: sa.Connection, file_id: str) -> None:
    connection.execute(sa.update(files).where(files.c.id == file_id).values(expires_at=None))


def _let_go(connection: sa.Connection, file_id: str) -> None:
    row = lock(connection, file_id)
    if row is not None and not is_used(connection, row):
        expire(connection, file_id)
