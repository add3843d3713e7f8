"""What can go wrong. `str` of each is a sentence for people.

HongyanError
├── ConnectionFailed         no answer: out of reach, too slow, connection lost or closed
├── UnexpectedAnswer         what answered does not speak Hongyan's protocol
├── NotLoggedIn              the call needs a session
├── SessionEnded             the session is over: log in again
├── LiveClosed            the caller closed the live connection that it waits for
├── NotAcknowledged          a message was sent, and whether it is stored is not known
├── Unsendable               a frame that the protocol does not take, so it was not sent
├── StorageRefused           the storage did not take or give a file
├── ChecksumWrong            a file arrived otherwise than it was sent
└── ApiError                 the server's problem object (RFC 9457)
    ├── BadRequest           400
    ├── Unauthorized         401
    ├── Forbidden            403
    ├── NotFound             404
    ├── Conflict             409
    ├── Gone                 410
    ├── ValidationFailed     422
    ├── TooManyRequests      429
    └── ServerError          5xx
"""
# ruff: noqa: N818 - named for what happened, as the server's codes are

from collections.abc import Mapping

from hongyan_client.models import Problem

_SERVER_ERROR = 500


class HongyanError(Exception):
    """Base of whatever this package raises on purpose."""


class ConnectionFailed(HongyanError):
    """The server did not answer."""


class UnexpectedAnswer(HongyanError):
    """What answered does not speak Hongyan's protocol."""


class NotLoggedIn(HongyanError):
    """The call acts for a person, and nobody is logged in."""

    def __init__(self) -> None:
        super().__init__("Nobody is logged in.")


class SessionEnded(HongyanError):
    """The session is over; ``reason`` is the server's code or reason, e.g. replaced."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The session has ended ({reason}); log in again.")
        self.reason = reason


class LiveClosed(HongyanError):
    """The live connection was closed by its owner."""


class NotAcknowledged(HongyanError):
    """No acknowledgement within ``seconds``. Sending again with the same ``client_id`` stores the message once."""

    def __init__(self, client_id: str, seconds: float) -> None:
        super().__init__(f"The message was not acknowledged within {seconds:g} s; it may be stored or not.")
        self.client_id = client_id


class Unsendable(HongyanError):
    """The frame was not sent, as the protocol does not take it."""


class StorageRefused(HongyanError):
    """The storage did not take or give a file; ``status`` is HTTP's, 403 for a link that is over."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The storage refused with {status}.")
        self.status = status


class ChecksumWrong(HongyanError):
    """What arrived is not what its checksum is of; it was not kept."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} arrived damaged; nothing was saved. Try again.")


class ApiError(HongyanError):
    """The server refused. Go by ``code``, which never changes.

    ``status`` is HTTP's, ``detail`` is for people, ``request_id`` names the call in the server's logs, ``errors`` are
    ``{"loc": [...], "msg": ...}``, empty but for 422, ``retry_after`` is in seconds, None when the server did not say.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        self.code = problem.code
        self.status = problem.status
        self.detail = problem.detail or problem.title
        self.request_id = problem.request_id
        self.errors = list(problem.errors or ())
        self.retry_after = retry_after
        faults = "; ".join(
            f"{'.'.join(map(str, error.get('loc', [])))}: {error.get('msg', '')}" for error in self.errors
        )
        super().__init__(f"{self.detail or self.code} ({faults})" if faults else self.detail or self.code)


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""


class NotFound(ApiError):
    """404, also for what one may not see."""


class Conflict(ApiError):
    """409."""


class Gone(ApiError):
    """410: what was named has been there and is over."""


class ValidationFailed(ApiError):
    """422; ``errors`` says where."""


class TooManyRequests(ApiError):
    """429."""


class ServerError(ApiError):
    """5xx: the same again, later, may do."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: ValidationFailed,
    429: TooManyRequests,
}


def error_for(problem: Problem, retry_after: float | None = None) -> ApiError:
    """Return the error that a problem object stands for."""
    kind = ServerError if problem.status >= _SERVER_ERROR else _BY_STATUS.get(problem.status, ApiError)
    return kind(problem, retry_after)
