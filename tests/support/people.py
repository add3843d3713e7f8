"""People as tests speak of them: they register, befriend, say and read things, over REST unless said otherwise."""

import itertools
from dataclasses import dataclass
from typing import Any

from tests.support.gateway import Response, Socket, request
from tests.support.management import ManagementEndpoint

PASSWORD = "correct horse battery staple"

_numbers = itertools.count(1)


@dataclass
class Person:
    """Somebody with an account and a session."""

    management: ManagementEndpoint
    id: str
    username: str
    session_id: str
    token: str
    refresh_token: str

    @classmethod
    def join(cls, management: ManagementEndpoint, username: str) -> "Person":
        assert request("POST", "/v1/users", body={"username": username, "password": PASSWORD}).status == 201
        return cls.log_in(management, username)

    @classmethod
    def log_in(cls, management: ManagementEndpoint, username: str, device: str | None = None) -> "Person":
        body = {"username": username, "password": PASSWORD, "device": a_device(device)}
        session = request("POST", "/v1/sessions", body=body).json
        return cls(
            management,
            session["user"]["id"],
            username,
            session["session_id"],
            session["access_token"],
            session["refresh_token"],
        )

    def on_another_device(self) -> "Person":
        return self.log_in(self.management, self.username)

    def get(self, path: str) -> Response:
        return request("GET", path, token=self.token)

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Response:
        return request("POST", path, token=self.token, body=body, headers=headers)

    def patch(self, path: str, body: Any = None) -> Response:
        return request("PATCH", path, token=self.token, body=body)

    def delete(self, path: str) -> Response:
        return request("DELETE", path, token=self.token)

    def put(self, path: str, body: Any = None) -> Response:
        return request("PUT", path, token=self.token, body=body)

    def connect(self) -> Socket:
        """Open a socket with a fresh ticket."""
        return Socket.open(self.management, ticket=self.post("/v1/ws-tickets").json["ticket"])

    def ask(self, other: "Person", message: str = "") -> str:
        """Ask to be friends and return the request's id."""
        request_id: str = self.post("/v1/friend-requests", {"user_id": other.id, "message": message}).json["id"]
        return request_id

    def befriend(self, other: "Person") -> str:
        """Become friends with somebody and return the id of the conversation."""
        accepted = other.post(f"/v1/friend-requests/{self.ask(other)}/accept")
        conversation_id: str = accepted.json["conversation"]["id"]
        return conversation_id

    def say(self, conversation_id: str, text: str, client_id: str | None = None) -> Response:
        return self.post(f"/v1/conversations/{conversation_id}/messages", a_text(text, client_id))

    def read(self, conversation_id: str, seq: int) -> Response:
        return self.put(f"/v1/conversations/{conversation_id}/read", {"seq": seq})

    def history(self, conversation_id: str, **query: Any) -> Any:
        """Return the items of a page of history."""
        return self.get(f"/v1/conversations/{conversation_id}/messages?{_query(query)}").json["items"]

    def conversation(self, conversation_id: str) -> Any:
        return self.get(f"/v1/conversations/{conversation_id}").json


def a_device(device_id: str | None = None) -> dict[str, str]:
    return {"id": device_id or f"device-{next(_numbers)}", "platform": "cli", "name": "A terminal"}


def a_text(text: str, client_id: str | None = None) -> dict[str, Any]:
    return {"client_id": client_id or f"client-{next(_numbers)}", "type": "text", "content": {"text": text}}


def _query(parameters: dict[str, Any]) -> str:
    return "&".join(f"{name}={value}" for name, value in parameters.items())
