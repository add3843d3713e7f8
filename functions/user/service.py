"""Accounts: register, change what one shows and how one gets in, close."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from hongyan import feed, files, rate_limits
from hongyan.clock import now
from hongyan.errors import (
    CredentialsInvalid,
    OwnerMustHandOver,
    PhoneNotRegistered,
    PhoneTaken,
    Problem,
    UsernameTaken,
    UserNotFound,
    ValidationFailed,
)
from hongyan.events import ConversationAudience, FriendsAudience, UsersAudience, event
from hongyan.ids import is_id, new_id
from hongyan.profiles import public_profile
from hongyan.schemas import User
from hongyan.sessions import Principal
from hongyan.unit_of_work import UnitOfWork, perform, read
from sqlalchemy.exc import IntegrityError

from functions.user import codes, logins, repository, usernames
from functions.user.codes import Weighed
from functions.user.passwords import hash_password, is_password, weakness
from functions.user.profiles import own_profile_of
from functions.user.schemas import (
    PasswordChange,
    PasswordRegistration,
    PasswordReset,
    PhoneProof,
    PhoneRegistration,
    ProfileChange,
    Self,
    Users,
)

PASSWORDS_OF_ACCOUNT = rate_limits.at_most(10, 15 * 60, "passwords-of-account")

# Whole offices and dormitories stand behind one address, so these bound floods and not people.
REGISTRATIONS_FROM_ADDRESS = rate_limits.at_most(1_000, 60 * 60, "registrations-from-address")
PASSWORD_RESETS_FROM_ADDRESS = rate_limits.at_most(30, 60 * 60, "password-resets-from-address")

CLOSED_NICKNAME = "已注销 · Closed account"


def register(registration: PasswordRegistration, address: str) -> Self:
    """Make an account with a username and a password.

    Raises:
        ValidationFailed: the password is the username, or one of the most common.
        RateLimited: too many registrations from the address lately.
        UsernameTaken: somebody has the username, in whatever letter case.

    """
    _refuse_weak(registration.password, registration.username, "password")
    rate_limits.take_if_counted(REGISTRATIONS_FROM_ADDRESS, rate_limits.subscriber(address))
    password_hash = hash_password(registration.password)
    nickname = registration.nickname or registration.username
    try:
        return perform(
            lambda unit: _insert_user(
                unit, new_id(), username=registration.username, nickname=nickname, password_hash=password_hash
            )
        )
    except IntegrityError as error:
        raise UsernameTaken from error


def register_by_phone(registration: PhoneRegistration, address: str) -> Self:
    """Make an account with a phone. Its username is made too; a password can be set by resetting it.

    Raises:
        RateLimited: too many registrations from the address lately.
        VerificationCodeWrong, VerificationCodeExpired: the phone is not shown to be one's own.
        PhoneTaken: it is, and has an account.

    """
    rate_limits.take_if_counted(REGISTRATIONS_FROM_ADDRESS, rate_limits.subscriber(address))
    weighed = codes.weigh(registration, "register")
    try:
        return codes.settled(perform(lambda unit: _register_by_phone(unit, registration, weighed)))
    except IntegrityError as error:  # with another code, at this very moment
        raise PhoneTaken from error


def reset_password(reset: PasswordReset, address: str) -> None:
    """Set a password by a code and end all of the account's sessions.

    Raises:
        RateLimited: too many resets from the address lately.
        VerificationCodeWrong, VerificationCodeExpired: the phone is not shown to be one's own.
        PhoneNotRegistered: it is, and has no account.
        ValidationFailed: the password is the username, or one of the most common; the code is still good.

    """
    rate_limits.take_if_counted(PASSWORD_RESETS_FROM_ADDRESS, rate_limits.subscriber(address))
    weighed = codes.weigh(reset, "reset_password")
    password_hash = hash_password(reset.new_password)
    logins.forget(codes.settled(perform(lambda unit: _reset_password(unit, reset, password_hash, weighed))))


def change_phone(principal: Principal, proof: PhoneProof) -> Self:
    """Give the account another phone, which a code has shown to be the caller's.

    Raises:
        VerificationCodeWrong, VerificationCodeExpired: the phone is not shown to be one's own.
        PhoneTaken: it is, and somebody's account has it.

    """
    weighed = codes.weigh(proof, "change_phone")
    try:
        return codes.settled(perform(lambda unit: _change_phone(unit, principal.user_id, proof.phone, weighed)))
    except IntegrityError as error:
        raise PhoneTaken from error


def close_account(principal: Principal) -> None:
    """Close the caller's account, at once and for good.

    Sessions and friendships end, groups are left, username and phone are free for others, and what is left is a row
    without anything that says whose it was: others keep the history they had.

    Raises:
        OwnerMustHandOver: the caller owns a group that goes on, and hands it over or dissolves it first.
        UserNotFound: it is closed already.

    """
    logins.forget(perform(lambda unit: _close_account(unit, principal.user_id)))


def change_profile(principal: Principal, change: ProfileChange) -> Self:
    """Change what the caller shows of themselves."""
    values = change.model_dump(exclude_none=True)
    if not values:
        return own_profile(principal)
    return perform(lambda unit: _change_profile(unit, principal.user_id, values))


def change_avatar(principal: Principal, file_id: str | None) -> Self:
    """Show another picture, or none.

    Raises:
        FileNotFound: the caller has no such file.
        FileNotUsable: its upload is not completed, or was not for an avatar.

    """
    return perform(lambda unit: _change_avatar(unit, principal.user_id, file_id))


def change_password(principal: Principal, change: PasswordChange) -> None:
    """Change the password and end the caller's other sessions.

    Raises:
        CredentialsInvalid: the old password is not right.
        RateLimited: too many tries lately.
        ValidationFailed: the new one is the username, or one of the most common.

    """
    rate_limits.take_if_counted(PASSWORDS_OF_ACCOUNT, principal.user_id)
    user = read(lambda connection: repository.find_user(connection, principal.user_id))
    if user is None or not is_password(change.old_password, user.password_hash):
        raise CredentialsInvalid
    _refuse_weak(change.new_password, user.username, "new_password")
    password_hash = hash_password(change.new_password)
    logins.forget(perform(lambda unit: _change_password(unit, principal, user.password_hash, password_hash)))
    rate_limits.forgive_if_counted(PASSWORDS_OF_ACCOUNT, principal.user_id)


def profiles(user_ids: Sequence[str]) -> Users:
    """Return the public profiles of those of the users that there are."""
    rows = read(lambda connection: repository.find_users(connection, [i for i in user_ids if is_id(i)]))
    return Users(items=[public_profile(row) for row in rows])


def own_profile(principal: Principal) -> Self:
    """Return the caller's profile."""
    return own_profile_of(read(lambda connection: repository.find_user(connection, principal.user_id)))


