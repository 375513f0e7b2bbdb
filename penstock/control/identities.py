"""The identity sources of the revision in force.

Pure but for what the makers do.  A source lives as long as its plan stays the same, so what it has cached survives
revisions that do not concern it.  It must never hand out a source that the document does not name any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from penstock.control.state import State
from penstock.identity import Reading, Source
from penstock.model import CardPlan, Identity, LdapPlan, LocalPlan, OidcPlan, SourcePlan, Tampered, Unavailable

#: Makes a source of one kind out of its plan; does no I/O.  What cannot be made raises `Unavailable` when it is used.
Maker = Callable[[SourcePlan], object]
T = TypeVar("T")


class Identities:
    """Sources by name."""

    def __init__(self, state: State, makers: Mapping[type, Maker]) -> None:
        self._state, self._makers = state, makers
        self._made: dict[SourcePlan, object] = {}

    @property
    def identity(self) -> Identity:
        """What the document says of people."""
        policy = self._state.now.policy
        return Identity() if policy is None else policy.site.identity

    def plan(self, name: str) -> SourcePlan | None:
        """What the document says of this source."""
        return self.identity.source(name)

    def of_passwords(self) -> tuple[LocalPlan | LdapPlan, ...]:
        """The sources that take a password, in their order."""
        return tuple(plan for plan in self.identity.sources if isinstance(plan, LocalPlan | LdapPlan))

    def password_source(self, name: str) -> Source | None:
        """The source of that name, where it takes a name, a password and a code; the local one is not among them."""
        found = self._source(name) if isinstance(self.plan(name), LdapPlan) else None
        return cast("Source | None", found)

    def reading(self, name: str) -> Reading:
        """The source of that name, to be asked again about somebody.  Raises `Unavailable`."""
        found = self._source(name)
        if not isinstance(found, Reading):
            raise Unavailable(f"the identity source {name} cannot be asked by this gate")
        return found

    def named(self, name: str, kind: type[T]) -> T | None:
        """The source of that name where it is of this kind (a class of `penstock.identity`), else ``None``."""
        found = self._source(name)
        return found if isinstance(found, kind) else None

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """Every source of this kind, in the order of the document.

        One that cannot be made keeps no other from being used.  Raises `Unavailable` where that leaves none.
        """
        found, trouble = list[T](), None
        for plan in self.identity.sources:
            try:
                source = self.named(plan.name, kind)
            except Unavailable as error:
                trouble = error
            else:
                found += [] if source is None else [source]
        if trouble is not None and not found:
            raise trouble
        return tuple(found)

    def refresh_s(self, name: str) -> int | None:
        """How often this source is asked again about whoever it proved; ``None``: there is nothing to ask."""
        plan = self.plan(name)
        return plan.refresh_s if isinstance(plan, OidcPlan | LdapPlan | CardPlan) else None

    def _source(self, name: str) -> object | None:
        """Raises `Unavailable` where it cannot be made."""
        plan = self.plan(name)
        if plan is None or type(plan) not in self._makers:
            return None
        if plan not in self._made:
            in_force = set(self.identity.sources)
            self._made = {each: made for each, made in self._made.items() if each in in_force}
            try:
                self._made[plan] = self._makers[type(plan)](plan)
            except Tampered as error:  # a secret that others can read: this source is not used, the gate goes on
                raise Unavailable(str(error)) from error
        return self._made[plan]
