"""The environment of a function, parsed once by one model."""

from functools import cache

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Names of what the template made; each is an environment variable of the same name in capitals.

    Secrets are never among them: ``stores_secret_arn`` names the secret, :mod:`hongyan.stores` reads it.
    """

    model_config = SettingsConfigDict(frozen=True)

    stack_name: str
    stores_secret_arn: str
    events_topic_arn: str
    cloud_map_namespace: str
    files_bucket: str
    message_retention_days: int = 0


@cache
def settings() -> Settings:
    """Return the settings of this function.

    Raises:
        pydantic.ValidationError: a variable is missing; the function then fails at its first call, not half-way.

    """
    return Settings()
