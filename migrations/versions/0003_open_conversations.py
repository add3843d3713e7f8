"""Whether a conversation takes messages.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Functions of the release before insert rows without it while this one is being deployed.
    op.add_column("conversations", sa.Column("is_open", sa.Boolean(), nullable=False, server_default="1"))
