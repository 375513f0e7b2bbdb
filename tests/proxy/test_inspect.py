"""What is judged is what is forwarded; what is refused never arrives; all of it is in the journal."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxying import GRANT, READ, READ_REPLY, SECOND, STOP, T0, WRITE, Inspected, message, safety_grant

from penstock.model import Reason
from penstock.proxy import End
from penstock.wire import ModbusFrame


@pytest.fixture
def flow(tmp_path: Path) -> Inspected:
    return Inspected(tmp_path)


def test_an_allowed_request_and_its_reply_pass_byte_for_byte(flow: Inspected) -> None:
    """With one row in the journal, and the time between them."""
    request, reply = message(1, READ), message(1, READ_REPLY)
    assert flow.client(request, T0).to_asset is request
    assert flow.asset(reply, T0 + 321).to_client is reply
    assert flow.rows() == [[321, 0]]


def test_the_row_is_written_before_the_request_is_forwarded(flow: Inspected) -> None:
    """Were the worker killed now, the evidence would name the request."""
    flow.client(message(1, READ), T0)
    assert flow.rows() == [[-1, 2]]


def test_the_same_request_is_judged_once_until_the_policy_changes(flow: Inspected) -> None:
    """Whatever its transaction number."""
    for number in range(5):
        assert flow.client(message(number, READ), T0 + number).to_asset
        flow.asset(message(number, READ_REPLY), T0 + number)
    assert len(flow.judged) == 1
    flow.inspection.renew(GRANT)
    flow.client(message(9, READ), T0 + 9)
    assert len(flow.judged) == 2


def test_a_refused_request_gets_an_exception_and_never_reaches_the_asset(flow: Inspected) -> None:
    """The flow goes on, and the record names everything that was missing."""
    effect = flow.client(message(7, STOP), T0)
    assert (effect.to_asset, effect.ending) == (b"", None)
    assert effect.to_client == bytes.fromhex("0007 0000 0003 01 88 01")
    assert flow.client(message(8, READ), T0 + 1).to_asset == message(8, READ)
    (record,) = flow.records("operation.refused")
    assert (record.grant, record.subject, record.asset) == (12, "scada-1", "plc-filter-1")
    assert (record.operation, record.reason) == ("modbus.execute", "operation_not_allowed")
    assert record.detail["data"] == message(7, STOP).hex()
    assert record.detail["conduit"] == "polls"
    assert record.detail["misses"][0]["found"] == "modbus.execute"
    assert record.detail["code"] == "8/1"


@pytest.mark.parametrize("pdu", [READ, STOP])
def test_a_record_holds_what_the_frame_lets_be_recorded(
    flow: Inspected, pdu: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a message that was forwarded, and of one that was refused: a password in it stays out of the evidence."""
    monkeypatch.setattr(ModbusFrame, "recorded", property(lambda frame: frame.data[:-2] + b"**"))
    flow.client(message(7, pdu), T0)
    written = str(flow.reader.read(T0 + 60 * SECOND) + flow.reader.read(T0 + 70 * SECOND))
    assert (message(7, pdu)[:-2] + b"**").hex() in written
    assert message(7, pdu).hex() not in written


def test_frames_of_one_chunk_are_judged_one_by_one(flow: Inspected) -> None:
    """The allowed ones leave in one write, in their order; only the refused one is answered."""
    chunk = message(1, READ) + message(2, STOP) + message(3, WRITE) + message(4, READ)[:5]
    effect = flow.client(chunk, T0)
    assert effect.to_asset == message(1, READ) + message(3, WRITE)
    assert effect.to_client == bytes.fromhex("0002 0000 0003 01 88 01")
    assert flow.client(message(4, READ)[5:], T0 + 1).to_asset == message(4, READ)


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from([READ, WRITE, STOP]), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_what_is_forwarded_does_not_depend_on_how_the_network_cuts(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[bytes], cuts: list[int]
) -> None:
    """Exactly the allowed requests, in order, and an exception for each of the others."""
    flow = Inspected(tmp_path_factory.mktemp("flow"))
    requests = [message(number, kind) for number, kind in enumerate(kinds)]
    stream = b"".join(requests)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    effects = [flow.client(stream[a:b], T0 + a) for a, b in itertools.pairwise(places)]
    writes, allowed = 0, []
    for request in requests:
        is_write = request[2:] == WRITE
        writes += is_write
        if request[2:] == READ or (is_write and writes <= 3):
            allowed.append(request)
    assert b"".join(effect.to_asset for effect in effects) == b"".join(allowed)
    assert sum(len(effect.to_client) for effect in effects) == 9 * (len(requests) - len(allowed))


