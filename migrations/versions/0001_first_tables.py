"""First tables: accounts, sessions, friends, conversations, messages, outbox.

Revision ID: 0001
Revises:
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Named here, not left to the server's defaults: they differ between Aurora MySQL and MariaDB.
_TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}


def _id() -> mysql.CHAR:
    return mysql.CHAR(26, charset="ascii", collation="ascii_bin")


def _sha256() -> sa.BINARY:
    return sa.BINARY(32)


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", _id(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("pair", mysql.CHAR(charset="ascii", collation="ascii_bin", length=53), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_activity_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pair", name="uq_conversations_pair"),
        **_TABLE,
    )
    op.create_table(
        "friend_requests",
        sa.Column("id", _id(), nullable=False),
        sa.Column("from_user_id", _id(), nullable=False),
        sa.Column("to_user_id", _id(), nullable=False),
        sa.Column("message", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("pending", mysql.TINYINT(), nullable=True),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("decided_at", mysql.DATETIME(fsp=3), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("from_user_id", "to_user_id", "pending", name="uq_friend_requests_pending"),
        **_TABLE,
    )
    op.create_index("ix_friend_requests_from_user", "friend_requests", ["from_user_id", "pending", "id"], unique=False)
    op.create_index("ix_friend_requests_to_user", "friend_requests", ["to_user_id", "pending", "id"], unique=False)
    op.create_table(
        "friendships",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("friend_id", _id(), nullable=False),
        sa.Column("remark", sa.String(length=32), nullable=True),
        sa.Column("since", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "friend_id"),
        **_TABLE,
    )
    op.create_table(
        "members",
        sa.Column("conversation_id", _id(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("read_seq", sa.BigInteger(), nullable=False),
        sa.Column("own_after_read", sa.BigInteger(), nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("joined_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "user_id"),
        **_TABLE,
    )
    op.create_index("ix_members_user", "members", ["user_id", "conversation_id"], unique=False)
    op.create_table(
        "messages",
        sa.Column("conversation_id", _id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", _id(), nullable=False),
        sa.Column("sender_id", _id(), nullable=False),
        sa.Column("client_id", sa.VARBINARY(256), nullable=False),
        sa.Column("request_hash", _sha256(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("reply_to_seq", sa.BigInteger(), nullable=True),
        sa.Column("mentions", sa.JSON(), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "seq"),
        sa.UniqueConstraint("id", name="uq_messages_id"),
        sa.UniqueConstraint("sender_id", "client_id", name="uq_messages_client_id"),
        **_TABLE,
    )
    op.create_table(
        "outbox",
        sa.Column("event_id", _id(), nullable=False),
        sa.Column("body", mysql.MEDIUMTEXT(), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        **_TABLE,
    )
    op.create_index("ix_outbox_created_at", "outbox", ["created_at"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", _sha256(), nullable=False),
        sa.Column("session_id", _id(), nullable=False),
        sa.Column("spent_at", mysql.DATETIME(fsp=3), nullable=True),
        sa.PrimaryKeyConstraint("token_hash"),
        **_TABLE,
    )
    op.create_index("ix_refresh_tokens_session", "refresh_tokens", ["session_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", _id(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("live_device_id", sa.VARBINARY(256), nullable=True),
        sa.Column("platform", sa.String(length=16), nullable=False),
        sa.Column("device_name", sa.String(length=64), nullable=False),
        sa.Column("access_token_hash", _sha256(), nullable=False),
        sa.Column("access_expires_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("refresh_expires_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.Column("ended_at", mysql.DATETIME(fsp=3), nullable=True),
        sa.Column("ended_reason", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("access_token_hash", name="uq_sessions_access_token_hash"),
        sa.UniqueConstraint("user_id", "live_device_id", name="uq_sessions_live_device"),
        **_TABLE,
    )
    op.create_table(
        "users",
        sa.Column("id", _id(), nullable=False),
        sa.Column("username", mysql.VARCHAR(charset="ascii", collation="ascii_general_ci", length=32), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("nickname", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=3), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("username", name="uq_users_username"),
        **_TABLE,
    )
