"""Sessions of devices: log in, refresh, log out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from hongyan import feed, rate_limits, sessions, tokens
from hongyan.clock import now
from hongyan.errors import (
    CredentialsInvalid,
    PhoneNotRegistered,
    Problem,
    RefreshTokenInvalid,
    SessionNotFound,
)
from hongyan.events import SessionAudience, event
from hongyan.ids import new_id
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.schemas import LiveSession
from hongyan.sessions import Principal
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.user import codes, repository
from functions.user.codes import Weighed
from functions.user.passwords import is_password
from functions.user.profiles import own_profile_of
from functions.user.schemas import Device, PasswordLogin, PhoneLogin, Session

ACCESS_TOKEN_LIFE = timedelta(hours=1)
REFRESH_TOKEN_LIFE = timedelta(days=30)

EndReason = Literal["logged_out", "replaced", "refresh_reused", "password_changed", "password_reset", "account_closed"]

# Tries, not logins. The narrow limit is for one account from one address, so that nobody locks out somebody who is
# elsewhere; a login forgives it. The wide one bounds guessing from many addresses.
LOGINS_OF_ACCOUNT_FROM_ADDRESS = rate_limits.at_most(10, 15 * 60, "logins-of-account-from-address")
LOGINS_OF_ACCOUNT = rate_limits.at_most(100, 60 * 60, "logins-of-account")
FAILED_LOGINS_OF_ADDRESS = rate_limits.at_most(100, 15 * 60, "failed-logins-of-address")

_SESSIONS = "sessions"


class EndedSession(NamedTuple):
    """A session that has ended or got another token, and what its token is cached under."""

    session_id: str
    access_token_hash: bytes


class _Opened(NamedTuple):
    session: Session
    replaced: EndedSession | None


def log_in(login: PasswordLogin, address: str) -> Session:
    """Open a session on a device; the one that the device had before ends.

    Raises:
        CredentialsInvalid: unknown user or wrong password, after the same work.
        RateLimited: too many failures lately, for the account or from the address.

    """
    account, subscriber = login.username.casefold(), rate_limits.subscriber(address)
    here = f"{subscriber}/{account}"
    with _counted_if_it_fails(
        (LOGINS_OF_ACCOUNT_FROM_ADDRESS, here), (LOGINS_OF_ACCOUNT, account), (FAILED_LOGINS_OF_ADDRESS, subscriber)
    ):
        user = read(lambda connection: repository.find_user_by_username(connection, login.username))
        if not is_password(login.password, None if user is None else user.password_hash) or user is None:
            raise CredentialsInvalid
        opened = perform(lambda unit: _log_in(unit, user, login.device))
    rate_limits.forgive_if_counted(LOGINS_OF_ACCOUNT_FROM_ADDRESS, here)
    return _opened(opened)


def log_in_by_phone(login: PhoneLogin, address: str) -> Session:
    """Open a session on a device by a code; the one that the device had before ends.

    Raises:
        VerificationCodeWrong, VerificationCodeExpired: the phone is not shown to be one's own.
        PhoneNotRegistered: it is, and has no account.
        RateLimited: too many failures from the address lately.

    """
    with _counted_if_it_fails((FAILED_LOGINS_OF_ADDRESS, rate_limits.subscriber(address))):
        weighed = codes.weigh(login, "login")
        opened = codes.settled(perform(lambda unit: _log_in_by_phone(unit, login, weighed)))
    return _opened(opened)


def refresh(refresh_token: str) -> Session | EndReason:
    """Trade a refresh token for a new pair. One that was spent before ends its session, and the answer says so.

    Raises:
        RefreshTokenInvalid: the token is unknown or expired, or its session has ended.

    """
    if not tokens.is_token("hyr", refresh_token):
        raise RefreshTokenInvalid
    outcome, outdated = perform(lambda unit: _refresh(unit, tokens.digest(refresh_token)))
    if isinstance(outcome, Session):
        sessions.forget_token(outdated.access_token_hash)
    else:
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
        lambda row: sessions.show_session(row, principal),
        lambda row: encode_cursor(_SESSIONS, principal.user_id, [row.id]),
    )


def end_session(principal: Principal, session_id: str) -> None:
    """End one of the caller's sessions, on this device or another.

    Raises:
        SessionNotFound: it is not the caller's, or has ended.

    """
    sessions.forget(*perform(lambda unit: _end_own_session(unit, principal.user_id, session_id)))


def end_other_sessions(principal: Principal) -> None:
    """End all of the caller's sessions but the one that asks."""
    forget(perform(lambda unit: _end_others(unit, principal)))


