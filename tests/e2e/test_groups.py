"""A group through the deployed template: made, talked in, grown, changed, left, handed over, dissolved."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from hongyan.ids import new_id
from hongyan_client import (
    Conflict,
    ConversationCreated,
    Draft,
    Forbidden,
    NotFound,
    OtherEvent,
    ValidationFailed,
)

from local.stack import Stack
from tests.e2e.conftest import Join
from tests.e2e.people import PASSWORD, PATIENCE_SECONDS, Person, Screen, screen
from tests.e2e.test_gateway import problem


def a_text(conversation_id: str, text: str) -> Draft:
    return Draft(conversation_id, uuid4().hex, text)


def removals(shown: Screen) -> list[str]:
    return [
        event.data["reason"]
        for event in shown.events
        if isinstance(event, OtherEvent) and event.type == "conversation.removed"
    ]


async def befriended(owner: Person, *others: Person) -> list[str]:
    for other in others:
        await owner.befriend(other)
    return [other.id for other in others]


async def test_a_group_lives_from_its_making_to_its_end(join: Join) -> None:
    owner, admin, late, leaver = [await join(name) for name in ("owner", "admin", "late", "leaver")]
    await befriended(owner, admin, late, leaver)

    async with screen(admin.client) as at_admin, screen(leaver.client) as at_leaver, screen(late.client) as at_late:
        group = await owner.client.create_group("鸿雁 team", [admin.id, leaver.id])
        assert (group.kind, group.name, group.member_count, group.role) == ("group", "鸿雁 team", 3, "owner")
        await at_admin.until(lambda s: any(isinstance(e, ConversationCreated) for e in s.events))
        await owner.client.send(a_text(group.id, "before late came"))
        await at_admin.until(lambda s: s.texts(group.id) == [None, "before late came"])

        assert (await owner.client.set_role(group.id, admin.id, "admin")).role == "admin"
        await owner.client.add_members(group.id, [late.id])
        await late.client.send(a_text(group.id, "hello all"))
        for shown in (at_admin, at_leaver):
            await shown.until(lambda s: s.texts(group.id)[-1:] == ["hello all"])
        seen_by_late = (await late.client.history(group.id)).items
        assert [message.text for message in seen_by_late if message.type == "text"] == ["hello all"]
        assert seen_by_late[0].content["event"] == "members_added"

        await admin.client.change_group(group.id, name="鸿雁")
        await leaver.client.remove_member(group.id, leaver.id)
        await at_leaver.until(lambda s: removals(s) == ["left"])
        await owner.client.send(a_text(group.id, "after leaver left"))
        await at_late.until(lambda s: s.texts(group.id)[-1:] == ["after leaver left"])
        kept = [message.text for message in (await leaver.client.history(group.id)).items]
        assert "after leaver left" not in kept
        assert "hello all" in kept
        with pytest.raises(Forbidden) as refused:
            await leaver.client.send(a_text(group.id, "am I still in?"))
        assert refused.value.code == "not_a_member"

        with pytest.raises(Conflict) as refused_owner:
            await owner.client.remove_member(group.id, owner.id)
        assert refused_owner.value.code == "owner_must_hand_over"
        assert (await owner.client.hand_over(group.id, admin.id)).role == "admin"
        await admin.client.dissolve_group(group.id)
        await at_late.until(lambda s: removals(s) == ["dissolved"])
        with pytest.raises(Conflict) as over:
            await late.client.send(a_text(group.id, "anybody?"))
        assert over.value.code == "group_dissolved"

    seqs = [message.seq for message in (await owner.client.history(group.id, limit=100)).items]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_only_friends_are_invited_and_strangers_see_nothing(join: Join) -> None:
    owner, one, two, stranger = [await join(name) for name in ("owner", "one", "two", "stranger")]
    ids = await befriended(owner, one, two)
    for wrong in ([one.id], [*ids, stranger.id], [*ids, owner.id], [one.id, one.id]):
        with pytest.raises(ValidationFailed):
            await owner.client.create_group("group", wrong)
    assert len(await owner.client.conversations()) == 2

    group = await owner.client.create_group("group", ids)

    with pytest.raises(NotFound):
        await stranger.client.conversation(group.id)
    with pytest.raises(NotFound):
        await stranger.client.members(group.id)
    with pytest.raises(Forbidden):
        await one.client.change_group(group.id, name="mine")
    roles = {member.user.id: member.role for member in await two.client.members(group.id)}
    assert roles == {owner.id: "owner", one.id: "member", two.id: "member"}


async def test_unread_counts_are_each_members_own(join: Join) -> None:
    owner, one, two = [await join(name) for name in ("owner", "one", "two")]
    group = await owner.client.create_group("group", await befriended(owner, one, two))
    for text in ("a", "b"):
        await owner.client.send(a_text(group.id, text))
    await one.client.send(a_text(group.id, "c"))

    last_seq = (await two.client.conversation(group.id)).last_seq
    await two.client.mark_read(group.id, last_seq - 1)
    await two.client.set_settings(group.id, muted=True, pinned=True)

    seen = {p.id: await p.client.conversation(group.id) for p in (owner, one, two)}
    assert seen[owner.id].unread_count == 1
    assert seen[two.id].unread_count == 1
    assert (seen[two.id].muted, seen[two.id].pinned, seen[one.id].muted) == (True, True, False)


async def hongyan(home: Path, endpoint: str, profile: str, *arguments: str, typed: str = "") -> str:
    """Run the command line as somebody and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from hongyan_client.cli import main; main()", *arguments, "--profile", profile),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HONGYAN_ENDPOINT": endpoint, "HONGYAN_HOME": str(home), "PYTHONUTF8": "1"},
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate(typed.encode())
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_group_on_the_command_line(stack: Stack, join: Join, tmp_path: Path) -> None:
    people = {name: await join(name) for name in ("ann", "ben", "cat")}
    ann, ben, cat = people.values()
    await befriended(ann, ben, cat)

    async def run(name: str, *arguments: str, typed: str = "") -> str:
        return await hongyan(tmp_path, stack.endpoints.rest_url, name, *arguments, typed=typed)

    for name, person in people.items():
        await run(name, "login", person.username, "--password-stdin", typed=f"{PASSWORD}\n")
    title = f"team {uuid4().hex[:8]}"

    assert f"Made {title} (3)" in await run("ann", "group", "create", title, ben.username, cat.username)
    assert f"{title} (3)  member" in await run("ben", "group", "list")
    assert "is admin now" in await run("ann", "group", "role", title, ben.username, "admin")
    await run("ben", "group", "announce", title, "tea at five")
    await run("cat", "chat", title, typed="hello from cat\n")
    seen = await run("ben", "chat", title)
    assert f"– {ann.username} made the group {title} with you, {cat.username}" in seen
    assert f"{cat.username}: hello from cat" in seen
    assert "is muted now" in await run("cat", "group", "mute", title)
    assert f"Left {title}" in await run("cat", "group", "leave", title)
    assert f"owns {title}" in await run("ann", "group", "hand-over", title, ben.username)
    listed = await run("ben", "group", "members", title)
    assert {line.split()[1]: line.split()[-1] for line in listed.splitlines()} == {
        ann.username: "admin",
        ben.username: "owner",
    }
    assert f"Added {cat.username}" in await run("ann", "group", "add", title, cat.username)
    assert f"Removed {cat.username}" in await run("ben", "group", "remove", title, cat.username)
    assert "It is renamed" in await run("ben", "group", "rename", title, f"renamed {title}")
    assert "is over" in await run("ben", "group", "dissolve", f"renamed {title}", "--yes")
    assert f"renamed {title} (2)" in await run("ann", "conversations")


