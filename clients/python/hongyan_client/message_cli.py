"""The commands about a message: `hongyan edit`, `recall`, `hide`, `react`, `forward`; and `hongyan sync`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from uuid import uuid4

import typer

from hongyan_client.api import HongyanClient
from hongyan_client.chat import find_conversation, find_friend, find_group, printable
from hongyan_client.command import EndpointOption, ProfileOption, named, run
from hongyan_client.errors import NotLoggedIn
from hongyan_client.models import Changes, Conversation, Message
from hongyan_client.profile import Profile
from hongyan_client.state import LocalState

app = typer.Typer()

ConversationArgument = Annotated[
    str,
    typer.Argument(
        metavar="CONVERSATION", help="Username, nickname or id of a friend; name of a group; id of a conversation."
    ),
]
SeqArgument = Annotated[int, typer.Argument(metavar="SEQ", min=1, help="Number of the message in the conversation.")]


@app.command()
def sync(endpoint: EndpointOption = None, profile: ProfileOption = "default") -> None:
    """Take over what changed since the last time, and print it."""

    async def work(client: HongyanClient, own: Profile) -> None:
        if client.session is None:
            raise NotLoggedIn
        with LocalState(own.state_file(), client.session.user.id) as state:
            count = 0

            def tell(page: Changes) -> None:
                nonlocal count
                lines = _told(page, {each.id: titled(each) for each in state.conversations()})
                count += len(lines)
                typer.echo("".join(f"{line}\n" for line in lines), nl=False)

            await state.sync(client, tell=tell)
        if count == 0:
            typer.echo("Nothing changed.")

    run(work, endpoint, profile)


@app.command()
def edit(
    conversation: ConversationArgument,
    seq: SeqArgument,
    text: Annotated[str, typer.Argument(help="What it says from now on.")],
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Change a text of one's own, within 15 minutes."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        changed = await client.edit_message(found.id, seq, text)
        typer.echo(line(changed, titled(found)))

    _in_conversation(work, conversation, endpoint, profile)


@app.command()
def recall(
    conversation: ConversationArgument,
    seq: SeqArgument,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Take a message back, for everybody: one's own within 2 minutes, whoever runs a group any of it."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        await client.recall_message(found.id, seq)
        typer.echo(f"Message {seq} is taken back.")

    _in_conversation(work, conversation, endpoint, profile)


@app.command()
def hide(
    conversation: ConversationArgument,
    seq: SeqArgument,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Hide a message from oneself, on all devices and for good."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        await client.hide_message(found.id, seq)
        typer.echo(f"Message {seq} is hidden.")

    _in_conversation(work, conversation, endpoint, profile)


@app.command()
def react(
    conversation: ConversationArgument,
    seq: SeqArgument,
    emoji: Annotated[str, typer.Argument(help="One emoji.")],
    *,
    off: Annotated[bool, typer.Option("--off", help="No longer.")] = False,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """React to a message with an emoji."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        if off:
            changed = await client.take_reaction_back(found.id, seq, emoji)
        else:
            changed = await client.react(found.id, seq, emoji)
        typer.echo(line(changed, titled(found)))

    _in_conversation(work, conversation, endpoint, profile)


@app.command()
def forward(
    conversation: ConversationArgument,
    seq: SeqArgument,
    to: Annotated[list[str], typer.Argument(metavar="TO...", help="Into which conversations, named in the same way.")],
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Send what a message says on, into all of the conversations or none."""

    async def work(client: HongyanClient, found: Conversation) -> None:
        targets = [await find_any(client, each) for each in to]
        sent = await client.forward_message(found.id, seq, [each.id for each in targets], uuid4().hex)
        lines = [line(message, titled(target)) for message, target in zip(sent, targets, strict=True)]
        typer.echo("\n".join(lines))

    _in_conversation(work, conversation, endpoint, profile)


def _in_conversation(
    work: Callable[[HongyanClient, Conversation], Awaitable[None]],
    conversation: str,
    endpoint: str | None,
    profile: str,
) -> None:
    async def found(client: HongyanClient, _: Profile) -> None:
        await work(client, await find_any(client, conversation))

    run(found, endpoint, profile)


async def find_any(client: HongyanClient, wanted: str) -> Conversation:
    """Return the conversation that is meant. Raises HongyanError for none or several."""
    conversations = await client.conversations()
    for each in conversations:
        if each.id.casefold() == wanted.casefold():
            return each
    if any(wanted.casefold() == (each.name or "").casefold() for each in conversations if each.kind == "group"):
        return find_group(conversations, wanted)
    return await find_conversation(client, find_friend(await client.friends(), wanted))


def _told(page: Changes, titles: dict[str, str]) -> Sequence[str]:
    """Return a line for each thing of a page that people would want to know."""
    hidden = [f"{titles.get(each.conversation_id, each.conversation_id)} {each.seq}: hidden" for each in page.hidden]
    return [
        *(f"{titled(each)}: {each.unread_count} unread" for each in page.conversations if each.unread_count),
        *(line(message, titles.get(message.conversation_id, message.conversation_id)) for message in page.messages),
        *hidden,
        *(f"{named(each.user)} is your friend" for each in page.friends),
        *(f"{each} is no friend any more" for each in page.removed_friend_ids),
        *(f"Friend request of {named(each.from_user)}: {each.status}" for each in page.friend_requests),
        *(f"{named(each.user)} is blocked" for each in page.blocks),
        *(f"{each} is not blocked any more" for each in page.unblocked_ids),
        *([] if page.sessions is None else [f"Devices: {len(page.sessions)}"]),
    ]


def line(message: Message, title: str) -> str:
    """Return a message as a line of a list."""
    reactions = "".join(f"  {printable(each.emoji)} {each.count}" for each in message.reactions)
    return f"{title} {message.seq}: {_said(message)}{reactions}"


def _said(message: Message) -> str:
    if message.hidden:
        return "hidden"
    if message.recalled_at:
        return "taken back"
    if message.type == "system":
        return f"({printable(str(message.content.get('event')))})"
    edited = " (edited)" if message.edited_at else ""
    return f"“{printable(_words(message))}”{edited}"


def _words(message: Message) -> str:
    """Return what a message says: a text's words, a voice's transcript, else the name of its file."""
    return message.text or str(message.content.get("transcript") or message.content.get("name") or message.type)


def titled(conversation: Conversation) -> str:
    """Return what a conversation is called in lists."""
    if conversation.peer:
        return named(conversation.peer)
    return printable(conversation.name or conversation.id)
