"""The migrations make just the tables that the code knows, and CloudFormation is told how it went."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.util import CommandError
from hongyan import stores
from hongyan.tables import metadata

from migrations.handler import handler
from migrations.schema import MigrationLockedError, migrate
from tests.support.cloudformation import IDS, awaiting
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext


def test_the_migrated_database_is_what_the_code_knows(deployment: Deployment) -> None:
    with stores.engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_migrating_again_changes_nothing(deployment: Deployment) -> None:
    assert migrate() == migrate()


def test_what_a_later_release_has_migrated_is_left_alone_when_it_is_rolled_back(deployment: Deployment) -> None:
    with at_revision("9999"):
        assert migrate() == "9999"


def test_two_deployments_do_not_migrate_at_once(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations.schema._LOCK_SECONDS", 0)
    with stores.engine().connect() as other:
        other.execute(sa.text("SELECT GET_LOCK('hongyan.migrations', 0)"))

        with pytest.raises(MigrationLockedError):
            migrate()

        other.execute(sa.text("SELECT RELEASE_LOCK('hongyan.migrations')"))


def test_a_database_of_somebody_else_is_not_touched(deployment: Deployment) -> None:
    with at_revision("0000-of-another"), pytest.raises(CommandError):
        migrate()


def cloudformation(request_type: str) -> dict[str, Any]:
    """Let CloudFormation ask for something; return what it is told."""
    with awaiting(request_type) as (request, told):
        handler(request, LambdaContext())
    [answer] = told
    assert {name: answer[name] for name in IDS} == IDS
    return answer


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_cloudformation_is_told_the_revision(deployment: Deployment, request_type: str) -> None:
    answer = cloudformation(request_type)

    assert answer["Status"] == "SUCCESS"
    assert answer["Data"] == {"Revision": migrate()}


def test_cloudformation_is_told_why_a_migration_failed(deployment: Deployment) -> None:
    with at_revision("0000-of-another"):
        answer = cloudformation("Update")

    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("CommandError: Can't locate revision")


def test_a_stack_that_is_deleted_leaves_the_database(deployment: Deployment) -> None:
    before = migrate()

    assert cloudformation("Delete")["Status"] == "SUCCESS"
    assert migrate() == before


@contextmanager
def at_revision(revision: str) -> Iterator[None]:
    right = migrate()
    _say_that_it_is(revision)
    try:
        yield
    finally:
        _say_that_it_is(right)


def _say_that_it_is(revision: str) -> None:
    with stores.engine().begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
