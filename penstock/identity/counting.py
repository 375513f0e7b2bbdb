"""Counting attempts before they are looked at, on whatever keeps the counters.

Logic on a narrow contract; the arithmetic of waits is `lockout`.  It must never look at a proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.identity import lockout
from penstock.identity.lockout import Attempts, Limit


class AttemptStore(Protocol):
    """Where counters of failures are kept."""

    async def change_attempts(
        self, key: str, change: Callable[[Attempts], Attempts | None]
    ) -> tuple[Attempts, Attempts | None]:
        """Read, change and write a counter in one transaction; ``None`` removes it.  Answers before and after."""
        ...


async def count(store: AttemptStore, keys: tuple[tuple[str, Limit], ...], now_us: int) -> tuple[int, tuple[str, ...]]:
    """Count one attempt under each key.

    Answers how many seconds must pass before an attempt is looked at (0: this one is), and which kinds of counters
    (``account``, ``source``) began a wait with it.
    """
    locked = []
    for key, limit in keys:
        before, after = await store.change_attempts(
            key,
            lambda attempts, limit=limit: lockout.counted(attempts, now_us, limit),  # type: ignore[misc]
        )
        if wait := lockout.wait_s(before, now_us, limit):
            return wait, ()
        if after is not None and lockout.wait_s(after, now_us, limit):
            locked.append(key.partition(":")[0])
    return 0, tuple(locked)


async def count_source(store: AttemptStore, source: str, now_us: int) -> tuple[int, tuple[str, ...]]:
    """Count one attempt of a source address; see `count`."""
    return await count(store, ((lockout.source_key(source), lockout.SOURCE_LIMIT),), now_us)


async def forgive_source(store: AttemptStore, source: str) -> None:
    """The attempt of this source was right."""
    await store.change_attempts(lockout.source_key(source), lockout.forgiven)
