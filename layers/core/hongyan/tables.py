"""The tables of the database (SQLAlchemy Core). The migrations make them; a test holds the two together.

There are no foreign keys to `users` and `conversations` from the message path: each would take a shared lock on the
very rows that senders lock, for a reference that the code has just read under that lock.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData()


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """``DATETIME(3)`` in UTC; aware on the Python side."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:  # noqa: D102
        return dialect.type_descriptor(mysql.DATETIME(fsp=3))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.replace(tzinfo=UTC)


class ExactText(sa.types.TypeDecorator[str]):
    """Text that a client chose as a key, compared byte by byte.

    No collation that Aurora MySQL and MariaDB share tells ``"a"`` from ``"a "``, so the bytes themselves are kept.
    """

    impl = sa.VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:  # noqa: ARG002, D102
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002, D102
        return None if value is None else value.decode()


def _id() -> mysql.CHAR:
    return mysql.CHAR(26, charset="ascii", collation="ascii_bin")


def _sha256() -> sa.BINARY:
    return sa.BINARY(32)


def _phone() -> mysql.VARCHAR:
    return mysql.VARCHAR(16, charset="ascii", collation="ascii_bin")


def _client_key() -> ExactText:
    return ExactText(256)  # 64 characters of at most 4 bytes


users = sa.Table(
    "users",
    metadata,
    sa.Column("id", _id(), primary_key=True),
    # Letters, digits, `_` and `-` only, so ASCII; unique without case by its collation.
    sa.Column("username", mysql.VARCHAR(32, charset="ascii", collation="ascii_general_ci"), nullable=False),
    # NULL for who came by phone and has not set one.
    sa.Column("password_hash", sa.String(255), nullable=True),
    sa.Column("nickname", sa.String(32), nullable=False),
    sa.Column("description", sa.String(200), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("phone", _phone(), nullable=True),
    sa.Column("avatar_file_id", _id(), nullable=True),
    # Counts the changes of the row, under its lock, so that the search index can tell late news from new.
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
    # A closed account keeps its row, anonymised: others keep the history they had with it.
    sa.Column("closed_at", UtcDateTime, nullable=True),
    # When their first connection opened or their last one closed.
    sa.Column("last_seen_at", UtcDateTime, nullable=True),
    # What friends were told last of whether they are there (hongyan.presence).
    sa.Column("announced_online", sa.Boolean, nullable=False, server_default="0"),
    sa.UniqueConstraint("username", name="uq_users_username"),
    sa.UniqueConstraint("phone", name="uq_users_phone"),
    sa.Index("ix_users_announced_online", "announced_online", "id"),
    sa.Index("ix_users_avatar", "avatar_file_id"),
)

# One row a code that was sent. `spent_at` and `wrong_tries` are only changed under conditions, so that of many tries at
# once one can succeed and five can fail.
verification_codes = sa.Table(
    "verification_codes",
    metadata,
    sa.Column("id", _id(), primary_key=True),
    sa.Column("phone", _phone(), nullable=False),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("code_hash", sa.String(255), nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("wrong_tries", mysql.TINYINT, nullable=False),
    sa.Column("spent_at", UtcDateTime, nullable=True),
    sa.Index("ix_verification_codes_expires_at", "expires_at"),
    sa.Index("ix_verification_codes_phone", "phone"),
)

# An upload; what is not completed is nobody's picture (hongyan.files).
files = sa.Table(
    "files",
    metadata,
    sa.Column("id", _id(), primary_key=True),
    sa.Column("owner_id", _id(), nullable=False),
    sa.Column("purpose", sa.String(8), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("mime", sa.String(100), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", _sha256(), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("completed_at", UtcDateTime, nullable=True),
    # S3's name for a multipart upload that was begun.
    sa.Column("upload_id", sa.String(1024), nullable=True),
    # Since when the bytes wait to be verified by a function that has the time.
    sa.Column("verifying_since", UtcDateTime, nullable=True),
    # The code of the problem for which the bytes were refused.
    sa.Column("refused_as", sa.String(64), nullable=True),
    # From when on there is no such file, and the sweep deletes what is left of it. NULL while it is in use.
    sa.Column("expires_at", UtcDateTime, nullable=True),
    # Of pictures and of voices, by their bytes.
    sa.Column("width", sa.Integer, nullable=True),
    sa.Column("height", sa.Integer, nullable=True),
    sa.Column("duration_ms", sa.Integer, nullable=True),
    # Of an image, once they are made: {name: {"width": ..., "height": ...}}.
    sa.Column("thumbnails", sa.JSON(none_as_null=True), nullable=True),
    sa.Index("ix_files_owner", "owner_id", "id"),
    sa.Index("ix_files_expires_at", "expires_at"),
)

# Which messages carry a file: who may read one of them may read the file.
message_files = sa.Table(
    "message_files",
    metadata,
    sa.Column("file_id", _id(), primary_key=True),
    sa.Column("conversation_id", _id(), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_message_files_message", "conversation_id", "seq"),
)

# How much somebody stores, and how much they uploaded on the day (UTC) they last did. Counted under the row's lock.
file_accounts = sa.Table(
    "file_accounts",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("day_bytes", sa.BigInteger, nullable=False),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", _id(), primary_key=True),
    sa.Column("user_id", _id(), nullable=False),
    # The device while the session lives, NULL once it has ended: so a device has one live session and many ended ones.
    sa.Column("live_device_id", _client_key(), nullable=True),
    sa.Column("platform", sa.String(16), nullable=False),
    sa.Column("device_name", sa.String(64), nullable=False),
    sa.Column("access_token_hash", _sha256(), nullable=False),
    sa.Column("access_expires_at", UtcDateTime, nullable=False),
    sa.Column("refresh_expires_at", UtcDateTime, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime, nullable=True),
    sa.Column("ended_reason", sa.String(32), nullable=True),
    sa.UniqueConstraint("access_token_hash", name="uq_sessions_access_token_hash"),
    sa.UniqueConstraint("user_id", "live_device_id", name="uq_sessions_live_device"),
)

# Spent refresh tokens stay, so that one used again is recognised and ends its session.
refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("token_hash", _sha256(), primary_key=True),
    sa.Column("session_id", _id(), nullable=False),
    sa.Column("spent_at", UtcDateTime, nullable=True),
    sa.Index("ix_refresh_tokens_session", "session_id"),
)

friend_requests = sa.Table(
    "friend_requests",
    metadata,
    sa.Column("id", _id(), primary_key=True),
    sa.Column("from_user_id", _id(), nullable=False),
    sa.Column("to_user_id", _id(), nullable=False),
    sa.Column("message", sa.String(200), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    # 1 while pending, NULL after: one pending request each way, any number of decided ones.
    sa.Column("pending", mysql.TINYINT, nullable=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("decided_at", UtcDateTime, nullable=True),
    sa.UniqueConstraint("from_user_id", "to_user_id", "pending", name="uq_friend_requests_pending"),
    sa.Index("ix_friend_requests_to_user", "to_user_id", "pending", "id"),
    sa.Index("ix_friend_requests_from_user", "from_user_id", "pending", "id"),
)

# Two rows a friendship, one for each side, because each has a remark of their own.
friendships = sa.Table(
    "friendships",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("friend_id", _id(), primary_key=True),
    sa.Column("remark", sa.String(32), nullable=True),
    sa.Column("since", UtcDateTime, nullable=False),
)

# Who has blocked whom. It goes one way; only the blocker ever sees it.
blocks = sa.Table(
    "blocks",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("blocked_id", _id(), primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("ix_blocks_blocked", "blocked_id", "user_id"),
)

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", _id(), primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),
    # The two user ids of a single in ascending order: one single per pair, whoever makes it.
    sa.Column("pair", mysql.CHAR(53, charset="ascii", collation="ascii_bin"), nullable=True),
    # Whether it takes messages: a single does while its two are friends and neither has blocked the other, a group
    # until it is dissolved. Changed under the row's lock, which senders hold too: nothing is stored after.
    sa.Column("is_open", sa.Boolean, nullable=False, server_default="1"),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("last_activity_at", UtcDateTime, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # The card of a group; a single has none of it. `member_count` is kept under the row's lock.
    sa.Column("name", sa.String(64), nullable=True),
    sa.Column("announcement", sa.String(2000), nullable=True),
    sa.Column("avatar_file_id", _id(), nullable=True),
    sa.Column("member_count", sa.Integer, nullable=True),
    # The number of the last change of anything in the conversation that its members are shown, taken under the row's
    # lock: messages old and new, members, receipts, the card. So it is dense, and its order is the order of commits.
    sa.Column("change_seq", sa.BigInteger, nullable=False, server_default="0"),
    # Up to which seq the messages are past the time that this deployment keeps them, and empty.
    sa.Column("emptied_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.UniqueConstraint("pair", name="uq_conversations_pair"),
    sa.Index("ix_conversations_avatar", "avatar_file_id"),
)

# Who left a group keeps the row, and with it what was said until then. Who comes back has it start anew.
members = sa.Table(
    "members",
    metadata,
    sa.Column("conversation_id", _id(), primary_key=True),
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("read_seq", sa.BigInteger, nullable=False),
    # How many of the member's own messages come after `read_seq`: they are not unread, and counting them at each
    # listing would cost a scan, so the sender's own send keeps the number.
    sa.Column("own_after_read", sa.BigInteger, nullable=False),
    sa.Column("muted", sa.Boolean, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("joined_at", UtcDateTime, nullable=False),
    # Of a group's present member: owner, admin, member. NULL in singles and for who left.
    sa.Column("role", sa.String(8), nullable=True),
    # The member may read what comes after `joined_seq`, and nothing after `left_seq` when they left. `read_seq` is
    # never before `joined_seq`.
    sa.Column("joined_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("left_seq", sa.BigInteger, nullable=True),
    sa.Column("left_at", UtcDateTime, nullable=True),
    # Of the last change of the member that the others are shown, and of the last that came before the member did.
    sa.Column("change_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("joined_change_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("ix_members_user", "user_id", "conversation_id"),
    sa.Index("ix_members_change", "conversation_id", "change_seq"),
)

# Clustered by conversation and seq: a page of history is one range of the primary key.
messages = sa.Table(
    "messages",
    metadata,
    sa.Column("conversation_id", _id(), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", _id(), nullable=False),
    sa.Column("sender_id", _id(), nullable=False),
    sa.Column("client_id", _client_key(), nullable=False),
    # Of what the client asked for, so that a repeated `client_id` is told from a reused one even after an edit.
    sa.Column("request_hash", _sha256(), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("reply_to_seq", sa.BigInteger, nullable=True),
    sa.Column("mentions", sa.JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # Of the message's last change, the first of which is that it was sent.
    sa.Column("change_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("edited_at", UtcDateTime, nullable=True),
    sa.Column("recalled_at", UtcDateTime, nullable=True),
    # The seq once it is recalled: the few recalled ones behind a `read_seq` are counted by its index alone.
    sa.Column("recalled_seq", sa.BigInteger, nullable=True),
    # What `reactions` amounts to, NULL for none; kept with it under the conversation's lock.
    sa.Column("reactions", sa.JSON(none_as_null=True), nullable=True),
    sa.UniqueConstraint("id", name="uq_messages_id"),
    sa.UniqueConstraint("sender_id", "client_id", name="uq_messages_client_id"),
    sa.Index("ix_messages_change", "conversation_id", "change_seq"),
    sa.Index("ix_messages_recalled", "conversation_id", "recalled_seq"),
    sa.Index("ix_messages_created_at", "conversation_id", "created_at"),
)

reactions = sa.Table(
    "reactions",
    metadata,
    sa.Column("conversation_id", _id(), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("emoji", ExactText(64), primary_key=True),
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# Messages that somebody has hidden from themselves.
hidden_messages = sa.Table(
    "hidden_messages",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("conversation_id", _id(), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hidden_at", UtcDateTime, nullable=False),
)

# A person's feed: what changed for them, in the order in which it was found committed. Sync gives the positions, under
# the lock of the row in `feeds`, so nothing can come to stand before a position that was handed out (hongyan.feed).
feeds = sa.Table(
    "feeds",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("last_position", sa.BigInteger, nullable=False),
)

feed_entries = sa.Table(
    "feed_entries",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    # Random: a cursor names it too, so that one from before the database was restored is known for what it is.
    sa.Column("id", _id(), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("subject_id", _id(), nullable=False),
    # Of a conversation: its changes after the one and up to the other. Of a hidden message: NULL and its seq.
    sa.Column("from_change", sa.BigInteger, nullable=True),
    sa.Column("to_change", sa.BigInteger, nullable=True),
)

# Up to which change of a conversation somebody's feed has come.
feed_marks = sa.Table(
    "feed_marks",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("conversation_id", _id(), primary_key=True),
    sa.Column("change_seq", sa.BigInteger, nullable=False),
)

# What concerns one person and has no place in their feed yet: once, however often it changed, so that there are never
# more notes than things, for who does not sync either.
feed_notes = sa.Table(
    "feed_notes",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("user_id", _id(), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("subject_id", _id(), nullable=False),
    # Of a hidden message, else 0.
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("user_id", "kind", "subject_id", "seq", name="uq_feed_notes"),
)

# What somebody has made under which Idempotency-Key, and the digest of the request that it came with.
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("user_id", _id(), primary_key=True),
    sa.Column("client_key", ExactText(255), primary_key=True),
    sa.Column("request", _sha256(), nullable=False),
    sa.Column("resource_id", _id(), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)

# Archives of what is somebody's own. One that is pending is made by whoever holds its lease.
exports = sa.Table(
    "exports",
    metadata,
    sa.Column("id", _id(), primary_key=True),
    sa.Column("user_id", _id(), nullable=False),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("attempts", mysql.TINYINT, nullable=False),
    sa.Column("leased_until", UtcDateTime, nullable=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=True),
    sa.Index("ix_exports_user", "user_id", "id"),
    sa.Index("ix_exports_status", "status", "id"),
)

# What is committed and not yet known to be announced. A row goes once SNS has taken its event.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("event_id", _id(), primary_key=True),
    sa.Column("body", mysql.MEDIUMTEXT, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("ix_outbox_created_at", "created_at"),
)
