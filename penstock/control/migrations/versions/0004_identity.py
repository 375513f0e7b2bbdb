"""Identity: several sources, passkeys, recovery codes, roles, break-glass."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("subjects", sa.Column("source", sa.Text, nullable=False, server_default="local"))
    op.add_column("subjects", sa.Column("source_key", sa.Text))
    op.add_column("subjects", sa.Column("attributes", sa.Text, nullable=False, server_default="{}"))
    op.add_column("subjects", sa.Column("sponsor", sa.Text))
    op.add_column("subjects", sa.Column("ends_at_us", Number))
    op.add_column("subjects", sa.Column("kind", sa.Text, nullable=False, server_default="person"))
    op.add_column("subjects", sa.Column("seen_at_us", Number))
    op.create_index("subjects_source_key", "subjects", ["source", "source_key"], unique=True)
    op.add_column("sign_ins", sa.Column("identity", sa.Text, nullable=False, server_default="local"))
    op.add_column("sign_ins", sa.Column("graded", sa.Text))
    op.add_column("sign_ins", sa.Column("proved_at_us", Number, nullable=False, server_default="0"))
    op.add_column("sign_ins", sa.Column("session", sa.Text))
    op.add_column("sign_ins", sa.Column("memory_sealed", sa.LargeBinary))
    op.add_column("sign_ins", sa.Column("agent", sa.Text, nullable=False, server_default=""))
    op.add_column("sign_ins", sa.Column("shown_hash", sa.Text))
    op.add_column("grants", sa.Column("limit_steady_us", Number))
    op.create_index("sign_ins_session", "sign_ins", ["identity", "session"])
    op.create_table(
        "passkeys",
        sa.Column("credential_id", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, sa.ForeignKey("subjects.name"), nullable=False, index=True),
        sa.Column("rp_id", sa.Text, nullable=False),
        sa.Column("user_handle", sa.Text, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sign_count", Number, nullable=False),
        sa.Column("aaguid", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("is_synced", Number, sa.CheckConstraint("is_synced in (0, 1)"), nullable=False),
        sa.Column("added_at_us", Number, nullable=False),
        sa.Column("used_at_us", Number),
        sa.Column("barred_at_us", Number),
        sqlite_strict=True,
    )
    op.create_table(
        "recovery_codes",
        sa.Column("code_hash", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, sa.ForeignKey("subjects.name"), nullable=False, index=True),
        sa.Column("added_at_us", Number, nullable=False),
        sa.Column("used_at_us", Number),
        sqlite_strict=True,
    )
    op.create_table(
        "factor_changes",
        sa.Column("number", Number, primary_key=True),
        sa.Column("subject", sa.Text, sa.ForeignKey("subjects.name"), nullable=False, index=True),
        sa.Column("at_us", Number, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "roles",
        sa.Column("subject", sa.Text, sa.ForeignKey("subjects.name"), primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("given_at_us", Number, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "stations",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("seen_at_us", Number, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "break_glass",
        sa.Column("number", Number, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.Text, sa.ForeignKey("subjects.name"), nullable=False, index=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at_us", Number, nullable=False),
        sa.Column("ended_at_us", Number, index=True),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in ("break_glass", "stations", "roles", "factor_changes", "recovery_codes", "passkeys"):
        op.drop_table(table)
    op.drop_index("sign_ins_session", "sign_ins")
    op.drop_column("grants", "limit_steady_us")
    for column in ("shown_hash", "agent", "memory_sealed", "session", "proved_at_us", "graded", "identity"):
        op.drop_column("sign_ins", column)
    op.drop_index("subjects_source_key", "subjects")
    for column in ("seen_at_us", "kind", "ends_at_us", "sponsor", "attributes", "source_key", "source"):
        op.drop_column("subjects", column)
