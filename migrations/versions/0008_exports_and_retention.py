"""Archives of one's own data, and how far messages are past their time.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _id() -> mysql.CHAR:
    return mysql.CHAR(26, charset="ascii", collation="ascii_bin")


def upgrade() -> None:
    op.add_column("conversations", sa.Column("emptied_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "exports",
        sa.Column("id", _id(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("attempts", mysql.TINYINT(), nullable=False),
        sa.Column("leased_until", mysql.DATETIME(fsp=3), nullable=True),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_520_ci",
    )
    op.create_index("ix_exports_user", "exports", ["user_id", "id"])
    op.create_index("ix_exports_status", "exports", ["status", "id"])