def test_the_fourth_write_of_a_minute_is_refused_and_the_first_of_the_next_is_not(flow: Inspected) -> None:
    """Rates are counted for every single request, also when it was judged before."""
    for number in range(3):
        assert flow.client(message(number, WRITE), T0 + number).to_asset
    effect = flow.client(message(3, WRITE), T0 + 3)
    assert (effect.to_asset, effect.to_client[-1]) == (b"", 6)
    assert flow.client(message(4, WRITE), T0 + 60 * SECOND).to_asset
    assert [r.reason for r in flow.records("operation.refused")] == ["rate_exceeded"]


def test_a_well_framed_request_that_breaks_the_standard_is_refused_and_the_flow_goes_on(flow: Inspected) -> None:
    """Illegal data value."""
    effect = flow.client(message(1, bytes.fromhex("0000 0006 01 03 0000 0000")), T0)
    assert (effect.to_asset, effect.to_client[-2:], effect.ending) == (b"", b"\x83\x03", None)
    (record,) = flow.records("operation.refused")
    assert (record.reason, record.operation) == ("malformed", None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"GET / HTTP/1.1\r\n", Reason.WRONG_PROTOCOL), (message(1, b"\0\0\0\1\1\3"), Reason.MALFORMED)],
)
def test_bytes_that_cannot_be_framed_end_the_flow(flow: Inspected, data: bytes, reason: Reason) -> None:
    """Nothing of them is forwarded; what was whole before them is."""
    effect = flow.client(message(1, READ) + data, T0)
    assert effect.to_asset == message(1, READ)
    assert effect.ending is not None
    assert effect.ending.reason is reason


@pytest.mark.parametrize(
    "reply", [message(2, READ_REPLY), message(1, b"\0\0\0\3\2\x83\2"), message(1, b"\0\0\0\3\1\x84\2")]
)
def test_an_answer_that_fits_no_request_ends_the_flow(flow: Inspected, reply: bytes) -> None:
    """Another transaction, unit or function; it does not reach the client."""
    flow.client(message(1, READ), T0)
    effect = flow.asset(reply, T0 + 1)
    assert effect.to_client == b""
    assert effect.ending is not None
    assert (effect.ending.by, effect.ending.reason) == (End.GATE, Reason.MALFORMED)


def test_an_exception_of_the_asset_is_an_outcome_of_its_own(flow: Inspected) -> None:
    """It passes, and the row says so."""
    flow.client(message(1, READ), T0)
    assert flow.asset(message(1, b"\0\0\0\3\1\x83\2"), T0 + 5).to_client
    assert flow.rows() == [[5, 1]]


def test_no_more_than_64_requests_wait_for_an_answer(flow: Inspected) -> None:
    """The next one is told that the device is busy."""
    for number in range(64):
        assert flow.client(message(number, READ), T0).to_asset
    effect = flow.client(message(64, READ), T0)
    assert (effect.to_asset, effect.to_client[-1]) == (b"", 6)
    flow.asset(message(0, READ_REPLY), T0)
    assert flow.client(message(65, READ), T0).to_asset


def test_a_transaction_number_that_is_used_again_is_answered_in_order(flow: Inspected) -> None:
    """As clients do that never count."""
    for at in range(3):
        assert flow.client(message(0, READ), T0 + at).to_asset
    for at in range(3):
        effect = flow.asset(message(0, READ_REPLY), T0 + 10 + at)
        assert (effect.to_client, effect.ending) == (message(0, READ_REPLY), None)
    assert flow.rows() == [[10, 0], [10, 0], [10, 0]]
    assert flow.asset(message(0, READ_REPLY), T0 + 20).ending is not None


def test_a_request_without_an_answer_is_recorded_after_five_seconds(flow: Inspected) -> None:
    """Its late answer still passes, once."""
    flow.client(message(1, READ), T0)
    assert flow.inspection.tick(T0 + 5 * SECOND) is None
    assert flow.asset(message(1, READ_REPLY), T0 + 6 * SECOND).to_client
    assert flow.asset(message(1, READ_REPLY), T0 + 6 * SECOND).ending is not None
    assert flow.rows() == [[-1, 2]]


