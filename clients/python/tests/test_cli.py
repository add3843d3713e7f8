"""The command line as people use it: the installed program, its output, its exit code, the files it leaves."""

import asyncio
import json
import os
import stat
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from hongyan_client.cli import app
from stand_in import CONVERSATION, MADE_USERNAME, PASSWORD, PHONE, StandIn, problem
from typer.testing import CliRunner


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@dataclass
class Terminal:
    """Somebody's shell: its environment and its working directory."""

    home: Path
    endpoint: str | None

    async def run(self, *arguments: str, typed: str = "") -> Outcome:
        """Run a command that asks and answers, beside the server's event loop: a process for each takes a second."""
        ran = await asyncio.to_thread(CliRunner(env=self._settings()).invoke, app, arguments, typed)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return Outcome(ran.exit_code, ran.stdout, ran.stderr)

    async def run_program(self, *arguments: str, typed: str = "") -> Outcome:
        """Run a command as a program, with pipes for standard input and output."""
        process = await self._start(*arguments)
        async with asyncio.timeout(20):
            out, err = await process.communicate(typed.encode())
        assert process.returncode is not None
        return Outcome(process.returncode, out.decode(), err.decode())

    async def run_with_code(self, server: StandIn, *arguments: str, typed: str = "") -> Outcome:
        """Run a command as a program that looks the code up only once it is told that one was sent."""
        process = await self._start(*arguments)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(typed.encode())
        async with asyncio.timeout(20):
            told = await process.stdout.readline()
            out, err = await process.communicate(f"{server.codes.get(PHONE, '')}\n".encode())
        assert process.returncode is not None
        return Outcome(process.returncode, (told + out).decode(), err.decode())

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from hongyan_client.cli import main; main()", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env=os.environ | self._settings() | {"PYTHONUTF8": "1"},
        )

    def _settings(self) -> dict[str, str]:
        return {"HONGYAN_ENDPOINT": self.endpoint or "", "HONGYAN_HOME": str(self.home / "config")}


@pytest.fixture
def terminal(server: StandIn, tmp_path: Path) -> Terminal:
    return Terminal(tmp_path, server.base)


@pytest.fixture
async def logged_in(terminal: Terminal) -> Terminal:
    outcome = await terminal.run("login", "alice", "--password-stdin", typed=f"{PASSWORD}\n")
    assert outcome == Outcome(0, "Logged in as alice.\n", "")
    return terminal


async def test_registering_prints_the_id_that_friends_need(terminal: Terminal) -> None:
    outcome = await terminal.run("register", "carol", "--password-stdin", typed=f"{PASSWORD}\n")
    assert outcome.code == 0
    assert "id-carol" in outcome.out


async def test_a_wrong_password_is_one_sentence_and_exit_code_1(terminal: Terminal) -> None:
    outcome = await terminal.run("login", "alice", "--password-stdin", typed="wrong\n")
    assert outcome == Outcome(1, "", "It is credentials_invalid.\n")


async def test_registering_by_phone_prints_the_username_that_was_made_and_the_id(
    server: StandIn, terminal: Terminal
) -> None:
    outcome = await terminal.run_with_code(server, "register", "--phone", PHONE, "--nickname", "Carol")
    assert outcome == Outcome(
        0,
        "A code was sent to +86138****8000.\n"
        f"Registered {MADE_USERNAME}, id id-{MADE_USERNAME}. Now log in: hongyan login --phone PHONE\n",
        "",
    )


async def test_logging_in_by_phone_begins_a_session(server: StandIn, terminal: Terminal) -> None:
    server.phones[PHONE] = "alice"
    outcome = await terminal.run_with_code(server, "login", "--phone", PHONE)
    assert outcome == Outcome(0, "A code was sent to +86138****8000.\nLogged in as alice.\n", "")
    assert "id-alice" in (await terminal.run("me")).out


async def test_a_reset_password_is_read_before_the_code_and_is_the_one_from_then_on(
    server: StandIn, terminal: Terminal
) -> None:
    server.phones[PHONE] = "alice"
    arguments = ("reset-password", "--phone", PHONE, "--password-stdin")
    outcome = await terminal.run_with_code(server, *arguments, typed="another password\n")
    assert outcome.code == 0, outcome.err
    assert (await terminal.run("login", "alice", "--password-stdin", typed=f"{PASSWORD}\n")).code == 1
    assert (await terminal.run("login", "alice", "--password-stdin", typed="another password\n")).code == 0


