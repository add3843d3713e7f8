"""Alembic's environment: which database, which tables. Used by `migrations.handler` and the `alembic` command."""

import os

import sqlalchemy as sa
from alembic import context
from hongyan import tables

from migrations import owner

# For developers: `DATABASE_URL=... alembic -c migrations/alembic.ini revision --autogenerate -m "..."`.
url = os.environ.get("DATABASE_URL")
engine = sa.create_engine(url) if url else owner.engine()

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=tables.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
