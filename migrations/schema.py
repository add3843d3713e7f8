"""Brings the database to the newest revision of this release, and says who may do what in the stores."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from hongyan.observability import logger

from migrations import access, owner

_HERE = Path(__file__).parent
_LOCK_SECONDS = 60


class MigrationLockedError(Exception):
    """Another deployment is migrating this database."""


def migrate() -> str:
    """Upgrade to the newest revision, let the functions in, one caller at a time, and return the revision reached.

    A database that a later release has migrated is left as it is: that release was rolled back, its schema stays, and
    whatever it added is compatible with this one (docs/releases.md).

    Raises:
        MigrationLockedError: another call held the lock for a minute.
        sqlalchemy.exc.SQLAlchemyError: a statement failed. Those before it stay: MySQL commits at each DDL.
        opensearchpy.exceptions.OpenSearchException: the search engine does not take what functions may do there.

    """
    engine = owner.engine()
    alembic = Config(_HERE / "alembic.ini", attributes={"engine": engine})
    with engine.connect() as connection:
        taken = sa.text("SELECT GET_LOCK('hongyan.migrations', :seconds)")
        if connection.scalar(taken, {"seconds": _LOCK_SECONDS}) != 1:
            raise MigrationLockedError
        try:
            before = MigrationContext.configure(connection).get_current_revision()
            if _is_of_a_later_release(before, ScriptDirectory.from_config(alembic)):
                logger.warning("a later release has migrated the database; its schema stays", revision=before)
            else:
                command.upgrade(alembic, "head")
            access.grant()
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK('hongyan.migrations')"))
        revision = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    logger.info("the database is migrated", revision=revision, before=before)
    return str(revision)


def _is_of_a_later_release(revision: str | None, scripts: ScriptDirectory) -> bool:
    # Revisions are numbered: 0001, 0002, ... An unknown one that is not behind our last is none of ours.
    known = {script.revision for script in scripts.walk_revisions()}
    return revision is not None and revision not in known and revision > str(scripts.get_current_head())
