"""The commands `hongyan group ...`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from hongyan_client.api import HongyanClient
from hongyan_client.chat import find_friend, find_group, printable
from hongyan_client.command import EndpointOption, ProfileOption, named, run
from hongyan_client.errors import HongyanError
from hongyan_client.models import Conversation, Member, Role
from hongyan_client.profile import Profile

app = typer.Typer(help="Groups.", no_args_is_help=True)

GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="Name or id of a group.")]
MemberArgument = Annotated[str, typer.Argument(metavar="MEMBER", help="Username, nickname or id of a member.")]
FriendsArgument = Annotated[list[str], typer.Argument(metavar="FRIEND...", help="Usernames, nicknames or ids.")]
OffOption = Annotated[bool, typer.Option("--off", help="No longer.")]


@app.command()
def create(
    name: str, friends: FriendsArgument, endpoint: EndpointOption = None, profile: ProfileOption = "default"
) -> None:
    """Make a group of oneself and friends."""

    async def work(client: HongyanClient, _: Profile) -> None:
        group = await client.create_group(name, await _friend_ids(client, friends))
        typer.echo(f"Made {_titled(group)}, id {group.id}. Now talk: hongyan chat {group.id}")

    run(work, endpoint, profile)


@app.command("list")
def list_groups(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List one's groups, the newest activity first."""

    async def work(client: HongyanClient, _: Profile) -> None:
        groups = [each for each in await client.conversations() if each.kind == "group"]
        lines = [f"{each.id}  {_titled(each)}  {each.role or 'left'}" for each in groups]
        typer.echo("\n".join(lines) or "No groups yet: hongyan group create NAME FRIEND...")

    run(work, endpoint, profile)


@app.command()
def members(group: GroupArgument, endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List who is in a group."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        lines = [f"{each.user.id}  {named(each.user)}  {each.role}" for each in await client.members(found.id)]
        typer.echo("\n".join(lines))

    _in_group(work, group, endpoint, profile)


@app.command()
def add(
    group: GroupArgument,
    friends: FriendsArgument,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Add friends to a group."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        added = await client.add_members(found.id, await _friend_ids(client, friends))
        names = ", ".join(named(member.user) for member in added)
        typer.echo(f"Added {names}." if added else "They were all in it before.")

    _in_group(work, group, endpoint, profile)


@app.command()
def remove(
    group: GroupArgument,
    member: MemberArgument,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Remove somebody from a group."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        meant = await _member(client, found, member)
        await client.remove_member(found.id, meant.user.id)
        typer.echo(f"Removed {named(meant.user)}.")

    _in_group(work, group, endpoint, profile)


@app.command()
def leave(group: GroupArgument, endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """Leave a group; what was said until now stays readable."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        await client.remove_member(found.id, (await client.me()).id)
        typer.echo(f"Left {_titled(found)}.")

    _in_group(work, group, endpoint, profile)


@app.command()
def role(
    group: GroupArgument,
    member: MemberArgument,
    role: Annotated[str, typer.Argument(help="admin or member.")],
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Make a member an admin, or an admin a member."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        changed = await client.set_role(found.id, (await _member(client, found, member)).user.id, _role(role))
        typer.echo(f"{named(changed.user)} is {changed.role} now.")

    _in_group(work, group, endpoint, profile)


@app.command()
def hand_over(
    group: GroupArgument,
    member: MemberArgument,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Make another member the owner; oneself stays as an admin."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        meant = await _member(client, found, member)
        await client.hand_over(found.id, meant.user.id)
        typer.echo(f"{named(meant.user)} owns {_titled(found)} now.")

    _in_group(work, group, endpoint, profile)


@app.command()
def rename(
    group: GroupArgument, name: str, endpoint: EndpointOption = None, profile: ProfileOption = "default"
) -> None:
    """Give a group another name."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        typer.echo(f"It is {_titled(await client.change_group(found.id, name=name))} now.")

    _in_group(work, group, endpoint, profile)


@app.command()
def announce(
    group: GroupArgument, text: str, endpoint: EndpointOption = None, profile: ProfileOption = "default"
) -> None:
    """Set a group's announcement; an empty one takes it away."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        await client.change_group(found.id, announcement=text)
        typer.echo("Announced." if text else "No announcement any more.")

    _in_group(work, group, endpoint, profile)


@app.command()
def mute(
    group: GroupArgument,
    *,
    off: OffOption = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Mute a group for oneself."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        changed = await client.set_settings(found.id, muted=not off)
        typer.echo(f"{_titled(changed)} is {'muted' if changed.muted else 'not muted'} now.")

    _in_group(work, group, endpoint, profile)


@app.command()
def pin(
    group: GroupArgument,
    *,
    off: OffOption = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Pin a group for oneself."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        changed = await client.set_settings(found.id, pinned=not off)
        typer.echo(f"{_titled(changed)} is {'pinned' if changed.pinned else 'not pinned'} now.")

    _in_group(work, group, endpoint, profile)


@app.command()
def dissolve(
    group: GroupArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """End a group, for good and for all; what was said stays readable."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        if not yes and not typer.confirm(f"End {_titled(found)} for all its members?"):
            raise HongyanError("Nothing was done.")
        await client.dissolve_group(found.id)
        typer.echo(f"{_titled(found)} is over.")

    _in_group(work, group, endpoint, profile)


def _in_group(
    work: Callable[[HongyanClient, Conversation], Awaitable[None]], group: str, endpoint: str | None, profile: str
) -> None:
    async def found(client: HongyanClient, _: Profile) -> None:
        await work(client, find_group(await client.conversations(), group))

    run(found, endpoint, profile)


async def _friend_ids(client: HongyanClient, wanted: Sequence[str]) -> list[str]:
    friends = await client.friends()
    return [find_friend(friends, each).user.id for each in wanted]


async def _member(client: HongyanClient, group: Conversation, wanted: str) -> Member:
    word = wanted.casefold()
    all_members = await client.members(group.id)
    meant = [m for m in all_members if word in {m.user.id.casefold(), m.user.username.casefold()}]
    meant = meant or [m for m in all_members if word == m.user.nickname.casefold()]
    if len(meant) != 1:
        how_many = "several members" if meant else "no member"
        raise HongyanError(f"There is {how_many} {wanted!r}; `hongyan group members` lists them.")
    return meant[0]


def _role(word: str) -> Role:
    match word:
        case "admin" | "member":
            return word
        case _:
            raise HongyanError("A role is admin or member; `hongyan group hand-over` makes an owner.")


def _titled(group: Conversation) -> str:
    count = "" if group.member_count is None else f" ({group.member_count})"
    return f"{printable(group.name or '')}{count}"