async def test_a_group_asked_for_again_by_its_key_is_made_once(join: Join, http: httpx.AsyncClient) -> None:
    owner, one, two = [await join(name) for name in ("owner", "one", "two")]
    ids = await befriended(owner, one, two)
    session = owner.client.session
    assert session is not None
    headers = {"Authorization": f"Bearer {session.access_token}", "Idempotency-Key": uuid4().hex}

    async def make(name: str) -> httpx.Response:
        return await http.post("/v1/conversations", json={"name": name, "member_ids": ids}, headers=headers)

    at_once = await asyncio.gather(*(make("team") for _ in range(4)))
    other = await make("another team")

    assert {answer.status_code for answer in at_once} == {201}
    assert len({answer.json()["id"] for answer in at_once}) == 1
    assert (other.status_code, problem(other)) == (409, "idempotency_key_conflict")
    assert len(await owner.client.conversations()) == len(ids) + 1


async def test_each_way_to_get_a_group_wrong_is_told_apart_and_changes_nothing(
    stack: Stack, join: Join, http: httpx.AsyncClient
) -> None:
    owner, one, two, stranger, closed = [await join(name) for name in ("owner", "one", "two", "stranger", "closed")]
    ids = await befriended(owner, one, two, closed)
    single = await owner.befriend(stranger)
    await owner.client.remove_friend(stranger.id)
    await closed.client.close_account()
    group = await owner.client.create_group("group", ids[:2])
    path, session = f"/v1/conversations/{group.id}", owner.client.session
    assert session is not None
    own = {"Authorization": f"Bearer {session.access_token}"}
    nobody = new_id()
    foreign_cursor = (await http.get("/v1/conversations?limit=1", headers=own)).json()["next_cursor"]
    assert foreign_cursor is not None

    def group_of(*member_ids: str, name: str = "new") -> dict[str, Any]:
        return {"name": name, "member_ids": member_ids}

    tries: list[tuple[str, str, Any, int, str]] = [
        ("POST", "/v1/conversations", group_of(one.id, owner.id), 422, "validation_failed"),
        ("POST", "/v1/conversations", group_of(one.id, nobody), 422, "validation_failed"),
        ("POST", "/v1/conversations", group_of(one.id, closed.id), 422, "validation_failed"),
        ("POST", "/v1/conversations", group_of(one.id, stranger.id), 422, "validation_failed"),
        ("POST", "/v1/conversations", group_of(one.id, one.id), 422, "validation_failed"),
        ("POST", "/v1/conversations", group_of(one.id), 422, "validation_failed"),
        ("POST", "/v1/conversations", group_of(*ids[:2], name=""), 422, "validation_failed"),
        ("POST", "/v1/conversations", group_of(*ids[:2], name="x" * 10_000), 422, "validation_failed"),
        ("POST", f"{path}/members", {"user_ids": [new_id() for _ in range(501)]}, 422, "validation_failed"),
        ("POST", f"{path}/members", {"user_ids": [owner.id]}, 422, "validation_failed"),
        ("POST", f"{path}/members", {"user_ids": [stranger.id]}, 422, "validation_failed"),
        ("PATCH", f"{path}/members/{one.id}", {"role": "owner"}, 422, "validation_failed"),
        ("PATCH", f"{path}/members/{owner.id}", {"role": "member"}, 409, "owner_must_hand_over"),
        ("DELETE", f"{path}/members/{owner.id}", None, 409, "owner_must_hand_over"),
        ("DELETE", f"{path}/members/{stranger.id}", None, 404, "member_not_found"),
        ("PUT", f"{path}/owner", {"user_id": stranger.id}, 422, "validation_failed"),
        ("PATCH", path, {"name": ""}, 422, "validation_failed"),
        ("PATCH", path, {"name": "x" * 10_000}, 422, "validation_failed"),
        ("PATCH", path, {"avatar_file_id": nobody}, 404, "file_not_found"),
        ("DELETE", f"/v1/conversations/{single}/members/{owner.id}", None, 409, "not_a_group"),
        ("GET", f"{path}/members?cursor={foreign_cursor}", None, 400, "invalid_cursor"),
    ]
    for method, url, body, status, code in tries:
        answer = await http.request(method, url, json=body, headers=own)
        assert (answer.status_code, problem(answer)) == (status, code), (method, url, body, answer.text)

    assert (await owner.client.conversation(group.id)).model_dump() == group.model_dump()
    assert len(await owner.client.conversations()) == len(ids) + 2  # the singles, and the one group
    await owner.befriend(stranger)
    let_be_full(stack, group.id)
    full = await http.post(f"{path}/members", json={"user_ids": [stranger.id]}, headers=own)
    assert (full.status_code, problem(full)) == (409, "group_full")
    await owner.client.dissolve_group(group.id)
    for method, url, body in [("PATCH", path, {"name": "x"}), ("POST", f"{path}/members", {"user_ids": [stranger.id]})]:
        over = await http.request(method, url, json=body, headers=own)
        assert (over.status_code, problem(over)) == (409, "group_dissolved")


def let_be_full(stack: Stack, group_id: str) -> None:
    """Say that a group has as many members as one may have."""
    engine = sa.create_engine(stack.database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE conversations SET member_count = 10000 WHERE id = :id"), {"id": group_id})
    engine.dispose()
