"""An inspected flow whose writes and commands wait for a second person, for tests of held operations."""

from __future__ import annotations

from pathlib import Path

from proxying import GRANT, T0, Inspected

from penstock.model import (
    Charge,
    Decision,
    Grant,
    HoldDecided,
    HoldEnded,
    Operation,
    OperationClass,
    OperationHeld,
    Reason,
)
from penstock.proxy.held import PACE_US
from penstock.proxy.relay import Effect
from penstock.wire import Decoder

C = OperationClass
FREE = frozenset({C.SESSION, C.READ, C.DISCOVERY, C.DIAGNOSTICS})
HELD = frozenset({C.WRITE, C.EXECUTE, C.PROGRAM_TO_DEVICE, C.FILE_WRITE})
HOLD_S = 60
APPROVER = "otto@local"


class Holding(Inspected):
    """What reads is free, what writes or commands is held for a minute, all else is denied.

    `told` is what control heard, in order.  The policy can be changed while the flow goes on.
    """

    def __init__(self, folder: Path, decoder: Decoder | None = None, grant: Grant = GRANT) -> None:
        super().__init__(folder, grant, decoder)
        self.hold_s: int | None = HOLD_S
        self.is_allowed = True
        self.charges: tuple[Charge, ...] = ()
        self.conduit = "sets"
        self.told: list[OperationHeld | HoldEnded] = []
        self.book.tell = self.told.append

    def _judge(self, operation: Operation, _now_us: int) -> Decision:
        self.judged.append(operation)
        if FREE.issuperset(operation.classes):
            return Decision(is_allowed=True, reason=Reason.ALLOWED, revision=3, conduit="polls")
        if not self.is_allowed or not HELD.issuperset(operation.classes):
            return Decision(is_allowed=False, reason=Reason.OPERATION_NOT_ALLOWED, revision=3, conduit="polls")
        return Decision(
            is_allowed=True,
            reason=Reason.ALLOWED,
            revision=3,
            conduit=self.conduit,
            charges=self.charges,
            hold_s=self.hold_s,
        )

    def decide(self, *, is_approved: bool, hold: int = 1, now_us: int = T0, why: str = "") -> Effect | None:
        """A second person's word on the hold with this number."""
        decided = HoldDecided(flow=self.flow.number, hold=hold, is_approved=is_approved, decided_by=APPROVER, why=why)
        return self.inspection.decide(decided, now_us)

    def approve(self, hold: int = 1, now_us: int = T0) -> Effect:
        """Approve it, and let what waits behind it go on while the asset is silent."""
        effect = self.decide(is_approved=True, hold=hold, now_us=now_us)
        assert effect is not None, "nothing of that number waits"
        return self.settled(effect, now_us)[0]

    def refuse(self, hold: int = 1, now_us: int = T0) -> Effect:
        """Refuse it, likewise."""
        effect = self.decide(is_approved=False, hold=hold, now_us=now_us)
        assert effect is not None, "nothing of that number waits"
        return self.settled(effect, now_us)[0]

    def settled(self, effect: Effect, now_us: int) -> tuple[Effect, int]:
        """`effect` with all that follows until something is held or nothing waits, and when that was."""
        while self.inspection.is_holding and not self.book.pending and effect.ending is None:
            now_us += PACE_US
            more = self.inspection.lapse(now_us)
            assert more is not None, "it has had its time"
            to_asset, to_client = effect.to_asset + more.to_asset, effect.to_client + more.to_client
            effect = Effect(to_asset, to_client, more.ending, effect.transactions + more.transactions)
        return effect, now_us

    def ended(self) -> list[tuple[int, str, str]]:
        """Number, ending and reason of every hold that ended."""
        return [(each.hold, each.ending.value, each.reason) for each in self.told if isinstance(each, HoldEnded)]

    def held(self) -> list[OperationHeld]:
        return [each for each in self.told if isinstance(each, OperationHeld)]
