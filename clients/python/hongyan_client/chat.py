"""A conversation in a terminal, or through pipes."""

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout

from hongyan_client.api import HongyanClient
from hongyan_client.errors import ApiError, ConnectionFailed, HongyanError
from hongyan_client.events import ConnectionLost, ConnectionRestored, MessageEvent, UserUpdated
from hongyan_client.live import Live
from hongyan_client.models import Conversation, Friend, Message, User

_HISTORY = 20
_QUIT = "/quit"

# What the system messages of a group say, behind the name of whoever did it.
_HAPPENED = {
    "group_created": "made the group {name} with {others}",
    "members_added": "added {others}",
    "member_left": "left",
    "member_removed": "removed {others}",
    "role_changed": "made {others} {role}",
    "owner_changed": "made {others} the owner",
    "group_renamed": "named the group {name}",
    "announcement_changed": "changed the announcement",
    "avatar_changed": "changed the picture",
    "group_dissolved": "ended the group",
}
_LAST_READ_SECONDS = 10.0


def printable(text: str) -> str:
    """Return others' words safe for a terminal: no escape sequences, and no line that looks like another one's."""
    safe = (
        character if character in "\n\t" or unicodedata.category(character) != "Cc" else "\N{REPLACEMENT CHARACTER}"
        for character in text.replace("\r\n", "\n")
    )
    return "".join(safe).replace("\n", "\n       ")


def find_friend(friends: list[Friend], wanted: str) -> Friend:
    """Return the friend of this username, id, remark or nickname. Raises HongyanError for none or several."""
    word = wanted.casefold()
    for friend in friends:
        if word in {friend.user.username.casefold(), friend.user.id.casefold()}:
            return friend
    named = [
        friend for friend in friends if word in {friend.user.nickname.casefold(), (friend.remark or "").casefold()}
    ]
    if not named:
        raise HongyanError(f"You have no friend {wanted!r}; `hongyan friends` lists them.")
    if len(named) > 1:
        usernames = ", ".join(friend.user.username for friend in named)
        raise HongyanError(f"Several friends are called {wanted!r}: {usernames}. Take the username.")
    return named[0]


async def find_conversation(client: HongyanClient, friend: Friend) -> Conversation:
    """Return the single conversation with a friend. Raises HongyanError when there is none."""
    for conversation in await client.conversations():
        if conversation.kind == "single" and conversation.peer and conversation.peer.id == friend.user.id:
            return conversation
    raise HongyanError(f"There is no conversation with {friend.user.username}.")


def find_group(conversations: list[Conversation], wanted: str) -> Conversation:
    """Return the group of this id or name. Raises HongyanError for none or several."""
    word = wanted.casefold()
    groups = [conversation for conversation in conversations if conversation.kind == "group"]
    found = [group for group in groups if group.id.casefold() == word]
    found = found or [group for group in groups if (group.name or "").casefold() == word]
    if not found:
        raise HongyanError(f"You have no group {wanted!r}; `hongyan group list` lists them.")
    if len(found) > 1:
        raise HongyanError(f"Several groups are called {wanted!r}: {', '.join(group.id for group in found)}.")
    return found[0]


