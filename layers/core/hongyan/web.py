"""The edge of every REST module: a FastAPI app behind Mangum that answers problems in the contract's form."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mangum import Mangum
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hongyan import metrics, sessions
from hongyan.catalogue import language_of
from hongyan.errors import (
    BodyTooLarge,
    InternalError,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    Problem,
    RouteNotFound,
    ServiceUnavailable,
    TokenInvalid,
    UnsupportedMediaType,
    ValidationFailed,
)
from hongyan.failures import problem_for
from hongyan.ids import is_id
from hongyan.observability import REQUEST, logger
from hongyan.sessions import Principal
from hongyan.validation import field_errors

MAX_BODY_BYTES = 128 * 1024

_READING = {"GET", "HEAD"}

LambdaHandler = Callable[[dict[str, Any], Any], dict[str, Any]]


class ProblemBody(BaseModel):
    """RFC 9457 problem details with the contract's extension members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, Any]] | None = None


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Declare the problems that a route raises, for the OpenAPI document."""
    declared: dict[int | str, dict[str, Any]] = {}
    every: tuple[type[Problem], ...] = (*kinds, InternalError, ServiceUnavailable)
    for kind in every:
        answer = declared.setdefault(kind.status, {"description": "", "content": _PROBLEM_CONTENT})
        answer["description"] = " · ".join(filter(None, [answer["description"], f"`{kind.code}`"]))
    return declared


_PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}


def create_app(title: str, *, takes_raw_bodies: bool = False) -> FastAPI:
    """Return an app that answers in the contract's form, whatever happens inside.

    One that ``takes_raw_bodies`` says itself, route by route, which it takes besides JSON and how large they may be.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Edge, takes_raw_bodies=takes_raw_bodies)
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    return app


def lambda_handler(app: FastAPI) -> LambdaHandler:
    """Return the Lambda handler of an app behind API Gateway REST."""
    # Anything else Mangum would send as base64, which API Gateway decodes only for binary media types.
    mangum = Mangum(app, lifespan="off", text_mime_types=["application/json", "application/problem+json"])

    @logger.inject_lambda_context(clear_state=True, correlation_id_path=REQUEST)
    @metrics.emitted
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return mangum(event, context)

    return handler


def caller(request: Request) -> Principal:
    """Return who is asking, as the gateway's authorizer found out.

    The gateway keeps that for half a minute, in which the session may end. What only reads is still answered then; for
    what changes something, the session is looked up once more.

    Raises:
        TokenInvalid: the session has ended. Or there was no authorizer, as a route deployed without one must not be
            open by mistake.

    """
    context = request.scope["aws.event"]["requestContext"].get("authorizer") or {}
    if "user_id" not in context:
        raise TokenInvalid
    principal = Principal(context["user_id"], context["session_id"])
    if request.method not in _READING and not sessions.is_live(principal.session_id):
        raise TokenInvalid
    return principal


def source_address(request: Request) -> str:
    """Return the address that the request came from, as the gateway saw it: no header can say otherwise."""
    address: str = request.scope["aws.event"]["requestContext"]["identity"]["sourceIp"]
    return address


async def whole_body(request: Request) -> bytes:
    """Return the body as it came."""
    return await request.body()


RawBody = Annotated[bytes, Depends(whole_body)]
Caller = Annotated[Principal, Depends(caller)]
SourceAddress = Annotated[str, Depends(source_address)]
Limit = Annotated[int, Query(ge=1, le=100, description="Items a page.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Any text of the client's own: for a day, the same request with the same key makes nothing again.",
    ),
]
CursorParameter = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]


def known_id(text: str, otherwise: type[NotFound]) -> str:
    """Return the id in a path, or answer as for one that does not exist when it could not be one."""
    if not is_id(text):
        raise otherwise
    return text


class Edge:
    """Middleware around everything: request id on every answer, body limits before parsing, no internals in a 500."""

    def __init__(self, app: ASGIApp, *, takes_raw_bodies: bool) -> None:
        self.app = app
        self.takes_raw_bodies = takes_raw_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)

        async def send_with_request_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", _request_id(request).encode())]
            await send(message)

        try:
            _check_body(request, takes_raw_bodies=self.takes_raw_bodies)
            await self.app(scope, receive, send_with_request_id)
        except Exception as error:  # noqa: BLE001  # whatever it was, the client gets an answer and the log the rest
            await _problem_response(request, problem_for(error))(scope, receive, send_with_request_id)


def media_type_of(request: Request) -> str:
    """Return what the body is declared as, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_body(request: Request, *, takes_raw_bodies: bool) -> None:
    event = request.scope["aws.event"]
    body: str = event.get("body") or ""
    if not body:
        return
    is_json = media_type_of(request) == "application/json"
    if takes_raw_bodies and not is_json:
        return
    if _size(body, is_base64=event.get("isBase64Encoded", False)) > MAX_BODY_BYTES:
        raise BodyTooLarge
    if not is_json:
        raise UnsupportedMediaType


def _size(body: str, *, is_base64: bool) -> int:
    return len(body) * 3 // 4 - body[-2:].count("=") if is_base64 else len(body.encode(errors="surrogatepass"))


async def _answer_problem(request: Request, error: Exception) -> JSONResponse:
    return _problem_response(request, problem_for(error))


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    details = error.errors()
    if any(detail["type"] == "json_invalid" for detail in details):
        return _problem_response(request, MalformedJson())
    return _problem_response(request, ValidationFailed(errors=field_errors(details)))


async def _answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    problem: Problem = {400: MalformedJson, 404: RouteNotFound, 405: MethodNotAllowed}.get(status, InternalError)()
    response = _problem_response(request, problem)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # Allow, on a 405
    return response


def _problem_response(request: Request, problem: Problem) -> JSONResponse:
    headers = {} if problem.retry_after_seconds is None else {"Retry-After": str(problem.retry_after_seconds)}
    return JSONResponse(
        problem.body(language_of(request.headers.get("accept-language")), _request_id(request)),
        status_code=problem.status,
        headers=headers,
        media_type="application/problem+json",
    )


def _request_id(request: Request) -> str:
    request_id: str = request.scope["aws.event"]["requestContext"]["requestId"]
    return request_id
