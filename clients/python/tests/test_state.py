"""What a device keeps: in whatever order it is told, however often, and wherever it is broken off."""

import itertools
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hongyan_client import (
    ApiError,
    Changes,
    Conversation,
    ConversationCreated,
    FriendRemoved,
    HongyanClient,
    HongyanError,
    LocalState,
    Message,
    MessageEvent,
    MessageRead,
    MessageUpdated,
    Reading,
    ServerError,
)
from hongyan_client.events import ConversationUpdated, LiveEvent, Typing
from hongyan_client.models import Page
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import CONVERSATION, StandIn, problem, profile

AT = "2026-11-23T17:48:23.123Z"
ME = "id-alice"
SYNC = "GET /v1/sync"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "device" / "state.db"


@pytest.fixture
def state(file: Path) -> Iterator[LocalState]:
    with LocalState(file, ME) as one:
        yield one


def a_message(seq: int, change_seq: int | None = None, **values: Any) -> Message:
    known = {"id": f"m-{seq}", "conversation_id": CONVERSATION, "client_id": f"c-{seq}", "sender_id": "id-bob"}
    change = seq if change_seq is None else change_seq
    said = {"type": "text", "content": {"text": f"{seq} as of {change}"}, "created_at": AT, "seq": seq}
    return Message.model_validate({**known, **said, "change_seq": change, **values})


def a_card(last_seq: int = 0, **values: Any) -> Conversation:
    settings = {"muted": False, "pinned": False, "created_at": AT, "last_activity_at": AT, "unread_count": 0}
    card = {
        "id": CONVERSATION,
        "kind": "single",
        "peer": profile("bob"),
        "last_seq": last_seq,
        "read_seq": 0,
        "first_seq": 1,
    }
    return Conversation.model_validate({**card, **settings, **values})


def a_friend(username: str, **values: Any) -> dict[str, Any]:
    return {"user": {**profile(username), **values}, "since": AT}


def a_page(cursor: str, *messages: Message, has_more: bool = False, **lists: Any) -> Changes:
    return Changes.model_validate({"messages": messages, "next_cursor": cursor, "has_more": has_more, **lists})


def texts(state: LocalState, **asked: Any) -> list[str | None]:
    return [message.text for message in state.messages(CONVERSATION, **asked)]


