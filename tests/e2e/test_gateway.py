"""What only the deployed gateway decides: who is let in, and how it says no."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from local.stack import Stack
from tests.contract.frames import check_server_frame
from tests.e2e.conftest import Join
from tests.e2e.people import PASSWORD, PATIENCE_SECONDS


def problem(answer: httpx.Response) -> str:
    """Return the code of an answer that must have the contract's form of a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    code: str = body["code"]
    assert body["type"] == f"urn:hongyan:problem:{code}"
    assert body["title"]
    assert body["detail"]
    return code


async def test_a_path_that_is_not_there_answers_404(http: httpx.AsyncClient) -> None:
    for path in ("/v1/nothing", "/v2/users", "/"):
        answer = await http.get(path)
        assert (answer.status_code, problem(answer)) == (404, "route_not_found")


async def test_without_a_token_only_the_open_paths_answer(http: httpx.AsyncClient) -> None:
    for path in ("/v1/users/me", "/v1/conversations", "/v1/friends", "/v1/friend-requests"):
        answer = await http.get(path)
        assert (answer.status_code, problem(answer)) == (401, "token_invalid")
    for path in ("/v1/endpoints", "/v1/health"):
        answer = await http.get(path)
        assert answer.status_code == 200
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("token", ["nonsense", "hya_" + "A" * 43, "hyr_" + "A" * 43])
async def test_a_token_that_is_none_answers_401_in_the_language_asked_for(http: httpx.AsyncClient, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Accept-Language": "zh"}
    answer = await http.get("/v1/users/me", headers=headers)

    assert (answer.status_code, problem(answer)) == (401, "token_invalid")
    assert answer.json()["title"] == "未登录"


async def test_a_method_that_a_path_does_not_answer_is_405(http: httpx.AsyncClient, join: Join) -> None:
    alice = await join("alice")
    session = alice.client.session
    assert session is not None

    answer = await http.delete("/v1/friends", headers={"Authorization": f"Bearer {session.access_token}"})

    assert (answer.status_code, problem(answer)) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


async def test_a_refused_body_answers_as_a_problem(http: httpx.AsyncClient) -> None:
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"content": "{", "headers": {"content-type": "application/json"}}, 400, "malformed_json"),
        ({"content": "x=1", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"json": {"username": "x" * 140_000, "password": PASSWORD}}, 413, "body_too_large"),
        ({"json": {"username": "ab", "password": PASSWORD}}, 422, "validation_failed"),
    ]
    for request, status, code in cases:
        answer = await http.post("/v1/users", **request)
        assert (answer.status_code, problem(answer)) == (status, code)


async def test_a_handshake_without_a_good_ticket_is_refused_with_401(stack: Stack, join: Join) -> None:
    alice = await join("alice")
    ticket = await alice.client.ws_ticket()
    async with websockets.connect(f"{ticket.url}?ticket={ticket.ticket}"):
        pass  # used up

    for query in (f"?ticket={ticket.ticket}", "?ticket=nonsense", "?ticket=", ""):
        with pytest.raises(InvalidStatus) as refusal:
            await websockets.connect(stack.endpoints.websocket_url + query)
        assert refusal.value.response.status_code == 401


async def test_an_access_token_in_the_header_opens_a_socket(stack: Stack, join: Join) -> None:
    session = (await join("alice")).client.session
    assert session is not None
    headers = {"Authorization": f"Bearer {session.access_token}"}

    async with websockets.connect(stack.endpoints.websocket_url, additional_headers=headers) as socket:
        await socket.send('{"action": "ping", "id": "p"}')
        assert json.loads(await socket.recv())["type"] == "pong"


async def test_frames_that_are_none_are_answered_and_the_socket_stays_open(join: Join) -> None:
    ticket = await (await join("alice")).client.ws_ticket()
    cases = {
        "x": "invalid_frame",
        "[]": "invalid_frame",
        '{"action": "dance"}': "unknown_action",
        '{"action": "send", "id": "f"}': "validation_failed",
    }

    async with websockets.connect(f"{ticket.url}?ticket={ticket.ticket}") as socket:
        for frame, code in cases.items():
            await socket.send(frame)
            answer = await socket.recv()
            check_server_frame(answer)
            assert json.loads(answer)["data"]["code"] == code


@pytest.mark.parametrize(
    ("frame", "code"), [(b'{"action": "ping"}', 1003), ('{"action": "ping"}' + " " * 32_768, 1009)]
)
async def test_a_frame_that_the_gateway_does_not_take_closes_the_socket(
    join: Join, frame: str | bytes, code: int
) -> None:
    ticket = await (await join("alice")).client.ws_ticket()

    async with websockets.connect(f"{ticket.url}?ticket={ticket.ticket}") as socket:
        await socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


async def test_the_functions_log_no_secret(stack: Stack, join: Join) -> None:
    alice = await join("alice")
    ticket = await alice.client.ws_ticket()
    session = await alice.client.refresh()

    logged = "\n".join(stack.function_logs())

    assert "correlation_id" in logged
    for secret in (PASSWORD, session.access_token, session.refresh_token, ticket.ticket, stack.database_url):
        assert secret not in logged


async def test_one_id_follows_a_message_from_the_request_to_the_push_and_the_index(
    stack: Stack, http: httpx.AsyncClient, join: Join
) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation = await alice.befriend(bob)
    token = (await alice.client.refresh()).access_token

    answer = await http.post(
        f"/v1/conversations/{conversation}/messages",
        headers={"Authorization": f"Bearer {token}"},
        json={"client_id": "followed", "type": "text", "content": {"text": "hello"}},
    )
    request_id = answer.headers["X-Request-Id"]

    async with asyncio.timeout(PATIENCE_SECONDS):
        expected = {"MessageApi", "MessagePush", "MessageIndex"}
        while not expected <= await _functions_that_logged(stack, request_id):  # noqa: ASYNC110  # logs are only read
            await asyncio.sleep(0.2)


async def _functions_that_logged(stack: Stack, correlation_id: str) -> set[str]:
    """Return whose lines bear an id, by the names that the template gives them, without `Function`."""
    lines = [line for line in await asyncio.to_thread(stack.function_logs) if correlation_id in line]
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    names = [line["function_name"] for line in logged if line.get("correlation_id") == correlation_id]
    return {name.removeprefix("hongyan-").partition("Function")[0] for name in names}
