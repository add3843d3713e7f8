"""Alembic's environment: which database, which tables. Used by `migrations.schema` and the `alembic` command."""

import os

import sqlalchemy as sa
from alembic import context
from hongyan import tables

# A statement that waits for a table holds up everybody behind it: it rather fails, and the deployment with it.
_TABLE_WAIT_SECONDS = 10

# For developers: `DATABASE_URL=... alembic -c migrations/alembic.ini revision --autogenerate -m "..."`.
engine = context.config.attributes.get("engine") or sa.create_engine(os.environ["DATABASE_URL"])

with engine.connect() as connection:
    connection.execute(sa.text(f"SET SESSION lock_wait_timeout = {_TABLE_WAIT_SECONDS}"))
    connection.commit()
    context.configure(connection=connection, target_metadata=tables.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
