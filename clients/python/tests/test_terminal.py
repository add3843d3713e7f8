"""What a real terminal shows: a chat's prompt, its marks, the lines that come in above it, and questions asked."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hongyan_client import Device, HongyanClient
from hongyan_client.profile import Profile
from stand_in import MADE_USERNAME, PASSWORD, PHONE, StandIn, profile

_PROGRAM = (sys.executable, "-c", "from hongyan_client.cli import main; main()")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x20]")
_PATIENCE = 20.0


class Terminal:
    """A terminal of 24 lines by 80 columns in which a command runs.

    `text` is all that was written on it, without spaces: the prompt skips them by moving the cursor.
    """

    def __init__(self, process: asyncio.subprocess.Process, end: int) -> None:
        self.process = process
        self._end = end
        self._written = b""
        self._more = asyncio.Event()

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self._written.decode(errors="ignore"))

    def read(self) -> None:
        try:
            self._written += os.read(self._end, 65_536)
        except OSError:  # Linux's word for a terminal that its program has left
            asyncio.get_running_loop().remove_reader(self._end)
        self._more.set()

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    async def until(self, holds: Callable[[str], bool]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not holds(self.text):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pytest.fail(f"the terminal shows {self.text!r}")

    async def ended(self) -> int:
        async with asyncio.timeout(_PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def terminal(*arguments: str, settings: dict[str, str]) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    # Nobody answers here when asked where the cursor is.
    env = os.environ | settings | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONUTF8": "1"}
    process = await asyncio.create_subprocess_exec(
        *_PROGRAM, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    os.close(theirs)
    shown = Terminal(process, ours)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, shown.read)
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(ours)
        os.close(ours)


@pytest.fixture
def settings(server: StandIn, tmp_path: Path) -> dict[str, str]:
    return {"HONGYAN_HOME": str(tmp_path), "HONGYAN_ENDPOINT": server.base}


@pytest.fixture
async def alices(server: StandIn, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings, with Alice logged in."""
    monkeypatch.setenv("HONGYAN_HOME", settings["HONGYAN_HOME"])
    async with HongyanClient(server.base, store=Profile("default", server.base)) as client:
        await client.login("alice", PASSWORD, Device(id="d", platform="cli", name="test"))
    return settings


@pytest.fixture
async def chat(server: StandIn, alices: dict[str, str]) -> AsyncIterator[Terminal]:
    """Alice's chat with Bob, connected."""
    server.store("bob", "are you there?")
    async with terminal("chat", "bob", settings=alices) as shown:
        await shown.until(lambda text: text.endswith("bob:areyouthere?>"))
        yield shown


async def test_a_line_is_marked_as_pending_until_it_is_stored(server: StandIn, chat: Terminal) -> None:
    server.answering.clear()
    chat.type("yes, here\r")
    await chat.until(lambda text: "…yes,here" in text)
    assert "you:yes,here" not in chat.text
    server.answering.set()
    await chat.until(lambda text: "you:yes,here" in text)
    assert [message["content"]["text"] for message in server.messages[1:]] == ["yes, here"]


async def test_what_the_other_one_writes_appears_while_a_line_is_being_typed(server: StandIn, chat: Terminal) -> None:
    chat.type("half a li")
    await chat.until(lambda text: "halfali" in text)
    await server.announce(server.store("bob", "me first"))
    await chat.until(lambda text: "bob:mefirst" in text)
    chat.type("ne\r")
    await chat.until(lambda text: "you:halfaline" in text)


async def test_a_friend_who_takes_another_name_writes_under_it_from_then_on(server: StandIn, chat: Terminal) -> None:
    await server.tell("user.updated", {"user": profile("carol") | {"nickname": "Carola"}}, "e-1")
    await server.tell("user.updated", {"user": profile("bob") | {"nickname": "Bobby"}}, "e-2")
    await server.announce(server.store("bob", "it is me"))
    await chat.until(lambda text: "Bobby:itisme" in text)


@pytest.mark.parametrize("keys", ["/quit\r", "\x04"])
async def test_leaving_ends_with_exit_code_0_and_sends_nothing(server: StandIn, chat: Terminal, keys: str) -> None:
    chat.type(keys)
    assert await chat.ended() == 0
    assert len(server.messages) == 1


async def test_a_session_that_ends_meanwhile_ends_the_chat_with_a_sentence(server: StandIn, chat: Terminal) -> None:
    await server.end_session("s-alice", "replaced")
    assert await chat.ended() == 1
    await chat.until(lambda text: "Thesessionhasended(replaced);loginagain." in text)


async def test_a_mistyped_code_is_asked_for_again_and_no_second_one_is_sent(
    server: StandIn, settings: dict[str, str]
) -> None:
    async with terminal("register", "--phone", PHONE, settings=settings) as shown:
        await shown.until(lambda text: text.endswith("Acodewassentto+86138****8000.Code:"))
        shown.type("999999\r")
        await shown.until(lambda text: text.endswith("Itisverification_code_wrong.Code:"))
        shown.type(f"{server.codes[PHONE]}\r")
        await shown.until(lambda text: f"Registered{MADE_USERNAME}," in text)
        assert await shown.ended() == 0
    assert server.calls["POST /v1/verification-codes"] == 1


async def test_an_account_is_closed_only_for_who_types_its_username(server: StandIn, alices: dict[str, str]) -> None:
    async with terminal("close-account", settings=alices) as shown:
        await shown.until(lambda text: text.endswith("Typealicetocloseit:"))
        shown.type("yes\r")
        await shown.until(lambda text: text.endswith("Thatisnotalice.Nothingwasclosed."))
        assert await shown.ended() == 1
    assert not server.closed
    async with terminal("close-account", settings=alices) as shown:
        await shown.until(lambda text: text.endswith("Typealicetocloseit:"))
        shown.type("alice\r")
        await shown.until(lambda text: text.endswith("Theaccountaliceisclosed."))
        assert await shown.ended() == 0
    assert server.closed == {"alice"}


async def test_one_interrupt_leaves_a_question(server: StandIn, settings: dict[str, str]) -> None:
    async with terminal("login", "--phone", PHONE, settings=settings) as shown:
        await shown.until(lambda text: text.endswith("Code:"))
        shown.process.send_signal(signal.SIGINT)
        assert await shown.ended() == 1
        await shown.until(lambda text: text.endswith("Aborted."))
    assert server.calls["POST /v1/sessions"] == 0
