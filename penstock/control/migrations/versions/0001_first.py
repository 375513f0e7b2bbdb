"""The first schema: subjects, enrolments, sign-ins, revisions, grants, lockouts, counters."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "subjects",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("is_suspended", Number, sa.CheckConstraint("is_suspended in (0, 1)"), nullable=False),
        sa.Column("password_hash", sa.Text),
        sa.Column("totp_sealed", sa.LargeBinary),
        sa.Column("last_step", Number, nullable=False),
        sa.Column("added_at_us", Number, nullable=False),
        sa.Column("enrolled_at_us", Number),
        sqlite_strict=True,
    )
    op.create_table(
        "enrolments",
        sa.Column("code_hash", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, sa.ForeignKey("subjects.name"), nullable=False, unique=True),
        sa.Column("expires_at_us", Number, nullable=False),
        sa.Column("totp_sealed", sa.LargeBinary),
        sqlite_strict=True,
    )
    op.create_table(
        "sign_ins",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, sa.ForeignKey("subjects.name"), nullable=False, index=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("factors", sa.Text, nullable=False),
        sa.Column("certificate", sa.Text),
        sa.Column("opened_at_us", Number, nullable=False),
        sa.Column("expires_at_us", Number, nullable=False),
        sa.Column("ends_steady_us", Number, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "revisions",
        sa.Column("number", Number, primary_key=True, autoincrement=False),
        sa.Column("documents", sa.Text, nullable=False),
        sa.Column("accepted_at_us", Number, nullable=False),
        sa.Column("accepted_by", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "grants",
        sa.Column("number", Number, sa.CheckConstraint("number between 1 and 16777215"), primary_key=True, autoincrement=False),
        sa.Column("sign_in", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("ends_steady_us", Number),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("session_at_us", Number),
        sa.Column("closed_at_us", Number),
        sqlite_strict=True,
    )
    op.create_index("grants_closed", "grants", ["closed_at_us"])
    op.create_table(
        "lockouts",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("failures", Number, nullable=False),
        sa.Column("last_at_us", Number, nullable=False, index=True),
        sa.Column("until_us", Number, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", Number, nullable=False),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in ("counters", "lockouts", "grants", "revisions", "sign_ins", "enrolments", "subjects"):
        op.drop_table(table)
