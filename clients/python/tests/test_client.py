"""The REST half of the client against a server that refuses, is away, and lets tokens run out."""

import asyncio

import pytest
from hongyan_client import (
    Conflict,
    ConnectionFailed,
    Device,
    Draft,
    HongyanClient,
    NotFound,
    NotLoggedIn,
    SessionEnded,
    Unauthorized,
    UnexpectedAnswer,
)
from hongyan_client.errors import ApiError, ServerError, TooManyRequests
from stand_in import CONVERSATION, PASSWORD, StandIn, problem
from starlette.responses import PlainTextResponse

DEVICE = Device(id="d", platform="cli", name="test")
ME = "GET /v1/users/me"


async def test_registering_and_logging_in_gives_a_session(server: StandIn) -> None:
    async with HongyanClient(server.base) as client:
        registered = await client.register("carol", PASSWORD)
        session = await client.login("carol", PASSWORD, DEVICE)
        assert session.user.id == registered.id == (await client.me()).id


async def test_a_taken_username_is_a_conflict_with_its_code(server: StandIn) -> None:
    async with HongyanClient(server.base) as client:
        with pytest.raises(Conflict) as refused:
            await client.register("taken", PASSWORD)
    assert refused.value.code == "username_taken"
    assert refused.value.request_id == "r"


async def test_a_wrong_password_is_not_tried_again(server: StandIn) -> None:
    async with HongyanClient(server.base) as client:
        with pytest.raises(Unauthorized) as refused:
            await client.login("alice", "wrong", DEVICE)
    assert refused.value.code == "credentials_invalid"
    assert server.calls["POST /v1/sessions"] == 1


async def test_a_call_without_a_session_is_not_made(server: StandIn) -> None:
    async with HongyanClient(server.base) as client:
        with pytest.raises(NotLoggedIn):
            await client.me()
    assert server.calls[ME] == 0


async def test_tokens_do_not_show_in_a_session_that_is_printed(alice: HongyanClient) -> None:
    assert alice.session is not None
    assert alice.session.access_token not in f"{alice.session} {alice.session!r}"
    assert alice.session.refresh_token not in f"{alice.session} {alice.session!r}"


async def test_an_expired_token_is_refreshed_unnoticed(server: StandIn, alice: HongyanClient) -> None:
    old = alice.session
    server.expire_access_tokens()
    assert (await alice.me()).username == "alice"
    assert alice.session is not None
    assert old is not None
    assert alice.session.refresh_token != old.refresh_token


async def test_many_calls_with_an_expired_token_refresh_once(server: StandIn, alice: HongyanClient) -> None:
    server.expire_access_tokens()
    await asyncio.gather(*(alice.me() for _ in range(10)))
    assert server.calls["POST /v1/sessions/refresh"] == 1


async def test_an_ended_session_is_told_and_forgotten(server: StandIn, alice: HongyanClient) -> None:
    server.end_sessions()
    with pytest.raises(SessionEnded):
        await alice.me()
    assert alice.session is None


async def test_logging_out_forgets_the_session(server: StandIn, alice: HongyanClient) -> None:
    await alice.logout()
    assert alice.session is None
    assert server.calls["DELETE /v1/sessions/current"] == 1


async def test_logging_out_of_an_ended_session_succeeds(server: StandIn, alice: HongyanClient) -> None:
    server.end_sessions()
    await alice.logout()
    assert alice.session is None


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_server_that_is_away_for_a_moment_is_asked_again(
    server: StandIn, alice: HongyanClient, status: int
) -> None:
    server.refusals[ME] = [problem(status, "service_unavailable")]
    assert (await alice.me()).username == "alice"
    assert server.calls[ME] == 2


async def test_a_server_that_stays_away_is_not_asked_for_ever(server: StandIn, alice: HongyanClient) -> None:
    server.refusals[ME] = [problem(503, "service_unavailable") for _ in range(20)]
    with pytest.raises(ServerError):
        await alice.me()
    assert 1 < server.calls[ME] < 10


async def test_retry_after_is_waited_for(server: StandIn, alice: HongyanClient) -> None:
    server.refusals[ME] = [problem(429, "rate_limited", {"Retry-After": "1"})]
    began = asyncio.get_running_loop().time()
    await alice.me()
    assert asyncio.get_running_loop().time() - began >= 1


async def test_a_long_retry_after_is_the_callers_decision(server: StandIn, alice: HongyanClient) -> None:
    server.refusals[ME] = [problem(429, "rate_limited", {"Retry-After": "3600"})]
    with pytest.raises(TooManyRequests) as refused:
        await alice.me()
    assert refused.value.retry_after == 3600


async def test_a_fault_of_the_server_is_not_repeated(server: StandIn, alice: HongyanClient) -> None:
    server.refusals[ME] = [problem(500, "internal_error")]
    with pytest.raises(ServerError):
        await alice.me()
    assert server.calls[ME] == 1


async def test_a_send_that_met_a_busy_server_is_stored_once(server: StandIn, alice: HongyanClient) -> None:
    path = f"POST /v1/conversations/{CONVERSATION}/messages"
    server.refusals[path] = [problem(503, "service_unavailable")]
    stored = await alice.send(Draft(CONVERSATION, "mine", "hello"))
    assert (stored.seq, stored.text) == (1, "hello")
    assert len(server.messages) == 1


async def test_the_same_draft_again_returns_the_first_message(alice: HongyanClient) -> None:
    draft = Draft(CONVERSATION, "mine", "hello")
    assert await alice.send(draft) == await alice.send(draft)


@pytest.mark.parametrize("path", ["/v1/conversations", "/v1/files"])
async def test_what_makes_something_is_repeated_under_one_key_and_made_anew_under_another(
    server: StandIn, alice: HongyanClient, path: str
) -> None:
    async def make() -> None:
        if path == "/v1/conversations":
            await alice.create_group("team", ["id-bob", "id-carol"])
        else:
            await alice.begin_upload("a.txt", "text/plain", 1, "0" * 64, "file")

    call = f"POST {path}"
    server.refusals[call] = [problem(503, "service_unavailable"), problem(403, "not_permitted")]
    server.refusals[call] *= 2

    for _ in range(2):
        with pytest.raises(ApiError):
            await make()

    first, again, second, again_second = server.keys[call]
    assert first == again != second == again_second
    assert all(server.keys[call])


async def test_history_reads_forward_and_backward_in_ascending_order(server: StandIn, alice: HongyanClient) -> None:
    for number in range(1, 6):
        server.store("bob", str(number))
    newest = await alice.history(CONVERSATION, limit=2)
    before = await alice.history(CONVERSATION, before_seq=4, limit=2)
    after = await alice.history(CONVERSATION, after_seq=3)
    pages = [[message.seq for message in page.items] for page in (newest, before, after)]
    assert pages == [[4, 5], [2, 3], [4, 5]]


async def test_an_id_that_a_person_typed_stays_one_segment_of_the_path(server: StandIn, alice: HongyanClient) -> None:
    with pytest.raises(NotFound):
        await alice.user("me?")
    assert server.calls[ME] == 0


async def test_an_answer_that_is_not_hongyans_says_so(server: StandIn, alice: HongyanClient) -> None:
    server.refusals[ME] = [PlainTextResponse("<html>welcome</html>")]
    with pytest.raises(UnexpectedAnswer):
        await alice.me()


async def test_an_address_where_nothing_listens_is_a_failed_connection(unused_tcp_port: int) -> None:
    async with HongyanClient(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(ConnectionFailed, match=str(unused_tcp_port)):
            await client.register("carol", PASSWORD)
