"""The codes of a phone, found by it: they go with the account that has it.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_verification_codes_phone", "verification_codes", ["phone"])
