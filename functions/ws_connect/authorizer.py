"""The authorizer of the WebSocket API: a ticket in the query or an access token in the header (contract, WebSocket)."""

from typing import Any

from hongyan import sessions, tickets
from hongyan.catalogue import language_of
from hongyan.observability import REQUEST, logger
from hongyan.sessions import Principal

LambdaEvent = dict[str, Any]


class UnauthorizedError(Exception):
    """Refuses the handshake: API Gateway answers 401 to an authorizer that fails with just this word."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


@logger.inject_lambda_context(clear_state=True, correlation_id_path=REQUEST)
def handler(event: LambdaEvent, context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Allow the connection and keep who opened it: every later frame comes with this context."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    query = event.get("queryStringParameters") or {}
    principal = _principal(query.get("ticket"), headers.get("authorization"))
    if principal is None:
        raise UnauthorizedError
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
    return {
        "principalId": principal.user_id,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {**principal._asdict(), "language": language_of(headers.get("accept-language"))},
    }


def _principal(ticket: str | None, authorization: str | None) -> Principal | None:
    if ticket is not None:
        principal = tickets.redeem(ticket)
        return principal if principal is not None and sessions.is_live(principal.session_id) else None
    scheme, _, token = (authorization or "").partition(" ")
    return sessions.authenticate(token.strip()) if scheme.lower() == "bearer" else None
