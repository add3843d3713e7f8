"""Accounts through the deployed template: phones, codes, devices, closing; the command line as people use it."""

import asyncio
import itertools
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hongyan_client import FriendRemoved, HongyanClient, ServerError, SessionEnded, UserUpdated

from local.stack import Stack
from tests.contract.frames import check_server_frame
from tests.e2e.conftest import Join
from tests.e2e.people import PASSWORD, PATIENCE_SECONDS, screen
from tests.e2e.test_gateway import problem

_numbers = itertools.count(random.randrange(10**7))
_addresses = itertools.count(1)


@dataclass(frozen=True)
class Phone:
    """A phone in the deployed system; its owner asks from an address of their own."""

    number: str
    http: httpx.AsyncClient
    inbox_url: str
    address: str

    async def ask(self, purpose: str) -> httpx.Response:
        body = {"phone": self.number, "purpose": purpose}
        # What the emulator takes for the address of the caller, as it stands before every proxy.
        return await self.http.post("/v1/verification-codes", json=body, headers={"X-Forwarded-For": self.address})

    async def prove(self, purpose: str) -> dict[str, str]:
        asked = await self.ask(purpose)
        assert asked.status_code == 202, asked.text
        return {"phone": self.number, "code_id": asked.json()["code_id"], "code": (await self.codes())[-1]}

    async def codes(self) -> list[str]:
        inbox = await self.http.get(self.inbox_url, params={"phone": self.number})
        return [message["code"] for message in inbox.json()]


@pytest.fixture
def phone(stack: Stack, http: httpx.AsyncClient) -> Callable[[], Phone]:
    """Hand out a phone that nobody had before."""

    def of_nobody() -> Phone:
        number = next(_addresses)
        return Phone(
            f"+86137{next(_numbers):08}", http, stack.endpoints.sms_inbox_url, f"10.0.{number // 250}.{number % 250}"
        )

    return of_nobody


@asynccontextmanager
async def vendor_fault(stack: Stack, kind: str) -> AsyncIterator[None]:
    """Let the SMS vendor fail at its next call."""
    url = stack.sms_account["endpoint"] + "/fault"
    async with httpx.AsyncClient() as client:
        (await client.put(url, json={"kind": kind})).raise_for_status()
        yield
        (await client.delete(url)).raise_for_status()


def with_device(proof: dict[str, str], device: str = "phone") -> dict[str, Any]:
    return {**proof, "device": {"id": device, "platform": "ios", "name": device}}


def wrong(proof: dict[str, str], offset: int = 1) -> dict[str, str]:
    return {**proof, "code": f"{(int(proof['code']) + offset) % 1_000_000:06}"}


async def hongyan(home: Path, endpoint: str, *arguments: str, code_of: Phone) -> str:
    """Run the command line, which asks for a code; read it from the inbox when it has come, and type it."""
    before = await code_of.codes()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from hongyan_client.cli import main; main()", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"HONGYAN_ENDPOINT": endpoint, "HONGYAN_HOME": str(home)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        announced = await process.stdout.readline()
        assert announced.startswith(b"A code was sent to"), announced
        after = await code_of.codes()
        assert len(after) == len(before) + 1
        out, _ = await process.communicate(f"{after[-1]}\n".encode())
    assert process.returncode == 0, out
    return (announced + out).decode()


async def test_one_registers_and_logs_in_by_phone_on_the_command_line(
    stack: Stack, phone: Callable[[], Phone], tmp_path: Path
) -> None:
    mine, endpoint = phone(), stack.endpoints.rest_url

    registered = await hongyan(tmp_path, endpoint, "register", "--phone", mine.number, code_of=mine)
    # The cool-down goes by, as for anybody: the server says how long it is.
    refused = await mine.ask("login")
    assert problem(refused) == "rate_limited"
    await asyncio.sleep(int(refused.headers["retry-after"]))
    logged_in = await hongyan(tmp_path, endpoint, "login", "--phone", mine.number, code_of=mine)

    username = registered.split("Registered ")[1].split(",")[0]
    assert f"Logged in as {username}." in logged_in
    assert mine.number not in registered + logged_in


