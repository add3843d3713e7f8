"""The authorizer of the REST API: the access token in, who it is out."""

from typing import Any

from hongyan import sessions
from hongyan.catalogue import language_of
from hongyan.errors import TokenInvalid
from hongyan.observability import REQUEST, logger

LambdaEvent = dict[str, Any]


@logger.inject_lambda_context(clear_state=True, correlation_id_path=REQUEST)
def handler(event: LambdaEvent, context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Allow the whole API to a live token, and deny it to anything else.

    The answer is cached by token and so must hold for every route. A denial becomes the 401 problem by the template's
    GatewayResponse, which takes its words from the context.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    scheme, _, token = (headers.get("authorization") or "").partition(" ")
    principal = sessions.authenticate(token.strip()) if scheme.lower() == "bearer" else None
    if principal is None:
        words = TokenInvalid().body(language_of(headers.get("accept-language")), request_id="")
        return _policy("nobody", "Deny", event, {name: words[name] for name in ("title", "detail", "code")})
    return _policy(principal.user_id, "Allow", event, principal._asdict())


def _policy(principal_id: str, effect: str, event: LambdaEvent, context: dict[str, str]) -> dict[str, Any]:
    api, stage, *_ = event["methodArn"].split("/")
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{api}/{stage}/*"}
    return {
        "principalId": principal_id,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }
