"""Uploads: how far they are, what is known of their bytes, what they are used for, and how much somebody stores.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _id() -> mysql.CHAR:
    return mysql.CHAR(26, charset="ascii", collation="ascii_bin")


def upgrade() -> None:
    op.add_column("files", sa.Column("upload_id", sa.String(1024), nullable=True))
    op.add_column("files", sa.Column("verifying_since", mysql.DATETIME(fsp=3), nullable=True))
    op.add_column("files", sa.Column("refused_as", sa.String(64), nullable=True))
    op.add_column("files", sa.Column("expires_at", mysql.DATETIME(fsp=3), nullable=True))
    op.add_column("files", sa.Column("width", sa.Integer(), nullable=True))
    op.add_column("files", sa.Column("height", sa.Integer(), nullable=True))
    op.add_column("files", sa.Column("duration_ms", sa.Integer(), nullable=True))
    op.add_column("files", sa.Column("thumbnails", sa.JSON(), nullable=True))
    op.create_index("ix_files_expires_at", "files", ["expires_at"])
    op.create_index("ix_users_avatar", "users", ["avatar_file_id"])
    op.create_index("ix_conversations_avatar", "conversations", ["avatar_file_id"])
    op.create_table(
        "message_files",
        sa.Column("file_id", _id(), nullable=False),
        sa.Column("conversation_id", _id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("file_id", "conversation_id", "seq"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_520_ci",
    )
    op.create_index("ix_message_files_message", "message_files", ["conversation_id", "seq"])
    op.create_table(
        "file_accounts",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("day_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_520_ci",
    )