def profile(user_id: str) -> User:
    """Return anybody's public profile.

    Raises:
        UserNotFound: there is no such user.

    """
    row = read(lambda connection: repository.find_user(connection, user_id))
    if row is None:
        raise UserNotFound
    return public_profile(row)


def _insert_user(
    unit: UnitOfWork, user_id: str, *, username: str, nickname: str, password_hash: str | None, phone: str | None = None
) -> Self:
    row = repository.insert_user(
        unit.connection,
        id=user_id,
        username=username,
        nickname=nickname,
        description="",
        password_hash=password_hash,
        phone=phone,
        created_at=now(),
    )
    # Nobody knows them yet: only the search index must hear of it.
    _announce_change(unit, row, UsersAudience(user_ids=[]))
    return own_profile_of(row)


def _register_by_phone(unit: UnitOfWork, registration: PhoneRegistration, weighed: Weighed) -> Self | Problem:
    problem = codes.spend(unit, weighed)
    if problem is not None:
        return problem
    if repository.find_user_by_phone(unit.connection, registration.phone) is not None:
        return PhoneTaken()
    user_id = new_id()
    username = usernames.made_for(user_id)
    return _insert_user(
        unit,
        user_id,
        username=username,
        nickname=registration.nickname or username,
        password_hash=None,
        phone=registration.phone,
    )


def _reset_password(
    unit: UnitOfWork, reset: PasswordReset, password_hash: str, weighed: Weighed
) -> list[logins.EndedSession] | Problem:
    user = repository.lock_user_by_phone(unit.connection, reset.phone)
    if weighed.is_right:  # only then may the answer depend on whose phone it is
        _refuse_weak(reset.new_password, "" if user is None else user.username, "new_password")
    problem = codes.spend(unit, weighed)
    if problem is not None:
        return problem
    if user is None:
        return PhoneNotRegistered()
    repository.update_user(unit.connection, user.id, password_hash=password_hash)
    return logins.end_all(unit, user.id, "password_reset")


