"""The contract of a criterion: one thing that must hold between a request and a conduit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.model import Miss
from penstock.policy.lanes import Lane, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """`is_met` is asked for every request and must be fast; `explain` is asked only where it failed.

    Both are pure.  `explain` says what was wanted, what was found, and who or what can help, in plain words.
    """

    name: str
    is_met: Callable[[Lane, Question], bool]
    explain: Callable[[Lane, Question], Miss]
