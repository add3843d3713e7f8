"""What every command of the command line needs: where the server is, whose session, and how failing is said."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from hongyan_client.api import HongyanClient
from hongyan_client.chat import printable
from hongyan_client.errors import HongyanError, TooManyRequests
from hongyan_client.models import User
from hongyan_client.profile import Profile, find_endpoint

_INTERRUPTED = 130

EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", help="Address of the server; else HONGYAN_ENDPOINT, else .local/endpoints.json here."),
]
ProfileOption = Annotated[
    str, typer.Option("--profile", help="Whose session: one name for each person on this machine.")
]


def run(work: Callable[[HongyanClient, Profile], Awaitable[None]], endpoint: str | None, profile_name: str) -> None:
    """Do a command's work; what goes wrong is one sentence on standard error, and exit code 1."""

    async def connected() -> None:
        address = find_endpoint(endpoint)
        profile = Profile(profile_name, address)
        async with HongyanClient(address, store=profile) as client:
            await work(client, profile)

    try:
        asyncio.run(connected())
    except (HongyanError, OSError) as error:
        typer.echo(_sentence(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(_INTERRUPTED) from error


def named(user: User) -> str:
    """Return how somebody is called in lists: by username, which is theirs alone, and nickname."""
    nickname = printable(user.nickname)
    return user.username if nickname in {"", user.username} else f"{user.username} ({nickname})"


def _sentence(error: Exception) -> str:
    if isinstance(error, TooManyRequests) and error.retry_after is not None:
        return f"{error} That is {error.retry_after:g} s."
    return str(error)
