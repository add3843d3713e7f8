"""Where a session is kept between calls, and between the programs of one person."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from hongyan_client.models import Session


class SessionStore(Protocol):
    """Keeps the session of one person on one device."""

    def load(self) -> Session | None:
        """Return the session, None when logged out."""

    def save(self, session: Session) -> None:
        """Keep ``session`` in place of what was there."""

    def clear(self, session_id: str) -> None:
        """Forget the session of this id; one that another program has made meanwhile stays."""

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Keep others that share this store from refreshing: a refresh token used twice ends the session."""


class MemoryStore:
    """A store that ends with the program."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def load(self) -> Session | None:
        """See SessionStore."""
        return self._session

    def save(self, session: Session) -> None:
        """See SessionStore."""
        self._session = session

    def clear(self, session_id: str) -> None:
        """See SessionStore."""
        if self._session and self._session.session_id == session_id:
            self._session = None

    def lock(self) -> AbstractAsyncContextManager[object]:
        """See SessionStore; nobody shares memory, and the client itself refreshes one at a time."""
        return nullcontext()
