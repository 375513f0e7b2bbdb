"""What Alembic runs: every pending migration on the connection it is given.  It must never open one of its own."""

from alembic import context

from penstock.control.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
