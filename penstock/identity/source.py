"""The contracts of identity sources: who proves what, and what the gate may conclude from it.

One package or file fills them for each kind of source: `local`, `oidc`, `ldap`, `card`.  A source must never say which
part of a proof was wrong, nor by its words nor by the time it takes, must never sign anybody in while it is silent, and
must never merge two people: whoever it means is named by a key that it never gives to anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from penstock.model import Factor, FactorStrength, Subject, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What somebody typed.  `source` is the address they came from; it is counted, never trusted.

    `realm` is the name of the identity source that is meant; empty: the first that takes a password.
    """

    subject: str
    password: str
    code: str
    source: str
    realm: str = ""

    def __repr__(self) -> str:
        """Without the secrets: this value may end in a traceback."""
        return f"Credentials(subject={self.subject!r}, realm={self.realm!r}, source={self.source!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """The outcome of one attempt: `subject` when it was proved, otherwise nobody.

    `retry_after_s` is above 0 when the attempt was not even looked at because of earlier failures.  `locked` names the
    counters (``account``, ``source``) whose wait began with this very attempt, so that it is recorded once.
    """

    subject: Subject | None = None
    retry_after_s: int = 0
    locked: tuple[str, ...] = ()
    proof: Proof | None = None
    """Instead of `subject`, where another source than the local one proved it."""
    why: str = ""
    """The true reason of a refusal, for the evidence; nobody else may read it."""


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Somebody proved to a source who they are.

    `source` is the source's name in the site document, `key` what it calls them and nobody else, ever (an OIDC `sub`,
    an entryUUID, a card's identifier), `name` what people call them there.  `groups` are the site's (see `GroupMap`).
    `graded` is what the source's evidence amounts to, ``None`` where the factors themselves say it.  `memory` is what
    the source needs to read the membership of this person again (a refresh token, a DN, a certificate); it is kept
    sealed.  `session` is the source's own name for this sign-in (OIDC `sid`).  `ends_at_us`: the source knows of no
    membership beyond that (a certificate's end).  `barred_zones`: see `Subject`.  `detail` goes into the evidence as it
    is: never anything secret.
    """

    source: str
    key: str
    name: str
    proved_at_us: int
    groups: frozenset[str] = frozenset()
    factors: frozenset[Factor] = frozenset()
    graded: FactorStrength | None = None
    attributes: Mapping[str, str] = field(default_factory=_nothing)
    memory: str = ""
    session: str | None = None
    ends_at_us: int | None = None
    barred_zones: frozenset[str] = frozenset()
    detail: Mapping[str, str] = field(default_factory=_nothing)

    def __repr__(self) -> str:
        """Without what the source remembers."""
        return f"Proof(source={self.source!r}, key={self.key!r}, name={self.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a source says of somebody now, without a new proof: the groups, and what it needs to be asked again."""

    groups: frozenset[str]
    attributes: Mapping[str, str] = field(default_factory=_nothing)
    memory: str = ""
    barred_zones: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        """Without what the source remembers."""
        return f"Membership(groups={sorted(self.groups)!r})"


class Source(Protocol):
    """Where subjects prove who they are with a name, a password and a code."""

    async def sign_in(self, credentials: Credentials, now_us: int) -> SignIn:
        """Check the credentials at `now_us` (wall clock, microseconds).  Raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A source did not take a name and a password.

    `reason` is the true one: it goes into the evidence as it is, and to nobody who signs in.  `name` is what the source
    calls whoever was meant, where it knows one.
    """

    reason: str
    name: str = ""


class NotAsked(Unavailable):
    """The source could not be reached, so nobody's password was tried: the attempt is not held against anybody."""


class Directory(Protocol):
    """A source that checks a name and a password."""

    async def check(self, name: str, password: str, now_us: int) -> Proof | Refused:
        """The proof, or why not; whoever asks sees to it that a refusal's time tells nothing.

        Raises `NotAsked`, and `Unavailable` where the password may have been tried without an answer.
        """
        ...


@runtime_checkable
class Reading(Protocol):
    """A source that can be asked again about somebody who signed in with it."""

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:
        """What it says of them now; ``None``: they are nobody there any more.  Raises `Unavailable`."""
        ...
