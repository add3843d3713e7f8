"""API Gateway in tests without a deployment: its events, handed to the very handlers that the template names."""

import asyncio
import base64
import itertools
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.contract.frames import check_client_frame, check_server_frame
from tests.support.management import ManagementEndpoint
from tests.support.template import load, rest_routes, socket_handler

_numbers = itertools.count(1)


@dataclass
class LambdaContext:
    """What Lambda tells a function of the call."""

    function_name: str = "test"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:test"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"
    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@dataclass
class Response:
    """A REST answer; of bytes that are no text, each is a character of Latin-1."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The problem's code; the answer must have the form of a problem."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.text)
        assert self.json["status"] == self.status
        assert self.json["request_id"] == self.headers["x-request-id"]
        assert self.json["title"]
        assert self.json["detail"]
        code: str = self.json["code"]
        return code


def request(  # noqa: PLR0913  # a request has as many parts
    method: str,
    url: str,
    *,
    token: str | None = None,
    body: Any = None,
    raw: str | bytes | None = None,
    headers: dict[str, str] | None = None,
    let_in_as: dict[str, str] | None = None,
    address: str = "127.0.0.1",
) -> Response:
    """Send a request through the authorizer and the function that the template names for it.

    `let_in_as` is what the authorizer said earlier, which the gateway keeps for half a minute. `address` is where the
    request comes from.
    """
    parts = urlsplit(url)
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    if body is not None:
        raw = json.dumps(body)
    if raw is not None:
        sent.setdefault("content-type", "application/json")
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    event = rest_event(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), sent, raw)
    event["requestContext"]["identity"]["sourceIp"] = address

    route = next((route for route in rest_routes() if route.matches(method, parts.path)), None)
    assert route is not None, f"the template has no route for {method} {parts.path}"
    if let_in_as is not None:
        event["requestContext"]["authorizer"] = let_in_as
    elif not route.is_open:
        decision = load("functions.user.authorizer.handler")(
            {
                **event,
                "type": "REQUEST",
                "methodArn": f"arn:aws:execute-api:us-east-1:123456789012:api/live/{method}{parts.path}",
            },
            LambdaContext(),
        )
        if decision["policyDocument"]["Statement"][0]["Effect"] == "Deny":
            return _denied(event, decision["context"])
        event["requestContext"]["authorizer"] = {**decision["context"], "principalId": decision["principalId"]}
    with asyncio.Runner() as runner:  # Mangum wants the thread to have a loop, and test threads have none
        asyncio.set_event_loop(runner.get_loop())
        return rest_response(load(route.handler)(event, LambdaContext()))


def rest_event(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: str | bytes | None
) -> dict[str, Any]:
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "requestId": f"request-{next(_numbers)}",
            "stage": "live",
            "httpMethod": method,
            "path": f"/live{path}",
            "resourcePath": path,
            "identity": {"userAgent": "tests"},
        },
        # As the template has it for whatever type a body is declared as (BinaryMediaTypes).
        "body": None if body is None else base64.b64encode(_bytes(body)).decode(),
        "isBase64Encoded": body is not None,
    }


def _bytes(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode(errors="surrogatepass")


def _denied(event: dict[str, Any], context: dict[str, str]) -> Response:
    """Answer as the template's GatewayResponse ACCESS_DENIED does."""
    request_id = event["requestContext"]["requestId"]
    body = {"type": f"urn:hongyan:problem:{context['code']}", "status": 401, "request_id": request_id, **context}
    headers = {"content-type": "application/problem+json", "x-request-id": request_id}
    return Response(401, headers, json.dumps(body))


def rest_response(answer: dict[str, Any]) -> Response:
    headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        headers[name.lower()] = values[-1]
    text = base64.b64decode(answer["body"]).decode("latin-1") if answer.get("isBase64Encoded") else answer["body"]
    return Response(answer["statusCode"], headers, text)


class RefusedError(Exception):
    """The handshake was refused with 401."""


