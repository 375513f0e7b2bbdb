"""A link of IEC 60870-5-104 through inspection that holds: both ends count without a gap, whatever is decided when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from holding import Holding
from hypothesis import given, reject, settings
from proxying import GRANT, SECOND, T0
from test_iec104_link import (
    FORBIDDEN,
    HELD_AND_PASSED,
    HELD_AND_REFUSED,
    Gate,
    Link,
    command,
    first,
    spontaneous,
    steps,
)

from penstock.model import Decision, Operation, OperationClass, Reason
from penstock.proxy.relay import Effect
from penstock.wire import Iec104Decoder, Side

LONG_S = 1_000_000
PASSED = frozenset({0, HELD_AND_PASSED, 4})


def policy(operation: Operation) -> int:
    """What becomes of it, by the address of its object."""
    return operation.targets[0].first % 5


class HoldingFlow(Holding):
    """Commands are forbidden, held, or pass at once; what the station tells is never held."""

    def _judge(self, operation: Operation, _now_us: int) -> Decision:
        found, is_command = policy(operation), OperationClass.WRITE in operation.classes
        is_allowed = found in PASSED or (is_command and found == HELD_AND_REFUSED)
        return Decision(
            is_allowed=is_allowed,
            reason=Reason.ALLOWED if is_allowed else Reason.OPERATION_NOT_ALLOWED,
            revision=3,
            conduit="sets",
            hold_s=LONG_S if is_command and found in {HELD_AND_PASSED, HELD_AND_REFUSED} else None,
        )


class InspectedGate(Gate):
    """A whole inspected flow in place of a decoder with a policy."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.flow = HoldingFlow(folder, self.decoder, replace(GRANT, protocol="iec104", expires_at_us=None))
        self.now_us = T0

    @property  # type: ignore[override]  # what is held, the inspection knows
    def held(self) -> bool:
        return self.flow.inspection.is_holding

    @held.setter
    def held(self, _: object) -> None: ...

    def take(self, side: Side, data: bytes) -> None:
        self.now_us += SECOND
        take = self.flow.client if side is Side.CLIENT else self.flow.asset
        self._give(take(data, self.now_us))

    def release(self) -> None:
        """A second person decides, where something waits for one; what waits behind it goes on, a second apart."""
        self.now_us += SECOND
        if self.flow.book.pending:
            (told,) = self.flow.book.pending
            is_approved = told.targets[0].first % 5 == HELD_AND_PASSED
            effect = self.flow.decide(is_approved=is_approved, hold=told.hold, now_us=self.now_us)
            assert effect is not None
            self._give(effect)
        elif (effect := self.flow.inspection.lapse(self.now_us)) is not None:
            self._give(effect)

    def _give(self, effect: Effect) -> None:
        assert effect.ending is None, effect.ending
        self.to_asset += effect.to_asset
        self.to_client += effect.to_client
        ending = self.flow.inspection.tick(self.now_us)
        # Decisions are a second apart here: five of them in the middle of a message are another test's matter.
        if ending is not None and "half a message" in ending.why:
            reject()
        assert ending is None


@settings(max_examples=150, deadline=None)
@given(done=steps, first_of_client=first, first_of_asset=first)
def test_each_end_sees_consecutive_numbers_and_no_command_overtakes_another(
    tmp_path_factory: pytest.TempPathFactory, done: list[tuple[str, int]], first_of_client: int, first_of_asset: int
) -> None:
    link = Link(first_of_client, first_of_asset)
    link.gate = InspectedGate(tmp_path_factory.mktemp("flow"))
    assert isinstance(link.gate.decoder, Iec104Decoder)
    for action, number in done:
        link.step(action, number)
    link.settle()
    assert link.asset.received == [command(number) for number in link.asked if number % 5 in PASSED]
    told = [asdu for asdu in link.client.received if asdu[0] == 1]
    assert told == [spontaneous(number) for number in link.told if number % 5 in PASSED]
    refused = [asdu for asdu in link.client.received if asdu[0] == 45]
    assert refused == [command(number, 0x47) for number in link.asked if number % 5 in {FORBIDDEN, HELD_AND_REFUSED}]
    assert link.client.acknowledged == link.client.next_to_send, "the client waits for an acknowledgement for ever"
    assert link.asset.acknowledged == link.asset.next_to_send, "the asset waits for an acknowledgement for ever"


def test_a_station_is_not_left_without_the_acknowledgement_that_a_held_command_carried(tmp_path: Path) -> None:
    """It would close the link after t1 (15 s), while somebody still reads what is to be approved."""
    link = Link(0, 0)
    link.gate = InspectedGate(tmp_path)
    link.step("tell", 0)
    link.step("asset to gate", 99)
    link.step("gate to client", 0)
    link.step("command", HELD_AND_PASSED)
    link.step("client to gate", 99)
    while link.gate.to_asset:
        link.step("gate to asset", 0)
    assert link.asset.acknowledged == link.asset.next_to_send
    assert link.asset.received == []
