"""Uploads that were begun and not sent yet, kept in a file, so that a program that dies can go on in the next one."""

from pathlib import Path

from pydantic import RootModel, ValidationError

from hongyan_client import durable
from hongyan_client.errors import HongyanError
from hongyan_client.models import Model


class Unfinished(Model):
    """An upload, and the ``client_id`` of the message that it is for: sent again, it is the same message."""

    file_id: str
    client_id: str


class _Kept(RootModel[dict[str, Unfinished]]):
    pass


class UnfinishedUploads:
    """The uploads of a profile, by what is uploaded and where to. Raises HongyanError for a file that is no such."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, key: str) -> Unfinished | None:
        """Return the upload that was begun."""
        return self._load().get(key)

    def keep(self, key: str, upload: Unfinished) -> None:
        """Keep an upload that was begun, before any byte of it is sent."""
        self._save(self._load() | {key: upload})

    def forget(self, key: str) -> None:
        """Forget an upload that was sent, or cannot be."""
        self._save({other: upload for other, upload in self._load().items() if other != key})

    def _load(self) -> dict[str, Unfinished]:
        try:
            return _Kept.model_validate_json(self._path.read_bytes()).root
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise HongyanError(f"{self._path} cannot be read; remove it to begin anew.") from error

    def _save(self, uploads: dict[str, Unfinished]) -> None:
        durable.write_text(self._path, _Kept(uploads).model_dump_json())