class Chat:
    """One person's view of one conversation; ``remarks`` are what they call others, whatever those call themselves."""

    def __init__(
        self, live: Live, conversation: Conversation, people: Sequence[User], remarks: Mapping[str, str], own_id: str
    ) -> None:
        self._live = live
        self._conversation_id = conversation.id
        self._own_id = own_id
        self._remarks = remarks
        self._names: dict[str, str] = {}
        for person in people:
            self._call(person)
        self._pending: list[str] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._only_others = False
        self._shown_seq = self._read_seq = conversation.read_seq
        self._unmarked = asyncio.Event()
        self._redraw: Callable[[], None] = lambda: None
        self.refused = 0

    async def in_terminal(self) -> None:
        """Type and read until /quit or end of input."""
        # The line that was typed is erased: it comes back above the prompt when it is stored.
        prompt: PromptSession[str] = PromptSession(erase_when_done=True)
        self._redraw = prompt.app.invalidate
        with patch_stdout():
            await self._while_listening(self._type(prompt))

    async def through_pipes(self, stay_seconds: float) -> None:
        """Send each line of standard input, wait until all are acknowledged, and listen for ``stay_seconds`` more."""
        self._only_others = True
        await self._while_listening(self._pipe(stay_seconds))

    async def _type(self, prompt: PromptSession[str]) -> None:
        while True:
            try:
                line = await prompt.prompt_async(self._prompt)
            except (EOFError, KeyboardInterrupt):
                break
            if line.strip() == _QUIT:
                break
            self._send_soon(line)
        await self._all_sent()

    def _prompt(self) -> str:
        pending = "".join(f"  …    {printable(line)}\n" for line in self._pending)
        return f"{pending}> "

    async def _pipe(self, stay_seconds: float) -> None:
        async for line in _lines_of_stdin():
            if line.strip() == _QUIT:
                break
            self._send_soon(line)
        await self._all_sent()
        await asyncio.sleep(stay_seconds)

    def _send_soon(self, line: str) -> None:
        if not line.strip():
            return
        self._pending.append(line)
        task = asyncio.create_task(self._send(line))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, line: str) -> None:
        try:
            await self._live.send_text(self._conversation_id, line)
        except HongyanError as error:
            self.refused += 1
            print(f"Not sent: {printable(line)}\n       {error}", file=sys.stderr)  # noqa: T201
        finally:
            self._pending.remove(line)
            self._redraw()

    async def _all_sent(self) -> None:
        if self._sending:
            await asyncio.wait(self._sending)

    async def _while_listening(self, speaking: Coroutine[Any, Any, None]) -> None:
        """Show what comes until ``speaking`` is done. Raises SessionEnded when the session is over before."""
        listening = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_marking_read())]
        speech = asyncio.create_task(speaking)
        try:
            done, _ = await asyncio.wait([speech, *listening], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (speech, *listening):
                task.cancel()
            await asyncio.gather(speech, *listening, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_READ_SECONDS):
                await self._mark_read()
        except TimeoutError:
            print("Not marked as read: no answer in time.", file=sys.stderr)  # noqa: T201

    async def _listen(self) -> None:
        async for event in self._live.events():
            match event:
                case MessageEvent(message=message) if message.conversation_id == self._conversation_id:
                    self.show(message)
                case UserUpdated(user=user) if user.id in self._names:
                    self._call(user)
                case ConnectionLost():
                    print("       Connection lost; reconnecting.", file=sys.stderr)  # noqa: T201
                case ConnectionRestored():
                    print("       Connected again.", file=sys.stderr)  # noqa: T201

    def _call(self, user: User) -> None:
        """Call somebody by one's own remark, else by what they call themselves."""
        self._names[user.id] = printable(self._remarks.get(user.id) or user.nickname or user.username)

    def _name(self, user_id: str) -> str:
        # Somebody who came after the chat began, or has left, is known by their id alone.
        return "you" if user_id == self._own_id else self._names.get(user_id, user_id)

    def show(self, message: Message) -> None:
        """Print one message, and have it marked as read when it is somebody else's."""
        own = message.sender_id == self._own_id
        if not (own and self._only_others):
            time = message.created_at.astimezone().strftime("%H:%M")
            print(f"{time}  {self._line(message)}", flush=True)  # noqa: T201
        if not own and message.seq > self._shown_seq:
            self._shown_seq = message.seq
            self._unmarked.set()

    def _line(self, message: Message) -> str:
        if message.type != "system":
            return f"{self._name(message.sender_id)}: {printable(message.text or f'({message.type})')}"
        content = message.content
        others = ", ".join(self._name(user_id) for user_id in content.get("user_ids", []))
        happened = _HAPPENED.get(content.get("event", ""), "changed something")
        return f"– {self._name(message.sender_id)} " + happened.format(
            others=others, name=printable(str(content.get("name", ""))), role=content.get("role", "")
        )

    async def _keep_marking_read(self) -> None:
        while True:
            await self._unmarked.wait()
            self._unmarked.clear()
            await self._mark_read()

    async def _mark_read(self) -> None:
        """Tell the newest that was shown: one call for many messages that came together."""
        seq = self._shown_seq
        if seq <= self._read_seq:
            return
        try:
            await self._live.mark_read(self._conversation_id, seq)
            self._read_seq = seq
        except (ApiError, ConnectionFailed) as error:
            print(f"       Not marked as read: {error}", file=sys.stderr)  # noqa: T201


async def chat(client: HongyanClient, whom: str, stay_seconds: float | None) -> bool:
    """Chat with a friend or in a group; return whether everything typed was stored.

    Without a terminal on standard input the lines come from there; then ``stay_seconds`` is how long to listen on.
    """
    conversation, people, remarks = await _find(client, whom)
    me = await client.me()
    history = await client.history(conversation.id, limit=_HISTORY)
    seen = history.items[-1].seq if history.items else conversation.last_seq
    async with client.live(since={conversation.id: seen}) as live:
        through_pipes = not sys.stdin.isatty()
        view = Chat(live, conversation, people, remarks, me.id)
        for message in history.items:
            view.show(message)
        if through_pipes:
            await view.through_pipes(stay_seconds or 0.0)
        else:
            await view.in_terminal()
        return not view.refused


async def _find(client: HongyanClient, whom: str) -> tuple[Conversation, Sequence[User], Mapping[str, str]]:
    """Return the conversation with a friend or of a group, who is in it, and one's own names for them."""
    friends = await client.friends()
    remarks = {friend.user.id: friend.remark for friend in friends if friend.remark}
    groups = [each for each in await client.conversations() if each.kind == "group"]
    if any(whom.casefold() in {each.id.casefold(), (each.name or "").casefold()} for each in groups):
        group = find_group(groups, whom)
        is_in_it = group.role is not None
        return group, [member.user for member in await client.members(group.id)] if is_in_it else [], remarks
    friend = find_friend(friends, whom)
    return await find_conversation(client, friend), [friend.user], remarks


async def _lines_of_stdin() -> AsyncIterator[str]:
    """Yield the lines of standard input. A thread of its own reads them: files cannot be awaited.

    It is a daemon, so that a read which never ends does not keep the program from ending.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        # Below sys.stdin, whose lock a blocked reader would hold when Python ends.
        rest = b""
        with suppress(RuntimeError):  # the loop is closed: nobody wants more lines
            while part := os.read(sys.stdin.fileno(), 65_536):
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, _decoded(line))
            if rest:
                loop.call_soon_threadsafe(lines.put_nowait, _decoded(rest))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="hongyan-stdin", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line


def _decoded(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
