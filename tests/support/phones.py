"""A phone that tests hold: codes are asked for, and read from the inbox of the SMS vendor's stand-in."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.gateway import Response, request


@dataclass(frozen=True)
class Proof:
    """What one sends to show that a phone is one's own."""

    phone: str
    code_id: str
    code: str

    def body(self, **more: Any) -> dict[str, Any]:
        return {"phone": self.phone, "code_id": self.code_id, "code": self.code, **more}


@dataclass(frozen=True)
class Phone:
    """A phone by its number."""

    number: str
    inbox_url: str

    def ask(self, purpose: str) -> Response:
        return request("POST", "/v1/verification-codes", body={"phone": self.number, "purpose": purpose})

    def prove(self, purpose: str) -> Proof:
        """Ask for a code and read it."""
        answer = self.ask(purpose)
        assert answer.status == 202, answer.text
        return Proof(self.number, answer.json["code_id"], self.codes()[-1])

    def codes(self) -> list[str]:
        """Return the codes that arrived, newest last."""
        messages = httpx.get(self.inbox_url, params={"phone": self.number}).raise_for_status().json()
        return [message["code"] for message in messages]
