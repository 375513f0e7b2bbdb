"""A link that counts its frames goes on through refusals: the whole of inspection over IEC 60870-5-104."""

from __future__ import annotations

from pathlib import Path

import pytest
from proxying import GRANT, SECOND, T0, Inspected

from penstock.model import Reason
from penstock.wire import Iec104Decoder

STARTDT_ACT, STARTDT_CON = bytes.fromhex("680407000000"), bytes.fromhex("68040b000000")


def i_frame(number: int, expected: int, asdu: str) -> bytes:
    data = bytes.fromhex(asdu)
    control = (number << 1).to_bytes(2, "little") + (expected << 1).to_bytes(2, "little")
    return bytes((0x68, len(data) + 4)) + control + data


def s_frame(expected: int) -> bytes:
    return b"\x68\x04\x01\x00" + (expected << 1).to_bytes(2, "little")


INTERROGATION, CONFIRMED, ENDED = "64010600030000000014", "64010700030000000014", "64010a00030000000014"
RESET, NO_RESET = "69010600030000000001", "69014700030000000001"
COMMAND, COMMAND_CONFIRMED = "2d010600030064000001", "2d010700030064000001"
POINT = "01010300030005000001"


@pytest.fixture
def flow(tmp_path: Path) -> Inspected:
    return Inspected(tmp_path, decoder=Iec104Decoder())


def test_a_refused_reset_is_confirmed_negatively_and_the_link_goes_on(flow: Inspected) -> None:
    assert flow.client(STARTDT_ACT, T0).to_asset == STARTDT_ACT
    assert flow.asset(STARTDT_CON, T0).to_client == STARTDT_CON
    assert flow.asset(i_frame(0, 0, POINT), T0).to_client == i_frame(0, 0, POINT)
    refused = flow.client(i_frame(0, 1, RESET), T0)
    assert refused.to_client == i_frame(1, 1, NO_RESET)
    assert refused.to_asset == s_frame(1), "the acknowledgement of the point, which the reset carried"
    assert refused.ending is None
    asked = flow.client(i_frame(1, 2, INTERROGATION), T0)
    assert asked.to_asset == i_frame(0, 1, INTERROGATION)
    assert flow.asset(i_frame(1, 1, CONFIRMED), T0 + 30).to_client == i_frame(2, 2, CONFIRMED)
    assert flow.asset(i_frame(2, 1, POINT), T0 + 40).to_client == i_frame(3, 2, POINT)
    assert flow.asset(i_frame(3, 1, ENDED), T0 + 50).to_client == i_frame(4, 2, ENDED)
    assert flow.client(s_frame(5), T0 + 60).to_asset == s_frame(4)
    assert flow.inspection.refused == 1
    assert [row for row in flow.rows() if row[0] >= 0] == [[50, 0]]


def test_an_interrogation_may_take_longer_than_any_single_answer(flow: Inspected) -> None:
    """Its data are told, not waited for; the confirmation gives the end time again."""
    flow.client(i_frame(0, 0, INTERROGATION), T0)
    assert flow.asset(i_frame(0, 1, CONFIRMED), T0 + 4 * SECOND).ending is None
    for number in range(1, 4):
        now_us = T0 + (4 + 2 * number) * SECOND
        flow.inspection.tick(now_us)
        assert flow.asset(i_frame(number, 1, POINT), now_us).ending is None
    late = flow.asset(i_frame(4, 1, ENDED), T0 + 11 * SECOND)
    assert late.ending is None
    assert late.to_client == i_frame(4, 1, ENDED)