async def test_each_way_in_which_a_code_is_not_good_is_told_apart(
    phone: Callable[[], Phone], http: httpx.AsyncClient
) -> None:
    proof, other = await phone().prove("register"), await phone().prove("login")
    tries: list[tuple[dict[str, str], int, str]] = [
        (wrong(proof), 422, "verification_code_wrong"),
        ({**proof, "phone": other["phone"]}, 422, "verification_code_wrong"),
        (other, 422, "verification_code_wrong"),
        ({**proof, "code_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, 422, "verification_code_wrong"),
        ({**proof, "code": "１２３４５６"}, 422, "validation_failed"),
        (proof, 201, ""),
        (proof, 410, "verification_code_expired"),
    ]
    for body, status, code in tries:
        answer = await http.post("/v1/users", json=body)
        assert answer.status_code == status, (body, answer.text)
        assert status == 201 or problem(answer) == code


async def test_a_code_is_over_after_its_five_minutes(
    stack: Stack, phone: Callable[[], Phone], http: httpx.AsyncClient
) -> None:
    proof = await phone().prove("register")
    engine = sa.create_engine(stack.database_url)
    with engine.begin() as connection:  # let five minutes go by
        connection.execute(
            sa.text("UPDATE verification_codes SET expires_at = expires_at - INTERVAL 5 MINUTE WHERE id = :id"),
            {"id": proof["code_id"]},
        )
    engine.dispose()

    answer = await http.post("/v1/users", json=proof)

    assert (answer.status_code, problem(answer)) == (410, "verification_code_expired")


@pytest.mark.parametrize(
    "number",
    ["1380013800", "+86 138 0013 8000", "138-0013-8000", "１３８００１３８０００", "+861012345678", "+4930123456"],
)
async def test_what_is_no_mobile_number_is_refused(http: httpx.AsyncClient, number: str) -> None:
    answer = await http.post("/v1/verification-codes", json={"phone": number, "purpose": "register"})

    assert (answer.status_code, problem(answer)) == (422, "validation_failed")
    assert answer.json()["errors"][0]["loc"] == ["body", "phone"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "аlice-in-cyrillic"),
        ("username", "administrator"),
        ("username", "x" * 33),
        ("password", "1234567"),
        ("password", "x" * 129),
        ("password", "alice-of-the-table"),
        ("password", "password1"),
        ("nickname", "\u200b\u200d"),
        ("nickname", "x" * 33),
        ("nickname", "two\nlines"),
    ],
)
async def test_what_is_no_good_account_is_refused_and_leaves_nothing(
    http: httpx.AsyncClient, field: str, value: str
) -> None:
    good = {"username": f"alice-{random.randrange(10**9)}", "password": PASSWORD, "nickname": "Alice"}
    if value == "alice-of-the-table":
        good["username"] = value

    answer = await http.post("/v1/users", json={**good, field: value})

    assert (answer.status_code, problem(answer)) == (422, "validation_failed")
    assert answer.json()["errors"][0]["loc"] == ["body", field]


async def test_of_twenty_tries_of_a_code_at_once_one_succeeds(
    phone: Callable[[], Phone], http: httpx.AsyncClient
) -> None:
    proof = await phone().prove("register")

    answers = await asyncio.gather(*(http.post("/v1/users", json=proof) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] + [410] * 19


async def test_of_twenty_guesses_at_once_five_are_weighed(phone: Callable[[], Phone], http: httpx.AsyncClient) -> None:
    proof = await phone().prove("register")

    answers = await asyncio.gather(*(http.post("/v1/users", json=wrong(proof, offset)) for offset in range(1, 21)))

    assert sorted(problem(answer) for answer in answers) == (
        ["verification_code_expired"] * 15 + ["verification_code_wrong"] * 5
    )
    assert problem(await http.post("/v1/users", json=proof)) == "verification_code_expired"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("flow_control", 429, "rate_limited"),
        ("number_illegal", 422, "phone_not_reachable"),
        ("balance", 503, "sms_unavailable"),
    ],
)
async def test_what_the_vendor_does_not_send_does_not_count(
    stack: Stack, phone: Callable[[], Phone], fault: str, status: int, code: str
) -> None:
    mine = phone()

    async with vendor_fault(stack, fault):
        answer = await mine.ask("register")

    assert (answer.status_code, problem(answer)) == (status, code)
    assert await mine.codes() == []
    assert (await mine.ask("register")).status_code == 202


