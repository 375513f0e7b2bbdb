"""What the supervisor does next, as a pure state machine: times and exits come in, steps go out.

It starts the gate's processes, starts them again when they end, and kills the ones whose heartbeat stopped: a hung
process is never resumed, because what it holds may be stale.  It must never touch a packet, a policy or a record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

#: A process that ends sooner than this after its start is started again more and more slowly.
STEADY_AFTER_S = 5.0
FIRST_DELAY_S = 0.3
LONGEST_DELAY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A process in the supervisor's care.  `silence_s` is how long its heartbeat may pause before it counts as hung."""

    name: str
    silence_s: float
    grace_s: float = 10.0
    """How long a fresh process may take to its first beat."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the process of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the process of this name, because of `why`."""

    name: str
    why: str


Step: TypeAlias = Start | Kill


@dataclass(slots=True)
class _State:
    started_s: float = 0.0
    start_at_s: float = 0.0
    delay_s: float = FIRST_DELAY_S
    killed_for: str | None = None
    is_running: bool = False


@dataclass(slots=True)
class Plan:
    """The state of every charge."""

    charges: tuple[Charge, ...]
    _states: dict[str, _State] = field(init=False)

    def __post_init__(self) -> None:
        self._states = {charge.name: _State() for charge in self.charges}

    def steps(self, now_s: float, beats_s: dict[str, float | None]) -> list[Step]:
        """What to do at `now_s`, given the monotonic time of each process's last beat."""
        found: list[Step] = []
        for charge in self.charges:
            state = self._states[charge.name]
            if not state.is_running:
                if now_s >= state.start_at_s:
                    state.is_running, state.started_s, state.killed_for = True, now_s, None
                    found.append(Start(charge.name))
            elif state.killed_for is None and (why := self._hang(charge, state, now_s, beats_s.get(charge.name))):
                state.killed_for = why
                found.append(Kill(charge.name, why))
        return found

    @staticmethod
    def _hang(charge: Charge, state: _State, now_s: float, beat_s: float | None) -> str | None:
        if beat_s is None or beat_s < state.started_s:
            silent = now_s - state.started_s > charge.grace_s
            return f"no heartbeat within {charge.grace_s:g} s of its start" if silent else None
        return f"no heartbeat for {charge.silence_s:g} s" if now_s - beat_s > charge.silence_s else None

    def ended(self, name: str, now_s: float) -> str:
        """Note that a process ended; returns why, where the supervisor itself killed it."""
        state = self._states[name]
        lived_s = now_s - state.started_s
        state.delay_s = FIRST_DELAY_S if lived_s >= STEADY_AFTER_S else min(state.delay_s * 2, LONGEST_DELAY_S)
        state.is_running, state.start_at_s = False, now_s + state.delay_s
        why, state.killed_for = state.killed_for, None
        return why or ""
