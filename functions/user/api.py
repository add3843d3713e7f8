"""The user module's routes (contract, User; Conventions)."""

from typing import Annotated

from fastapi import Path, Query, Response
from hongyan import discovery, tickets
from hongyan.errors import (
    CredentialsInvalid,
    FileNotFound,
    FileNotUsable,
    InvalidCursor,
    OwnerMustHandOver,
    PhoneNotRegistered,
    PhoneTaken,
    RateLimited,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SearchUnavailable,
    SessionNotFound,
    TokenInvalid,
    UsernameTaken,
    UserNotFound,
    ValidationFailed,
    VerificationCodeExpired,
    VerificationCodeWrong,
)
from hongyan.pagination import Page
from hongyan.schemas import LiveSession, SearchText, User
from hongyan.web import (
    Caller,
    CursorParameter,
    Limit,
    SourceAddress,
    create_app,
    known_id,
    lambda_handler,
    problems,
)

from functions.user import deployment, logins, people, service
from functions.user.schemas import (
    AvatarChange,
    Endpoints,
    FoundUser,
    Health,
    Login,
    PasswordChange,
    PasswordReset,
    PhoneLogin,
    PhoneProof,
    PhoneRegistration,
    ProfileChange,
    Refresh,
    Registration,
    Self,
    Session,
    Ticket,
    UserIds,
    Users,
)

app = create_app("user")
_BAD_PROOF = (VerificationCodeWrong, VerificationCodeExpired, ValidationFailed)
handler = lambda_handler(app)


@app.get("/v1/endpoints", responses=problems())
def get_endpoints() -> Endpoints:
    """Where the parts of this deployment are: the one address that a client must know leads here."""
    return deployment.endpoints()


@app.get("/v1/health", responses={503: {"model": Health, "description": "The database does not answer."}})
def get_health(response: Response) -> Health:
    """Whether the deployment can serve."""
    health = deployment.health()
    response.status_code = 200 if health.status == "ok" else 503
    return health


@app.post("/v1/users", status_code=201, responses=problems(UsernameTaken, PhoneTaken, *_BAD_PROOF, RateLimited))
def register(registration: Registration, address: SourceAddress) -> Self:
    """Make an account with a username and a password, or with a phone and the code that was sent to it."""
    if isinstance(registration, PhoneRegistration):
        return service.register_by_phone(registration, address)
    return service.register(registration, address)


@app.get("/v1/users/me", responses=problems(TokenInvalid, UserNotFound))
def get_own_profile(caller: Caller) -> Self:
    """Return one's own profile."""
    return service.own_profile(caller)


@app.patch("/v1/users/me", responses=problems(TokenInvalid, UserNotFound, ValidationFailed))
def change_profile(change: ProfileChange, caller: Caller) -> Self:
    """Change one's nickname or description."""
    return service.change_profile(caller, change)


@app.put(
    "/v1/users/me/avatar", responses=problems(TokenInvalid, UserNotFound, FileNotFound, FileNotUsable, ValidationFailed)
)
def change_avatar(change: AvatarChange, caller: Caller) -> Self:
    """Show another picture: one's own completed upload for the purpose `avatar`, or none."""
    return service.change_avatar(caller, change.file_id)


@app.delete("/v1/users/me", status_code=204, responses=problems(TokenInvalid, UserNotFound, OwnerMustHandOver))
def close_account(caller: Caller) -> None:
    """Close one's account, for good. Others keep the history they had with it."""
    service.close_account(caller)


@app.put("/v1/users/me/phone", responses=problems(TokenInvalid, PhoneTaken, UserNotFound, *_BAD_PROOF))
def change_phone(proof: PhoneProof, caller: Caller) -> Self:
    """Give one's account another phone: the one that the code, for the purpose `change_phone`, was sent to."""
    return service.change_phone(caller, proof)


@app.post("/v1/password-resets", status_code=204, responses=problems(PhoneNotRegistered, *_BAD_PROOF, RateLimited))
def reset_password(reset: PasswordReset, address: SourceAddress) -> None:
    """Set one's password by a code to one's phone. All of one's sessions end."""
    service.reset_password(reset, address)