def test_a_command_too_many_is_refused_and_the_next_ones_numbers_are_right(flow: Inspected) -> None:
    """Three writes a minute are allowed."""
    for number in range(3):
        sent = flow.client(i_frame(number, number, COMMAND), T0)
        assert sent.to_asset == i_frame(number, number, COMMAND)
        assert flow.asset(i_frame(number, number + 1, COMMAND_CONFIRMED), T0 + 5).ending is None
    refused = flow.client(i_frame(3, 3, COMMAND), T0)
    assert refused.to_client == i_frame(3, 4, COMMAND.replace("0106", "0147", 1))
    assert refused.to_asset == s_frame(3)
    later = flow.client(i_frame(4, 4, COMMAND), T0 + 61 * SECOND)
    assert later.to_asset == i_frame(3, 3, COMMAND)
    (record,) = flow.records("operation.refused", T0 + 200 * SECOND)
    assert (record.operation, record.reason) == ("iec104.write", Reason.RATE_EXCEEDED)


def test_a_confirmation_of_what_was_refused_ends_the_flow(flow: Inspected) -> None:
    """The asset never had it, so it is an answer to nothing."""
    flow.client(i_frame(0, 0, RESET), T0)
    ending = flow.asset(i_frame(0, 0, "69010700030000000001"), T0).ending
    assert ending is not None
    assert ending.reason is Reason.MALFORMED


READ, VALUE = "660105000300640000", "0d0105000300640000cdcc8c3f00"


def test_a_read_that_was_judged_before_is_counted_on_the_short_way_as_on_the_long_one(flow: Inspected) -> None:
    """The policy is asked once, and a refusal in between does not shake the numbers."""
    for number in range(20):
        assert flow.client(i_frame(number, number, READ), T0).to_asset == i_frame(number, number, READ)
        told = flow.asset(i_frame(number, number + 1, VALUE), T0 + 7)
        assert (told.to_client, told.ending) == (i_frame(number, number + 1, VALUE), None)
    assert len(flow.judged) == 1
    refused = flow.client(i_frame(20, 20, RESET), T0 + 8)
    assert refused.to_client == i_frame(20, 21, NO_RESET)
    for number in range(20, 25):
        asked = flow.client(i_frame(number + 1, number + 1, READ), T0 + 9)
        assert asked.to_asset == i_frame(number, number, READ)
        told = flow.asset(i_frame(number, number + 1, VALUE), T0 + 16)
        assert told.to_client == i_frame(number + 1, number + 2, VALUE)
    assert flow.rows() == [[7, 0]] * 25


def test_who_acknowledges_what_was_never_sent_is_cut_off_on_the_short_way_too(flow: Inspected) -> None:
    flow.client(i_frame(0, 0, READ), T0)
    flow.asset(i_frame(0, 1, VALUE), T0)
    flow.client(i_frame(1, 9, READ), T0)
    ending = flow.asset(i_frame(1, 2, VALUE), T0).ending
    assert ending is not None
    assert ending.reason is Reason.MALFORMED


def test_what_an_asset_tells_again_is_judged_once_and_written_down_each_time(flow: Inspected) -> None:
    """Its values decide nothing, its objects do; a renewed grant is asked about again."""
    other = POINT.replace("050000", "060000", 1)
    for number in range(10):
        told = i_frame(number, 0, POINT[:-2] + f"{number % 2:02x}")
        assert flow.asset(told, T0 + number).to_client == told
    assert len(flow.judged) == 1
    assert flow.asset(i_frame(10, 0, other), T0 + 10).to_client == i_frame(10, 0, other)
    assert len(flow.judged) == 2
    flow.inspection.renew(GRANT)
    assert flow.asset(i_frame(11, 0, POINT), T0 + 11).to_client == i_frame(11, 0, POINT)
    assert len(flow.judged) == 3
    assert flow.inspection.frames == 12
    assert len(flow.rows()) == 12


def test_an_asset_is_not_believed_what_a_client_may_ask_and_the_other_way_round(flow: Inspected) -> None:
    """The same bytes mean something else from the other side, so they are judged again there."""
    flow.client(i_frame(0, 0, READ), T0)
    before = len(flow.judged)
    assert flow.asset(i_frame(0, 1, READ), T0).to_client != i_frame(0, 1, READ)
    assert len(flow.judged) > before
