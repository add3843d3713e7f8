"""What only the functions of files have in their environment."""

from functools import cache

from pydantic_settings import BaseSettings, SettingsConfigDict


class FileSettings(BaseSettings):
    """How much somebody may store and upload, in bytes, and the queue of what takes long to verify."""

    model_config = SettingsConfigDict(frozen=True)

    file_quota_bytes: int
    file_daily_bytes: int
    file_verify_queue_url: str


@cache
def settings() -> FileSettings:
    """Return the settings of this function."""
    return FileSettings()
