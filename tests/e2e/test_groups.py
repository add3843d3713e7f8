"""A group through the deployed template: made, talked in, grown, changed, left, handed over, dissolved."""

import asyncio
import os
import sys
from pathlib import Path
from uuid import uuid4

import pytest
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