async def test_a_wrong_code_through_a_pipe_is_one_sentence(terminal: Terminal) -> None:
    outcome = await terminal.run("register", "--phone", PHONE, typed="999999\n")
    assert outcome == Outcome(1, "A code was sent to +86138****8000.\n", "It is verification_code_wrong.\n")


async def test_no_code_on_standard_input_is_one_sentence_and_no_try(server: StandIn, terminal: Terminal) -> None:
    outcome = await terminal.run("register", "--phone", PHONE)
    assert (outcome.code, outcome.err) == (1, "There is no code on standard input.\n")
    assert server.calls["POST /v1/users"] == 0


async def test_a_code_that_is_asked_for_too_soon_tells_how_long_to_wait(server: StandIn, terminal: Terminal) -> None:
    server.refusals["POST /v1/verification-codes"] = [problem(429, "rate_limited", {"Retry-After": "42"})]
    outcome = await terminal.run("login", "--phone", PHONE, typed="000001\n")
    assert outcome == Outcome(1, "", "It is rate_limited. That is 42 s.\n")


@pytest.mark.parametrize("command", ["register", "login"])
@pytest.mark.parametrize(
    "arguments", [(), ("alice", "--phone", PHONE), ("--phone", PHONE, "--password-stdin"), ("--password-stdin",)]
)
async def test_it_is_either_a_username_or_a_phone(
    server: StandIn, terminal: Terminal, command: str, arguments: tuple[str, ...]
) -> None:
    outcome = await terminal.run(command, *arguments, typed=f"{PASSWORD}\n")
    assert outcome == Outcome(
        1, "", "Give a username, which has a password, or --phone, which is sent a code: one of the two.\n"
    )
    assert not server.calls


async def test_a_command_without_a_session_says_so(terminal: Terminal) -> None:
    outcome = await terminal.run("me")
    assert outcome.code == 1
    assert outcome.err == "Nobody is logged in.\n"


async def test_a_server_out_of_reach_is_one_sentence(tmp_path: Path) -> None:
    outcome = await Terminal(tmp_path, "not-an-address").run("me")
    assert outcome == Outcome(1, "", "not-an-address is not an address; it begins with http:// or https://.\n")


async def test_without_any_address_it_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = await Terminal(tmp_path, None).run("me")
    assert outcome.code == 1
    assert "--endpoint" in outcome.err


async def test_the_local_stack_of_the_current_folder_is_found(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "endpoints.json").write_text(json.dumps({"rest_url": server.base}), encoding="utf-8")
    outcome = await Terminal(tmp_path, None).run("login", "alice", "--password-stdin", typed=f"{PASSWORD}\n")
    assert outcome == Outcome(0, "Logged in as alice.\n", "")


async def test_only_the_owner_can_read_the_session_file(logged_in: Terminal) -> None:
    file = logged_in.home / "config" / "default" / "session.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_refreshed_tokens_are_kept(server: StandIn, logged_in: Terminal) -> None:
    server.expire_access_tokens()
    assert (await logged_in.run("me")).code == 0
    assert (await logged_in.run("me")).code == 0
    assert server.calls["POST /v1/sessions/refresh"] == 1


async def test_two_commands_at_once_refresh_once(server: StandIn, logged_in: Terminal) -> None:
    server.expire_access_tokens()
    outcomes = await asyncio.gather(logged_in.run_program("me"), logged_in.run_program("friends"))
    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert server.calls["POST /v1/sessions/refresh"] == 1


async def test_tokens_are_not_shown_to_another_server(server: StandIn, logged_in: Terminal) -> None:
    other = server.base.replace("127.0.0.1", "localhost")
    outcome = await logged_in.run("me", "--endpoint", other)
    assert outcome.code == 1
    assert f"not at {other}" in outcome.err
    assert server.calls["GET /v1/users/me"] == 0


async def test_logging_out_removes_the_session_and_keeps_the_device(logged_in: Terminal) -> None:
    folder = logged_in.home / "config" / "default"
    device = (folder / "device.json").read_bytes()
    assert (await logged_in.run("logout")).code == 0
    assert not (folder / "session.json").exists()
    assert (folder / "device.json").read_bytes() == device


async def test_two_profiles_are_two_people(logged_in: Terminal) -> None:
    await logged_in.run("login", "bob", "--profile", "b", "--password-stdin", typed=f"{PASSWORD}\n")
    assert "id-alice" in (await logged_in.run("me")).out
    assert "id-bob" in (await logged_in.run("me", "--profile", "b")).out


