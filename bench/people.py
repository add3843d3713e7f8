"""Accounts and conversations to measure with."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

_PASSWORD = "a long password of no account that matters"  # noqa: S105  # made and thrown away with the stack


@dataclass
class Account:
    """Somebody who is logged in."""

    user_id: str
    token: str


async def make_accounts(rest_url: str, prefix: str, number: int) -> list[Account]:
    """Register and log in ``number`` people, a few at a time."""
    at_once = asyncio.Semaphore(4)
    async with httpx.AsyncClient(base_url=rest_url, timeout=60) as http:

        async def make(n: int) -> Account:
            async with at_once:
                return await _make(http, f"{prefix}-{n}")

        return list(await asyncio.gather(*(make(n) for n in range(number))))


async def befriend(rest_url: str, asker: Account, accepter: Account) -> str:
    """Make friends of two people and return the id of their conversation."""
    async with httpx.AsyncClient(base_url=rest_url, timeout=60) as http:
        asked = await _call(http, asker, "/v1/friend-requests", {"user_id": accepter.user_id})
        accepted = await _call(http, accepter, f"/v1/friend-requests/{asked['id']}/accept", None)
        conversation_id: str = accepted["conversation"]["id"]
        return conversation_id


async def socket_address(rest_url: str) -> str:
    """Return the address of the WebSocket API."""
    async with httpx.AsyncClient(base_url=rest_url, timeout=60) as http:
        answer = (await http.get("/v1/endpoints")).raise_for_status()
        address: str = answer.json()["websocket_url"]
        return address


async def _make(http: httpx.AsyncClient, username: str) -> Account:
    (await http.post("/v1/users", json={"username": username, "password": _PASSWORD})).raise_for_status()
    device = {"id": "bench", "platform": "cli", "name": "bench"}
    login = {"username": username, "password": _PASSWORD, "device": device}
    session = (await http.post("/v1/sessions", json=login)).raise_for_status().json()
    return Account(session["user"]["id"], session["access_token"])


async def _call(http: httpx.AsyncClient, who: Account, path: str, body: Any) -> Any:
    answer = await http.post(path, json=body, headers={"Authorization": f"Bearer {who.token}"})
    return answer.raise_for_status().json()
