"""The tables of the state store, as SQLAlchemy Core sees them.

Only the types that SQLite's STRICT tables and PostgreSQL share: text, 64-bit integers, bytes.  Times are
integer microseconds since the Unix epoch (``_us``), or since the machine started
(``_steady_us``); sets and values are JSON text.
A change here needs a migration beside it; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

#: The migration that this code was written for.
SCHEMA_VERSION = "0004"

#: STRICT takes INTEGER but not BIGINT; PostgreSQL's INTEGER has 32 bits only.
Number = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

subjects = Table(
    "subjects",
    metadata,
    Column("name", Text, primary_key=True),
    Column("groups", Text, nullable=False),
    Column("is_suspended", Number, CheckConstraint("is_suspended in (0, 1)"), nullable=False),
    Column("password_hash", Text),
    Column("totp_sealed", LargeBinary),
    Column("last_step", Number, nullable=False),
    Column("added_at_us", Number, nullable=False),
    Column("enrolled_at_us", Number),
    Column("source", Text, nullable=False, server_default="local"),
    Column("source_key", Text),
    Column("attributes", Text, nullable=False, server_default="{}"),
    Column("sponsor", Text),
    Column("ends_at_us", Number),
    Column("kind", Text, nullable=False, server_default="person"),
    Column("seen_at_us", Number),
    Index("subjects_source_key", "source", "source_key", unique=True),
    sqlite_strict=True,
)
"""`source_key` is what the source calls them and nobody else.  `kind`: person, vendor (with `sponsor` and
`ends_at_us`) or break-glass."""

passkeys = Table(
    "passkeys",
    metadata,
    Column("credential_id", Text, primary_key=True),
    Column("subject", Text, ForeignKey("subjects.name"), nullable=False, index=True),
    Column("rp_id", Text, nullable=False),
    Column("user_handle", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", Number, nullable=False),
    Column("aaguid", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("is_synced", Number, CheckConstraint("is_synced in (0, 1)"), nullable=False),
    Column("added_at_us", Number, nullable=False),
    Column("used_at_us", Number),
    Column("barred_at_us", Number),
    sqlite_strict=True,
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("code_hash", Text, primary_key=True),
    Column("subject", Text, ForeignKey("subjects.name"), nullable=False, index=True),
    Column("added_at_us", Number, nullable=False),
    Column("used_at_us", Number),
    sqlite_strict=True,
)

factor_changes = Table(
    "factor_changes",
    metadata,
    Column("number", Number, primary_key=True),
    Column("subject", Text, ForeignKey("subjects.name"), nullable=False, index=True),
    Column("at_us", Number, nullable=False),
    Column("what", Text, nullable=False),
    Column("source", Text, nullable=False),
    sqlite_strict=True,
)
"""The last changes of somebody's factors, for the page that shows them; the evidence has them all."""

roles = Table(
    "roles",
    metadata,
    Column("subject", Text, ForeignKey("subjects.name"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("given_at_us", Number, nullable=False),
    Column("by", Text, nullable=False),
    sqlite_strict=True,
)

break_glass = Table(
    "break_glass",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("subject", Text, ForeignKey("subjects.name"), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("asked_at_us", Number, nullable=False),
    Column("ended_at_us", Number, index=True),
    Column("body", Text, nullable=False),
    sqlite_strict=True,
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("code_hash", Text, primary_key=True),
    Column("subject", Text, ForeignKey("subjects.name"), nullable=False, unique=True),
    Column("expires_at_us", Number, nullable=False),
    Column("totp_sealed", LargeBinary),
    sqlite_strict=True,
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, ForeignKey("subjects.name"), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("factors", Text, nullable=False),
    Column("certificate", Text),
    Column("opened_at_us", Number, nullable=False),
    Column("expires_at_us", Number, nullable=False),
    Column("ends_steady_us", Number, nullable=False),
    Column("boot", Text, nullable=False),
    Column("identity", Text, nullable=False, server_default="local"),
    Column("graded", Text),
    Column("proved_at_us", Number, nullable=False, server_default="0"),
    Column("session", Text),
    Column("memory_sealed", LargeBinary),
    Column("agent", Text, nullable=False, server_default=""),
    Column("shown_hash", Text),
    Index("sign_ins_session", "identity", "session"),
    sqlite_strict=True,
)
"""`identity` is the source that proved it, `session` its own name for it, `memory_sealed` what it must be told to be
asked again.  `shown_hash` is of the token that the browser shows now, where it is not the first one any more."""

revisions = Table(
    "revisions",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("documents", Text, nullable=False),
    Column("accepted_at_us", Number, nullable=False),
    Column("accepted_by", Text, nullable=False),
    sqlite_strict=True,
)

grants = Table(
    "grants",
    metadata,
    Column("number", Number, CheckConstraint("number between 1 and 16777215"), primary_key=True, autoincrement=False),
    Column("sign_in", Text),
    Column("body", Text, nullable=False),
    Column("ends_steady_us", Number),
    Column("limit_steady_us", Number),
    Column("boot", Text, nullable=False),
    Column("session_at_us", Number),
    Column("closed_at_us", Number),
    Index("grants_closed", "closed_at_us"),
    sqlite_strict=True,
)

isolations = Table(
    "isolations",
    metadata,
    Column("kind", Text, CheckConstraint("kind in ('asset', 'zone', 'site')"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("since_us", Number, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("even_safety_critical", Number, CheckConstraint("even_safety_critical in (0, 1)"), nullable=False),
    sqlite_strict=True,
)

lockouts = Table(
    "lockouts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Number, nullable=False),
    Column("last_at_us", Number, nullable=False, index=True),
    Column("until_us", Number, nullable=False),
    sqlite_strict=True,
)

stations = Table(
    "stations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("seen_at_us", Number, nullable=False),
    sqlite_strict=True,
)
"""Where accounts are known from: `turnstile` of `penstock.identity`.  No foreign key: directories have accounts too."""

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Number, nullable=False),
    sqlite_strict=True,
)

asides = Table(
    "asides",
    metadata,
    Column("conduit", Text, primary_key=True),
    Column("why", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("since_us", Number, nullable=False),
    sqlite_strict=True,
)

intervals = Table(
    "intervals",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("conduit", Text, nullable=False, index=True),
    Column("ended_at_us", Number, index=True),
    Column("body", Text, nullable=False),
    sqlite_strict=True,
)

drills = Table(
    "drills",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("conduit", Text, nullable=False, index=True),
    Column("ended_at_us", Number, index=True),
    Column("body", Text, nullable=False),
    sqlite_strict=True,
)
