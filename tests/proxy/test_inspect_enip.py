"""EtherNet/IP through an inspected flow: connections are known to the gate even where verdicts are remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from enip_messages import (
    ROUTER,
    TO_ORIGINATOR,
    TO_TARGET,
    closed,
    closing,
    multiple,
    opened,
    opening,
    read_tag,
    reply,
    rr_data,
    unit_data,
    write_dint,
)
from proxying import GRANT, T0, Inspected

from penstock.model import Decision, Operation, OperationClass, Reason
from penstock.wire.enip import EnipDecoder

ALLOWED = {OperationClass.SESSION, OperationClass.READ}
VALUE = reply(0x4C, b"\xc4\0\5\0\0\0")


class Looking(Inspected):
    """A policy that allows sessions and reading."""

    def _judge(self, operation: Operation, _now_us: int) -> Decision:
        self.judged.append(operation)
        is_allowed = set(operation.classes) <= ALLOWED
        reason = Reason.ALLOWED if is_allowed else Reason.OPERATION_NOT_ALLOWED
        return Decision(is_allowed=is_allowed, reason=reason, revision=3, conduit="looks")

    def opens(self, serial: int, number: int) -> None:
        """A connection, opened with the same words each time but for its serial number."""
        asked = rr_data(opening(ROUTER, serial=serial), context=1)
        assert self.client(asked, T0).to_asset == asked
        accepted = rr_data(opened(serial=serial, number=number), context=1)
        assert self.asset(accepted, T0).to_client == accepted

    def closes(self, serial: int) -> None:
        asked = rr_data(closing(ROUTER, serial=serial), context=1)
        assert self.client(asked, T0).to_asset == asked
        assert self.asset(rr_data(closed(serial), context=1), T0).ending is None


@pytest.fixture
def flow(tmp_path: Path) -> Looking:
    grant = replace(GRANT, service="enip", protocol="enip", port=44818)
    return Looking(tmp_path, grant, EnipDecoder())


def test_reads_pass_and_writes_are_answered_by_the_gate(flow: Looking) -> None:
    flow.opens(1, TO_TARGET)
    for count in range(1, 6):
        read = unit_data(read_tag("Speed"), count=count)
        assert flow.client(read, T0).to_asset == read
        answer = unit_data(VALUE, count=count, number=TO_ORIGINATOR)
        assert flow.asset(answer, T0).to_client == answer
    effect = flow.client(unit_data(write_dint("Speed", 1), count=6), T0)
    refusal = unit_data(reply(0x4D, status=15), count=6, number=TO_ORIGINATOR)
    assert (effect.to_asset, effect.to_client, effect.ending) == (b"", refusal, None)
    read = unit_data(read_tag("Speed"), count=7)
    assert flow.client(read, T0).to_asset == read, "and it goes on"
    assert len([each for each in flow.judged if each.classes == (OperationClass.READ,)]) == 1, "judged once"


def test_a_connection_that_is_opened_again_in_the_same_words_is_known_again(flow: Looking) -> None:
    """The second opening has the verdict of the first, and is seen all the same."""
    for number in (TO_TARGET, TO_TARGET + 1):
        flow.opens(1, number)
        read = unit_data(read_tag("Speed"), number=number)
        assert flow.client(read, T0).to_asset == read
        flow.closes(1)
        effect = flow.client(unit_data(read_tag("Speed"), number=number, count=2), T0)
        assert effect.to_asset == b"", "closed"
        assert effect.to_client


def test_a_write_in_a_packet_is_refused_with_the_reads_around_it(flow: Looking) -> None:
    flow.opens(1, TO_TARGET)
    effect = flow.client(unit_data(multiple(read_tag("A"), write_dint("B", 1))), T0)
    assert effect.to_asset == b""
    assert effect.to_client[46:50] == b"\x8a\0\x1e\0"
    assert effect.to_client.count(b"\0\x0f\0") == 2


def test_the_record_of_a_refused_write_names_its_tag(flow: Looking) -> None:
    flow.opens(1, TO_TARGET)
    flow.client(unit_data(write_dint("Speed", 1)), T0)
    (record,) = flow.records("operation.refused")
    (written,) = record.detail["targets"]
    assert (written["table"], written["name"], written["values"]) == ("tags", "speed", [1])
