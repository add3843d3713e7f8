"""Sessions of the command line, kept in files: one folder per profile, readable by its owner only."""

import json
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import filelock
import httpx
import platformdirs
from pydantic import ValidationError

from hongyan_client import durable
from hongyan_client.errors import HongyanError
from hongyan_client.models import Device, Model, Session

_LOCK_SECONDS = 60.0
_DEVICE_NAME_LENGTH = 32


class _StoredSession(Model):
    origin: str
    session: Session


def profiles_folder() -> Path:
    """Return where profiles are: $HONGYAN_HOME, else the user's configuration folder."""
    return Path(os.environ.get("HONGYAN_HOME") or platformdirs.user_config_path("hongyan", appauthor=False))


def states_folder() -> Path:
    """Return where the profiles' state is: $HONGYAN_HOME, else the user's folder for state."""
    return Path(os.environ.get("HONGYAN_HOME") or platformdirs.user_state_path("hongyan", appauthor=False))


class Profile:
    """A SessionStore in files. Programs that use one profile at the same time refresh its session one at a time.

    A session is bound to the origin (scheme, host, port) that it was made at: no other one is shown its tokens.

    Raises HongyanError for a name that is none, and from load() for a session file that cannot be read.
    """

    def __init__(self, name: str, endpoint: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name):
            raise HongyanError(f"{name!r} is no name for a profile: 1 to 32 letters, digits, _ and -.")
        self._name = name
        self._origin = _origin(endpoint)
        self._folder = profiles_folder() / name
        self._session_file = self._folder / "session.json"
        self._device_file = self._folder / "device.json"

    def device(self) -> Device:
        """Return the device that this profile is, made at the first call."""
        if not self._device_file.exists():
            name = "".join(filter(str.isprintable, socket.gethostname()))[:_DEVICE_NAME_LENGTH].strip()
            durable.write_text(
                self._device_file, Device(id=uuid4().hex, platform="cli", name=name or "terminal").model_dump_json()
            )
        try:
            return Device.model_validate_json(self._device_file.read_bytes())
        except ValidationError as error:
            raise HongyanError(f"{self._device_file} cannot be read; remove it to begin anew.") from error

    def state_file(self) -> Path:
        """Return where the state of this device is kept, which the server can always tell again."""
        return states_folder() / self._name / "state.db"

    def uploads_file(self) -> Path:
        """Return where uploads are kept that were begun and not sent yet."""
        return states_folder() / self._name / "uploads.json"

    def load(self) -> Session | None:
        """See SessionStore."""
        try:
            stored = _StoredSession.model_validate_json(self._session_file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise HongyanError(f"{self._session_file} cannot be read; remove it and log in again.") from error
        if stored.origin != self._origin:
            raise HongyanError(
                f"Profile {self._name!r} is logged in at {stored.origin}, not at {self._origin}. "
                "Log in there, or take another --profile."
            )
        return stored.session

    def save(self, session: Session) -> None:
        """See SessionStore."""
        durable.write_text(self._session_file, _StoredSession(origin=self._origin, session=session).model_dump_json())

    def clear(self, session_id: str) -> None:
        """See SessionStore."""
        session = self.load()
        if session and session.session_id == session_id:
            self._session_file.unlink(missing_ok=True)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """See SessionStore."""
        self._make_folder()
        held = filelock.AsyncFileLock(self._folder / "refresh.lock", timeout=_LOCK_SECONDS)
        try:
            await held.acquire()
        except filelock.Timeout as error:
            raise HongyanError(f"Another program has kept profile {self._name!r} for {_LOCK_SECONDS:g} s.") from error
        try:
            yield
        finally:
            await held.release()

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def find_endpoint(given: str | None) -> str:
    """Return the address to use: the given one, $HONGYAN_ENDPOINT, or the local stack's in the current folder.

    Raises HongyanError when there is none.
    """
    if address := given or os.environ.get("HONGYAN_ENDPOINT"):
        return address
    local = Path(".local/endpoints.json")
    try:
        return str(json.loads(local.read_text(encoding="utf-8"))["rest_url"])
    except FileNotFoundError as error:
        raise HongyanError(
            "Which server? Give --endpoint or HONGYAN_ENDPOINT, or run this where .local/endpoints.json is."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise HongyanError(f"{local} does not hold a rest_url; is the local stack still starting?") from error


def _origin(endpoint: str) -> str:
    try:
        url = httpx.URL(endpoint)
    except httpx.InvalidURL as error:
        raise HongyanError(f"{endpoint} is not an address.") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise HongyanError(f"{endpoint} is not an address; it begins with http:// or https://.")
    return f"{url.scheme}://{url.netloc.decode()}"
