"""Groups: their card, the roles of members, and the part of a conversation that each may read.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Functions of the release before insert rows without any of them while this one is being deployed.
    op.add_column("conversations", sa.Column("name", sa.String(64), nullable=True))
    op.add_column("conversations", sa.Column("announcement", sa.String(2000), nullable=True))
    op.add_column(
        "conversations",
        sa.Column("avatar_file_id", mysql.CHAR(26, charset="ascii", collation="ascii_bin"), nullable=True),
    )
    op.add_column("conversations", sa.Column("member_count", sa.Integer(), nullable=True))
    op.add_column("members", sa.Column("role", sa.String(8), nullable=True))
    op.add_column("members", sa.Column("joined_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("members", sa.Column("left_seq", sa.BigInteger(), nullable=True))
    op.add_column("members", sa.Column("left_at", mysql.DATETIME(fsp=3), nullable=True))
