"""The migrations make just the tables that the code knows."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hongyan import stores
from hongyan.tables import metadata

from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.template import load


def test_the_migrated_database_is_what_the_code_knows(deployment: Deployment) -> None:
    with stores.engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_migrating_again_changes_nothing(deployment: Deployment) -> None:
    handler = load("migrations.handler.handler")

    assert handler({}, LambdaContext()) == handler({}, LambdaContext())
