"""What the user module takes and answers (contract, User)."""

from typing import Annotated, Any, Literal

from hongyan.clock import Timestamp
from hongyan.discovery import Module
from hongyan.ids import Id
from hongyan.schemas import ClientKey, Nickname, Prose, RequestBody, User
from pydantic import AfterValidator, BaseModel, Discriminator, Field, StringConstraints, Tag

from functions.user.phones import Phone
from functions.user.usernames import not_reserved

Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{3,32}$"), AfterValidator(not_reserved)]
Password = Annotated[str, StringConstraints(min_length=8, max_length=128)]
Purpose = Literal["register", "login", "change_phone", "reset_password"]


class CodeRequest(RequestBody):
    """POST /v1/verification-codes."""

    phone: Phone
    purpose: Purpose


class PhoneProof(RequestBody):
    """That a phone is one's own: the code that was sent to it."""

    phone: Phone
    code_id: Id
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]


class PasswordRegistration(RequestBody):
    """POST /v1/users with a username and a password."""

    username: Username
    password: Password
    nickname: Nickname | None = None


class PhoneRegistration(PhoneProof):
    """POST /v1/users with a phone; the username is made."""

    nickname: Nickname | None = None


def _way(body: Any) -> str:
    return "<phone>" if isinstance(body, dict | PhoneProof) and "phone" in dict(body) else "<password>"


Registration = Annotated[
    Annotated[PasswordRegistration, Tag("<password>")] | Annotated[PhoneRegistration, Tag("<phone>")],
    Discriminator(_way),
]


class Device(RequestBody):
    """What a session runs on."""

    id: ClientKey
    platform: Literal["web", "ios", "android", "desktop", "cli"]
    name: Nickname


class PasswordLogin(RequestBody):
    """POST /v1/sessions. Any text is taken as a name or password to try: only registering says what they must be."""

    username: Annotated[str, StringConstraints(max_length=200)]
    password: Annotated[str, StringConstraints(max_length=200)]
    device: Device


class PhoneLogin(PhoneProof):
    """POST /v1/sessions with a code."""

    device: Device


Login = Annotated[
    Annotated[PasswordLogin, Tag("<password>")] | Annotated[PhoneLogin, Tag("<phone>")], Discriminator(_way)
]


class PasswordReset(PhoneProof):
    """POST /v1/password-resets."""

    new_password: Password


class Refresh(RequestBody):
    """POST /v1/sessions/refresh."""

    refresh_token: Annotated[str, StringConstraints(max_length=200)]


class ProfileChange(RequestBody):
    """PATCH /v1/users/me. What is left out stays as it is."""

    nickname: Nickname | None = None
    description: Annotated[Prose, StringConstraints(max_length=200)] | None = None


class AvatarChange(RequestBody):
    """PUT /v1/users/me/avatar; null shows none."""

    file_id: Id | None


class PasswordChange(RequestBody):
    """PUT /v1/users/me/password."""

    old_password: Annotated[str, StringConstraints(max_length=200)]
    new_password: Password


class UserIds(RequestBody):
    """POST /v1/users/batch-get."""

    ids: Annotated[list[Annotated[str, StringConstraints(max_length=36)]], Field(min_length=1, max_length=100)]


class SentCode(BaseModel):
    """A code is under way: both times in seconds."""

    code_id: str
    expires_in: int
    resend_after: int


class Users(BaseModel):
    """Public profiles; unknown ids are left out."""

    items: list[User]


Relation = Literal["none", "requested", "incoming", "friend", "blocked", "self"]


class FoundUser(User):
    """Somebody who was found, and what is between them and who asked."""

    relation: Relation


class Self(User):
    """One's own profile."""

    phone: str | None
    created_at: Timestamp


class Session(BaseModel):
    """A fresh session: ``expires_in`` is the access token's life in seconds."""

    access_token: str
    expires_in: int
    refresh_token: str
    session_id: str
    user: Self


class Ticket(BaseModel):
    """A ticket and the address to open with it: ``{url}?ticket={ticket}``."""

    ticket: str
    url: str


class Endpoints(BaseModel):
    """All that a client needs to start."""

    rest_url: str
    websocket_url: str
    version: str


class Health(BaseModel):
    """Whether the deployment serves, the state of each store, and which modules are registered."""

    status: Literal["ok", "unavailable"]
    dependencies: dict[str, Literal["ok", "unavailable"]]
    modules: dict[Module, Literal["ok", "unavailable"]]
