"""Protocols in which both sides ask, answers come in parts, and links count: what passes, and what is kept back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from proxying import SECOND, T0, Inspected

from penstock.model import Operation, OperationClass, Reason
from penstock.proxy import End
from penstock.wire import NO_ANSWER, Answer, Frame, Role, Side

ROLES = {"Q": Role.REQUEST, "S": Role.REQUEST, "A": Role.REPLY, "P": Role.REPLY, "N": Role.NOTICE, "L": Role.LINK}


class LineFrame(Frame, gc=False):
    @property
    def operation(self) -> Operation:
        return Operation("lines", (OperationClass(self.what.decode()),), "1", "a line")


class LineDecoder:
    """A line a frame: role, number, word.  `S` asks without an answer, `P` is an answer of which more follows."""

    def __init__(self, *, rewrites: bool = False) -> None:
        self.rewrites = rewrites
        self.owed = {Side.CLIENT: b"", Side.ASSET: b""}

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        frames = []
        for line in data.splitlines(keepends=True):
            role, number, what = line[:1].decode(), int(line[1:2]), line[2:].strip()
            exchange = NO_ANSWER if role in "SNL" else number
            frames.append(LineFrame(line, side, what, exchange, False, ROLES[role], role != "P"))
        return frames

    def pending(self, side: Side) -> int:
        del side
        return 0

    def forward(self, frame: Frame) -> bytes:
        return frame.data.upper() if self.rewrites else frame.data

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        self.owed[Side.ASSET if frame.side is Side.CLIENT else Side.CLIENT] = b"+"
        return b"" if frame.exchange == NO_ANSWER else b"R%d %s\n" % (frame.exchange, reason.value.encode())

    def due(self, side: Side) -> bytes:
        owed, self.owed[side] = self.owed[side], b""
        return owed

    def answer(self, request: Frame, reply: Frame) -> Answer:
        del request, reply
        return Answer()


@pytest.fixture
def flow(tmp_path: Path) -> Inspected:
    return Inspected(tmp_path, decoder=LineDecoder())


def test_what_the_asset_asks_is_judged_like_what_the_client_asks(flow: Inspected) -> None:
    allowed = flow.asset(b"Q1read\n", T0)
    assert (allowed.to_client, allowed.to_asset) == (b"Q1read\n", b"")
    refused = flow.asset(b"Q2execute\n", T0)
    assert (refused.to_client, refused.to_asset) == (b"+", b"R2 operation_not_allowed\n")
    assert refused.ending is None
    (record,) = flow.records("operation.refused")
    assert record.operation == "lines.execute"


def test_the_client_answers_only_what_the_asset_asked(flow: Inspected) -> None:
    flow.asset(b"Q1read\n", T0)
    assert flow.client(b"A1\n", T0 + 40).to_asset == b"A1\n"
    unasked = flow.client(b"A1\n", T0 + 50)
    assert unasked.to_asset == b""
    assert unasked.ending is not None
    assert (unasked.ending.by, unasked.ending.reason) == (End.GATE, Reason.MALFORMED)
    assert flow.rows() == [[40, 0]]


def test_the_same_number_may_be_under_way_in_both_directions(flow: Inspected) -> None:
    flow.client(b"Q1read\n", T0)
    flow.asset(b"Q1read\n", T0)
    assert flow.asset(b"A1\n", T0 + 5).to_client == b"A1\n"
    assert flow.client(b"A1\n", T0 + 7).to_asset == b"A1\n"
    assert flow.rows() == [[5, 0], [7, 0]]


def test_a_verdict_on_the_client_s_request_is_none_on_the_same_one_of_the_asset(flow: Inspected) -> None:
    flow.client(b"Q1read\n", T0)
    flow.asset(b"A1\n", T0)
    flow.asset(b"Q1read\n", T0)
    assert len(flow.judged) == 2


def test_news_that_nobody_may_have_is_kept_back_and_recorded(flow: Inspected) -> None:
    assert flow.asset(b"N0read\n", T0).to_client == b"N0read\n"
    effect = flow.asset(b"N0diagnostics\nN0read\n", T0)
    assert (effect.to_client, effect.to_asset) == (b"N0read\n+", b"")
    assert [record.reason for record in flow.records("operation.refused")] == ["operation_not_allowed"]


def test_what_nobody_answers_is_on_record_as_sent_and_is_not_waited_for(flow: Inspected) -> None:
    for _ in range(200):
        assert flow.client(b"S0read\n", T0).to_asset == b"S0read\n"
    assert not flow.inspection.is_waiting
    assert flow.rows() == [[-1, 3]] * 200


def test_an_answer_in_parts_is_waited_for_until_its_last_part(flow: Inspected) -> None:
    """Each part gives it time again."""
    flow.client(b"Q1read\n", T0)
    for second in (4, 8, 12):
        assert flow.inspection.tick(T0 + second * SECOND) is None
        assert flow.asset(b"P1\n", T0 + second * SECOND).to_client == b"P1\n"
    assert flow.asset(b"A1\n", T0 + 13 * SECOND).to_client == b"A1\n"
    assert flow.asset(b"P1\n", T0 + 13 * SECOND).ending is not None


def test_what_keeps_the_link_going_passes_without_a_record(flow: Inspected) -> None:
    assert flow.client(b"L0\n", T0).to_asset == b"L0\n"
    assert flow.asset(b"L0\n", T0).to_client == b"L0\n"
    assert (flow.inspection.frames, flow.judged, flow.rows()) == (0, [], [])


def test_what_the_gate_owes_a_link_that_counts_goes_out_behind_the_rest(flow: Inspected) -> None:
    effect = flow.client(b"Q1read\nQ2execute\nQ3read\n", T0)
    assert effect.to_asset == b"Q1read\nQ3read\n+"
    assert effect.to_client == b"R2 operation_not_allowed\n"


def test_a_link_whose_counters_are_made_right_never_takes_the_short_way(tmp_path: Path) -> None:
    flow = Inspected(tmp_path, decoder=LineDecoder(rewrites=True))
    for number in b"123":
        assert flow.client(b"Q%cread\n" % number, T0).to_asset == b"Q%cREAD\n" % number
        assert flow.asset(b"A%c ok\n" % number, T0).to_client == b"A%c OK\n" % number


def test_a_link_that_begins_to_count_leaves_the_short_way_from_then_on(tmp_path: Path) -> None:
    """OPC UA changes nothing before the gate has kept something back, and every number after that."""
    decoder = LineDecoder()
    flow = Inspected(tmp_path, decoder=decoder)
    for number in b"12":
        assert flow.client(b"Q%cread\n" % number, T0).to_asset == b"Q%cread\n" % number
        assert flow.asset(b"A%c ok\n" % number, T0).to_client == b"A%c ok\n" % number
    decoder.rewrites = True
    assert flow.client(b"Q3read\n", T0).to_asset == b"Q3READ\n"
    assert flow.asset(b"A3 ok\n", T0).to_client == b"A3 OK\n"
