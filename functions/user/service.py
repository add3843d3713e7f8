"""Accounts and sessions: register, log in, refresh, log out."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from hongyan import sessions, tokens
from hongyan.clock import now
from hongyan.errors import CredentialsInvalid, RefreshTokenInvalid, SessionNotFound, UsernameTaken, UserNotFound
from hongyan.events import SessionAudience, event
from hongyan.ids import is_id, new_id
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.schemas import User
from hongyan.sessions import Principal
from hongyan.unit_of_work import UnitOfWork, perform, read
from sqlalchemy.exc import IntegrityError

from functions.user import repository
from functions.user.passwords import hash_password, is_password
from functions.user.schemas import (
    Device,
    LiveSession,
    Login,
    PasswordChange,
    ProfileChange,
    Registration,
    Self,
    Session,
    SessionDevice,
    Users,
)

ACCESS_TOKEN_LIFE = timedelta(hours=1)
REFRESH_TOKEN_LIFE = timedelta(days=30)

EndReason = Literal["logged_out", "replaced", "refresh_reused", "password_changed"]

_SESSIONS = "sessions"


class _EndedSession(NamedTuple):
    session_id: str
    access_token_hash: bytes


def register(registration: Registration) -> Self:
    """Make an account.

    Raises:
        UsernameTaken: somebody has the username, in whatever letter case.

    """
    values = {
        "id": new_id(),
        "username": registration.username,
        "nickname": registration.nickname or registration.username,
        "description": "",
        "created_at": now(),
    }
    password_hash = hash_password(registration.password)
    try:
        perform(lambda unit: repository.insert_user(unit.connection, **values, password_hash=password_hash))
    except IntegrityError as error:
        raise UsernameTaken from error
    return Self.model_validate(values)


def log_in(login: Login) -> Session:
    """Open a session on a device; the one that the device had before ends.

    Raises:
        CredentialsInvalid: unknown user or wrong password, after the same work.

    """
    user = read(lambda connection: repository.find_user_by_username(connection, login.username))
    if not is_password(login.password, None if user is None else user.password_hash) or user is None:
        raise CredentialsInvalid

    session, replaced = perform(lambda unit: _open_session(unit, user, login.device))
    if replaced is not None:
        sessions.forget(*replaced)
    return session


def refresh(refresh_token: str) -> Session | EndReason:
    """Trade a refresh token for a new pair. One that was spent before ends its session, and the answer says so.

    Raises:
        RefreshTokenInvalid: the token is unknown or expired, or its session has ended.

    """
    if not tokens.is_token("hyr", refresh_token):
        raise RefreshTokenInvalid
    outcome, outdated = perform(lambda unit: _refresh(unit, tokens.digest(refresh_token)))
    sessions.forget(*outdated)
    return outcome


def log_out(principal: Principal) -> None:
    """End the caller's session."""
    ended = perform(lambda unit: _end_session(unit, principal.session_id, "logged_out"))
    if ended is not None:
        sessions.forget(*ended)


def list_sessions(principal: Principal, cursor: str | None, limit: int) -> Page[LiveSession]:
    """Return a page of the caller's sessions, newest first."""
    after = None if cursor is None else decode_cursor(_SESSIONS, principal.user_id, cursor)[0]
    rows = read(lambda connection: repository.list_live_sessions(connection, principal.user_id, after, limit + 1))
    return page_of(
        rows,
        limit,
        lambda row: _live_session(row, principal),
        lambda row: encode_cursor(_SESSIONS, principal.user_id, [row.id]),
    )


def end_session(principal: Principal, session_id: str) -> None:
    """End one of the caller's sessions, on this device or another.

    Raises:
        SessionNotFound: it is not the caller's, or has ended.

    """
    sessions.forget(*perform(lambda unit: _end_own_session(unit, principal.user_id, session_id)))


def change_profile(principal: Principal, change: ProfileChange) -> Self:
    """Change what the caller shows of themselves."""
    values = change.model_dump(exclude_none=True)
    if values:
        perform(lambda unit: repository.update_user(unit.connection, principal.user_id, **values))
    return own_profile(principal)


def change_password(principal: Principal, change: PasswordChange) -> None:
    """Change the password and end the caller's other sessions.

    Raises:
        CredentialsInvalid: the old password is not right.

    """
    user = read(lambda connection: repository.find_user(connection, principal.user_id))
    if user is None or not is_password(change.old_password, user.password_hash):
        raise CredentialsInvalid
    password_hash = hash_password(change.new_password)
    for ended in perform(lambda unit: _change_password(unit, principal, password_hash)):
        sessions.forget(*ended)


def profiles(user_ids: Sequence[str]) -> Users:
    """Return the public profiles of those of the users that there are."""
    rows = read(lambda connection: repository.find_users(connection, [i for i in user_ids if is_id(i)]))
    return Users(items=[User.model_validate(row._mapping) for row in rows])  # noqa: SLF001


