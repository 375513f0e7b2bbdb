"""Failure modes: conduits that stand aside, intervals without inspection, drills."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "asides",
        sa.Column("conduit", sa.Text, primary_key=True),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("since_us", Number, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "intervals",
        sa.Column("number", Number, primary_key=True, autoincrement=False),
        sa.Column("conduit", sa.Text, nullable=False, index=True),
        sa.Column("ended_at_us", Number, index=True),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "drills",
        sa.Column("number", Number, primary_key=True, autoincrement=False),
        sa.Column("conduit", sa.Text, nullable=False, index=True),
        sa.Column("ended_at_us", Number, index=True),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in ("drills", "intervals", "asides"):
        op.drop_table(table)
