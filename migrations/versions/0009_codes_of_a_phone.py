"""The codes of a phone, found by it: they go with the account that has it.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_verification_codes_phone", "verification_codes", ["phone"])
