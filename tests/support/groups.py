"""Groups as tests make them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.tables import conversations, friendships, members, users

from tests.support.gateway import Response, Socket
from tests.support.people import Person

Team = tuple[Person, Person, Person, str]


def a_group(owner: Person, *others: Person, name: str = "鸿雁 team") -> str:
    """Befriend the others and make a group with them; return its id."""
    for other in others:
        owner.befriend(other)
    made = owner.post("/v1/conversations", {"name": name, "member_ids": [other.id for other in others]})
    assert made.status == 201, made.text
    group_id: str = made.json["id"]
    return group_id


def invite(someone: Person, group_id: str, *others: Person) -> Response:
    """Add people to a group and return the answer."""
    return someone.post(f"/v1/conversations/{group_id}/members", {"user_ids": [other.id for other in others]})


def remove(someone: Person, group_id: str, other: Person) -> Response:
    """Remove somebody from a group, or leave it, and return the answer."""
    return someone.delete(f"/v1/conversations/{group_id}/members/{other.id}")


def roles(someone: Person, group_id: str) -> dict[str, str]:
    """Return the roles of a group's members by their ids."""
    listed = someone.get(f"/v1/conversations/{group_id}/members?limit=100").json["items"]
    return {member["user"]["id"]: member["role"] for member in listed}


def happenings(someone: Person, group_id: str) -> list[str]:
    """Return what somebody reads in a group: the text of texts, the event of system messages."""
    return [
        message["content"]["event"] if message["type"] == "system" else message["content"]["text"]
        for message in someone.history(group_id, limit=100)
    ]


def heard(screen: Socket) -> list[tuple[str, Any]]:
    """Return what a socket was told, by type, since events come in any order."""
    return sorted(((event["type"], event["data"]) for event in screen.events), key=lambda told: told[0])


def types(screen: Socket) -> list[str]:
    """Return of what types the events were that a socket was told."""
    return [kind for kind, _ in heard(screen)]


def a_crowd_of_friends(someone: Person, count: int) -> list[str]:
    """Give somebody many friends, past the API, and return their ids."""
    ids = sorted(new_id() for _ in range(count))
    profile = {"nickname": "One of many", "description": "", "created_at": now()}
    sides = [(someone.id, other) for other in ids] + [(other, someone.id) for other in ids]
    with stores.engine().begin() as connection:
        connection.execute(
            sa.insert(users).values(
                [{"id": one, "username": f"u-{one}", "password_hash": "", **profile} for one in ids]
            )
        )
        rows = [{"user_id": one, "friend_id": other, "remark": None, "since": now()} for one, other in sides]
        connection.execute(sa.insert(friendships).values(rows))
    return ids


def fill(group_id: str, count: int) -> None:
    """Let a group have many more members, past the API, who are nobody in particular."""
    let_in(group_id, [new_id() for _ in range(count)])


def let_in(group_id: str, user_ids: Sequence[str]) -> None:
    """Let people be members of a group, past the API."""
    rows = [
        {
            "conversation_id": group_id,
            "user_id": user_id,
            "read_seq": 0,
            "own_after_read": 0,
            "muted": False,
            "pinned": False,
            "joined_at": now(),
            "role": "member",
        }
        for user_id in user_ids
    ]
    if not rows:
        return
    with stores.engine().begin() as connection:
        connection.execute(sa.insert(members).values(rows))
        connection.execute(
            sa.update(conversations)
            .where(conversations.c.id == group_id)
            .values(member_count=conversations.c.member_count + len(rows))
        )