def rows(file: Path) -> dict[str, list[Any]]:
    """Return all that is in a file."""
    with sqlite3.connect(file) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {table: sorted(database.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}  # noqa: S608
    database.close()
    return found


def known(state: LocalState) -> None:
    """Let a state know the conversation and its first message."""
    assert state.apply(a_page("1", a_message(1), conversations=[a_card(1)]), after=None)


# The file.


def test_nobody_else_can_read_the_file(file: Path, state: LocalState) -> None:
    known(state)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert "state.db" in modes
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_was_kept_is_there_after_a_restart(file: Path, state: LocalState) -> None:
    known(state)
    state.close()
    with LocalState(file, ME) as again:
        assert (again.cursor, texts(again)) == ("1", ["1 as of 1"])


def test_a_file_of_another_version_is_begun_anew(file: Path, state: LocalState) -> None:
    known(state)
    state.close()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE of_another_version (id)")
        database.execute("PRAGMA user_version = 99")
    database.close()
    with LocalState(file, ME) as again:
        assert (again.cursor, again.conversations()) == (None, [])
    assert "of_another_version" not in rows(file)


def test_a_file_of_somebody_else_is_begun_anew(file: Path, state: LocalState) -> None:
    known(state)
    state.close()
    with LocalState(file, "id-bob") as another:
        assert (another.cursor, another.conversations()) == (None, [])


def test_a_file_that_is_something_else_is_told_of_and_left(tmp_path: Path) -> None:
    file = tmp_path / "letter"
    file.write_text("Dear Bob, " * 500)
    with pytest.raises(HongyanError, match="letter cannot be read"):
        LocalState(file, ME)
    assert file.read_text().startswith("Dear Bob, ")


# Pages.


def test_a_page_tells_everything(state: LocalState) -> None:
    member = {"conversation_id": CONVERSATION, "user_id": "id-bob", "role": "admin", "is_present": True}
    request = {
        "id": "r",
        "from_user": profile("carol"),
        "to_user": profile("alice"),
        "message": "",
        "status": "pending",
    }
    session = {"id": "s", "device": {"id": "d", "platform": "cli", "name": "n"}, "current": True, "created_at": AT}
    page = a_page(
        "1",
        a_message(1),
        conversations=[a_card(1)],
        members=[member],
        receipts=[{"conversation_id": CONVERSATION, "user_id": "id-bob", "seq": 1}],
        friends=[a_friend("bob")],
        friend_requests=[{**request, "created_at": AT}],
        blocks=[a_friend("caroline")],
        sessions=[session],
    )
    state.apply(page, after=None)

    [card] = state.conversations()
    assert card.last_message is not None
    assert (card.id, card.last_seq, card.last_message.text) == (CONVERSATION, 1, "1 as of 1")
    assert texts(state) == ["1 as of 1"]
    assert state.members(CONVERSATION) == list(page.members)
    assert state.receipts(CONVERSATION) == {"id-bob": 1}
    assert state.friends() == list(page.friends)
    assert state.friend_requests() == list(page.friend_requests)
    assert state.blocked() == list(page.blocks)
    assert state.sessions() == list(page.sessions or ())


def test_what_is_over_is_forgotten(state: LocalState) -> None:
    session = {"id": "s", "device": {"id": "d", "platform": "cli", "name": "n"}, "current": True, "created_at": AT}
    begun = {"friends": [a_friend("bob")], "blocks": [a_friend("carol")], "sessions": [session]}
    state.apply(a_page("1", **begun), after=None)
    state.apply(a_page("2", removed_friend_ids=["id-bob"], unblocked_ids=["id-carol"], sessions=[]), after="1")
    assert (state.friends(), state.blocked(), state.sessions()) == ([], [], [])


def test_a_page_without_sessions_leaves_those_that_are_known(state: LocalState) -> None:
    session = {"id": "s", "device": {"id": "d", "platform": "cli", "name": "n"}, "current": True, "created_at": AT}
    state.apply(a_page("1", sessions=[session]), after=None)
    state.apply(a_page("2"), after="1")
    assert [each.id for each in state.sessions()] == ["s"]


def test_a_page_that_comes_again_changes_nothing(file: Path, state: LocalState) -> None:
    first = a_page("1", a_message(1), conversations=[a_card(1)], friends=[a_friend("bob")])
    assert state.apply(first, after=None)
    assert state.apply(a_page("2", removed_friend_ids=["id-bob"]), after="1")
    before = rows(file)
    assert not state.apply(first, after=None)
    assert rows(file) == before


def test_a_page_that_dies_in_the_middle_changes_nothing(
    file: Path, state: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(state)
    before = rows(file)
    page = a_page("2", a_message(2), conversations=[a_card(2)], friends=[a_friend("bob")])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(LocalState, "_write_people", die)
        with pytest.raises(KeyboardInterrupt):
            state.apply(page, after="1")
    assert rows(file) == before
    assert state.apply(page, after="1")
    assert texts(state) == ["1 as of 1", "2 as of 2"]


def test_a_profile_that_changed_is_that_of_the_peer_too(state: LocalState) -> None:
    known(state)
    state.apply(a_page("2", friends=[a_friend("bob", nickname="Robert")]), after="1")
    [card] = state.conversations()
    assert card.peer is not None
    assert card.peer.nickname == "Robert"


# Messages.


def test_of_two_states_of_a_message_the_later_one_counts(state: LocalState) -> None:
    known(state)
    state.receive(MessageUpdated(message=a_message(1, 3)))
    state.apply(a_page("2", a_message(1, 2)), after="1")
    assert texts(state) == ["1 as of 3"]


def test_a_hidden_message_stays_hidden_and_says_nothing_any_more(file: Path, state: LocalState) -> None:
    known(state)
    state.apply(a_page("2", hidden=[{"conversation_id": CONVERSATION, "seq": 1}]), after="1")
    state.receive(MessageUpdated(message=a_message(1, 2)))
    assert state.messages(CONVERSATION) == []
    assert "1 as of" not in repr(rows(file))
    assert state.conversations()[0].last_message is None


def test_a_message_that_was_hidden_before_it_came_is_hidden(state: LocalState) -> None:
    known(state)
    state.apply(a_page("2", hidden=[{"conversation_id": CONVERSATION, "seq": 2}]), after="1")
    state.receive(MessageEvent(message=a_message(2)))
    assert [message.seq for message in state.messages(CONVERSATION)] == [1]


def test_messages_are_the_newest_or_the_nearest_to_a_seq(state: LocalState) -> None:
    state.apply(a_page("1", *(a_message(seq) for seq in range(1, 7)), conversations=[a_card(6)]), after=None)
    seqs = [
        [message.seq for message in state.messages(CONVERSATION, **asked)]
        for asked in ({"limit": 2}, {"before_seq": 4, "limit": 2}, {"after_seq": 2, "limit": 2})
    ]
    assert seqs == [[5, 6], [2, 3], [3, 4]]


def test_a_message_from_before_the_first_one_leaves_no_hole_to_be_seen(state: LocalState) -> None:
    state.apply(a_page("1", a_message(9), conversations=[a_card(9)]), after=None)
    state.apply(a_page("2", a_message(3, 10)), after="1")
    assert texts(state) == ["9 as of 9"]


def test_coming_into_a_group_again_takes_away_what_was_said_before(file: Path, state: LocalState) -> None:
    known(state)
    state.apply(a_page("2", a_message(5), a_message(6), conversations=[a_card(6, first_seq=5)]), after="1")
    state.receive(MessageUpdated(message=a_message(1, 9)))
    assert [message.seq for message in state.messages(CONVERSATION)] == [5, 6]
    assert "1 as of" not in repr(rows(file))


def test_coming_into_a_group_again_takes_away_how_far_others_had_read_and_who_they_were(state: LocalState) -> None:
    """Between two syncs one left and came back: how far they read meanwhile was told to nobody who was away."""
    known(state)
    reading = {"conversation_id": CONVERSATION, "user_id": "id-bob", "seq": 1}
    member = {"conversation_id": CONVERSATION, "user_id": "id-bob", "role": "admin", "is_present": True}
    state.apply(a_page("2", receipts=[reading], members=[member]), after="1")

    of_carol = reading | {"user_id": "id-carol", "seq": 5}
    state.apply(a_page("3", a_message(5), conversations=[a_card(5, first_seq=5)], receipts=[of_carol]), after="2")

    assert (state.receipts(CONVERSATION), state.members(CONVERSATION)) == ({"id-carol": 5}, [])


def test_an_event_that_one_is_in_a_group_again_takes_away_what_was_said_before(state: LocalState) -> None:
    known(state)
    state.receive(ConversationCreated(conversation=a_card(5, first_seq=5)))
    assert state.messages(CONVERSATION) == []


def test_an_older_card_brings_nothing_back(state: LocalState) -> None:
    state.apply(a_page("1", a_message(5), conversations=[a_card(5, first_seq=5)]), after=None)
    state.receive(ConversationUpdated(conversation=a_card(1, first_seq=1)))
    state.receive(MessageUpdated(message=a_message(1, 9)))
    assert [message.seq for message in state.messages(CONVERSATION)] == [5]


# Events.


def test_reading_never_goes_back(state: LocalState) -> None:
    told = {"conversation_id": CONVERSATION, "user_id": "id-bob", "seq": 1}
    state.apply(a_page("1", conversations=[a_card(5)], receipts=[told]), after=None)
    for seq in (3, 5, 4):
        state.receive(MessageRead(reading=Reading(conversation_id=CONVERSATION, user_id="id-bob", seq=seq)))
    assert state.receipts(CONVERSATION) == {"id-bob": 5}


def test_how_far_somebody_read_who_left_is_not_known_any_more(state: LocalState) -> None:
    """They may have read on before they left, which is told to nobody."""
    known(state)
    reading = {"conversation_id": CONVERSATION, "user_id": "id-bob", "seq": 1}
    member = {"conversation_id": CONVERSATION, "user_id": "id-bob", "role": "member", "is_present": False}
    state.apply(a_page("2", receipts=[reading]), after="1")

    state.apply(a_page("3", members=[member]), after="2")
    state.receive(MessageRead(reading=Reading.model_validate(reading)))
    assert state.receipts(CONVERSATION) == {}

    state.apply(a_page("4", members=[member | {"is_present": True}], receipts=[reading | {"seq": 7}]), after="3")
    assert state.receipts(CONVERSATION) == {"id-bob": 7}


def test_a_reading_of_whom_sync_did_not_tell_says_nothing(state: LocalState) -> None:
    """It may be late, of somebody who left or of a group that one left; how far they read since nobody tells."""
    known(state)
    state.receive(MessageRead(reading=Reading(conversation_id=CONVERSATION, user_id="id-carol", seq=1)))
    assert state.receipts(CONVERSATION) == {}


def test_who_is_blocked_asks_nothing_any_more(state: LocalState) -> None:
    asked = {"message": "", "status": "pending", "created_at": AT, "decided_at": None}
    requests = [
        {"id": f"r-{name}", "from_user": profile(name), "to_user": profile("alice"), **asked}
        for name in ("bob", "carol")
    ]
    state.apply(a_page("1", friend_requests=requests), after=None)

    state.apply(a_page("2", blocks=[a_friend("bob")]), after="1")

    assert [request.id for request in state.friend_requests()] == ["r-carol"]


def test_a_conversation_that_nobody_knew_is_taken_from_an_event_and_one_that_is_known_is_not(state: LocalState) -> None:
    state.receive(ConversationCreated(conversation=a_card(0)))
    assert state.conversations() == [a_card(0)]
    state.apply(a_page("1", conversations=[a_card(1, muted=True)]), after=None)
    state.receive(ConversationCreated(conversation=a_card(0)))
    assert state.conversations() == [a_card(1, muted=True)]


def test_an_event_does_not_move_the_cursor(state: LocalState) -> None:
    known(state)
    state.receive(MessageEvent(message=a_message(2)))
    assert state.cursor == "1"


@pytest.mark.parametrize(
    ("event", "is_due"),
    [
        (FriendRemoved(user_id="id-bob"), True),
        (MessageEvent(message=a_message(1)), True),
        (Typing(conversation_id=CONVERSATION, user_id="id-bob"), False),
    ],
)
def test_an_event_tells_whether_sync_has_more_to_say(state: LocalState, event: LiveEvent, *, is_due: bool) -> None:
    assert state.receive(event) is is_due


# Any order.

SEQS = range(1, 4)
STATES = [a_message(seq, change_seq) for seq in SEQS for change_seq in (seq, seq + 3, seq + 6)]
Told = Message | Reading | int
THINGS: list[Told] = [
    *STATES,
    *(Reading(conversation_id=CONVERSATION, user_id="id-bob", seq=seq) for seq in SEQS),
    2,  # hidden
]


def _end_of(told: Sequence[tuple[Told, bool]]) -> dict[str, list[Any]]:
    """Return what is kept of all this, each by an event or by a page."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        with LocalState(file, ME) as state:
            begin = {"conversation_id": CONVERSATION, "user_id": "id-bob", "seq": 0}
            state.apply(a_page("0", a_message(1), conversations=[a_card(3)], receipts=[begin]), after=None)
            for thing, live in told:
                _tell(state, thing, live=live)
            kept = rows(file)
    del kept["state"]
    return kept


def _tell(state: LocalState, thing: Told, *, live: bool) -> None:
    if live and isinstance(thing, Message):
        state.receive(MessageUpdated(message=thing))
    elif live and isinstance(thing, Reading):
        state.receive(MessageRead(reading=thing))
    else:
        lists: dict[str, Any] = {"messages": [thing]} if isinstance(thing, Message) else {}
        lists |= {"receipts": [thing]} if isinstance(thing, Reading) else {}
        lists |= {"hidden": [{"conversation_id": CONVERSATION, "seq": thing}]} if isinstance(thing, int) else {}
        page = Changes.model_validate({**lists, "next_cursor": f"{state.cursor}+", "has_more": False})
        assert state.apply(page, after=state.cursor)


IN_ORDER = _end_of([(thing, False) for thing in THINGS])


@settings(max_examples=40)
@given(st.permutations([(thing, again) for thing, again in itertools.product(THINGS, (0, 1))]), st.data())
def test_in_whatever_order_it_is_told_and_told_again_the_same_is_kept(
    order: list[tuple[Told, int]], data: st.DataObject
) -> None:
    ways = data.draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    assert _end_of([(thing, live) for (thing, _), live in zip(order, ways, strict=True)]) == IN_ORDER


# With a server.


async def test_sync_takes_over_all_pages(server: StandIn, alice: HongyanClient, state: LocalState) -> None:
    server.store("bob", "old")
    server.store("bob", "last")
    await state.sync(alice)
    assert texts(state) == ["last"]

    for number in range(5):
        server.store("bob", f"{number}")
    pages: list[Changes] = []
    await state.sync(alice, limit=2, tell=pages.append)

    assert [page.has_more for page in pages] == [True, True, False]
    assert texts(state) == ["last", "0", "1", "2", "3", "4"]
    await state.sync(alice, tell=pages.append)
    assert (pages[-1].messages, pages[-1].conversations, state.cursor) == ([], [], "7")


async def test_sync_that_broke_off_goes_on_where_it_was(
    server: StandIn, alice: HongyanClient, state: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.sync(alice)
    for number in range(4):
        server.store("bob", f"{number}")
    answered, calls = HongyanClient.sync, itertools.count(1)

    async def lost(client: HongyanClient, cursor: str | None = None, *, limit: int = 100) -> Changes:
        page = await answered(client, cursor, limit=limit)
        if next(calls) == 2:
            raise KeyboardInterrupt
        return page

    with monkeypatch.context() as breaking:
        breaking.setattr(HongyanClient, "sync", lost)
        with pytest.raises(KeyboardInterrupt):
            await state.sync(alice, limit=2)
    assert state.cursor == "2"
    await state.sync(alice, limit=2)
    assert server.calls[SYNC] == 4
    assert texts(state) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(("status", "code"), [(410, "sync_cursor_expired"), (400, "invalid_cursor")])
async def test_a_cursor_that_leads_nowhere_is_mended(
    server: StandIn, alice: HongyanClient, file: Path, state: LocalState, status: int, code: str
) -> None:
    server.store("bob", "kept by the server")
    await state.sync(alice)
    state.receive(MessageEvent(message=a_message(7)))
    server.refusals[SYNC] = [problem(status, code)]

    await state.sync(alice)

    assert texts(state) == ["kept by the server"]
    assert [row[:2] for row in rows(file)["messages"]] == [(CONVERSATION, 1)]


async def test_while_the_state_is_taken_anew_what_is_there_stays(
    server: StandIn, alice: HongyanClient, file: Path, state: LocalState
) -> None:
    server.store("bob", "hello")
    await state.sync(alice)
    before = rows(file)
    server.refusals[SYNC] = [problem(410, "sync_cursor_expired"), problem(500, "internal_error")]
    with pytest.raises(ServerError):
        await state.sync(alice)
    assert rows(file) == before


async def test_what_is_refused_for_another_reason_is_raised(
    server: StandIn, alice: HongyanClient, state: LocalState
) -> None:
    server.refusals[SYNC] = [problem(422, "validation_failed")]
    with pytest.raises(ApiError):
        await state.sync(alice)


async def test_two_programs_that_share_a_file_take_over_everything(
    server: StandIn, alice: HongyanClient, file: Path, state: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.sync(alice)
    for number in range(4):
        server.store("bob", f"{number}")
    answered = HongyanClient.sync
    with LocalState(file, ME) as other:

        async def overtaken(client: HongyanClient, cursor: str | None = None, *, limit: int = 100) -> Changes:
            page = await answered(client, cursor, limit=limit)
            if other.cursor == "0":
                other.apply(await answered(client, cursor, limit=1), after=cursor)
            return page

        monkeypatch.setattr(HongyanClient, "sync", overtaken)
        await state.sync(alice, limit=2)
        assert texts(other) == texts(state) == ["0", "1", "2", "3"]


async def test_older_messages_are_filled_in_page_by_page(
    server: StandIn, alice: HongyanClient, state: LocalState
) -> None:
    for number in range(5):
        server.store("bob", f"{number}")
    await state.sync(alice)

    assert await state.fill(alice, CONVERSATION, limit=2)
    assert texts(state) == ["2", "3", "4"]
    assert not await state.fill(alice, CONVERSATION, limit=2)
    assert texts(state) == ["0", "1", "2", "3", "4"]


async def test_history_from_before_the_state_was_taken_anew_is_left_out(
    server: StandIn, alice: HongyanClient, state: LocalState
) -> None:
    for number in range(3):
        server.store("bob", f"{number}")
    await state.sync(alice)

    class Slow:
        async def sync(self, cursor: str | None = None, *, limit: int = 100) -> Changes:
            return await alice.sync(cursor, limit=limit)

        async def history(
            self, conversation_id: str, *, before_seq: int | None = None, limit: int = 20
        ) -> Page[Message]:
            page = await alice.history(conversation_id, before_seq=before_seq, limit=limit)
            server.change(1, content={"text": "edited"})
            state.begin_anew([await alice.sync()])
            return page

    assert await state.fill(Slow(), CONVERSATION)
    assert texts(state) == ["2"]
    await state.fill(alice, CONVERSATION)
    assert texts(state) == ["edited", "1", "2"]
