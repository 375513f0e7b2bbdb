"""How a gate is, in one value: for the administrator and for monitoring.  Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the gate is: for the administrator."""

    revision: int
    evidence_is_healthy: bool
    evidence_size: int
    has_enforcer: bool
    has_inspection: bool
    grants: int
    sign_ins: int
    processes: dict[str, str]
    isolated: tuple[str, ...] = ()
    uncut: int = 0
