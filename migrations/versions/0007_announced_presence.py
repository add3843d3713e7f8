"""What was announced last of whether somebody is there.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("announced_online", sa.Boolean(), nullable=False, server_default="0"))
    op.create_index("ix_users_announced_online", "users", ["announced_online", "id"])