def end_all(unit: UnitOfWork, user_id: str, reason: EndReason, but: str | None = None) -> list[EndedSession]:
    """End a locked user's sessions, all or all but one; to be forgotten once committed."""
    ended = [
        _end_session(unit, session_id, reason)
        for session_id in repository.list_live_session_ids(unit.connection, user_id)
        if session_id != but
    ]
    return [session for session in ended if session is not None]


def forget(ended: Sequence[EndedSession]) -> None:
    """Drop what is cached of sessions that have ended."""
    for session in ended:
        sessions.forget(*session)


def _log_in(unit: UnitOfWork, known: sa.Row[Any], device: Device) -> _Opened:
    user = repository.lock_user(unit.connection, known.id)
    if user is None or user.password_hash != known.password_hash:  # closed or reset since the password was compared
        raise CredentialsInvalid
    return _open_session(unit, user, device)


def _log_in_by_phone(unit: UnitOfWork, login: PhoneLogin, weighed: Weighed) -> _Opened | Problem:
    user = repository.lock_user_by_phone(unit.connection, login.phone)
    problem = codes.spend(unit, weighed)
    if problem is not None:
        return problem
    if user is None:
        return PhoneNotRegistered()
    return _open_session(unit, user, login.device)


def _open_session(unit: UnitOfWork, user: sa.Row[Any], device: Device) -> _Opened:
    """Open a session of a locked user."""
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
    feed.note(unit.connection, [user.id], "sessions", user.id)
    return _Opened(_session(session_id, access_token, refresh_token, user), replaced)


def _refresh(unit: UnitOfWork, token_hash: bytes) -> tuple[Session | EndReason, EndedSession]:
    token = repository.lock_refresh_token(unit.connection, token_hash)
    session = None if token is None else repository.lock_session(unit.connection, token.session_id)
    moment = now()
    if token is None or session is None or session.ended_at is not None or session.refresh_expires_at <= moment:
        raise RefreshTokenInvalid
    outdated = EndedSession(session.id, session.access_token_hash)
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


def _end_session(unit: UnitOfWork, session_id: str, reason: EndReason) -> EndedSession | None:
    session = repository.lock_session(unit.connection, session_id)
    if session is None or session.ended_at is not None:
        return None
    return _end(unit, session, reason)


def _end(unit: UnitOfWork, session: sa.Row[Any], reason: EndReason) -> EndedSession:
    """End a locked session that lives."""
    repository.end_session(unit.connection, session.id, at=now(), reason=reason)
    audience = SessionAudience(user_id=session.user_id, session_id=session.id)
    unit.announce(event("session.ended", audience, session_id=session.id, reason=reason))
    feed.note(unit.connection, [session.user_id], "sessions", session.user_id)
    return EndedSession(session.id, session.access_token_hash)


def _end_others(unit: UnitOfWork, principal: Principal) -> list[EndedSession]:
    repository.lock_user(unit.connection, principal.user_id)
    return end_all(unit, principal.user_id, "logged_out", but=principal.session_id)


def _end_own_session(unit: UnitOfWork, user_id: str, session_id: str) -> EndedSession:
    session = repository.lock_session(unit.connection, session_id)
    if session is None or session.user_id != user_id or session.ended_at is not None:
        raise SessionNotFound
    return _end(unit, session, "logged_out")


@contextmanager
def _counted_if_it_fails(*counts: rate_limits.Count) -> Iterator[None]:
    """Count a try before it is weighed, and take that back of one that was not refused.

    Weighing is slow. If tries were counted after it, all that come meanwhile would be weighed too.
    """
    rate_limits.take_all_if_counted(*counts)
    is_refused = False
    try:
        yield
    except Problem:
        is_refused = True
        raise
    finally:
        if not is_refused:
            rate_limits.give_back_if_counted(*counts)


def _opened(opened: _Opened) -> Session:
    if opened.replaced is not None:
        sessions.forget(*opened.replaced)
    return opened.session


def _session(session_id: str, access_token: str, refresh_token: str, user: sa.Row[Any]) -> Session:
    return Session(
        access_token=access_token,
        expires_in=int(ACCESS_TOKEN_LIFE.total_seconds()),
        refresh_token=refresh_token,
        session_id=session_id,
        user=own_profile_of(user),
    )