@pytest.mark.parametrize("side", ["client", "asset"])
def test_half_a_message_that_stays_half_ends_the_flow_after_five_seconds(flow: Inspected, side: str) -> None:
    """Drop by drop does not help."""
    feed, data = (flow.client, message(1, READ)) if side == "client" else (flow.asset, message(1, READ_REPLY))
    feed(data[:4], T0)
    feed(data[4:6], T0 + 4 * SECOND)
    assert flow.inspection.tick(T0 + 5 * SECOND - 1) is None
    ending = flow.inspection.tick(T0 + 5 * SECOND)
    assert ending is not None
    assert ending.reason is Reason.MALFORMED


def test_nothing_passes_in_either_direction_after_the_grant_expired(flow: Inspected) -> None:
    """Also what was judged before, and the answer to it; a renewed grant goes on."""
    flow.client(message(1, READ), T0)
    expiry = GRANT.expires_at_us
    assert expiry is not None
    for effect in (flow.client(message(2, READ), expiry), flow.asset(message(1, READ_REPLY), expiry)):
        assert (effect.to_asset, effect.to_client) == (b"", b"")
        assert effect.ending is not None
        assert effect.ending.reason is Reason.GRANT_EXPIRED
    assert flow.inspection.tick(expiry) is not None
    flow.inspection.renew(replace(GRANT, expires_at_us=expiry + SECOND))
    assert flow.client(message(3, READ), expiry).to_asset


@pytest.mark.parametrize("trouble", ["unhealthy", "full"])
def test_without_evidence_nothing_is_forwarded(flow: Inspected, trouble: str) -> None:
    """The client hears that the device is busy; also for a request that was judged before."""
    flow.client(message(1, READ), T0)
    flow.asset(message(1, READ_REPLY), T0)
    if trouble == "unhealthy":
        flow.reader.set_healthy(False)
    else:
        while flow.flow.judged(0, 0, 0):
            pass
    effect = flow.client(message(2, READ), T0 + 1)
    assert (effect.to_asset, effect.to_client[-1], effect.ending) == (b"", 6, None)


def test_a_safety_critical_flow_goes_on_without_evidence_and_is_counted(tmp_path: Path) -> None:
    """The gap in the evidence says how many requests it hides."""
    flow = Inspected(tmp_path, safety_grant())
    flow.reader.set_healthy(False)
    for number in range(4):
        assert flow.client(message(number, READ), T0).to_asset == message(number, READ)
        assert flow.asset(message(number, READ_REPLY), T0).to_client
    assert flow.client(message(5, STOP), T0).to_asset == b""
    (gap,) = flow.records("log.gap")
    assert gap.detail["passed_unrecorded"] == 4


def test_repeated_refusals_are_counted_instead_of_written_one_by_one(flow: Inspected) -> None:
    """One record at once, one with the count of the rest."""
    for number in range(500):
        flow.client(message(number, STOP), T0 + number)
    flow.inspection.tick(T0 + SECOND)
    records = flow.records("operation.refused")
    assert [record.detail.get("count") for record in records] == [None, 499]
    assert flow.inspection.refused == 500


def test_the_end_of_a_flow_settles_what_is_under_way(flow: Inspected) -> None:
    """As unanswered."""
    flow.client(message(1, READ), T0)
    flow.inspection.settle(T0 + 1)
    assert not flow.inspection.is_waiting
    assert flow.rows() == [[-1, 2]]


def test_many_different_requests_do_not_fill_the_memory(flow: Inspected) -> None:
    """Verdicts are forgotten when there are too many; nothing else changes."""
    for number in range(3000):
        request = message(number, bytes.fromhex("0000 0006 01 03") + number.to_bytes(2, "big") + b"\0\1")
        assert flow.client(request, T0).to_asset == request
        flow.asset(message(number, bytes.fromhex("0000 0005 01 03 02 0000")), T0)
        if number % 50 == 0:
            flow.reader.read(T0)
    assert len(flow.inspection._tags) <= 1024
    assert len(flow.judged) == 3000
