"""The commands about files: `hongyan send-file` and `hongyan save-file`."""

import asyncio
import mimetypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from hongyan_client.api import HongyanClient
from hongyan_client.backoff import Backoff
from hongyan_client.chat import printable
from hongyan_client.command import EndpointOption, ProfileOption, run
from hongyan_client.errors import HongyanError, NotFound, NotLoggedIn, ValidationFailed
from hongyan_client.message_cli import ConversationArgument, SeqArgument, find_any, line, titled
from hongyan_client.models import FilePurpose, Message, Upload
from hongyan_client.profile import Profile
from hongyan_client.transfers import Source, download, upload
from hongyan_client.unfinished import Unfinished, UnfinishedUploads

app = typer.Typer()

_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
_TRANSCRIPT_SECONDS = 60.0


@app.command("send-file")
def send_file(
    conversation: ConversationArgument,
    path: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    *,
    purpose: Annotated[str | None, typer.Option("--as", help="image, file or voice; else by the file's name.")] = None,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Send a file. Interrupted, the same command goes on where it stopped, and never sends it twice."""

    async def work(client: HongyanClient, own: Profile) -> None:
        if client.session is None:
            raise NotLoggedIn
        found = await find_any(client, conversation)
        mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        source = Source.read(path, mime, _purpose(purpose, mime))
        kept = UnfinishedUploads(own.uploads_file())
        key = f"{client.session.user.id}:{found.id}:{source.purpose}:{source.sha256}"
        unfinished, wanted = await _begun(client, source, kept, key)
        with _bar(f"Sending {printable(path.name)}", source.size) as told:
            await upload(client, source, unfinished.file_id, wanted, told)
        sent = await client.send_file(found.id, source.purpose, unfinished.file_id, unfinished.client_id)
        kept.forget(key)
        typer.echo(line(sent, titled(found)))
        if source.purpose == "voice":
            typer.echo(await _transcript(client, sent))

    run(work, endpoint, profile)


@app.command("save-file")
def save_file(
    conversation: ConversationArgument,
    seq: SeqArgument,
    target: Annotated[Path | None, typer.Argument(metavar="[TARGET]", help="A file or a folder; else here.")] = None,
    *,
    endpoint: EndpointOption = None,
    profile: ProfileOption = "default",
) -> None:
    """Save the file that a message carries, if its checksum is right. What is there already is not overwritten."""

    async def work(client: HongyanClient, _: Profile) -> None:
        found = await find_any(client, conversation)
        page = await client.history(found.id, before_seq=seq + 1, limit=1)
        message = next((each for each in page.items if each.seq == seq), None)
        if message is None or "file_id" not in message.content:
            raise HongyanError(f"Message {seq} carries no file.")
        file = await client.file(str(message.content["file_id"]))
        place = _place(target, file.name)
        if place.exists():
            raise HongyanError(f"{place} is there already.")
        with _bar(f"Saving {printable(file.name)}", file.size) as told:
            await download(file, place, told)
        typer.echo(f"Saved as {place}.")

    run(work, endpoint, profile)


def _purpose(wanted: str | None, mime: str) -> FilePurpose:
    match wanted:
        case "image" | "file" | "voice":
            return wanted
        case None:
            return "image" if mime in _IMAGES else "file"
        case _:
            raise HongyanError(f"{wanted!r} is none of image, file and voice.")


async def _begun(
    client: HongyanClient, source: Source, kept: UnfinishedUploads, key: str
) -> tuple[Unfinished, Upload | None]:
    """Return the upload that was interrupted, if it can go on; else one that begins now, kept before a byte is sent.

    With it comes how to store what is not there yet, None when all is.
    """
    before = kept.find(key)
    if before is not None:
        try:
            file = await client.file(before.file_id)
            return before, await client.resume_upload(before.file_id) if file.status == "uploading" else None
        except (NotFound, ValidationFailed):
            kept.forget(key)
    begun = await client.begin_upload(source.path.name, source.mime, source.size, source.sha256, source.purpose)
    unfinished = Unfinished(file_id=begun.file_id, client_id=uuid4().hex)
    kept.keep(key, unfinished)
    return unfinished, begun


async def _transcript(client: HongyanClient, sent: Message) -> str:
    backoff = Backoff(0.25, 2.0)
    try:
        async with asyncio.timeout(_TRANSCRIPT_SECONDS):
            while True:
                page = await client.history(sent.conversation_id, before_seq=sent.seq + 1, limit=1)
                said = page.items[0].content.get("transcript") if page.items else None
                if said is not None:
                    return f"Transcript: “{printable(str(said))}”" if said else "Nothing could be made out."
                await asyncio.sleep(backoff.next())
    except TimeoutError:
        return "There is no transcript yet."


def _place(target: Path | None, name: str) -> Path:
    """Return where to save. A name is the sender's: of it, only what can be no path."""
    safe = Path(name.replace("\\", "_")).name or "file"
    if target is None:
        return Path(safe)
    return target / safe if target.is_dir() else target


@contextmanager
def _bar(label: str, size: int) -> Iterator[Callable[[int], None]]:
    with typer.progressbar(length=size, label=label) as bar:
        yield bar.update
