"""The command line `hongyan`."""

import re
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, TypeVar

import typer

from hongyan_client import file_cli, group_cli, message_cli
from hongyan_client.api import HongyanClient
from hongyan_client.chat import chat as run_chat
from hongyan_client.chat import printable
from hongyan_client.command import EndpointOption, ProfileOption, named, run
from hongyan_client.errors import HongyanError, ValidationFailed
from hongyan_client.models import Conversation, FriendRequest, OwnSession, Purpose, User
from hongyan_client.profile import Profile

_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_MOST_FOUND = 100
_RELATIONS = {
    "requested": "  asked by you",
    "incoming": "  asks you",
    "friend": "  your friend",
    "blocked": "  blocked by you",
    "self": "  you",
}

Answer = TypeVar("Answer")

app = typer.Typer(help="Chat over Hongyan.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(group_cli.app, name="group")
app.add_typer(message_cli.app)
app.add_typer(file_cli.app)

PhoneOption = Annotated[
    str | None, typer.Option(metavar="PHONE", help="A phone in place of the username: a code is sent to it.")
]
PasswordOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command()
def register(
    username: Annotated[str | None, typer.Argument(help="3 to 32 letters, digits, _ and -.")] = None,
    *,
    phone: PhoneOption = None,
    nickname: Annotated[str | None, typer.Option(help="The name that others see.")] = None,
    password_stdin: PasswordOption = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Create an account: by a username and a password, or by a phone and the code that is sent to it."""

    async def work(client: HongyanClient, _: Profile) -> None:
        if phone and not (username or password_stdin):
            made = await _with_code(client, phone, "register", partial(client.register_by_phone, nickname=nickname))
            way_in = "--phone PHONE"
        elif username and not phone:
            password = _password(from_stdin=password_stdin, twice=True)
            made = await client.register(username, password, nickname)
            way_in = made.username
        else:
            raise _one_way_in()
        typer.echo(f"Registered {made.username}, id {made.id}. Now log in: hongyan login {way_in}")

    run(work, endpoint, profile)


@app.command()
def login(
    username: Annotated[str | None, typer.Argument()] = None,
    *,
    phone: PhoneOption = None,
    password_stdin: PasswordOption = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Begin a session, which this profile keeps: by username and password, or by phone and code."""

    async def work(client: HongyanClient, own: Profile) -> None:
        if phone and not (username or password_stdin):
            device = own.device()
            session = await _with_code(client, phone, "login", partial(client.login_by_phone, device=device))
        elif username and not phone:
            password = _password(from_stdin=password_stdin, twice=False)
            session = await client.login(username, password, own.device())
        else:
            raise _one_way_in()
        typer.echo(f"Logged in as {session.user.username}.")

    run(work, endpoint, profile)


@app.command()
def logout(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """End the session."""

    async def work(client: HongyanClient, _: Profile) -> None:
        await client.logout()
        typer.echo("Logged out.")

    run(work, endpoint, profile)


@app.command()
def reset_password(
    phone: Annotated[str, typer.Option(help="The account's phone: a code is sent to it.")],
    *,
    password_stdin: PasswordOption = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Set a new password with a code that is sent to one's phone; all one's sessions end."""

    async def work(client: HongyanClient, _: Profile) -> None:
        # The password first: a code grows old while somebody thinks of one.
        password = _password(from_stdin=password_stdin, twice=True)
        await _with_code(client, phone, "reset_password", partial(client.reset_password, new_password=password))
        typer.echo("The password is changed, and all sessions have ended. Now log in: hongyan login")

    run(work, endpoint, profile)


@app.command()
def sessions(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List the devices that one is logged in on."""

    async def work(client: HongyanClient, _: Profile) -> None:
        typer.echo("\n".join(_told(session) for session in await client.sessions()))

    run(work, endpoint, profile)


@app.command()
def end_session(
    session: Annotated[str, typer.Argument(metavar="ID", help="Id of the session, as `hongyan sessions` lists it.")],
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Log out on another device."""

    async def work(client: HongyanClient, _: Profile) -> None:
        await client.end_session(session)
        typer.echo("The session has ended.")

    run(work, endpoint, profile)


@app.command()
def close_account(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Close one's account for good. Others keep the messages that they have."""

    async def work(client: HongyanClient, _: Profile) -> None:
        username = (await client.me()).username
        if not yes and _confirmation(username) != username:
            raise HongyanError(f"That is not {username}. Nothing was closed.")
        await client.close_account()
        typer.echo(f"The account {username} is closed.")

    run(work, endpoint, profile)


@app.command()
def me(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """Show one's own name and id."""

    async def work(client: HongyanClient, _: Profile) -> None:
        own = await client.me()
        typer.echo(f"{named(own)}\nid {own.id}")

    run(work, endpoint, profile)


@app.command(name="profile")
def change_profile(
    nickname: Annotated[str | None, typer.Option(help="The name that others see.")] = None,
    description: Annotated[str | None, typer.Option(help="A few words about oneself; '' for none.")] = None,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Change what others see of oneself."""

    async def work(client: HongyanClient, _: Profile) -> None:
        if nickname is None and description is None:
            raise HongyanError("What is to change? Give --nickname, --description or both.")
        own = await client.change_profile(nickname=nickname, description=description)
        typer.echo(f"{named(own)}{_quoted(own.description)}")

    run(work, endpoint, profile)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="A part of a name; or a whole id or phone.")],
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Look for people."""

    async def work(client: HongyanClient, _: Profile) -> None:
        page = await client.search_users(" ".join(words))
        lines = [f"{user.id}  {named(user)}{_RELATIONS.get(user.relation, '')}" for user in page.items]
        if page.next_cursor:
            lines.append("There are more: say more of the name.")
        typer.echo("\n".join(lines) or "Nobody is called like that.")

    run(work, endpoint, profile)


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
            typer.echo(f"You and {named(_other(request, client))} are friends now.")
        else:
            typer.echo(f"Asked {named(request.to_user)}.")

    run(work, endpoint, profile)


@app.command()
def requests(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List the friend requests that wait for an answer."""

    async def work(client: HongyanClient, _: Profile) -> None:
        waiting = [
            *(("from", request) for request in await client.friend_requests("incoming")),
            *(("to", request) for request in await client.friend_requests("outgoing")),
        ]
        lines = [
            f"{request.id}  {word} {named(_other(request, client))}{_quoted(request.message)}"
            for word, request in waiting
            if request.status == "pending"
        ]
        typer.echo("\n".join(lines) or "No friend request waits for an answer.")

    run(work, endpoint, profile)


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
        typer.echo(f"You and {named(wanted.from_user)} are friends now: hongyan chat {name}")

    run(work, endpoint, profile)


@app.command()
def friends(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List one's friends."""

    async def work(client: HongyanClient, _: Profile) -> None:
        lines = [f"{friend.user.id}  {named(friend.user)}" for friend in await client.friends()]
        typer.echo("\n".join(lines) or "No friends yet: hongyan add USER")

    run(work, endpoint, profile)


@app.command()
def conversations(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """List one's conversations, the newest first."""

    async def work(client: HongyanClient, _: Profile) -> None:
        lines = []
        for conversation in await client.conversations():
            name = named(conversation.peer) if conversation.peer else _group_named(conversation)
            last = conversation.last_message.text if conversation.last_message else None
            unread = f"  {conversation.unread_count} unread" if conversation.unread_count else ""
            lines.append(f"{name}{unread}{_quoted(last or '')}")
        typer.echo("\n".join(lines) or "No conversations yet: hongyan add USER")

    run(work, endpoint, profile)


@app.command()
def chat(
    whom: Annotated[str, typer.Argument(help="Username, nickname or id of a friend; name or id of a group.")],
    stay: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=0, help="After the last line of piped input, listen this long."),
    ] = None,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Chat with a friend or in a group: type a line and it is sent, theirs appear above; /quit leaves.

    When standard input is not a terminal, each of its lines is sent, and the command ends when all are acknowledged.
    """

    async def work(client: HongyanClient, _: Profile) -> None:
        if not await run_chat(client, whom, stay):
            raise typer.Exit(1)

    run(work, endpoint, profile)


def main() -> None:
    """Run the command line."""
    app()


def _ask(question: str, *, hidden: bool = False, twice: bool = False) -> str:
    # asyncio keeps the first interrupt for its next turn, which does not come while somebody is asked.
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return str(typer.prompt(question, hide_input=hidden, confirmation_prompt=twice))
    finally:
        signal.signal(signal.SIGINT, kept)


def _password(*, from_stdin: bool, twice: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise HongyanError("There is no terminal to ask for the password on: give it with --password-stdin.")
    return _ask("Password", hidden=True, twice=twice)


async def _with_code(
    client: HongyanClient, phone: str, purpose: Purpose, use: Callable[[str, str, str], Awaitable[Answer]]
) -> Answer:
    """Have a code sent, ask for it, and use it; a terminal is asked again for a mistyped one, as it is still good."""
    sent = await client.request_code(phone, purpose)
    typer.echo(f"A code was sent to {_masked(phone)}.")
    while True:
        try:
            return await use(phone, sent.code_id, _code())
        except ValidationFailed as error:
            if error.code != "verification_code_wrong" or not sys.stdin.isatty():
                raise
            typer.echo(str(error), err=True)


def _code() -> str:
    if sys.stdin.isatty():
        return _ask("Code").strip()
    code = sys.stdin.readline().strip()
    if not code:
        raise HongyanError("There is no code on standard input.")
    return code


def _confirmation(username: str) -> str:
    if not sys.stdin.isatty():
        raise HongyanError("There is no terminal to ask on whether you are sure: give --yes.")
    return _ask(f"The account cannot be opened again. Type {username} to close it")


def _masked(phone: str) -> str:
    """Return a phone for others' eyes: its owner knows it by what is left.

    >>> _masked("+8613800138000")
    '+86138****8000'
    """
    return f"{phone[:-8]}****{phone[-4:]}"


def _one_way_in() -> HongyanError:
    return HongyanError("Give a username, which has a password, or --phone, which is sent a code: one of the two.")


async def _user_id(client: HongyanClient, user: str) -> str:
    if _ID.fullmatch(user.upper()):
        return user.upper()
    for each in (await client.search_users(user, limit=_MOST_FOUND)).items:
        if each.username.casefold() == user.casefold():
            return each.id
    raise HongyanError(f"There is no user {user!r}.")


def _told(session: OwnSession) -> str:
    since = session.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    this = "  (this one)" if session.current else ""
    return f"{session.id}  {printable(session.device.name)}  {session.device.platform}  since {since}{this}"


def _is_meant(request: FriendRequest, wanted: str) -> bool:
    maker = request.from_user
    return wanted.casefold() in {request.id.casefold(), maker.id.casefold(), maker.username.casefold()}


def _other(request: FriendRequest, client: HongyanClient) -> User:
    own_id = client.session.user.id if client.session else None
    return request.from_user if request.to_user.id == own_id else request.to_user


def _group_named(group: Conversation) -> str:
    count = "" if group.member_count is None else f" ({group.member_count})"
    return f"{printable(group.name or group.id)}{count}"


def _quoted(text: str) -> str:
    return f"  “{printable(text)}”" if text else ""
