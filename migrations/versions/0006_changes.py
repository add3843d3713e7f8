"""Changes: numbers under the conversation's lock, what can become of a message, and everybody's feed.

Revision ID: 0006
Revises: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}


def _id() -> mysql.CHAR:
    return mysql.CHAR(26, charset="ascii", collation="ascii_bin")


def upgrade() -> None:
    _number_changes()
    _let_messages_change()
    _make_feeds()


def _number_changes() -> None:
    op.add_column("conversations", sa.Column("change_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("members", sa.Column("change_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("members", sa.Column("joined_change_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("messages", sa.Column("change_seq", sa.BigInteger(), nullable=False, server_default="0"))
    # Until now each message was one change.
    op.execute("UPDATE messages SET change_seq = seq")
    op.execute("UPDATE conversations SET change_seq = GREATEST(last_seq, 1)")
    op.execute("UPDATE members SET change_seq = 1, joined_change_seq = joined_seq")
    op.create_index("ix_messages_change", "messages", ["conversation_id", "change_seq"])
    op.create_index("ix_members_change", "members", ["conversation_id", "change_seq"])


def _let_messages_change() -> None:
    op.add_column("messages", sa.Column("edited_at", mysql.DATETIME(fsp=3), nullable=True))
    op.add_column("messages", sa.Column("recalled_at", mysql.DATETIME(fsp=3), nullable=True))
    op.add_column("messages", sa.Column("recalled_seq", sa.BigInteger(), nullable=True))
    op.add_column("messages", sa.Column("reactions", sa.JSON(), nullable=True))
    op.create_index("ix_messages_recalled", "messages", ["conversation_id", "recalled_seq"])
    op.create_index("ix_messages_created_at", "messages", ["conversation_id", "created_at"])
    op.create_table(
        "reactions",
        sa.Column("conversation_id", _id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("emoji", sa.VARBINARY(64), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "seq", "emoji", "user_id"),
        **_TABLE,
    )
    op.create_table(
        "hidden_messages",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("conversation_id", _id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hidden_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "conversation_id", "seq"),
        **_TABLE,
    )


def _make_feeds() -> None:
    op.create_table(
        "feeds",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
        **_TABLE,
    )
    op.create_table(
        "feed_entries",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", _id(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject_id", _id(), nullable=False),
        sa.Column("from_change", sa.BigInteger(), nullable=True),
        sa.Column("to_change", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "position"),
        **_TABLE,
    )
    op.create_table(
        "feed_marks",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("conversation_id", _id(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "conversation_id"),
        **_TABLE,
    )
    op.create_table(
        "feed_notes",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject_id", _id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "kind", "subject_id", "seq", name="uq_feed_notes"),
        **_TABLE,
    )
