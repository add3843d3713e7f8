"""Other releases of the project, made out of one that is built: what `sam build` would make of their sources."""

import os
import shutil
from pathlib import Path

_TABLES = Path("CoreLayer/python/hongyan/tables.py")
_MIGRATIONS = Path("MigrationFunction/migrations/versions")

_MIGRATION = '''"""{what}."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{last}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    {statement}
'''


def expanding(built: Path, folder: Path) -> Path:
    """Make a release with a column more, which its code writes with every message."""
    release = _copy(built, folder)
    tables = (release / _TABLES).read_text()
    column = '    sa.Column("rehearsed", sa.Boolean, nullable=True, default=True),\n'
    first = 'messages = sa.Table(\n    "messages",\n    metadata,\n'
    assert first in tables
    _write(release / _TABLES, tables.replace(first, first + column))
    _migrate(release, 'op.add_column("messages", sa.Column("rehearsed", sa.Boolean(), nullable=True))')
    return release


def failing(built: Path, folder: Path) -> Path:
    """Make a release whose migration fails, and whose code cannot do without it."""
    release = expanding(built, folder)
    _migrate(release, 'op.add_column("nowhere", sa.Column("rehearsed", sa.Boolean(), nullable=True))')
    return release


def _copy(built: Path, folder: Path) -> Path:
    # Linked, not copied: 300 MB. What is changed is written anew.
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(built, folder, copy_function=os.link)
    return folder


def _migrate(release: Path, statement: str) -> None:
    last = max(script.stem[:4] for script in (release / _MIGRATIONS).glob("0*.py"))
    _write(
        release / _MIGRATIONS / "9001_rehearsal.py",
        _MIGRATION.format(what="A rehearsal", last=last, statement=statement),
    )


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    # Compiled ahead, and not looked at again (layers/core/Makefile).
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()
