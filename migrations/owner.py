"""The database's owner, who may change its tables and say who may do what. Only the migration function signs in so."""

from functools import cache

import sqlalchemy as sa
from hongyan import aws, stores
from pydantic import BaseModel
from pydantic_settings import BaseSettings, SettingsConfigDict

_ANSWER_SECONDS = 840  # a table may take long to change; below the function's own limit


class OwnerSettings(BaseSettings):
    """The secret with the owner's address, and the roles of functions that ask and that write the search engine."""

    model_config = SettingsConfigDict(frozen=True)

    owner_secret_arn: str
    search_reader_roles: list[str] = []
    search_writer_roles: list[str] = []


class OwnerAddress(BaseModel):
    """That secret: a URL as that of the functions, with another user."""

    database_url: str


@cache
def settings() -> OwnerSettings:
    """Return what the template says."""
    return OwnerSettings()


@cache
def engine() -> sa.Engine:
    """Return the engine of the database, for its owner."""
    answer = aws.secrets_manager().get_secret_value(SecretId=settings().owner_secret_arn)
    address = OwnerAddress.model_validate_json(answer["SecretString"])
    return stores.open_database(address.database_url, answer_seconds=_ANSWER_SECONDS)
