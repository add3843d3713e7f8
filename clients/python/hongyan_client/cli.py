"""The command line `hongyan`."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from hongyan_client.api import HongyanClient
from hongyan_client.chat import chat as run_chat
from hongyan_client.chat import printable
from hongyan_client.errors import HongyanError
from hongyan_client.models import FriendRequest, User
from hongyan_client.profile import Profile, find_endpoint

_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_INTERRUPTED = 130
_MOST_FOUND = 100

app = typer.Typer(help="Chat over Hongyan.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", help="Address of the server; else HONGYAN_ENDPOINT, else .local/endpoints.json here."),
]
ProfileOption = Annotated[
    str, typer.Option("--profile", help="Whose session: one name for each person on this machine.")
]
PasswordOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command()
def register(
    username: str,
    *,
    nickname: Annotated[str | None, typer.Option(help="The name that others see.")] = None,
    password_stdin: PasswordOption = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Create an account."""

    async def work(client: HongyanClient, _: Profile) -> None:
        password = _password(from_stdin=password_stdin, twice=True)
        me = await client.register(username, password, nickname)
        typer.echo(f"Registered {me.username}, id {me.id}. Now log in: hongyan login {me.username}")

    _run(work, endpoint, profile)


@app.command()
def login(
    username: str,
    *,
    password_stdin: PasswordOption = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Begin a session, which this profile keeps."""

    async def work(client: HongyanClient, own: Profile) -> None:
        password = _password(from_stdin=password_stdin, twice=False)
        session = await client.login(username, password, own.device())
        typer.echo(f"Logged in as {session.user.username}.")

    _run(work, endpoint, profile)


@app.command()
def logout(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """End the session."""

    async def work(client: HongyanClient, _: Profile) -> None:
        await client.logout()
        typer.echo("Logged out.")

    _run(work, endpoint, profile)


@app.command()
def me(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """Show one's own name and id."""

    async def work(client: HongyanClient, _: Profile) -> None:
        own = await client.me()
        typer.echo(f"{_named(own)}\nid {own.id}")

    _run(work, endpoint, profile)


@app.command()
def add(
    user: Annotated[str, typer.Argument(help="Id or username.")],
    message: Annotated[str, typer.Option(help="A word to go with the request.")] = "",
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Ask somebody to become friends."""

    async def work(client: HongyanClient, _: Profile) -> None:
        request = await client.request_friend(await _user_id(client, user), message)
        if request.status == "accepted":
            typer.echo(f"You and {_named(_other(request, client))} are friends now.")
        else:
            typer.echo(f"Asked {_named(request.to_user)}.")

    _run(work, endpoint, profile)


@app.command()
def requests(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List the friend requests that wait for an answer."""

    async def work(client: HongyanClient, _: Profile) -> None:
        waiting = [
            *(("from", request) for request in await client.friend_requests("incoming")),
            *(("to", request) for request in await client.friend_requests("outgoing")),
        ]
        lines = [
            f"{request.id}  {word} {_named(_other(request, client))}{_quoted(request.message)}"
            for word, request in waiting
            if request.status == "pending"
        ]
        typer.echo("\n".join(lines) or "No friend request waits for an answer.")

    _run(work, endpoint, profile)


@app.command()
def accept(
    request: Annotated[str, typer.Argument(help="Id of the request, or who made it: username or id.")],
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Accept a friend request."""

    async def work(client: HongyanClient, _: Profile) -> None:
        incoming = await client.friend_requests("incoming")
        wanted = next((each for each in incoming if _is_meant(each, request)), None)
        if wanted is None:
            raise HongyanError(f"No friend request of {request!r}; `hongyan requests` lists them.")
        await client.accept_friend_request(wanted.id)
        name = printable(wanted.from_user.username)
        typer.echo(f"You and {_named(wanted.from_user)} are friends now: hongyan chat {name}")

    _run(work, endpoint, profile)


@app.command()
def friends(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List one's friends."""

    async def work(client: HongyanClient, _: Profile) -> None:
        lines = [f"{friend.user.id}  {_named(friend.user)}" for friend in await client.friends()]
        typer.echo("\n".join(lines) or "No friends yet: hongyan add USER")

    _run(work, endpoint, profile)


@app.command()
def conversations(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List one's conversations, the newest first."""

    async def work(client: HongyanClient, _: Profile) -> None:
        lines = []
        for conversation in await client.conversations():
            name = _named(conversation.peer) if conversation.peer else conversation.id
            last = conversation.last_message.text if conversation.last_message else None
            unread = f"  {conversation.unread_count} unread" if conversation.unread_count else ""
            lines.append(f"{name}{unread}{_quoted(last or '')}")
        typer.echo("\n".join(lines) or "No conversations yet: hongyan add USER")

    _run(work, endpoint, profile)


@app.command()
def chat(
    friend: Annotated[str, typer.Argument(help="Username, nickname or id of a friend.")],
    stay: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=0, help="After the last line of piped input, listen this long."),
    ] = None,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Chat with a friend: type a line and it is sent, theirs appear above; /quit leaves.

    When standard input is not a terminal, each of its lines is sent, and the command ends when all are acknowledged.
    """

    async def work(client: HongyanClient, _: Profile) -> None:
        if not await run_chat(client, friend, stay):
            raise typer.Exit(1)

    _run(work, endpoint, profile)


def main() -> None:
    """Run the command line."""
    app()


def _run(work: Callable[[HongyanClient, Profile], Awaitable[None]], endpoint: str | None, profile_name: str) -> None:
    """Do a command's work; what goes wrong is one sentence on standard error, and exit code 1."""

    async def connected() -> None:
        address = find_endpoint(endpoint)
        profile = Profile(profile_name, address)
        async with HongyanClient(address, store=profile) as client:
            await work(client, profile)

    try:
        asyncio.run(connected())
    except (HongyanError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(_INTERRUPTED) from error


def _password(*, from_stdin: bool, twice: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise HongyanError("There is no terminal to ask for the password on: give it with --password-stdin.")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=twice))


async def _user_id(client: HongyanClient, user: str) -> str:
    if _ID.fullmatch(user.upper()):
        return user.upper()
    for each in (await client.search_users(user, limit=_MOST_FOUND)).items:
        if each.username.casefold() == user.casefold():
            return each.id
    raise HongyanError(f"There is no user {user!r}.")


def _is_meant(request: FriendRequest, wanted: str) -> bool:
    maker = request.from_user
    return wanted.casefold() in {request.id.casefold(), maker.id.casefold(), maker.username.casefold()}


def _other(request: FriendRequest, client: HongyanClient) -> User:
    own_id = client.session.user.id if client.session else None
    return request.from_user if request.to_user.id == own_id else request.to_user


def _named(user: User) -> str:
    nickname = printable(user.nickname)
    return user.username if nickname in {"", user.username} else f"{user.username} ({nickname})"


def _quoted(text: str) -> str:
    return f"  “{printable(text)}”" if text else ""
