"""One held request: what the client, the asset, control and the evidence see of it, whatever becomes of it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from holding import APPROVER, HOLD_S, Holding
from proxying import GRANT, READ, READ_REPLY, SECOND, T0, WRITE, message
from test_inspect_roles import LineDecoder

from penstock.model import Charge, Decision, HoldEnded, Operation, OperationHeld, Reason, RecordMode
from penstock.proxy.held import MAX_BEHIND, MAX_BEHIND_BYTES, PACE_US
from penstock.proxy.inspect import HALF_MESSAGE_US
from penstock.proxy.relay import End

HELD_WRITE = message(7, WRITE)
UNTIL_US = T0 + HOLD_S * SECOND


def exception(number: int, code: int, function: int = 0x86) -> bytes:
    return message(number, b"\0\0\0\3\1" + bytes((function, code)))


@pytest.fixture
def flow(tmp_path: Path) -> Holding:
    return Holding(tmp_path)


def test_a_held_write_reaches_nobody_but_control_and_the_evidence_and_the_flow_goes_on(flow: Holding) -> None:
    effect = flow.client(HELD_WRITE, T0)
    assert (effect.to_asset, effect.to_client, effect.ending, effect.transactions) == (b"", b"", None, ())
    assert flow.inspection.is_holding
    (told,) = flow.told
    assert isinstance(told, OperationHeld)
    assert (told.flow, told.hold, told.grant, told.conduit) == (flow.flow.number, 1, 12, "sets")
    assert (told.operation, told.code, told.name, told.unit) == ("modbus.write", "6", "Write Single Register", 1)
    (target,) = told.targets
    assert (target.table, target.first, target.values) == ("holding_registers", 1, (0x55,))
    assert (told.data, told.source) == (HELD_WRITE.hex(), "192.168.10.12:40001")
    assert (told.at_us, told.until_us, told.behind) == (T0, UNTIL_US, 0)
    assert flow.book.pending == (told,)
    (record,) = flow.records("operation.held")
    assert (record.grant, record.subject, record.asset) == (12, "scada-1", "plc-filter-1")
    assert (record.operation, record.at_us) == ("modbus.write", T0)
    assert record.detail["hold"] == 1
    assert record.detail["until_us"] == UNTIL_US
    assert (record.detail["data"], record.detail["conduit"]) == (HELD_WRITE.hex(), "sets")
    assert record.detail["targets"] == [{"table": "holding_registers", "first": 1, "count": 1, "values": [0x55]}]


def test_what_was_approved_is_sent_on_as_it_was_shown_and_the_row_says_by_which_hold_and_by_whom(
    flow: Holding,
) -> None:
    flow.client(HELD_WRITE, T0)
    effect = flow.approve(now_us=T0 + 20 * SECOND)
    assert (effect.to_asset, effect.to_client, effect.ending) == (HELD_WRITE, b"", None)
    assert flow.ended() == [(1, "forwarded", "")]
    assert flow.book.pending == ()
    assert not flow.inspection.is_holding
    assert flow.asset(HELD_WRITE, T0 + 20 * SECOND + 900).to_client == HELD_WRITE
    (record,) = flow.records("operations")
    (line,) = record.detail["operations"]
    assert (line["hold"], line["approved_by"], line["conduit"]) == (1, APPROVER, "sets")
    assert record.detail["rows"] == [[0, 0, 900, 0]], "its latency is the asset's, not the approver's"
    assert record.at_us == T0 + 20 * SECOND


def test_a_write_that_was_approved_approves_no_other_one(flow: Holding) -> None:
    for number in (1, 2):
        assert flow.client(HELD_WRITE, T0).to_asset == b""
        assert flow.approve(number).to_asset == HELD_WRITE
        flow.asset(HELD_WRITE, T0)
    assert [told.hold for told in flow.held()] == [1, 2]


def test_what_was_refused_is_answered_so_and_recorded_with_its_number_and_who_refused_it(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    effect = flow.refuse(now_us=T0 + SECOND)
    assert (effect.to_asset, effect.to_client, effect.ending) == (b"", exception(7, 1), None)
    assert flow.ended() == [(1, "refused", "hold_refused")]
    (record,) = flow.records("operation.refused")
    assert (record.reason, record.detail["hold"]) == (Reason.HOLD_REFUSED, 1)
    assert record.detail["why"] == f"{APPROVER} refused it"
    assert flow.inspection.refused == 1
    assert flow.client(message(8, READ), T0 + SECOND).to_asset == message(8, READ)


def test_what_nobody_decides_in_time_is_refused_and_a_decision_is_too_late_then(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    assert flow.inspection.lapse(UNTIL_US - 1) is None
    assert flow.decide(is_approved=True, now_us=UNTIL_US) is None, "the time is over, also before anybody looked"
    effect = flow.inspection.lapse(UNTIL_US)
    assert effect is not None
    assert (effect.to_asset, effect.to_client, effect.ending) == (b"", exception(7, 6), None)
    assert flow.ended() == [(1, "timed_out", "hold_timed_out")]
    assert flow.decide(is_approved=True, now_us=UNTIL_US) is None
    assert [record.reason for record in flow.records("operation.refused", UNTIL_US)] == [Reason.HOLD_TIMED_OUT]
    assert flow.rows() == []


def test_the_first_decision_counts_and_one_about_another_hold_says_nothing(flow: Holding) -> None:
    assert flow.decide(is_approved=True) is None
    flow.client(HELD_WRITE, T0)
    assert flow.decide(is_approved=True, hold=2) is None
    assert flow.decide(is_approved=False, hold=0) is None
    assert flow.inspection.is_holding
    flow.refuse()
    assert flow.decide(is_approved=True) is None
    assert flow.ended() == [(1, "refused", "hold_refused")]


def test_what_the_client_says_later_waits_and_goes_on_in_its_order_once_it_is_decided(flow: Holding) -> None:
    flow.client(message(1, READ), T0)
    flow.client(HELD_WRITE, T0)
    for number in (8, 9):
        later = flow.client(message(number, READ), T0 + number)
        assert (later.to_asset, later.to_client) == (b"", b"")
    answered = flow.asset(message(1, READ_REPLY), T0 + 10)
    assert answered.to_client == message(1, READ_REPLY), "answers to what went on before still come"
    effect = flow.approve(now_us=T0 + 2 * SECOND)
    assert effect.to_asset == HELD_WRITE + message(8, READ) + message(9, READ)
    began_us = [T0 + 2 * SECOND + each * PACE_US for each in range(3)]
    assert [each.at_us for each in effect.transactions] == began_us, "each begins when it is sent on"


def test_what_waited_goes_on_one_by_one_as_the_asset_answers(flow: Holding) -> None:
    """A controller never gets at once what its client asked in an hour."""
    flow.client(HELD_WRITE + message(8, READ) + message(9, READ), T0)
    first = flow.decide(is_approved=True)
    assert first is not None
    assert first.to_asset == HELD_WRITE
    assert flow.client(message(10, READ), T0 + 1).to_asset == b"", "what comes now waits as well, or it would overtake"
    assert flow.inspection.lapse(T0 + PACE_US - 1) is None
    second = flow.asset(HELD_WRITE, T0 + 500)
    assert (second.to_client, second.to_asset) == (HELD_WRITE, message(8, READ))
    third = flow.asset(message(8, READ_REPLY), T0 + 900)
    assert (third.to_client, third.to_asset) == (message(8, READ_REPLY), message(9, READ))
    fourth = flow.inspection.lapse(T0 + 900 + PACE_US)
    assert fourth is not None, "an answer that does not come holds up nobody for long"
    assert fourth.to_asset == message(10, READ)
    assert not flow.inspection.is_holding
    flow.asset(message(9, READ_REPLY) + message(10, READ_REPLY), T0 + 2 * SECOND)
    assert flow.client(message(11, READ), T0 + 2 * SECOND).to_asset == message(11, READ)
    assert len(flow.rows()) == 5


def test_a_held_one_that_is_refused_holds_up_nobody(flow: Holding) -> None:
    flow.client(HELD_WRITE + message(8, READ) + message(9, READ), T0)
    effect = flow.decide(is_approved=False)
    assert effect is not None
    assert effect.to_asset == message(8, READ)
    assert flow.asset(message(8, READ_REPLY), T0 + 5).to_asset == message(9, READ)


def test_what_waits_behind_a_refused_one_goes_on_as_well(flow: Holding) -> None:
    flow.client(HELD_WRITE + message(8, READ), T0)
    effect = flow.refuse()
    assert (effect.to_asset, effect.to_client) == (message(8, READ), exception(7, 1))


def test_a_second_write_is_held_when_its_turn_comes_for_its_own_time(flow: Holding) -> None:
    flow.client(HELD_WRITE + message(8, READ) + message(9, WRITE) + message(10, READ), T0)
    assert flow.approve(now_us=T0 + 48 * SECOND).to_asset == HELD_WRITE + message(8, READ)
    later, second = T0 + 50 * SECOND, flow.held()[-1]
    assert (second.hold, second.at_us, second.until_us) == (2, later, later + HOLD_S * SECOND)
    assert flow.inspection.lapse(UNTIL_US) is None
    assert flow.approve(2, now_us=later + SECOND).to_asset == message(9, WRITE) + message(10, READ)
    assert flow.ended() == [(1, "forwarded", ""), (2, "forwarded", "")]


def test_a_denied_request_in_the_queue_is_refused_when_its_turn_comes(flow: Holding) -> None:
    clear_counters = message(8, bytes.fromhex("0000 0006 01 08 000a 0000"))
    assert flow.client(HELD_WRITE + clear_counters, T0).to_client == b""
    effect = flow.approve()
    assert (effect.to_asset, effect.to_client) == (HELD_WRITE, exception(8, 1, 0x88))


def test_a_verdict_that_was_remembered_is_no_way_around_a_held_request(flow: Holding) -> None:
    for number in (1, 2):
        assert flow.client(message(number, READ), T0).to_asset
        flow.asset(message(number, READ_REPLY), T0)
    assert len(flow.judged) == 1, "the second one took the short way"
    flow.client(HELD_WRITE, T0)
    assert flow.client(message(3, READ), T0).to_asset == b""
    assert flow.approve().to_asset == HELD_WRITE + message(3, READ)
    flow.asset(HELD_WRITE + message(3, READ_REPLY), T0)
    before = len(flow.judged)
    assert flow.client(message(4, READ), T0).to_asset == message(4, READ)
    assert len(flow.judged) == before, "and the short way is open again"


def test_more_than_64_requests_behind_it_are_told_to_come_back_later_and_recorded(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    for number in range(MAX_BEHIND):
        assert flow.client(message(100 + number, READ), T0).to_client == b""
    effect = flow.client(message(300, READ), T0)
    assert (effect.to_asset, effect.to_client) == (b"", exception(300, 6, 0x83))
    (record,) = flow.records("operation.refused")
    assert (record.reason, record.operation) == (Reason.TOO_MANY_IN_FLIGHT, "modbus.read")
    effect = flow.approve()
    # here the asset answers nothing, so the last one would be the 65th under way
    assert effect.to_asset == HELD_WRITE + b"".join(message(100 + number, READ) for number in range(MAX_BEHIND - 1))
    assert effect.to_client == exception(100 + MAX_BEHIND - 1, 6, 0x83)


def test_what_waits_behind_it_is_bounded_in_bytes_as_well(tmp_path: Path) -> None:
    flow = Holding(tmp_path, LineDecoder())
    flow.client(b"Q1write\n", T0)
    line = b"Q2read" + b" " * (MAX_BEHIND_BYTES // 4) + b"\n"
    for _ in range(3):
        assert flow.client(line, T0).to_client == b""
    assert flow.client(line, T0).to_client == b"R2 too_many_in_flight\n"
    assert flow.approve().to_asset.count(b"Q2read") == 3


def test_where_the_evidence_cannot_take_it_a_request_is_refused_and_not_held(flow: Holding) -> None:
    flow.reader.set_healthy(False)
    effect = flow.client(HELD_WRITE, T0)
    assert (effect.to_asset, effect.to_client) == (b"", exception(7, 6))
    assert flow.told == []
    assert not flow.inspection.is_holding


def test_what_was_approved_is_refused_where_it_cannot_be_recorded_any_more(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    flow.reader.set_healthy(False)
    effect = flow.approve()
    assert (effect.to_asset, effect.to_client) == (b"", exception(7, 6))
    assert flow.ended() == [(1, "not_allowed", "evidence_unavailable")]


def test_it_is_judged_once_more_before_it_is_sent_on(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    flow.is_allowed = False
    effect = flow.approve()
    assert (effect.to_asset, effect.to_client) == (b"", exception(7, 1))
    assert flow.ended() == [(1, "not_allowed", "operation_not_allowed")]
    (record,) = flow.records("operation.refused")
    assert (record.reason, record.detail["hold"]) == (Reason.OPERATION_NOT_ALLOWED, 1)


def test_a_rate_is_charged_once_and_only_by_what_is_sent_on(flow: Holding) -> None:
    flow.charges = (Charge(key="writes", count=1, period_s=600),)
    flow.client(HELD_WRITE, T0)
    flow.refuse()
    flow.client(HELD_WRITE, T0)
    assert flow.approve(2).to_asset == HELD_WRITE, "the refused one did not count, nor did holding this one"
    flow.asset(HELD_WRITE, T0)
    flow.client(HELD_WRITE, T0)
    assert flow.approve(3).to_asset == b""
    assert flow.ended()[-1] == (3, "not_allowed", "rate_exceeded")


@pytest.mark.parametrize("way", ["settle", "withdraw"])
def test_what_waits_dies_with_its_sender_and_all_of_it_is_recorded(flow: Holding, way: str) -> None:
    flow.client(HELD_WRITE + message(8, READ) + message(9, WRITE), T0)
    (flow.inspection.settle if way == "settle" else flow.inspection.withdraw)(T0 + SECOND)
    assert flow.ended() == [(1, "withdrawn", "sender_gone")]
    assert flow.decide(is_approved=True, now_us=T0 + SECOND) is None
    assert flow.inspection.lapse(UNTIL_US) is None
    records = flow.records("operation.refused")
    assert [(record.reason, record.operation) for record in records] == [
        (Reason.SENDER_GONE, "modbus.write"),
        (Reason.SENDER_GONE, "modbus.read"),
        (Reason.SENDER_GONE, "modbus.write"),
    ]
    assert [record.detail.get("hold") for record in records] == [1, None, None]


def test_the_reason_for_which_the_gate_ended_the_flow_is_that_of_what_waited(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    flow.inspection.settle(T0, Reason.GRANT_REVOKED)
    assert flow.ended() == [(1, "withdrawn", "grant_revoked")]
    assert [record.reason for record in flow.records("operation.refused")] == [Reason.GRANT_REVOKED]


def test_an_approval_after_the_end_of_the_grant_sends_nothing_on(tmp_path: Path) -> None:
    flow = Holding(tmp_path, grant=replace(GRANT, expires_at_us=T0 + 10 * SECOND))
    flow.client(HELD_WRITE, T0)
    assert flow.decide(is_approved=True, now_us=T0 + 10 * SECOND) is None
    ending = flow.inspection.tick(T0 + 10 * SECOND)
    assert ending is not None
    assert ending.reason is Reason.GRANT_EXPIRED


def test_a_new_revision_that_denies_it_refuses_what_waits(flow: Holding) -> None:
    flow.client(HELD_WRITE + message(8, READ), T0)
    assert flow.inspection.lapse(T0 + 1) is None
    flow.is_allowed = False
    flow.inspection.renew(GRANT)
    effect = flow.inspection.lapse(T0 + 2)
    assert effect is not None
    assert (effect.to_asset, effect.to_client) == (message(8, READ), exception(7, 1))
    assert flow.ended() == [(1, "not_allowed", "operation_not_allowed")]


def test_a_new_revision_that_holds_it_no_longer_lets_it_go_on_and_no_name_stands_behind_it(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    flow.hold_s = None
    flow.inspection.renew(GRANT)
    effect = flow.inspection.lapse(T0 + 2)
    assert effect is not None
    assert effect.to_asset == HELD_WRITE
    assert flow.ended() == [(1, "forwarded", "")]
    flow.asset(HELD_WRITE, T0 + 3)
    (line,) = flow.records("operations")[0].detail["operations"]
    assert (line["hold"], line.get("approved_by")) == (1, None)


def test_a_new_revision_may_give_it_another_time_counted_from_its_coming(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    flow.hold_s, flow.conduit = 10, "sets less"
    flow.inspection.renew(GRANT)
    assert flow.inspection.lapse(T0 + SECOND) is None
    told = flow.held()[-1]
    assert (told.hold, told.conduit, told.until_us) == (1, "sets less", T0 + 10 * SECOND)
    assert flow.inspection.lapse(T0 + 10 * SECOND) is not None
    assert flow.ended() == [(1, "timed_out", "hold_timed_out")]


def test_control_is_told_once_how_many_wait_behind_it(flow: Holding) -> None:
    flow.client(HELD_WRITE + message(8, READ) + message(9, READ), T0)
    for _ in range(3):
        flow.inspection.lapse(T0 + SECOND)
    assert [told.behind for told in flow.held()] == [0, 2]
    assert [told.behind for told in flow.book.pending] == [2]


@pytest.mark.parametrize("step_us", [-3600 * SECOND, 3600 * SECOND])
def test_a_step_of_the_clock_neither_shortens_nor_lengthens_the_time_to_decide(flow: Holding, step_us: int) -> None:
    flow.client(HELD_WRITE, T0)
    flow.inspection.stepped(step_us)
    assert flow.held()[-1].until_us == UNTIL_US + step_us
    assert flow.inspection.lapse(UNTIL_US + step_us - 1) is None
    assert flow.inspection.lapse(UNTIL_US + step_us) is not None


def test_half_a_message_of_a_client_that_waits_ends_the_flow_as_ever(flow: Holding) -> None:
    flow.client(HELD_WRITE + message(8, READ)[:5], T0)
    assert flow.inspection.tick(T0 + HALF_MESSAGE_US - 1) is None
    ending = flow.inspection.tick(T0 + HALF_MESSAGE_US)
    assert ending is not None
    assert ending.reason is Reason.MALFORMED


def test_the_second_half_of_a_queued_message_joins_the_first_in_its_place(flow: Holding) -> None:
    read = message(8, READ)
    flow.client(HELD_WRITE + read[:5], T0)
    flow.client(read[5:] + message(9, READ), T0 + 1)
    assert flow.approve(now_us=T0 + 2).to_asset == HELD_WRITE + read + message(9, READ)


def test_a_notice_is_held_like_a_request_and_nobody_is_answered_when_it_is_refused(tmp_path: Path) -> None:
    flow = Holding(tmp_path, LineDecoder())
    assert flow.client(b"N0write\nL0session\n", T0).to_asset == b"L0session\n", "what keeps the link goes on"
    assert flow.held()[0].operation == "lines.write"
    assert flow.refuse().to_client == b""
    flow.client(b"N0write\n", T0)
    assert flow.approve(2).to_asset.startswith(b"N0write\n")


def test_an_answer_of_the_client_waits_behind_a_held_request(tmp_path: Path) -> None:
    flow = Holding(tmp_path, LineDecoder())
    assert flow.asset(b"Q1read\n", T0).to_client == b"Q1read\n"
    flow.client(b"Q2write\n", T0)
    assert flow.client(b"A1\n", T0).to_asset == b""
    assert flow.approve().to_asset == b"Q2write\nA1\n"


def test_an_answer_to_nothing_ends_the_flow_when_its_turn_comes_and_what_is_behind_it_is_recorded(
    tmp_path: Path,
) -> None:
    flow = Holding(tmp_path, LineDecoder())
    flow.client(b"Q2write\nA1\nQ3read\n", T0)
    effect = flow.approve()
    assert effect.to_asset == b"Q2write\n"
    assert effect.ending is not None
    assert (effect.ending.by, effect.ending.reason) == (End.GATE, Reason.MALFORMED)
    flow.inspection.settle(T0, effect.ending.reason)
    assert [(r.operation, r.reason) for r in flow.records("operation.refused")] == [("lines.read", Reason.MALFORMED)]


def test_answers_for_which_there_is_no_room_end_the_flow(tmp_path: Path) -> None:
    flow = Holding(tmp_path, LineDecoder())
    flow.client(b"Q1write\n" + b"Q2read\n" * MAX_BEHIND, T0)
    effect = flow.client(b"A3\n", T0)
    assert effect.to_asset == b""
    assert effect.ending is not None
    assert effect.ending.reason is Reason.TOO_MANY_IN_FLIGHT


def test_what_an_asset_asks_and_tells_goes_on_meanwhile_and_is_never_held(tmp_path: Path) -> None:
    flow = Holding(tmp_path, LineDecoder())
    flow.client(b"Q2write\n", T0)
    effect = flow.asset(b"Q1write\nN0read\nL0session\n", T0)
    assert (effect.to_client, effect.to_asset) == (b"Q1write\nN0read\nL0session\n", b"")
    assert [each.operation for each in flow.held()] == ["lines.write"]


def test_the_same_datagram_again_is_no_second_request(tmp_path: Path) -> None:
    flow = Holding(tmp_path, LineDecoder(), replace(GRANT, transport="udp"))
    flow.client(b"Q1write\n", T0)
    flow.client(b"Q2read\n", T0)
    for again in (b"Q1write\n", b"Q2read\n"):
        assert flow.client(again, T0 + SECOND).to_client == b"", "a refusal would be taken for the answer to the first"
    assert flow.approve().to_asset == b"Q1write\nQ2read\n"
    assert [record.reason for record in flow.records("operation.refused")] == [Reason.TOO_MANY_IN_FLIGHT] * 2
    flow.client(b"Q1write\n", T0 + 2 * SECOND)
    assert flow.held()[-1].hold == 2, "said again after it was decided, it is a new one"


def test_what_a_hold_takes_is_no_latency_of_the_gate(flow: Holding) -> None:
    flow.client(HELD_WRITE, T0)
    (one,) = flow.approve(now_us=T0 + 30 * SECOND).transactions
    one.received_ns, one.own_ns = 5_000, 1_000  # as whoever moves the bytes notes it, at the time of the approval
    (ended,) = flow.asset(HELD_WRITE, T0 + 30 * SECOND + 40).transactions
    assert ended is one
    assert ended.at_us == T0 + 30 * SECOND


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_long_request_is_on_record_with_its_beginning_its_length_and_its_digest(
    tmp_path: Path, *, is_approved: bool
) -> None:
    """A record has a size, and nothing may go on, or be refused, without one."""
    flow, sent = Holding(tmp_path, LineDecoder()), b"Q1write" + b" " * 60_000 + b"\n"
    flow.client(sent, T0)
    assert flow.held()[0].data == sent.hex(), "who approves it sees all of it"
    flow.decide(is_approved=is_approved)
    records = [each for each in flow.reader.read(T0 + 60 * SECOND) if each.kind.startswith("operation.")]
    kinds = ["operation.held", *([] if is_approved else ["operation.refused"])]
    assert [each.kind for each in records] == kinds
    for record in records:
        assert record.detail["data"] == sent[:8192].hex()
        assert (record.detail["bytes"], record.detail["sha256"]) == (len(sent), sha256(sent).hexdigest())


@pytest.mark.parametrize("mode", RecordMode)
def test_a_held_read_is_told_by_itself_whatever_is_recorded_of_reads(tmp_path: Path, mode: RecordMode) -> None:
    class HeldReads(Holding):
        def _judge(self, operation: Operation, _now_us: int) -> Decision:
            del operation
            return Decision(is_allowed=True, reason=Reason.ALLOWED, revision=3, conduit="polls", hold_s=60, record=mode)

    flow = HeldReads(tmp_path)
    flow.client(message(1, READ), T0)
    assert flow.approve().to_asset == message(1, READ)
    flow.asset(message(1, READ_REPLY), T0 + 5)
    (record,) = flow.records("operations")
    assert [line["approved_by"] for line in record.detail["operations"]] == [APPROVER]
    assert len(record.detail["rows"]) == 1


def test_every_held_request_is_in_the_evidence_before_control_hears_of_it(flow: Holding) -> None:
    seen: list[list[int]] = []

    def tell(_: OperationHeld | HoldEnded) -> None:
        seen.append([record.detail["hold"] for record in flow.records("operation.held")])

    flow.book.tell = tell
    flow.client(HELD_WRITE, T0)
    assert seen == [[1]]