async def test_adding_by_username_takes_the_one_that_is_called_exactly_so(server: StandIn, logged_in: Terminal) -> None:
    assert await logged_in.run("add", "Carol") == Outcome(0, "Asked carol.\n", "")
    assert server.calls["POST /v1/friend-requests"] == 1


async def test_adding_a_username_that_nobody_has_is_one_sentence(server: StandIn, logged_in: Terminal) -> None:
    assert await logged_in.run("add", "caro") == Outcome(1, "", "There is no user 'caro'.\n")
    assert server.calls["POST /v1/friend-requests"] == 0


async def test_a_search_shows_who_is_a_friend_already(logged_in: Terminal) -> None:
    assert (await logged_in.run("search", "bob")).out == "id-bob  bob  your friend\n"
    assert (await logged_in.run("search", "carol")).out == "id-caroline  caroline\nid-carol  carol\n"


async def test_the_words_of_a_search_are_taken_together(logged_in: Terminal) -> None:
    assert (await logged_in.run("search", "bob", "carol")).out == "Nobody is called like that.\n"


async def test_a_changed_profile_is_shown(logged_in: Terminal) -> None:
    outcome = await logged_in.run("profile", "--nickname", "爱丽丝", "--description", "in Beijing")
    assert outcome == Outcome(0, "alice (爱丽丝)  “in Beijing”\n", "")
    assert (await logged_in.run("profile", "--description", "")).out == "alice (爱丽丝)\n"


async def test_a_change_of_nothing_is_one_sentence(logged_in: Terminal) -> None:
    outcome = await logged_in.run("profile")
    assert outcome == Outcome(1, "", "What is to change? Give --nickname, --description or both.\n")


async def test_sessions_are_listed_with_their_devices_and_which_is_this_one(logged_in: Terminal) -> None:
    outcome = await logged_in.run("sessions")
    since = datetime.fromisoformat("2026-11-23T17:48:23.123Z").astimezone().strftime("%Y-%m-%d %H:%M")
    assert outcome.out.splitlines() == [
        f"s-alice  laptop  cli  since {since}  (this one)",
        f"s-alice-2  \N{REPLACEMENT CHARACTER}[2JWatch  watch  since {since}",
    ]


async def test_an_ended_session_is_listed_no_more(logged_in: Terminal) -> None:
    assert await logged_in.run("end-session", "s-alice-2") == Outcome(0, "The session has ended.\n", "")
    assert "s-alice-2" not in (await logged_in.run("sessions")).out


async def test_closing_an_account_without_a_terminal_needs_a_yes(server: StandIn, logged_in: Terminal) -> None:
    refused = await logged_in.run("close-account", typed="alice\n")
    assert refused == Outcome(1, "", "There is no terminal to ask on whether you are sure: give --yes.\n")
    assert not server.closed
    assert await logged_in.run("close-account", "--yes") == Outcome(0, "The account alice is closed.\n", "")
    assert server.closed == {"alice"}
    assert not (logged_in.home / "config" / "default" / "session.json").exists()


async def test_a_chat_through_a_pipe_shows_history_and_sends_each_line_once_in_order(
    server: StandIn, logged_in: Terminal
) -> None:
    server.store("bob", "are you there?")
    outcome = await logged_in.run_program("chat", "bob", typed="one\n\ntwo\n三")
    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("bob: are you there?\n")
    assert [message["content"]["text"] for message in server.messages[1:]] == ["one", "two", "三"]


async def test_what_was_shown_is_marked_as_read(server: StandIn, logged_in: Terminal) -> None:
    server.store("bob", "one")
    server.store("bob", "two")
    await logged_in.run_program("chat", "bob")
    assert {"conversation_id": CONVERSATION, "seq": 2}.items() <= server.frames[-1].items()


async def test_a_chat_that_stays_shows_what_others_write_meanwhile(server: StandIn, logged_in: Terminal) -> None:
    listening = asyncio.create_task(logged_in.run_program("chat", "bob", "--for", "2"))
    async with asyncio.timeout(10):
        await server.connected.wait()
    await server.announce(server.store("bob", "here I am"))
    assert (await listening).out.endswith("bob: here I am\n")


