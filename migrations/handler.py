"""The function that brings the database to the newest revision and says who may do what, called at every deployment."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from hongyan.observability import logger

from migrations import access, owner

_HERE = Path(__file__).parent
_LOCK_SECONDS = 60


class MigrationLockedError(Exception):
    """Another deployment is migrating this database."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, str | None]:  # noqa: ARG001  # Lambda's signature
    """Upgrade to the newest revision, let the functions in, one caller at a time, and return the revision reached.

    Raises:
        MigrationLockedError: another call held the lock for a minute.

    """
    with owner.engine().connect() as connection:
        if (
            connection.scalar(sa.text("SELECT GET_LOCK('hongyan.migrations', :seconds)"), {"seconds": _LOCK_SECONDS})
            != 1
        ):
            raise MigrationLockedError
        try:
            command.upgrade(Config(_HERE / "alembic.ini"), "head")
            access.grant()
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK('hongyan.migrations')"))
        revision = MigrationContext.configure(connection).get_current_revision()
    logger.info("the database is migrated", revision=revision)
    return {"revision": revision}