def own_profile(principal: Principal) -> Self:
    """Return the caller's profile."""
    row = read(lambda connection: repository.find_user(connection, principal.user_id))
    if row is None:
        raise UserNotFound
    return Self.model_validate(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it


def profile(user_id: str) -> User:
    """Return anybody's public profile.

    Raises:
        UserNotFound: there is no such user.

    """
    row = read(lambda connection: repository.find_user(connection, user_id))
    if row is None:
        raise UserNotFound
    return User.model_validate(row._mapping)  # noqa: SLF001


def _open_session(unit: UnitOfWork, user: sa.Row[Any], device: Device) -> tuple[Session, _EndedSession | None]:
    repository.lock_user(unit.connection, user.id)
    before = repository.lock_live_session_on(unit.connection, user.id, device.id)
    replaced = None if before is None else _end_session(unit, before.id, "replaced")

    moment, session_id = now(), new_id()
    access_token, refresh_token = tokens.new_token("hya"), tokens.new_token("hyr")
    repository.insert_session(
        unit.connection,
        id=session_id,
        user_id=user.id,
        live_device_id=device.id,
        platform=device.platform,
        device_name=device.name,
        access_token_hash=tokens.digest(access_token),
        access_expires_at=moment + ACCESS_TOKEN_LIFE,
        refresh_expires_at=moment + REFRESH_TOKEN_LIFE,
        created_at=moment,
    )
    repository.insert_refresh_token(unit.connection, session_id, tokens.digest(refresh_token))
    return _session(session_id, access_token, refresh_token, user), replaced


def _refresh(unit: UnitOfWork, token_hash: bytes) -> tuple[Session | EndReason, _EndedSession]:
    token = repository.lock_refresh_token(unit.connection, token_hash)
    session = None if token is None else repository.lock_session(unit.connection, token.session_id)
    moment = now()
    if token is None or session is None or session.ended_at is not None or session.refresh_expires_at <= moment:
        raise RefreshTokenInvalid
    outdated = _EndedSession(session.id, session.access_token_hash)
    if token.spent_at is not None:
        _end_session(unit, session.id, "refresh_reused")
        return "refresh_reused", outdated

    user = repository.find_user(unit.connection, session.user_id)
    if user is None:
        raise RefreshTokenInvalid
    access_token, refresh_token = tokens.new_token("hya"), tokens.new_token("hyr")
    repository.spend_refresh_token(unit.connection, token_hash, moment)
    repository.insert_refresh_token(unit.connection, session.id, tokens.digest(refresh_token))
    repository.renew_session(
        unit.connection,
        session.id,
        access_token_hash=tokens.digest(access_token),
        access_expires_at=moment + ACCESS_TOKEN_LIFE,
        refresh_expires_at=moment + REFRESH_TOKEN_LIFE,
    )
    return _session(session.id, access_token, refresh_token, user), outdated


def _end_session(unit: UnitOfWork, session_id: str, reason: EndReason) -> _EndedSession | None:
    session = repository.lock_session(unit.connection, session_id)
    if session is None or session.ended_at is not None:
        return None
    return _end(unit, session, reason)


def _end(unit: UnitOfWork, session: sa.Row[Any], reason: EndReason) -> _EndedSession:
    """End a locked session that lives."""
    repository.end_session(unit.connection, session.id, at=now(), reason=reason)
    audience = SessionAudience(user_id=session.user_id, session_id=session.id)
    unit.announce(event("session.ended", audience, session_id=session.id, reason=reason))
    return _EndedSession(session.id, session.access_token_hash)


def _end_own_session(unit: UnitOfWork, user_id: str, session_id: str) -> _EndedSession:
    session = repository.lock_session(unit.connection, session_id)
    if session is None or session.user_id != user_id or session.ended_at is not None:
        raise SessionNotFound
    return _end(unit, session, "logged_out")


def _change_password(unit: UnitOfWork, principal: Principal, password_hash: str) -> list[_EndedSession]:
    repository.lock_user(unit.connection, principal.user_id)
    repository.update_user(unit.connection, principal.user_id, password_hash=password_hash)
    others = repository.list_other_live_sessions(unit.connection, principal.user_id, principal.session_id)
    ended = [_end_session(unit, session_id, "password_changed") for session_id in others]
    return [session for session in ended if session is not None]


def _live_session(row: sa.Row[Any], principal: Principal) -> LiveSession:
    return LiveSession(
        id=row.id,
        device=SessionDevice(id=row.live_device_id, platform=row.platform, name=row.device_name),
        current=row.id == principal.session_id,
        created_at=row.created_at,
    )


def _session(session_id: str, access_token: str, refresh_token: str, user: sa.Row[Any]) -> Session:
    return Session(
        access_token=access_token,
        expires_in=int(ACCESS_TOKEN_LIFE.total_seconds()),
        refresh_token=refresh_token,
        session_id=session_id,
        user=Self.model_validate(user._mapping),  # noqa: SLF001
    )