@dataclass
class Socket:
    """An open socket: frames in by the template's routes, events out by the management endpoint."""

    management: ManagementEndpoint
    authorizer_context: dict[str, str]
    connection_id: str = field(default_factory=lambda: f"conn-{next(_numbers)}=")

    @classmethod
    def open(
        cls,
        management: ManagementEndpoint,
        *,
        ticket: str | None = None,
        token: str | None = None,
        language: str = "en",
        is_accepted: bool = True,
    ) -> "Socket":
        """Shake hands with a ticket in the query or a token in the header.

        One that is not accepted yet is where the functions have answered and the gateway has not opened the connection.
        """
        headers = {"Accept-Language": language}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        event = {
            "type": "REQUEST",
            "methodArn": "arn:aws:execute-api:us-east-1:123456789012:sockets/live/$connect",
            "headers": headers,
            "queryStringParameters": None if ticket is None else {"ticket": ticket},
            "requestContext": {"requestId": "handshake"},
        }
        try:
            decision = load("functions.ws_connect.authorizer.handler")(event, LambdaContext())
        except Exception as error:
            assert str(error) == "Unauthorized"  # noqa: PT017  # only this word makes API Gateway answer 401
            raise RefusedError from error
        socket = cls(management, {**decision["context"], "principalId": decision["principalId"]})
        assert socket._call("$connect", None)["statusCode"] == 200
        if is_accepted:
            socket.accept()
        return socket

    def accept(self) -> None:
        """Let the gateway open the connection."""
        self.management.open(self.connection_id)

    def send(self, **frame: Any) -> dict[str, Any]:
        """Send a sound frame and return its answer."""
        check_client_frame(frame)
        return self.send_raw(json.dumps(frame, ensure_ascii=False))

    def send_raw(self, text: str, *, is_binary: bool = False) -> dict[str, Any]:
        """Send any frame and return its answer."""
        answer = self._call(_action(text), text, is_binary=is_binary)
        check_server_frame(answer["body"])
        answered: dict[str, Any] = json.loads(answer["body"])
        return answered

    def type(self, conversation_id: str) -> None:
        """Show that somebody types; there is no answer."""
        frame = {"action": "typing", "id": "typing", "conversation_id": conversation_id}
        check_client_frame(frame)
        assert self._call("typing", json.dumps(frame)) == {"statusCode": 200}

    def die(self) -> None:
        """Go without a word, having said something before: the connection was open."""
        self.send(action="ping", id="alive")
        self.management.close(self.connection_id)

    def close(self) -> None:
        self.management.close(self.connection_id)
        self._call("$disconnect", None)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events pushed to this socket so far but presence, which comes with every socket of a friend."""
        return [event for event in self.all_events if event["type"] != "presence.changed"]

    @property
    def presence(self) -> list[tuple[str, bool]]:
        """Who came and who went, as this socket was told."""
        changes = [event["data"] for event in self.all_events if event["type"] == "presence.changed"]
        return [(data["user_id"], data["online"]) for data in changes]

    @property
    def all_events(self) -> list[dict[str, Any]]:
        """All events pushed to this socket so far, every frame checked against the AsyncAPI document."""
        frames = self.management.frames(self.connection_id)
        for frame in frames:
            check_server_frame(frame)
        return [event for frame in frames for event in json.loads(frame)["events"]]

    def _call(self, route: str, body: str | None, *, is_binary: bool = False) -> dict[str, Any]:
        event = {
            "requestContext": {
                "routeKey": route,
                "connectionId": self.connection_id,
                "requestId": f"frame-{next(_numbers)}",
                "identity": {"sourceIp": "127.0.0.1"},
                "authorizer": self.authorizer_context,
            },
            "body": body,
            "isBase64Encoded": is_binary,
        }
        answer: dict[str, Any] = socket_handler(route)(event, LambdaContext())
        return answer


def _action(text: str) -> str:
    """Return what `$request.body.action` selects."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return "$default"
    return str(body.get("action")) if isinstance(body, dict) else "$default"