@app.put(
    "/v1/users/me/password",
    status_code=204,
    responses=problems(TokenInvalid, CredentialsInvalid, ValidationFailed, RateLimited),
)
def change_password(change: PasswordChange, caller: Caller) -> None:
    """Change one's password. One's other sessions end."""
    service.change_password(caller, change)


@app.post("/v1/users/batch-get", responses=problems(TokenInvalid, ValidationFailed))
def get_profiles(body: UserIds, caller: Caller) -> Users:  # noqa: ARG001  # for any caller, but for one
    """Return public profiles of up to 100 people; unknown ids are left out."""
    return service.profiles(body.ids)


@app.get(
    "/v1/users/search",
    responses=problems(TokenInvalid, InvalidCursor, ValidationFailed, RateLimited, SearchUnavailable),
)
def search(
    q: Annotated[SearchText, Query(description="A name or a part of one, an id, or a whole phone number.")],
    caller: Caller,
    address: SourceAddress,
    limit: Limit = 20,
    cursor: CursorParameter = None,
) -> Page[FoundUser]:
    """Find people by nickname and username, best first. An id or a phone finds the one person whose it is.

    A page may hold fewer people than asked for, and others follow, while `next_cursor` is not null.
    """
    return people.search(caller, q, cursor, limit, address)


@app.get("/v1/users/{user_id}", responses=problems(TokenInvalid, UserNotFound))
def get_profile(user_id: Annotated[str, Path()], caller: Caller) -> User:  # noqa: ARG001  # for any caller, but for one
    """Return anybody's public profile."""
    return service.profile(known_id(user_id, UserNotFound))


@app.post(
    "/v1/sessions",
    status_code=201,
    responses=problems(CredentialsInvalid, PhoneNotRegistered, *_BAD_PROOF, RateLimited),
)
def log_in(login: Login, address: SourceAddress) -> Session:
    """Open a session on a device. Other devices stay logged in; an older session of the same device ends."""
    if isinstance(login, PhoneLogin):
        return logins.log_in_by_phone(login, address)
    return logins.log_in(login, address)


@app.post("/v1/sessions/refresh", responses=problems(RefreshTokenInvalid, RefreshTokenReused, ValidationFailed))
def refresh(body: Refresh) -> Session:
    """Trade the refresh token for a new pair. The old one is spent; using it again ends the session."""
    session = logins.refresh(body.refresh_token)
    if not isinstance(session, Session):
        raise RefreshTokenReused
    return session


@app.get("/v1/sessions", responses=problems(TokenInvalid, InvalidCursor, ValidationFailed))
def list_sessions(caller: Caller, limit: Limit = 20, cursor: CursorParameter = None) -> Page[LiveSession]:
    """List one's sessions, newest first."""
    return logins.list_sessions(caller, cursor, limit)


@app.delete("/v1/sessions", status_code=204, responses=problems(TokenInvalid))
def end_other_sessions(caller: Caller) -> None:
    """End all of one's sessions but the one that asks. Their sockets close within seconds."""
    logins.end_other_sessions(caller)


@app.delete("/v1/sessions/current", status_code=204, responses=problems(TokenInvalid))
def log_out(caller: Caller) -> None:
    """End the session that asks. Its sockets close within seconds."""
    logins.log_out(caller)


@app.delete("/v1/sessions/{session_id}", status_code=204, responses=problems(TokenInvalid, SessionNotFound))
def end_session(session_id: str, caller: Caller) -> None:
    """End one of one's sessions. Its sockets close within seconds."""
    logins.end_session(caller, known_id(session_id, SessionNotFound))


@app.post("/v1/ws-tickets", status_code=201, responses=problems(TokenInvalid))
def issue_ticket(caller: Caller) -> Ticket:
    """Issue a ticket that opens one socket within 30 s."""
    return Ticket(ticket=tickets.issue(caller), url=discovery.attributes_of("ws_connect")["url"])
