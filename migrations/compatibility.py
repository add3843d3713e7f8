"""Whether a migration agrees with the release before it, which runs on the new schema until traffic has shifted.

A release may add to the schema (expand). What it no longer uses, a later one takes away (contract), and its migration
names the release that had stopped using it: `contracts_after = "X.Y.Z"` (docs/releases.md). Looked at are the
operations that a migration asks Alembic for, not what its data means.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NoReturn

import sqlalchemy as sa
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from packaging.version import Version
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

# Each holds all values of those before it.
_WIDER = (
    ("BOOL", "TINYINT", "SMALLINT", "MEDIUMINT", "INTEGER", "BIGINT"),
    ("TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"),
)
_WITH_LENGTH = ("VARCHAR", "VARBINARY", "DATETIME", "TIMESTAMP")


def objections(migration: ModuleType, release: str) -> list[str]:
    """Return what in a migration the release before it could not bear; nothing for a contract step that is due.

    Args:
        migration: a module of `migrations/versions`.
        release: the one that the migration is to go out with.

    """
    new = _New()
    found = [objection for operation in _recorded(migration.upgrade) for objection in _judged(operation, new)]
    after = getattr(migration, "contracts_after", None)
    if after is None:
        return found
    if Version(after) >= Version(release):
        return [f"contracts_after is {after}, which is not out before {release}"]
    return []


@dataclass
class _New:
    """What this migration itself has made so far: no other release knows it."""

    tables: set[str] = field(default_factory=set)
    empty_columns: set[tuple[str, str]] = field(default_factory=set)


def _recorded(upgrade: Callable[[], None]) -> list[Any]:
    """Return the operations that a migration asks for; none is carried out."""
    recorded: list[Any] = []
    context = MigrationContext.configure(dialect_name="mysql", opts={"as_sql": True})
    with Operations.context(context) as operations:
        ways_around = dict.fromkeys(("batch_alter_table", "get_bind", "get_context"), _refuse)
        vars(operations).update(invoke=recorded.append, **ways_around)
        upgrade()
    return recorded


def _refuse(*_: object, **__: object) -> NoReturn:
    msg = "What goes to the database by itself, or in a batch (which SQLite needs), cannot be looked into."
    raise NotImplementedError(msg)


def _judged(operation: Any, new: _New) -> Iterator[str]:  # noqa: C901, PLR0912  # one line for each kind of operation
    match operation:
        case ops.CreateTableOp():
            new.tables.add(operation.table_name)
        case ops.AddColumnOp() if operation.table_name not in new.tables:
            yield from _added(operation, new)
        case ops.AlterColumnOp():
            yield from _altered(operation)
        case ops.CreateUniqueConstraintOp():
            yield from _unique(operation.table_name, operation.columns, new)
        case ops.CreateIndexOp():
            if operation.unique:
                yield from _unique(operation.table_name, operation.columns, new)
        case ops.CreateForeignKeyOp():
            if operation.source_table not in new.tables:
                yield f"{operation.source_table}: what is there or is written meanwhile may break a foreign key"
        case ops.CreateCheckConstraintOp():
            if operation.table_name not in new.tables:
                yield f"{operation.table_name}: what is there or is written meanwhile may break a check"
        case ops.DropTableOp():
            yield f"{operation.table_name}: the table is dropped"
        case ops.RenameTableOp():
            yield f"{operation.table_name}: the table is renamed"
        case ops.DropColumnOp():
            yield f"{operation.table_name}.{operation.column_name}: the column is dropped"
        case ops.DropConstraintOp():
            yield f"{operation.table_name}: a constraint is dropped that the release before may rely on"
        case ops.DropIndexOp():
            yield f"{operation.table_name}: an index is dropped that the release before may need"
        case ops.ExecuteSQLOp():
            yield from _executed(operation)
        case ops.AddColumnOp() | ops.BulkInsertOp():
            pass
        case _:
            yield f"{type(operation).__name__}: not known here"


def _added(operation: ops.AddColumnOp, new: _New) -> Iterator[str]:
    column = operation.column
    if column.server_default is not None or column.computed is not None:
        return
    if column.nullable:
        new.empty_columns.add((operation.table_name, column.name))
    else:
        yield f"{operation.table_name}.{column.name}: NOT NULL without a server default, which inserts must now name"


def _altered(operation: ops.AlterColumnOp) -> Iterator[str]:
    where = f"{operation.table_name}.{operation.column_name}"
    if operation.modify_name is not None:
        yield f"{where}: the column is renamed"
    if operation.modify_nullable is False:
        yield f"{where}: NULL is no longer taken"
    if operation.modify_server_default is None:
        yield f"{where}: the default is dropped, which inserts may go by"
    if operation.modify_type is not None and not _holds(operation.modify_type, operation.existing_type):
        yield f"{where}: {_ddl(operation.existing_type)} becomes {_ddl(operation.modify_type)}, which may hold less"
    if operation.modify_nullable is None and operation.existing_nullable is None:
        yield f"{where}: existing_nullable is not given, and MySQL takes what is not said for NULL"


def _unique(table: str, columns: Any, new: _New) -> Iterator[str]:
    # Any number of NULLs is unique. What was not there before is all NULL, and the release before leaves it so.
    if table in new.tables or any((table, str(column)) in new.empty_columns for column in columns):
        return
    yield f"{table}: what is there or is written meanwhile may not be unique in {', '.join(map(str, columns))}"


def _executed(operation: ops.ExecuteSQLOp) -> Iterator[str]:
    sql = str(operation.sqltext)
    if re.match(r"\s*(INSERT|UPDATE)\b", sql, re.IGNORECASE) is None:
        yield f"SQL that neither inserts nor updates: {sql.strip()[:60]}. Schemas are changed by Alembic's operations"


def _holds(wider: TypeEngine[Any], narrower: TypeEngine[Any] | None) -> bool:
    """Tell whether a type takes every value of another."""
    if narrower is None:
        return False
    (name, length, rest), (old_name, old_length, old_rest) = _parts(wider), _parts(narrower)
    if rest != old_rest:
        return False
    if name == old_name:
        return length == old_length or (name in _WITH_LENGTH and length >= old_length)
    return any(
        name in family and old_name in family and family.index(name) >= family.index(old_name) for family in _WIDER
    )


def _parts(type_: TypeEngine[Any]) -> tuple[str, int, str]:
    found = re.fullmatch(r"(\w+)(?:\((\d+)\))?(.*)", _ddl(type_))
    if found is None:  # DECIMAL(10, 2), ENUM('a', 'b'): equal to itself alone
        return _ddl(type_), 0, ""
    return found[1], int(found[2] or 0), found[3]


def _ddl(type_: TypeEngine[Any] | None) -> str:
    return "an unknown type" if type_ is None else sa.types.to_instance(type_).compile(dialect=mysql.dialect())
