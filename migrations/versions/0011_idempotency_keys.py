"""What somebody has made under which Idempotency-Key.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _id() -> mysql.CHAR:
    return mysql.CHAR(26, charset="ascii", collation="ascii_bin")


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("client_key", sa.VARBINARY(255), nullable=False),
        sa.Column("request", sa.BINARY(32), nullable=False),
        sa.Column("resource_id", _id(), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "client_key"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_520_ci",
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