def _change_phone(unit: UnitOfWork, user_id: str, phone: str, weighed: Weighed) -> Self | Problem:
    if repository.lock_user(unit.connection, user_id) is None:
        raise UserNotFound
    problem = codes.spend(unit, weighed)
    if problem is not None:
        return problem
    holder = repository.find_user_by_phone(unit.connection, phone)
    if holder is not None and holder.id != user_id:
        return PhoneTaken()
    return own_profile_of(repository.update_user(unit.connection, user_id, phone=phone))


def _change_profile(unit: UnitOfWork, user_id: str, values: dict[str, Any]) -> Self:
    if repository.lock_user(unit.connection, user_id) is None:
        raise UserNotFound
    return _write_profile(unit, user_id, values)


def _write_profile(unit: UnitOfWork, user_id: str, values: dict[str, Any]) -> Self:
    """Change the profile of a locked user."""
    row = repository.update_user(unit.connection, user_id, **values)
    _announce_change(unit, row, FriendsAudience(user_id=user_id, with_own_devices=True))
    feed.note_for_friends(unit.connection, user_id)
    feed.note_for_peers(unit.connection, user_id)
    return own_profile_of(row)


def _change_avatar(unit: UnitOfWork, user_id: str, file_id: str | None) -> Self:
    user = repository.lock_user(unit.connection, user_id)
    if user is None:
        raise UserNotFound
    if file_id is not None:
        files.use(unit.connection, user_id, file_id, "avatar")
    shown = _write_profile(unit, user_id, {"avatar_file_id": file_id})
    files.release_avatar(unit.connection, user.avatar_file_id)
    return shown


def _close_account(unit: UnitOfWork, user_id: str) -> list[logins.EndedSession]:
    user = repository.lock_user(unit.connection, user_id)
    if user is None:
        raise UserNotFound
    _leave_groups(unit, user_id)
    friend_ids = repository.list_friend_ids(unit.connection, user_id)
    if friend_ids:
        unit.announce(event("friend.removed", UsersAudience(user_ids=friend_ids), user_id=user_id))
    ended = logins.end_all(unit, user_id, "account_closed")
    repository.leave_everybody(unit.connection, user_id, now())
    repository.forget_traces(unit.connection, user_id, user.phone)
    row = repository.update_user(
        unit.connection,
        user_id,
        username=usernames.left_by(user_id),
        nickname=CLOSED_NICKNAME,
        description="",
        password_hash=None,
        phone=None,
        avatar_file_id=None,
        last_seen_at=None,
        closed_at=now(),
    )
    files.release_avatar(unit.connection, user.avatar_file_id)
    _announce_change(unit, row, UsersAudience(user_ids=friend_ids))
    feed.note(unit.connection, friend_ids, "friend", user_id)
    feed.note_for_peers(unit.connection, user_id)
    return ended


def _leave_groups(unit: UnitOfWork, user_id: str) -> None:
    groups = repository.lock_groups(unit.connection, user_id)
    if any(group.role == "owner" for group in groups):
        raise OwnerMustHandOver
    if not groups:
        return
    repository.leave_groups(unit.connection, user_id, [group.id for group in groups], now())
    for group in groups:
        audience = ConversationAudience(conversation_id=group.id)
        change = {"conversation_id": group.id, "user_id": user_id, "change": "left", "by_user_id": user_id}
        unit.announce(event("member.changed", audience, **change))


def _announce_change(unit: UnitOfWork, row: sa.Row[Any], audience: FriendsAudience | UsersAudience) -> None:
    unit.announce(event("user.updated", audience, user=public_profile(row)))


def _change_password(
    unit: UnitOfWork, principal: Principal, compared_hash: str, password_hash: str
) -> list[logins.EndedSession]:
    user = repository.lock_user(unit.connection, principal.user_id)
    if user is None or user.password_hash != compared_hash:  # closed or reset since the old password was compared
        raise CredentialsInvalid
    repository.update_user(unit.connection, principal.user_id, password_hash=password_hash)
    return logins.end_all(unit, principal.user_id, "password_changed", but=principal.session_id)


def _refuse_weak(password: str, username: str, field: str) -> None:
    reason = weakness(password, username)
    if reason is not None:
        raise ValidationFailed.at(["body", field], reason)
