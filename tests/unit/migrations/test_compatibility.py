"""No migration takes from the release before it what that still uses."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import hongyan
import pytest
import sqlalchemy as sa
from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql

from local.home import REPOSITORY
from migrations.compatibility import objections

SCRIPTS = ScriptDirectory.from_config(Config(REPOSITORY / "migrations" / "alembic.ini"))
MIGRATIONS = {script.revision: script.module for script in SCRIPTS.walk_revisions()}


@pytest.mark.parametrize("revision", sorted(MIGRATIONS))
def test_the_release_before_a_migration_runs_on_after_it(revision: str) -> None:
    assert objections(MIGRATIONS[revision], hongyan.__version__) == []


def test_migrations_are_numbered_in_their_order() -> None:
    """By which a release that was rolled back knows the schema of a later one (migrations.schema)."""
    in_order = [script.revision for script in SCRIPTS.walk_revisions()][::-1]

    assert in_order == [f"{number:04}" for number in range(1, len(in_order) + 1)]


def judged(upgrade: Callable[[], None], **marks: str) -> list[str]:
    migration = ModuleType("migration")
    vars(migration).update(upgrade=upgrade, **marks)
    return objections(migration, "1.4.0")


EXISTING: Any = {"existing_type": sa.String(32), "existing_nullable": False}

DESTRUCTIVE: dict[str, Callable[[], object]] = {
    "a table is dropped": lambda: op.drop_table("users"),
    "a table is renamed": lambda: op.rename_table("users", "people"),
    "a column is dropped": lambda: op.drop_column("users", "nickname"),
    "a column is renamed": lambda: op.alter_column("users", "nickname", new_column_name="name", **EXISTING),
    "a column is added that inserts must name": lambda: op.add_column(
        "users", sa.Column("age", sa.Integer(), nullable=False)
    ),
    "NULL is no longer taken": lambda: op.alter_column("users", "phone", existing_type=sa.String(16), nullable=False),
    "a default is dropped": lambda: op.alter_column("users", "version", server_default=None, **EXISTING),
    "a text becomes shorter": lambda: op.alter_column("users", "nickname", type_=sa.String(16), **EXISTING),
    "a number becomes smaller": lambda: op.alter_column(
        "members", "read_seq", type_=sa.Integer(), existing_type=sa.BigInteger(), existing_nullable=False
    ),
    "a number becomes a text": lambda: op.alter_column(
        "members", "read_seq", type_=sa.String(20), existing_type=sa.BigInteger(), existing_nullable=False
    ),
    "a time loses its milliseconds": lambda: op.alter_column(
        "users", "created_at", type_=mysql.DATETIME(), existing_type=mysql.DATETIME(fsp=3), existing_nullable=False
    ),
    "a text gets another alphabet": lambda: op.alter_column(
        "users",
        "nickname",
        type_=mysql.VARCHAR(32, charset="ascii"),
        existing_type=mysql.VARCHAR(32),
        existing_nullable=False,
    ),
    "a type is changed, who knows from what": lambda: op.alter_column(
        "users", "nickname", type_=sa.String(64), existing_nullable=False
    ),
    "a column would lose its NOT NULL by the way": lambda: op.alter_column(
        "users", "nickname", type_=sa.String(64), existing_type=sa.String(32)
    ),
    "old rows may not be unique": lambda: op.create_unique_constraint("uq", "users", ["nickname"]),
    "old rows may not be unique in an index": lambda: op.create_index("ix", "users", ["nickname"], unique=True),
    "old rows may break a foreign key": lambda: op.create_foreign_key("fk", "members", "users", ["user_id"], ["id"]),
    "old rows may break a check": lambda: op.create_check_constraint("ck", "users", "version > 1"),
    "a constraint is dropped": lambda: op.drop_constraint("uq_messages_client_id", "messages", "unique"),
    "an index is dropped": lambda: op.drop_index("ix_members_user", "members"),
    "rows are deleted": lambda: op.execute("DELETE FROM messages"),
    "a table is emptied": lambda: op.execute(sa.text(" truncate table messages")),
    "a schema is changed by hand": lambda: op.execute("ALTER TABLE users DROP COLUMN nickname"),
    "a comment hides what is done": lambda: op.execute("/* UPDATE */ DROP TABLE users"),
}


@pytest.mark.parametrize("what", DESTRUCTIVE)
def test_what_the_release_before_could_not_bear_is_refused(what: str) -> None:
    def upgrade() -> None:
        DESTRUCTIVE[what]()

    assert len(judged(upgrade)) == 1


def test_what_cannot_be_looked_into_is_refused() -> None:
    def upgrade() -> None:
        with op.batch_alter_table("users") as batch:
            batch.drop_column("nickname")

    with pytest.raises(NotImplementedError):
        judged(upgrade)


def test_a_migration_that_goes_to_the_database_itself_is_refused() -> None:
    def upgrade() -> None:
        op.get_bind().execute(sa.text("DROP TABLE users"))

    with pytest.raises(NotImplementedError):
        judged(upgrade)


def test_each_of_several_objections_is_told_with_its_place() -> None:
    def upgrade() -> None:
        op.drop_column("users", "nickname")
        op.add_column("users", sa.Column("name", sa.String(32), nullable=False))

    assert judged(upgrade) == [
        "users.nickname: the column is dropped",
        "users.name: NOT NULL without a server default, which inserts must now name",
    ]


def test_what_only_adds_is_let_through() -> None:
    def upgrade() -> None:
        op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("text", sa.String(9)))
        op.create_unique_constraint("uq_notes", "notes", ["text"])
        op.add_column("notes", sa.Column("at", mysql.DATETIME(), nullable=False))
        op.add_column("users", sa.Column("email", sa.String(64), nullable=True))
        op.create_unique_constraint("uq_users_email", "users", ["email"])
        op.add_column("users", sa.Column("age", sa.Integer(), nullable=False, server_default="0"))
        op.create_index("ix_users_age", "users", ["age"])
        op.execute("UPDATE users SET age = 1")
        op.alter_column("users", "nickname", type_=sa.String(64), **EXISTING)
        op.alter_column("users", "phone", existing_type=sa.String(16), nullable=True)
        op.alter_column("members", "n", type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)

    assert judged(upgrade) == []


def drop_nickname() -> None:
    op.drop_column("users", "nickname")


def test_a_contract_step_may_drop_what_a_release_before_has_stopped_using() -> None:
    assert judged(drop_nickname, contracts_after="1.3.0") == []


@pytest.mark.parametrize("release", ["1.4.0", "1.10.0"])
def test_a_contract_step_must_not_come_with_the_release_that_stops_using_it(release: str) -> None:
    assert judged(drop_nickname, contracts_after=release) == [
        f"contracts_after is {release}, which is not out before 1.4.0"
    ]