@pytest.mark.parametrize("fault", ["server_error", "hang_up", "slow", "late"])
async def test_what_the_vendor_perhaps_sent_keeps_its_cool_down(
    stack: Stack, phone: Callable[[], Phone], fault: str
) -> None:
    mine = phone()

    async with vendor_fault(stack, fault):
        answer = await mine.ask("register")

    assert (answer.status_code, problem(answer)) == (503, "sms_unavailable")
    again = await mine.ask("register")
    assert (again.status_code, problem(again)) == (429, "rate_limited")
    assert 1 <= int(again.headers["retry-after"]) <= 30
    assert len(await mine.codes()) == (1 if fault == "late" else 0)


async def test_a_refresh_token_replayed_in_parallel_serves_one_and_ends_the_session(
    join: Join, http: httpx.AsyncClient
) -> None:
    alice = await join("alice")
    session = alice.client.session
    assert session is not None
    body = {"refresh_token": session.refresh_token}

    answers = await asyncio.gather(*(http.post("/v1/sessions/refresh", json=body) for _ in range(8)))

    assert [answer.status_code for answer in answers].count(200) <= 1
    assert {problem(answer) for answer in answers if answer.status_code == 401} <= {
        "refresh_token_reused",
        "refresh_token_invalid",
    }
    tokens = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    for token in tokens:
        refused = await http.get("/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        assert problem(refused) == "token_invalid"


async def test_a_reset_password_closes_every_socket_within_five_seconds(
    join: Join, phone: Callable[[], Phone], http: httpx.AsyncClient
) -> None:
    alice, mine = await join("alice"), phone()
    session = alice.client.session
    assert session is not None
    own = {"Authorization": f"Bearer {session.access_token}"}
    change = await http.put("/v1/users/me/phone", json=await mine.prove("change_phone"), headers=own)
    assert change.json()["phone"] == mine.number
    refused = await mine.ask("reset_password")
    await asyncio.sleep(int(refused.headers["retry-after"]))
    proof = await mine.prove("reset_password")

    async with alice.another_device() as laptop:

        async def watch(device: HongyanClient) -> str:
            async with device.live(on_frame=check_server_frame) as live:
                ready.release()
                try:
                    async for _ in live.events():
                        pass
                except SessionEnded as ended:
                    return ended.reason
            return "never told"

        ready = asyncio.Semaphore(0)
        watching = [asyncio.create_task(watch(device)) for device in (alice.client, laptop)]
        for _ in watching:
            await ready.acquire()
        reset = await http.post("/v1/password-resets", json={**proof, "new_password": "another good password"})
        assert reset.status_code == 204
        reasons = await asyncio.wait_for(asyncio.gather(*watching), 5)

    assert reasons == ["password_reset"] * 2


async def test_a_closed_account_is_gone_and_its_history_stays(join: Join, http: httpx.AsyncClient) -> None:
    alice, bob = await join("alice"), await join("bob")
    conversation_id = await alice.befriend(bob)
    async with screen(bob.client) as shown:
        await alice.client.close_account()
        await shown.until(lambda s: FriendRemoved(user_id=alice.id) in s.events)

    again = await http.post("/v1/users", json={"username": alice.username, "password": PASSWORD})
    assert again.status_code == 201
    peer = (await bob.client.conversation(conversation_id)).peer
    assert peer is not None
    assert alice.username not in peer.model_dump_json()


async def test_an_empty_redis_logs_nobody_out(stack: Stack, join: Join) -> None:
    alice = await join("alice")

    await asyncio.to_thread(stack.restart, "redis", empty=True)

    assert (await alice.client.me()).id == alice.id


async def test_nothing_that_the_stack_logged_holds_a_secret(
    stack: Stack, join: Join, phone: Callable[[], Phone], http: httpx.AsyncClient
) -> None:
    alice, mine, waiting = await join("alice"), phone(), phone()
    async with vendor_fault(stack, "slow"):
        await waiting.ask("register")
    proof = await mine.prove("register")
    await http.post("/v1/users", json=wrong(proof))
    await http.post("/v1/users", json=proof)
    await http.post("/v1/users", content=f'{{"password": "{PASSWORD}"', headers={"content-type": "application/json"})
    await http.get("/v1/users/search", params={"q": mine.number})
    session = alice.client.session
    assert session is not None
    own = {"Authorization": f"Bearer {session.access_token}"}
    change = {"old_password": PASSWORD, "new_password": "another good password"}
    await http.put("/v1/users/me/password", json=change, headers=own)

    secrets = [PASSWORD, "another good password", session.access_token, session.refresh_token]
    secrets += [f'"{proof["code"]}"', f"code={proof['code']}", mine.number, mine.number.removeprefix("+86")]
    secrets += [waiting.number.removeprefix("+86"), stack.sms_account["access_key_secret"]]
    logged = "\n".join([*await asyncio.to_thread(stack.function_logs), *stack.program_logs()])

    assert "a code was sent" in logged
    assert proof["code_id"] in logged
    assert [secret for secret in secrets if secret in logged] == []


async def found(somebody: HongyanClient, words: str) -> list[str]:
    return [user.id for user in (await somebody.search_users(words)).items]


async def until_found(somebody: HongyanClient, words: str, user_id: str) -> None:
    """Wait until a search finds somebody first: the index is written after the answer, and made anew when lost."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                if (await found(somebody, words))[:1] == [user_id]:
                    return
            except ServerError as error:
                assert error.code == "search_unavailable"  # noqa: PT017  # any other failure is one
            await asyncio.sleep(0.5)


async def test_people_are_found_and_what_they_change_reaches_friends_and_search(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")
    await alice.befriend(bob)
    mark = f"{random.randrange(16**8):08x}"
    await until_found(bob.client, alice.username.upper(), alice.id)

    async with screen(bob.client) as shown:
        await alice.client.change_profile(nickname=f"鸿雁 {mark}")
        await shown.until(
            lambda s: any(isinstance(e, UserUpdated) and e.user.nickname == f"鸿雁 {mark}" for e in s.events)
        )
    await until_found(bob.client, f"雁 {mark}", alice.id)

    person = (await bob.client.search_users(alice.id)).items[0]
    assert (person.id, person.relation) == (alice.id, "friend")
    await alice.client.close_account()
    assert await found(bob.client, alice.id) == []


async def test_while_the_search_engine_is_lost_all_else_goes_on_and_it_catches_up(
    stack: Stack, join: Join, http: httpx.AsyncClient
) -> None:
    alice, bob = await join("alice"), await join("bob")
    await until_found(bob.client, alice.username, alice.id)

    await asyncio.to_thread(stack.restart, "opensearch", empty=True)

    session = bob.client.session
    assert session is not None
    own = {"Authorization": f"Bearer {session.access_token}"}
    refused = await http.get("/v1/users/search", params={"q": alice.username}, headers=own)
    assert (refused.status_code, problem(refused)) == (503, "search_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    carol = await join("carol")  # who registers meanwhile
    conversation_id = await alice.befriend(bob)
    assert (await alice.client.conversation(conversation_id)).last_seq == 0
    await until_found(bob.client, alice.username, alice.id)
    await until_found(bob.client, carol.username, carol.id)
