"""The dead-man switches that were armed, and which of them have tripped since.

Pure: the enforcer brings what the kernel counts as alive.  It must never let a process be armed again whose switch has
tripped: what it holds may be stale, so it is replaced.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from penstock.model import ArmWorker


class Switches:
    """The armed and the tripped switches, by mark and process."""

    def __init__(self) -> None:
        self._armed: dict[int, int] = {}
        self._tripped: dict[int, int] = {}

    @property
    def is_any_armed(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._armed)

    @property
    def armed_marks(self) -> frozenset[int]:
        """The marks that may count as alive."""
        return frozenset(self._armed)

    def armed(self, command: ArmWorker) -> None:
        """The kernel counts this worker from now on."""
        self._armed[command.mark] = command.pid

    def may_arm(self, command: ArmWorker, alive: AbstractSet[int]) -> bool:
        """Whether this process may be armed, while the kernel counts the marks `alive`; if not, it has tripped."""
        if command.was_armed and command.mark not in alive:
            self._tripped[command.mark] = command.pid
            return False
        return not command.pid or self._tripped.get(command.mark) != command.pid

    def trip(self, alive: AbstractSet[int]) -> list[tuple[int, int]]:
        """Mark and process of every switch that has tripped since the last call."""
        gone = [(mark, pid) for mark, pid in self._armed.items() if mark not in alive]
        for mark, pid in gone:
            del self._armed[mark]
            self._tripped[mark] = pid
        return gone
