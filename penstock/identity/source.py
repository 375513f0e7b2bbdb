"""The contract of an identity source: who proves what, and what the gate may conclude from it.

One file fills it for each source (`local` today).  A source must never say which part of a proof was wrong, nor by its
words nor by the time it takes, and must never sign anybody in while its store is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from penstock.model import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What somebody typed.  `source` is the address they came from; it is counted, never trusted."""

    subject: str
    password: str
    code: str
    source: str

    def __repr__(self) -> str:
        """Without the secrets: this value may end in a traceback."""
        return f"Credentials(subject={self.subject!r}, source={self.source!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """The outcome of one attempt: `subject` when it was proved, otherwise nobody.

    `retry_after_s` is above 0 when the attempt was not even looked at because of earlier failures.  `locked` names the
    counters (``account``, ``source``) whose wait began with this very attempt, so that it is recorded once.
    """

    subject: Subject | None = None
    retry_after_s: int = 0
    locked: tuple[str, ...] = ()


class Source(Protocol):
    """Where subjects prove who they are."""

    async def sign_in(self, credentials: Credentials, now_us: int) -> SignIn:
        """Check the credentials at `now_us` (wall clock, microseconds).  Raises `Unavailable`."""
        ...
