"""SQL of groups: their cards, their members, and who may be invited."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from hongyan.profiles import profile_columns
from hongyan.schemas import Role
from hongyan.tables import conversations, friendships, members, users
from hongyan.timeline import Place
from sqlalchemy.dialects.mysql import insert

Row = sa.Row[Any]


def list_friends_among(connection: sa.Connection, user_id: str, other_ids: Collection[str]) -> set[str]:
    """Return those of the people who are friends of the user and whose accounts are open."""
    statement = (
        sa.select(friendships.c.friend_id)
        .join(users, users.c.id == friendships.c.friend_id)
        .where(friendships.c.user_id == user_id, friendships.c.friend_id.in_(other_ids), users.c.closed_at.is_(None))
    )
    return set(connection.scalars(statement))


def insert_group(
    connection: sa.Connection, conversation_id: str, name: str, owner_id: str, member_ids: Sequence[str], at: datetime
) -> None:
    """Insert a group, its owner and its first members."""
    connection.execute(
        sa.insert(conversations).values(
            id=conversation_id,
            kind="group",
            name=name,
            announcement="",
            member_count=len(member_ids) + 1,
            last_seq=0,
            last_activity_at=at,
            created_at=at,
        )
    )
    joining = _joining(0, 0, at)
    rows = [{"user_id": owner_id, **joining, "role": "owner"}, *({"user_id": i, **joining} for i in member_ids)]
    connection.execute(sa.insert(members).values([{"conversation_id": conversation_id, **row} for row in rows]))


def put_members(connection: sa.Connection, before: Place, user_ids: Sequence[str], at: datetime) -> None:
    """Let people into a group with its next change, in one statement. For who was in it before, it starts anew."""
    joining = _joining(before.last_seq, before.change_seq, at)
    rows = [{"conversation_id": before.conversation_id, "user_id": user_id, **joining} for user_id in user_ids]
    connection.execute(insert(members).values(rows).on_duplicate_key_update(joining))


def _joining(joined_seq: int, joined_change_seq: int, at: datetime) -> dict[str, Any]:
    return {
        "read_seq": joined_seq,
        "own_after_read": 0,
        "muted": False,
        "pinned": False,
        "joined_at": at,
        "role": "member",
        "joined_seq": joined_seq,
        "joined_change_seq": joined_change_seq,
        "change_seq": joined_change_seq + 1,
        "left_seq": None,
        "left_at": None,
    }


def end_membership(connection: sa.Connection, after: Place, user_id: str, at: datetime) -> None:
    """Let a member go with the group's last change: they keep what was said until then."""
    _change_member(connection, after, user_id, role=None, left_seq=after.last_seq, left_at=at)


def set_role(connection: sa.Connection, after: Place, user_id: str, role: Role) -> None:
    """Note a member's role, which came with the group's last change."""
    _change_member(connection, after, user_id, role=role)


def _change_member(connection: sa.Connection, after: Place, user_id: str, **values: Any) -> None:
    statement = sa.update(members).where(
        members.c.conversation_id == after.conversation_id, members.c.user_id == user_id
    )
    connection.execute(statement.values(**values, change_seq=after.change_seq))


def set_group(connection: sa.Connection, conversation_id: str, **values: Any) -> None:
    """Change columns of a group. Its row is locked."""
    connection.execute(sa.update(conversations).where(conversations.c.id == conversation_id).values(**values))


def find_card(connection: sa.Connection, conversation_id: str) -> Row:
    """Return what a group shows of itself."""
    statement: sa.Select[Any] = sa.select(
        conversations.c.name, conversations.c.announcement, conversations.c.avatar_file_id
    )
    return connection.execute(statement.where(conversations.c.id == conversation_id)).one()


def list_present_ids(connection: sa.Connection, conversation_id: str, user_ids: Collection[str]) -> set[str]:
    """Return those of the people who are in the group."""
    statement = sa.select(members.c.user_id).where(
        members.c.conversation_id == conversation_id, members.c.user_id.in_(user_ids), members.c.left_seq.is_(None)
    )
    return set(connection.scalars(statement))


def find_member(connection: sa.Connection, conversation_id: str, user_id: str) -> Row | None:
    """Return a member of the group with the profile."""
    return connection.execute(_members_of(conversation_id).where(members.c.user_id == user_id)).first()


def list_members_among(connection: sa.Connection, conversation_id: str, user_ids: Collection[str]) -> Sequence[Row]:
    """Return those of the people who are in the group, with their profiles."""
    statement = _members_of(conversation_id).where(members.c.user_id.in_(user_ids))
    return connection.execute(statement.order_by(members.c.user_id)).all()


def list_members(connection: sa.Connection, conversation_id: str, after_id: str | None, limit: int) -> Sequence[Row]:
    """Return up to ``limit`` members with their profiles, in the order of their ids."""
    statement = _members_of(conversation_id).order_by(members.c.user_id).limit(limit)
    if after_id is not None:
        statement = statement.where(members.c.user_id > after_id)
    return connection.execute(statement).all()


def _members_of(conversation_id: str) -> sa.Select[Any]:
    return (
        sa.select(members.c.role, members.c.joined_at, *profile_columns())
        .join(users, users.c.id == members.c.user_id)
        .where(members.c.conversation_id == conversation_id, members.c.left_seq.is_(None))
    )
