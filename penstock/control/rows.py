"""What the state store keeps, as values.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from penstock.model import LOCAL, Grant, Subject


class SignInKind(StrEnum):
    """Where a sign-in is used: in the portal (a cookie, ends when idle) or by the command line (a token).

    A portal that was left alone admits nobody any more; it is kept for the grants that go on.
    """

    PORTAL = "portal"
    CLIENT = "client"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveSignIn:
    """One sign-in that has not ended.

    `token_hash` is the SHA-256 (hex) of its token; the token itself is nowhere.  `ends_steady_us` is on the clock that
    nobody can set, `boot` says of which start of the machine; `expires_at_us` is the same moment for people.
    `session` is the identity source's own name for it, `memory_sealed` what the source must be told to be asked again.
    `agent` is the browser or the computer, for its owner to recognise.  A portal's token is changed now and then:
    `shown_hash` is of the one that counts now, `token_hash` goes on to name the sign-in.
    """

    token_hash: str
    kind: SignInKind
    subject: Subject
    source: str
    opened_at_us: int
    expires_at_us: int
    ends_steady_us: int
    boot: str
    certificate: str | None = None
    session: str | None = None
    memory_sealed: bytes | None = field(default=None, repr=False)
    agent: str = ""
    shown_hash: str | None = None

    @property
    def identity(self) -> str:
        """The identity source that proved who this is."""
        return self.subject.source


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveGrant:
    """A grant that has not ended, and what control must know about it besides.

    `sign_in` is the hash of the sign-in that asked for it (``None``: a machine's), `ends_steady_us` its end on the
    clock that nobody can set (``None``: standing), `session_at_us` when its first flow came.  Where a conduit asks
    for a new proof of identity now and then (`reauthenticate`), `limit_steady_us` is how far one can move its end.
    """

    grant: Grant
    boot: str
    sign_in: str | None = None
    ends_steady_us: int | None = None
    session_at_us: int | None = None
    limit_steady_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRevision:
    """One accepted revision of policy and inventory: its documents by file name, who brought it, and when."""

    number: int
    documents: dict[str, str]
    accepted_at_us: int
    accepted_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSubject:
    """A subject as administrators see it."""

    name: str
    groups: frozenset[str]
    is_suspended: bool
    added_at_us: int
    enrolled_at_us: int | None
    source: str = LOCAL
    source_key: str | None = None
    sponsor: str | None = None
    ends_at_us: int | None = None
    kind: str = "person"
    seen_at_us: int | None = None


class IsolatedKind(StrEnum):
    """What can be isolated.  The whole site: lockdown."""

    ASSET = "asset"
    ZONE = "zone"
    SITE = "site"


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """An emergency: nothing passes to or from this asset, this zone or the whole site until it is released.

    `networks` (CIDR) are the addresses that it had when it was isolated: a new name does not free it.  Safety-critical
    standing flows go on, unless `even_safety_critical`.  `since_us` is wall clock time, microseconds since the epoch.
    """

    kind: IsolatedKind
    name: str
    since_us: int
    by: str
    reason: str
    networks: tuple[str, ...] = ()
    even_safety_critical: bool = False
