"""Phones, codes by SMS, avatars, closed accounts, blocks.

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}


def _id() -> mysql.CHAR:
    return mysql.CHAR(26, charset="ascii", collation="ascii_bin")


def _phone() -> mysql.VARCHAR:
    return mysql.VARCHAR(16, charset="ascii", collation="ascii_bin")


def upgrade() -> None:
    op.alter_column("users", "password_hash", existing_type=sa.String(255), nullable=True)
    op.add_column("users", sa.Column("phone", _phone(), nullable=True))
    op.add_column("users", sa.Column("avatar_file_id", _id(), nullable=True))
    # Functions of the release before insert rows without a version while this one is being deployed.
    op.add_column("users", sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
    op.add_column("users", sa.Column("closed_at", mysql.DATETIME(fsp=3), nullable=True))
    op.create_unique_constraint("uq_users_phone", "users", ["phone"])
    op.create_table(
        "verification_codes",
        sa.Column("id", _id(), nullable=False),
        sa.Column("phone", _phone(), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("code_hash", sa.String(length=255), nullable=False),
        sa.Column("expires_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("wrong_tries", mysql.TINYINT(), nullable=False),
        sa.Column("spent_at", mysql.DATETIME(fsp=3), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        **_TABLE,
    )
    op.create_index("ix_verification_codes_expires_at", "verification_codes", ["expires_at"], unique=False)
    op.create_table(
        "files",
        sa.Column("id", _id(), nullable=False),
        sa.Column("owner_id", _id(), nullable=False),
        sa.Column("purpose", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("mime", sa.String(length=100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.BINARY(32), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("completed_at", mysql.DATETIME(fsp=3), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        **_TABLE,
    )
    op.create_index("ix_files_owner", "files", ["owner_id", "id"], unique=False)
    op.create_table(
        "blocks",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("blocked_id", _id(), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "blocked_id"),
        **_TABLE,
    )
    op.create_index("ix_blocks_blocked", "blocks", ["blocked_id", "user_id"], unique=False)
