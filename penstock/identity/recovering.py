"""Recovery codes as the gate keeps and spends them; the shape of a code is `factors.recovery`.

It must never keep a code: `Seal.mark` makes of it what is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Protocol

from penstock.identity.factors import recovery
from penstock.identity.sealing import Seal


class RecoveryStore(Protocol):
    """Where the marks of recovery codes are kept.  Every method is one transaction."""

    async def recovery_marks(self, subject: str) -> tuple[str, ...]:
        """The marks of the codes that were not used yet."""
        ...

    async def spend_recovery_code(self, subject: str, mark: str, now_us: int) -> bool:
        """Use a code up; ``False`` when it was used up already."""
        ...

    async def replace_recovery_codes(self, subject: str, marks: Sequence[str], now_us: int) -> None:
        """Keep these; all earlier ones of the subject are void."""
        ...


class RecoveryCodes:
    """Makes and spends them."""

    def __init__(self, store: RecoveryStore, seal: Seal) -> None:
        self._store, self._seal = store, seal

    async def make(self, subject: str, now_us: int) -> tuple[str, ...]:
        """Ten new codes; they exist here only, and earlier ones are void."""
        codes = recovery.make_codes(secrets.choice)
        marks = [self._seal.mark(recovery.normal(code) or "", subject) for code in codes]
        await self._store.replace_recovery_codes(subject, marks, now_us)
        return codes

    async def left(self, subject: str) -> int:
        """How many codes were not used yet."""
        return len(await self._store.recovery_marks(subject))

    async def spend(self, subject: str, signs: str, now_us: int, *, may: bool) -> bool:
        """Whether these signs are a code of this subject, which is used up by that.

        Where it `may` not be (the password was wrong, there is no such subject), the same work is done for nothing.
        """
        mark = self._seal.mark(signs, subject)
        found = recovery.matching(mark, await self._store.recovery_marks(subject))
        if found is None or not may:
            return False
        return await self._store.spend_recovery_code(subject, found, now_us)
