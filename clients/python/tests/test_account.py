"""Phones and codes, one's own profile and sessions, and finding people, with a server that refuses or falls silent."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hongyan_client import (
    Conflict,
    ConnectionFailed,
    Device,
    Gone,
    HongyanClient,
    NotFound,
    ServerError,
    SessionEnded,
    TooManyRequests,
    Unauthorized,
    ValidationFailed,
)
from stand_in import MADE_USERNAME, PASSWORD, PHONE, StandIn, problem
from starlette.responses import JSONResponse

DEVICE = Device(id="d", platform="cli", name="test")
CODES = "POST /v1/verification-codes"


class Silence:
    """A server that reads what it is sent and hangs up without an answer."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.calls.append(" ".join(head.decode().split(" ")[:2]))
        writer.close()


@pytest.fixture
async def silence(server: StandIn) -> AsyncIterator[Silence]:
    """The silent server, which `server` names as where the API is."""
    silent = Silence()
    listening = await asyncio.start_server(silent.hear, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    server.refusals["GET /v1/endpoints"] = [
        JSONResponse({"rest_url": address, "websocket_url": "ws://127.0.0.1", "version": "0"})
    ]
    async with listening:
        yield silent


@pytest.fixture
async def somebody(server: StandIn) -> AsyncIterator[HongyanClient]:
    """A client without a session."""
    async with HongyanClient(server.base) as client:
        yield client


async def test_who_registers_by_phone_gets_a_username_and_can_log_in_by_phone(
    server: StandIn, somebody: HongyanClient
) -> None:
    sent = await somebody.request_code(PHONE, "register")
    registered = await somebody.register_by_phone(PHONE, sent.code_id, server.codes[PHONE], "卡萝")
    assert (registered.username, registered.nickname, registered.phone) == (MADE_USERNAME, "卡萝", PHONE)
    sent = await somebody.request_code(PHONE, "login")
    session = await somebody.login_by_phone(PHONE, sent.code_id, server.codes[PHONE], DEVICE)
    assert somebody.session == session
    assert (await somebody.me()).id == registered.id


async def test_a_sent_code_tells_how_long_it_is_good_and_when_there_may_be_another(somebody: HongyanClient) -> None:
    sent = await somebody.request_code(PHONE, "register")
    assert (sent.expires_in, sent.resend_after) == (300, 60)


async def test_a_taken_phone_is_a_conflict(server: StandIn, somebody: HongyanClient) -> None:
    server.phones[PHONE] = "alice"
    sent = await somebody.request_code(PHONE, "register")
    with pytest.raises(Conflict) as refused:
        await somebody.register_by_phone(PHONE, sent.code_id, server.codes[PHONE])
    assert refused.value.code == "phone_taken"


async def test_logging_in_by_a_phone_that_nobody_registered_is_not_found(
    server: StandIn, somebody: HongyanClient
) -> None:
    sent = await somebody.request_code(PHONE, "login")
    with pytest.raises(NotFound) as refused:
        await somebody.login_by_phone(PHONE, sent.code_id, server.codes[PHONE], DEVICE)
    assert refused.value.code == "phone_not_registered"
    assert somebody.session is None


async def test_a_wrong_code_fails_validation_and_a_spent_one_is_gone(server: StandIn, somebody: HongyanClient) -> None:
    sent = await somebody.request_code(PHONE, "register")
    with pytest.raises(ValidationFailed) as wrong:
        await somebody.register_by_phone(PHONE, sent.code_id, "999999")
    assert wrong.value.code == "verification_code_wrong"
    await somebody.register_by_phone(PHONE, sent.code_id, server.codes[PHONE])
    with pytest.raises(Gone) as spent:
        await somebody.register_by_phone(PHONE, sent.code_id, server.codes[PHONE])
    assert (spent.value.code, spent.value.status) == ("verification_code_expired", 410)


@pytest.mark.parametrize(("status", "kind"), [(503, ServerError), (429, TooManyRequests)])
async def test_a_code_that_was_refused_is_not_asked_for_again(
    server: StandIn, somebody: HongyanClient, status: int, kind: type[Exception]
) -> None:
    server.refusals[CODES] = [problem(status, "refused", {"Retry-After": "1"})]
    with pytest.raises(kind):
        await somebody.request_code(PHONE, "login")
    assert server.calls[CODES] == 1


async def test_a_code_that_may_have_been_sent_is_not_asked_for_again(silence: Silence, somebody: HongyanClient) -> None:
    with pytest.raises(ConnectionFailed):
        await somebody.request_code(PHONE, "login")
    assert silence.calls == [CODES]


async def test_a_code_that_may_be_spent_is_not_used_again(silence: Silence, somebody: HongyanClient) -> None:
    with pytest.raises(ConnectionFailed):
        await somebody.register_by_phone(PHONE, "c", "000001")
    with pytest.raises(ConnectionFailed):
        await somebody.login_by_phone(PHONE, "c", "000001", DEVICE)
    with pytest.raises(ConnectionFailed):
        await somebody.reset_password(PHONE, "c", "000001", "another password")
    assert silence.calls == ["POST /v1/users", "POST /v1/sessions", "POST /v1/password-resets"]


async def test_after_a_reset_the_new_password_is_the_one_and_the_old_session_is_over(
    server: StandIn, alice: HongyanClient, somebody: HongyanClient
) -> None:
    server.phones[PHONE] = "alice"
    sent = await somebody.request_code(PHONE, "reset_password")
    await somebody.reset_password(PHONE, sent.code_id, server.codes[PHONE], "another password")
    with pytest.raises(SessionEnded):
        await alice.me()
    with pytest.raises(Unauthorized):
        await somebody.login("alice", PASSWORD, DEVICE)
    assert (await somebody.login("alice", "another password", DEVICE)).user.username == "alice"


async def test_a_changed_phone_shows_in_ones_own_profile(server: StandIn, alice: HongyanClient) -> None:
    sent = await alice.request_code(PHONE, "change_phone")
    assert (await alice.change_phone(PHONE, sent.code_id, server.codes[PHONE])).phone == PHONE


async def test_a_phone_whose_change_met_a_busy_server_is_not_changed_again(
    server: StandIn, alice: HongyanClient
) -> None:
    server.refusals["PUT /v1/users/me/phone"] = [problem(503, "service_unavailable")]
    sent = await alice.request_code(PHONE, "change_phone")
    with pytest.raises(ServerError):
        await alice.change_phone(PHONE, sent.code_id, server.codes[PHONE])
    assert server.calls["PUT /v1/users/me/phone"] == 1


async def test_changing_the_password_needs_the_old_one_and_keeps_the_session(alice: HongyanClient) -> None:
    with pytest.raises(Unauthorized) as refused:
        await alice.change_password("wrong", "another password")
    assert refused.value.code == "credentials_invalid"
    await alice.change_password(PASSWORD, "another password")
    assert (await alice.login("alice", "another password", DEVICE)).user.username == "alice"


async def test_a_change_of_the_profile_leaves_what_was_not_given(alice: HongyanClient) -> None:
    await alice.change_profile(nickname="爱丽丝", description="in Beijing")
    changed = await alice.change_profile(description="")
    assert (changed.nickname, changed.description) == ("爱丽丝", "")
    assert changed == await alice.me()


async def test_a_picture_shows_in_ones_own_profile(alice: HongyanClient) -> None:
    changed = await alice.change_avatar("f-1")
    assert changed.avatar
    assert changed.avatar.file_id == "f-1"


async def test_a_closed_account_leaves_no_session_behind(server: StandIn, alice: HongyanClient) -> None:
    await alice.close_account()
    assert alice.session is None
    assert server.closed == {"alice"}


async def test_an_account_is_not_taken_for_closed_because_its_session_had_ended(
    server: StandIn, alice: HongyanClient
) -> None:
    server.end_sessions()
    with pytest.raises(SessionEnded):
        await alice.close_account()
    assert not server.closed


async def test_sessions_tell_which_is_this_one_also_beside_a_kind_of_device_that_is_new(alice: HongyanClient) -> None:
    assert alice.session
    listed = {session.id: (session.current, session.device.platform) for session in await alice.sessions()}
    assert listed == {alice.session.session_id: (True, "cli"), "s-alice-2": (False, "watch")}


async def test_ending_another_session_keeps_ones_own(alice: HongyanClient) -> None:
    await alice.end_session("s-alice-2")
    assert [session.id for session in await alice.sessions()] == ["s-alice"]


async def test_ending_ones_own_session_forgets_it(alice: HongyanClient) -> None:
    await alice.end_session("s-alice")
    assert alice.session is None


async def test_ending_a_session_that_is_not_there_is_not_found(alice: HongyanClient) -> None:
    with pytest.raises(NotFound) as refused:
        await alice.end_session("s-bob")
    assert refused.value.code == "session_not_found"


async def test_people_are_fetched_a_hundred_at_a_time_and_unknown_ones_are_left_out(
    server: StandIn, alice: HongyanClient
) -> None:
    ids = ["id-alice", *(f"id-{number}" for number in range(150)), "id-bob"]
    assert [user.username for user in await alice.users(ids)] == ["alice", "bob"]
    assert server.calls["POST /v1/users/batch-get"] == 2


async def test_a_search_tells_how_one_stands_to_who_it_found(alice: HongyanClient) -> None:
    found = [*(await alice.search_users("bob")).items, *(await alice.search_users("carol")).items]
    relations = {user.username: user.relation for user in found}
    assert relations == {"bob": "friend", "carol": "none", "caroline": "none"}


async def test_a_search_goes_on_where_its_last_page_ended(alice: HongyanClient) -> None:
    first = await alice.search_users("carol", limit=1)
    rest = await alice.search_users("carol", limit=1, cursor=first.next_cursor)
    assert [user.username for user in (*first.items, *rest.items)] == ["caroline", "carol"]
    assert rest.next_cursor is None


async def test_a_search_that_stays_away_is_told_by_its_code(server: StandIn, alice: HongyanClient) -> None:
    server.refusals["GET /v1/users/search"] = [problem(503, "search_unavailable") for _ in range(20)]
    with pytest.raises(ServerError) as refused:
        await alice.search_users("bob")
    assert refused.value.code == "search_unavailable"
