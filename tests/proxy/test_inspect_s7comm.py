"""A controller that asks back, jobs that write, and links of STEP 7: the whole of inspection over S7comm."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from proxying import SECOND, T0, Inspected

from penstock.model import Reason
from penstock.wire import S7Decoder

CONNECT = bytes.fromhex("0300001611e00000000700c1020100c2020102c0010a")
CONFIRM = bytes.fromhex("0300001611d00007000300c0010ac1020100c2020102")
EMPTY = bytes.fromhex("0300000702f000")


def message(kind: int, parameters: str, data: str = "", *, ref: int = 7, error: str = "") -> bytes:
    """A PDU in one packet; `error` are class and code of an answer."""
    body, written = bytes.fromhex(parameters), bytes.fromhex(data)
    head = b"\x32" + bytes((kind,)) + pack(">HHHH", 0, ref, len(body), len(written)) + bytes.fromhex(error)
    pdu = head + body + written
    return b"\x03\0" + pack(">H", 7 + len(pdu)) + b"\x02\xf0\x80" + pdu


SETUP, SETUP_REPLY = message(1, "f0000001000101e0"), message(3, "f0000001000100f0", error="0000")
READ = message(1, "0401120a10020004000a84000020")
READ_REPLY = message(3, "0401", "ff04002001020304", error="0000")
STOP = message(1, "29000000000009505f50524f4752414d")
#: A variable table: MW4 becomes 0x1234; then the job with the number 2 is enabled.
MODIFY = message(
    7, "000112081241080000000000", "ff090026" + "0014000e" + "0000" * 9 + "0200" + "000102010000000400090002" + "1234"
)
MODIFY_REPLY = message(7, "000112081281080200000000", "0a000000")
ENABLE = message(7, "0001120812410e0000000000", "ff09001a" + "00140002" + "0000" * 9 + "0000" + "0802")
PASSWORD = message(7, "0001120411450100", "ff090008" + b"SECRET12".hex())
FETCH = message(1, "1b00000000000000095f3041303030303150", ref=256)


@pytest.fixture
def flow(tmp_path: Path) -> Inspected:
    found = Inspected(tmp_path, decoder=S7Decoder())
    assert found.client(CONNECT, T0).to_asset == CONNECT
    assert found.asset(CONFIRM, T0).to_client == CONFIRM
    assert found.client(SETUP, T0).to_asset == SETUP
    assert found.asset(SETUP_REPLY, T0).to_client == SETUP_REPLY
    return found


def test_a_refused_stop_is_an_error_and_reading_goes_on(flow: Inspected) -> None:
    refused = flow.client(STOP, T0)
    assert (refused.to_asset, refused.ending) == (b"", None)
    assert refused.to_client == message(3, "29", error="d241")
    assert flow.client(READ, T0 + 1).to_asset == READ
    assert flow.asset(READ_REPLY, T0 + 31).to_client == READ_REPLY
    assert flow.rows() == [[30, 0]]
    assert [operation.unit for operation in flow.judged] == [2, 2]


def test_only_what_asks_for_something_is_judged(flow: Inspected) -> None:
    flow.client(EMPTY + READ, T0)
    assert [operation.title for operation in flow.judged] == ["s7comm.read"]


def test_an_empty_part_passes_at_once_and_is_no_half_message(flow: Inspected) -> None:
    """STEP 7 sends one after every answer, and is silent then for as long as its people think."""
    assert flow.client(EMPTY, T0).to_asset == EMPTY
    assert flow.inspection.tick(T0 + 60 * SECOND) is None
    half = READ[:6] + b"\0" + READ[7:]
    assert flow.client(half, T0 + 60 * SECOND).to_asset == b""
    ending = flow.inspection.tick(T0 + 66 * SECOND)
    assert ending is not None
    assert ending.reason is Reason.MALFORMED


def test_a_variable_table_writes_and_so_does_each_start_of_its_job(flow: Inspected) -> None:
    """Three writes a minute are allowed: setting it up, and enabling it twice."""
    assert flow.client(MODIFY, T0).to_asset == MODIFY
    assert flow.asset(MODIFY_REPLY, T0 + 5).to_client == MODIFY_REPLY
    for number in range(2):
        assert flow.client(ENABLE, T0 + number).to_asset == ENABLE
        assert flow.asset(message(7, "0001120812810e0300000000", "0a000000"), T0 + number).ending is None
    refused = flow.client(ENABLE, T0 + 9)
    assert (refused.to_asset, refused.to_client) == (b"", message(7, "0001120812810e0000008302", "0a000000"))
    assert {operation.targets[0].memory for operation in flow.judged} == {b"\x12\x34"}


def test_a_controller_that_fetches_blocks_is_refused_where_nobody_may_download(flow: Inspected) -> None:
    asked = flow.asset(FETCH, T0)
    assert (asked.to_client, asked.to_asset) == (b"", message(2, "", ref=256, error="d241"))
    assert asked.ending is None
    answered = flow.client(message(3, "1b00", "000400fb01020304", ref=256, error="0000"), T0)
    assert answered.to_asset == b""
    assert answered.ending is not None


def test_a_password_goes_neither_to_the_asset_nor_on_record(flow: Inspected) -> None:
    refused = flow.client(PASSWORD, T0)
    assert refused.to_asset == b""
    (record,) = flow.records("operation.refused")
    assert record.operation == "s7comm.auth"
    assert b"SECRET".hex() not in str(record.detail)


def test_an_answer_that_nobody_asked_for_ends_the_flow(flow: Inspected) -> None:
    assert flow.asset(READ_REPLY, T0).ending is not None
