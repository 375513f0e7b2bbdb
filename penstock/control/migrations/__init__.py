"""Alembic's migrations of the state store.  `versions` is append-only: a migration that was released never changes."""