async def test_a_line_whose_acknowledgement_is_lost_with_the_connection_is_stored_once(
    server: StandIn, logged_in: Terminal
) -> None:
    server.lost_acks, server.cut_with_ack = 1, True
    outcome = await logged_in.run_program("chat", "bob", typed="only once\n")
    assert outcome.code == 0, outcome.err
    assert [message["content"]["text"] for message in server.messages] == ["only once"]


async def test_a_refused_line_ends_with_exit_code_1(server: StandIn, logged_in: Terminal) -> None:
    server.frame_errors = ["conversation_not_found"]
    outcome = await logged_in.run_program("chat", "bob", typed="no\nyes\n")
    assert outcome.code == 1
    assert outcome.err.startswith("Not sent: no\n")
    assert [message["content"]["text"] for message in server.messages] == ["yes"]


async def test_others_cannot_write_escape_sequences_or_false_lines(server: StandIn, logged_in: Terminal) -> None:
    server.store("bob", "\x1b[2Jhello\n10:00  you: I agree")
    outcome = await logged_in.run_program("chat", "bob")
    assert "\x1b" not in outcome.out
    assert "\n10:00" not in outcome.out


async def test_chatting_with_a_stranger_is_one_sentence(logged_in: Terminal) -> None:
    outcome = await logged_in.run("chat", "carol")
    assert outcome == Outcome(1, "", "You have no friend 'carol'; `hongyan friends` lists them.\n")


async def test_sync_prints_what_changed_since_the_last_time(server: StandIn, logged_in: Terminal) -> None:
    server.store("bob", "hello")
    assert (await logged_in.run("sync")).out == "bob 1: “hello”\nbob is your friend\n"
    assert (await logged_in.run("sync")).out == "Nothing changed.\n"

    server.change(1, content={"text": "\x1b[2Jhello!"}, edited_at="2026-11-23T17:50:00.000Z")
    server.store("bob", "again")
    assert (await logged_in.run("sync")).out == (
        "bob 1: “\N{REPLACEMENT CHARACTER}[2Jhello!” (edited)\nbob 2: “again”\n"
    )


async def test_the_state_of_a_profile_is_for_its_owners_eyes(logged_in: Terminal) -> None:
    await logged_in.run("sync")
    file = logged_in.home / "config" / "default" / "state.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_sync_that_breaks_off_has_printed_what_it_took_over(server: StandIn, logged_in: Terminal) -> None:
    await logged_in.run("sync")
    for number in range(101):
        server.store("bob", f"{number}")
    server.unreachable_cursor = "100"
    outcome = await logged_in.run("sync")
    assert (outcome.code, len(outcome.out.splitlines())) == (1, 100)
    server.unreachable_cursor = None
    assert (await logged_in.run("sync")).out == "bob 101: “100”\n"


async def test_a_message_is_edited_by_its_number(server: StandIn, logged_in: Terminal) -> None:
    server.store("alice", "helo")
    assert await logged_in.run("edit", "bob", "1", "hello") == Outcome(0, "bob 1: “hello” (edited)\n", "")
    assert server.messages[0]["content"] == {"text": "hello"}


async def test_a_message_is_recalled_and_another_one_hidden(server: StandIn, logged_in: Terminal) -> None:
    server.store("alice", "oh")
    server.store("bob", "no")
    assert (await logged_in.run("recall", CONVERSATION, "1")).out == "Message 1 is taken back.\n"
    assert (await logged_in.run("hide", "bob", "2")).out == "Message 2 is hidden.\n"
    assert (await logged_in.run("sync")).out == "bob 2: hidden\nbob is your friend\n"


async def test_a_reaction_comes_and_goes(server: StandIn, logged_in: Terminal) -> None:
    server.store("bob", "hello")
    assert (await logged_in.run("react", "bob", "1", "👍")).out == "bob 1: “hello”  👍 1\n"
    assert (await logged_in.run("react", "bob", "1", "👍", "--off")).out == "bob 1: “hello”\n"


async def test_a_message_is_forwarded(server: StandIn, logged_in: Terminal) -> None:
    server.store("bob", "hello")
    assert await logged_in.run("forward", "bob", "1", "bob") == Outcome(0, "bob 2: “hello”\n", "")
    assert [message["content"]["text"] for message in server.messages] == ["hello", "hello"]


async def test_a_message_of_nobody_known_is_one_sentence(logged_in: Terminal) -> None:
    outcome = await logged_in.run("recall", "carol", "1")
    assert outcome == Outcome(1, "", "You have no friend 'carol'; `hongyan friends` lists them.\n")
