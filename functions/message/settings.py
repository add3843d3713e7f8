"""What only the functions that push have in their environment."""

from functools import cache

from pydantic_settings import BaseSettings, SettingsConfigDict


class PushSettings(BaseSettings):
    """The queues that the push puts work on itself."""

    model_config = SettingsConfigDict(frozen=True)

    message_shard_queue_url: str
    message_retry_queue_url: str


@cache
def settings() -> PushSettings:
    """Return the settings of this function."""
    return PushSettings()
