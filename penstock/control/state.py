"""What control knows, in memory: one immutable snapshot, replaced whole at each change (single writer, any readers).

Pure.  Readers take `State.now` once and work on it; the database is only how it survives a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from penstock.control.rows import ActiveSignIn, LiveGrant
from penstock.policy import Policy


def _empty() -> Mapping[str, ActiveSignIn]:
    return MappingProxyType({})


def _none() -> Mapping[int, LiveGrant]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that is in force at one moment.  `policy` is ``None`` only before the first revision."""

    revision: int = 0
    policy: Policy | None = None
    grants: Mapping[int, LiveGrant] = field(default_factory=_none)
    sign_ins: Mapping[str, ActiveSignIn] = field(default_factory=_empty)
    aside: frozenset[str] = frozenset()
    """The conduits that have been told to leave inspection."""


class State:
    """The one place that replaces the snapshot."""

    def __init__(self) -> None:
        self.now = Snapshot()

    def set_policy(self, policy: Policy | None, revision: int) -> None:
        """From now on this policy is in force."""
        self.now = replace(self.now, policy=policy, revision=revision)

    def put_grant(self, live: LiveGrant) -> None:
        """Add a grant, or replace the one of the same number."""
        self.now = replace(self.now, grants=MappingProxyType({**self.now.grants, live.grant.number: live}))

    def drop_grant(self, number: int) -> LiveGrant | None:
        """Take a grant out; answers it, or ``None`` when it was out already: only one caller ever ends it."""
        live = self.now.grants.get(number)
        if live is not None:
            rest = {key: value for key, value in self.now.grants.items() if key != number}
            self.now = replace(self.now, grants=MappingProxyType(rest))
        return live

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
