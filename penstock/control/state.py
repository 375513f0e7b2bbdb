"""What control knows, in memory: one immutable snapshot, replaced whole at each change (single writer, any readers).

Pure.  Readers take `State.now` once and work on it; the database is only how it survives a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from penstock.control.rows import ActiveSignIn, Isolation, LiveGrant
from penstock.policy import Policy


def _empty() -> Mapping[str, ActiveSignIn]:
    return MappingProxyType({})


def _none() -> Mapping[int, LiveGrant]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that is in force at one moment.  `policy` is ``None`` only before the first revision.

    `isolations` are the emergencies of now, the oldest first.
    """

    revision: int = 0
    policy: Policy | None = None
    grants: Mapping[int, LiveGrant] = field(default_factory=_none)
    sign_ins: Mapping[str, ActiveSignIn] = field(default_factory=_empty)
    aside: frozenset[str] = frozenset()
    """The conduits that have been told to leave inspection."""
    isolations: tuple[Isolation, ...] = ()


class State:
    """The one place that replaces the snapshot."""

    def __init__(self) -> None:
        self.now = Snapshot()

    def set_policy(self, policy: Policy | None, revision: int) -> None:
        """From now on this policy is in force."""
        self.now = replace(self.now, policy=policy, revision=revision)

    def put_grant(self, live: LiveGrant) -> None:
        """Add a grant, or replace the one of the same number."""
        self.put_grants((live,))

    def put_grants(self, lives: Iterable[LiveGrant]) -> None:
        """The same for several, with one new snapshot: that costs a copy of all grants each time."""
        grants = _copied(self.now.grants)
        grants.update((live.grant.number, live) for live in lives)
        self.now = replace(self.now, grants=MappingProxyType(grants))

    def drop_grants(self, numbers: Iterable[int]) -> tuple[LiveGrant, ...]:
        """Take grants out at once; answers those that were not out already: only one caller ever ends a grant."""
        grants = _copied(self.now.grants)
        dropped = tuple(live for number in numbers if (live := grants.pop(number, None)) is not None)
        if dropped:
            self.now = replace(self.now, grants=MappingProxyType(grants))
        return dropped

    def set_isolations(self, isolations: Iterable[Isolation]) -> None:
        """From now on exactly these are isolated."""
        self.now = replace(self.now, isolations=tuple(isolations))

    def set_aside(self, conduits: frozenset[str]) -> None:
        """From now on these conduits, and no others, stand aside of inspection."""
        self.now = replace(self.now, aside=conduits)

    def put_sign_in(self, sign_in: ActiveSignIn) -> None:
        """Add a sign-in."""
        self.now = replace(self.now, sign_ins=MappingProxyType({**self.now.sign_ins, sign_in.token_hash: sign_in}))

    def drop_sign_in(self, token_hash: str) -> ActiveSignIn | None:
        """Take a sign-in out; answers it, or ``None`` when it was out already."""
        sign_in = self.now.sign_ins.get(token_hash)
        if sign_in is not None:
            rest = {key: value for key, value in self.now.sign_ins.items() if key != token_hash}
            self.now = replace(self.now, sign_ins=MappingProxyType(rest))
        return sign_in


def _copied(grants: Mapping[int, LiveGrant]) -> dict[int, LiveGrant]:
    """A dict of its own.  A proxy's own `copy` is ten times as fast as going through its items."""
    return grants.copy() if isinstance(grants, MappingProxyType) else dict(grants)
