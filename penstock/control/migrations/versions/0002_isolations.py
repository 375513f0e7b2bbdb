"""What is isolated: an asset, a zone or the whole site."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "isolations",
        sa.Column("kind", sa.Text, sa.CheckConstraint("kind in ('asset', 'zone', 'site')"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("since_us", Number, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("networks", sa.Text, nullable=False),
        sa.Column(
            "even_safety_critical", Number, sa.CheckConstraint("even_safety_critical in (0, 1)"), nullable=False
        ),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("isolations")
