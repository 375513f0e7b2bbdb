"""Rounds of work in which no part keeps another from its own.  Pure but for what the parts do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock.model import Unavailable


async def each_of(*parts: Callable[[], Awaitable[None]]) -> None:
    """All of them, one after the other.  Raises the last `Unavailable` after all of them."""
    trouble: Unavailable | None = None
    for part in parts:
        try:
            await part()
        except Unavailable as error:
            trouble = error
    if trouble is not None:
        raise trouble
