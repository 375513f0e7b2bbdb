"""The whole of inspection over DNP3: refusals, answers in fragments, reports, frames that the link confirms."""

from __future__ import annotations

from pathlib import Path

import pytest
from proxying import SECOND, T0, Inspected

from penstock.model import Reason
from penstock.proxy import End
from penstock.wire import Dnp3Decoder
from penstock.wire.dnp3.link import link_frame

MASTER, OUTSTATION = 1, 10
#: `proxying.decide` lets reads pass, and writes three times a minute.
POLL, RESTART = "C3 01 3C02 06 3C01 06", "C4 0D"
CROB = "0C01 28 0100 0500 03 01 64000000 64000000 00"


def request(app: str, control: int = 0xC4, transport: int = 0xC0) -> bytes:
    return link_frame(control, OUTSTATION, MASTER, bytes((transport,)) + bytes.fromhex(app))


def response(app: str, transport: int = 0xC0) -> bytes:
    return link_frame(0x44, MASTER, OUTSTATION, bytes((transport,)) + bytes.fromhex(app))


@pytest.fixture
def flow(tmp_path: Path) -> Inspected:
    return Inspected(tmp_path, decoder=Dnp3Decoder())


def test_a_poll_and_its_answer_pass_byte_for_byte_and_are_judged_once(flow: Inspected) -> None:
    for number in range(3):
        asked, said = request(f"C{number} 01 3C02 06"), response(f"C{number} 81 0000 1E02 00 0101 01 0500")
        assert flow.client(asked, T0 + number).to_asset == asked
        assert flow.asset(said, T0 + number + 1).to_client == said
    assert len(flow.judged) == 1
    assert flow.rows() == [[1, 0]] * 3


def test_a_refused_restart_never_arrives_and_the_flow_goes_on(flow: Inspected) -> None:
    effect = flow.client(request(RESTART) + request(POLL), T0)
    assert effect.to_asset == request(POLL)
    assert effect.to_client == response("C4 81 0001")
    assert effect.ending is None
    (record,) = flow.records("operation.refused")
    assert (record.operation, record.reason) == ("dnp3.execute", "operation_not_allowed")


def test_a_select_and_its_operate_pass_and_a_fourth_write_is_refused_in_each_control(flow: Inspected) -> None:
    for number, code in ((4, "03"), (5, "04"), (6, "05")):
        asked = request(f"C{number} {code} {CROB}")
        assert flow.client(asked, T0 + number).to_asset == asked
        flow.asset(response(f"C{number} 81 0000 {CROB}"), T0 + number)
    effect = flow.client(request(f"C7 05 {CROB}"), T0 + 9)
    assert (effect.to_asset, effect.to_client) == (b"", response(f"C7 81 0000 {CROB[:-2]} 0B"))
    (record,) = flow.records("operation.refused")
    assert record.reason == "rate_exceeded"


def test_the_same_operate_is_looked_up_with_its_select_only(flow: Inspected) -> None:
    """A verdict is remembered by what decides it, and the select does."""
    assert flow.client(request(f"C5 04 {CROB}"), T0).to_client == response(f"C5 81 0000 {CROB[:-2]} 02")
    flow.client(request(f"C4 03 {CROB}"), T0 + 1)
    assert flow.client(request(f"C5 04 {CROB}"), T0 + 2).to_asset == request(f"C5 04 {CROB}")
    assert flow.client(request(f"C9 04 {CROB}"), T0 + 3).to_asset == b""


def test_an_answer_in_fragments_is_one_answer_and_its_confirmations_pass(flow: Inspected) -> None:
    flow.client(request(POLL), T0)
    first, last = response("A3 81 0000 0102 00 0101 81"), response("64 81 0000 0102 00 0202 81")
    assert flow.asset(first, T0 + 10).to_client == first
    assert flow.inspection.is_waiting
    assert flow.client(request("C3 00"), T0 + 11).to_asset == request("C3 00")
    assert flow.asset(last, T0 + 20).to_client == last
    assert not flow.inspection.is_waiting
    assert flow.rows() == [[20, 0]]


def test_an_answer_in_segments_is_forwarded_when_it_is_whole(flow: Inspected) -> None:
    flow.client(request(POLL), T0)
    one, two = response("C3 81 0000", 0x40), response("0102 00 0101 81", 0x81)
    assert flow.asset(one, T0 + 1).to_client == b""
    assert flow.asset(two, T0 + 2).to_client == one + two
    assert flow.rows() == [[2, 0]]


def test_an_error_of_the_outstation_is_an_outcome_of_its_own(flow: Inspected) -> None:
    flow.client(request(POLL), T0)
    flow.asset(response("C3 81 0002"), T0 + 5)
    assert flow.rows() == [[5, 1]]


def test_an_answer_that_nobody_asked_for_ends_the_flow(flow: Inspected) -> None:
    flow.client(request(POLL), T0)
    ending = flow.asset(response("C5 81 0000"), T0 + 1).ending
    assert ending is not None
    assert (ending.by, ending.reason) == (End.GATE, Reason.MALFORMED)


def test_a_report_that_may_not_be_read_is_kept_back_and_an_empty_one_is_not(flow: Inspected) -> None:
    """`proxying.decide` allows reads alone, and a report is part of the session as well."""
    report = response("F1 82 0000 0201 28 0100 0700 81")
    assert flow.asset(report, T0).to_client == b""
    (record,) = flow.records("operation.refused")
    assert record.operation == "dnp3.session+read"


def test_the_links_own_frames_pass_without_a_row(flow: Inspected) -> None:
    status, answer = link_frame(0xC9, OUTSTATION, MASTER), link_frame(0x0B, MASTER, OUTSTATION)
    assert flow.client(status, T0).to_asset == status
    assert flow.asset(answer, T0 + 1).to_client == answer
    assert flow.rows() == []


def test_a_confirmed_link_stays_in_step_over_a_refusal(flow: Inspected) -> None:
    """Also for what was judged before, which would take the short way."""
    first = request(POLL, 0xF3)
    assert flow.client(first, T0).to_asset == first
    flow.asset(response("C3 81 0000"), T0 + 1)
    effect = flow.client(request(RESTART, 0xD3), T0 + 2)
    assert (effect.to_asset, effect.to_client) == (b"", link_frame(0x00, MASTER, OUTSTATION) + response("C4 81 0001"))
    assert flow.client(request(POLL, 0xF3), T0 + 3).to_asset == request(POLL, 0xD3)
    flow.asset(response("C3 81 0000"), T0 + 4)
    assert flow.client(request(POLL, 0xD3), T0 + 5).to_asset == request(POLL, 0xF3)


def test_half_a_fragment_and_then_nothing_ends_the_flow(flow: Inspected) -> None:
    flow.client(request("C3 01 3C", transport=0x40), T0)
    assert flow.inspection.tick(T0 + 4 * SECOND) is None
    ending = flow.inspection.tick(T0 + 6 * SECOND)
    assert ending is not None
    assert ending.reason is Reason.MALFORMED


@pytest.mark.parametrize("app", [f"C3 06 {CROB}", "C3 21 7801 5B 01 0100 00"])
def test_what_nobody_answers_waits_for_nothing(flow: Inspected, app: str) -> None:
    effect = flow.client(request(app), T0)
    assert effect.to_client == b""
    assert not flow.inspection.is_waiting
