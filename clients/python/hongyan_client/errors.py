"""The errors of this package.

HongyanError
├── Unreachable            no answer: connection refused or lost, time-out, something else answered
├── SessionEnded           the session is over: log in again
├── FrameTooLarge          refused before sending: over 32 KiB
└── ApiError               the server's problem object (RFC 9457)
    ├── BadRequest         400
    ├── Unauthorized       401
    ├── Forbidden          403
    ├── NotFound           404
    ├── Conflict           409
    ├── Unprocessable      422
    ├── TooManyRequests    429
    └── ServerError        5xx
"""

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError

SERVER_ERRORS_FROM = 500


class HongyanError(Exception):
    """Whatever this package raises on purpose; `str` of it is a sentence for people."""


class Unreachable(HongyanError):  # noqa: N818  # a state, read as one
    """The server did not answer, or what answered does not speak its protocol."""


class SessionEnded(HongyanError):  # noqa: N818  # the fact that the server tells
    """The session is over, by `reason`; its tokens are worth nothing any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The session has ended ({reason}); log in again.")
        self.reason = reason


class FrameTooLarge(HongyanError):  # noqa: N818
    """A frame would be over the protocol's limit, so it was not sent."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The frame has {size} bytes, more than the {limit} that the server takes.")


class FieldError(BaseModel):
    """Where a fault of a request is, and what it is."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """The server's problem object (RFC 9457) with its extension members."""

    title: str
    status: int
    code: str
    detail: str = ""
    request_id: str | None = None
    errors: list[FieldError] = Field(default_factory=list)


class ApiError(HongyanError):
    """The server refused. `code` never changes and is what to go by; `detail` is for people.

    `retry_after` is in seconds, None when the server did not say.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        faults = "; ".join(f"{'.'.join(str(part) for part in fault.loc)}: {fault.msg}" for fault in problem.errors)
        super().__init__(" ".join(part for part in (problem.detail or problem.title, faults) if part))
        self.code = problem.code
        self.status = problem.status
        self.title = problem.title
        self.detail = problem.detail
        self.request_id = problem.request_id
        self.errors = problem.errors
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""


class NotFound(ApiError):
    """404, also for what the caller may not see."""


class Conflict(ApiError):
    """409."""


class Unprocessable(ApiError):
    """422; `errors` says which fields are wrong."""


class TooManyRequests(ApiError):
    """429; `retry_after` says when to come again."""


class ServerError(ApiError):
    """5xx: not the caller's fault; the same again later may do."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Unprocessable,
    429: TooManyRequests,
}


def api_error(problem: Mapping[str, Any], retry_after: float | None = None) -> ApiError:
    """Make the error of a problem object.

    Raises `pydantic.ValidationError` when it is none.
    """
    told = Problem.model_validate(problem)
    kind = ServerError if told.status >= SERVER_ERRORS_FROM else _BY_STATUS.get(told.status, ApiError)
    return kind(told, retry_after)


def error_of(response: httpx.Response) -> ApiError:
    """Make the error of a refusing answer.

    A gateway in front of the application answers without a problem object; its status then stands for the code.
    """
    retry_after = _seconds(response.headers.get("retry-after"))
    try:
        return api_error(response.json(), retry_after)
    except (ValueError, ValidationError):
        title = f"The server answered {response.status_code} {response.reason_phrase}.".replace(" .", ".")
        return api_error(
            {"title": title, "status": response.status_code, "code": f"http_{response.status_code}"}, retry_after
        )


def _seconds(header: str | None) -> float | None:
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return float(header)
