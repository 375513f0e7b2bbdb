"""Inspection of datagrams, whatever the network does with them: lost, repeated, out of order, broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dnp3_messages import CLASS_POLL, in_segments, request, response
from hypothesis import given
from hypothesis import strategies as st
from proxying import GRANT, READ, READ_REPLY, SECOND, STOP, T0, Inspected, message

from penstock.model import Grant, Reason
from penstock.proxy.inspect_datagrams import MAX_INSPECTED_BYTES, DatagramInspection
from penstock.proxy.meter import Meters
from penstock.proxy.rates import Rates
from penstock.wire import NAMED, PROTOCOLS, Decoder
from penstock.wire.dnp3 import Dnp3Datagrams
from penstock.wire.modbus import ModbusDatagramDecoder

UDP = replace(GRANT, transport="udp")
SPOKEN = [each for each in PROTOCOLS if each.datagrams is not None]
POLL = request(CLASS_POLL)


class Datagrams(Inspected):
    """One inspected flow of datagrams."""

    def __init__(self, folder: Path, decoder: Decoder, grant: Grant = UDP) -> None:
        super().__init__(folder, grant, decoder)
        self.inspection = DatagramInspection(
            grant, decoder, self._judge, self.journal, self.flow, Rates(), Meters(), None
        )
        self.client, self.asset = self.inspection.from_client, self.inspection.from_asset


@pytest.fixture
def modbus(tmp_path: Path) -> Datagrams:
    return Datagrams(tmp_path, ModbusDatagramDecoder())


@given(st.lists(st.tuples(st.sampled_from(["ask", "stop", "answer", "broken"]), st.integers(0, 3)), max_size=60))
def test_whatever_comes_in_whatever_order_no_answer_passes_that_was_not_asked_for(
    steps: list[tuple[str, int]],
) -> None:
    with TemporaryDirectory() as folder:
        flow = Datagrams(Path(folder), ModbusDatagramDecoder())
        open_requests: Counter[int] = Counter()
        for what, number in steps:
            match what:
                case "ask":
                    effect = flow.client(message(number, READ), T0)
                    assert effect.to_asset == message(number, READ)
                    open_requests[number] += 1
                case "stop":
                    effect = flow.client(message(number, STOP), T0)
                    assert (effect.to_asset, effect.to_client[7]) == (b"", 0x88)
                case "answer":
                    effect = flow.asset(message(number, READ_REPLY), T0)
                    assert effect.to_client == (message(number, READ_REPLY) if open_requests[number] else b"")
                    open_requests[number] = max(0, open_requests[number] - 1)
                case _:
                    effect = flow.client(message(number, READ)[:-1], T0)
                    assert (effect.to_asset, effect.to_client) == (b"", b"")
            assert effect.ending is None
        assert flow.inspection.frames == sum(what == "ask" for what, _ in steps)


@pytest.mark.parametrize("protocol", SPOKEN, ids=lambda each: each.name)
@given(data=st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=12))
def test_no_bytes_end_a_flow_of_any_protocol(protocol: object, data: list[tuple[bool, bytes]]) -> None:
    wire = next(each for each in SPOKEN if each is protocol)
    assert wire.datagrams is not None
    with TemporaryDirectory() as folder:
        flow = Datagrams(Path(folder), wire.datagrams(), replace(UDP, protocol=wire.name, service=wire.name))
        for is_client, datagram in data:
            effect = (flow.client if is_client else flow.asset)(datagram, T0)
            ahead = effect.to_asset if is_client else effect.to_client
            assert effect.ending is None
            assert ahead in {b"", datagram}
        assert flow.inspection.tick(T0 + 60 * SECOND) is None


def test_a_broken_datagram_is_on_record_with_its_size_and_not_with_its_bytes(modbus: Datagrams) -> None:
    for _ in range(5):
        modbus.client(b"password: hunter2", T0)
    modbus.client(bytes(MAX_INSPECTED_BYTES + 1), T0)
    assert modbus.inspection.refused == 6
    modbus.inspection.tick(T0 + 2 * SECOND)
    first, long, repeated = modbus.records("operation.refused")
    assert (first.reason, first.detail["size"]) == (Reason.WRONG_PROTOCOL, 17)
    assert (long.reason, long.detail["size"]) == (Reason.MALFORMED, MAX_INSPECTED_BYTES + 1)
    assert repeated.detail["count"] == 4
    assert "hunter2" not in str(first) + str(repeated)


def test_a_late_answer_passes_once(modbus: Datagrams) -> None:
    asked, answer = message(1, READ), message(1, READ_REPLY)
    assert modbus.client(asked, T0).to_asset == asked
    assert modbus.inspection.tick(T0 + 6 * SECOND) is None
    assert [modbus.asset(answer, T0 + 7 * SECOND).to_client for _ in range(2)] == [answer, b""]


def test_an_expired_grant_ends_the_flow_all_the_same(tmp_path: Path) -> None:
    flow = Datagrams(tmp_path, ModbusDatagramDecoder(), replace(UDP, expires_at_us=T0 + SECOND))
    effect = flow.client(message(1, READ), T0 + SECOND)
    assert effect.ending is not None
    assert effect.ending.reason is Reason.GRANT_EXPIRED
    ending = flow.inspection.tick(T0 + SECOND)
    assert ending is not None
    assert ending.reason is Reason.GRANT_EXPIRED


@pytest.fixture
def dnp3(tmp_path: Path) -> Datagrams:
    return Datagrams(tmp_path, Dnp3Datagrams(), replace(UDP, protocol="dnp3", service="dnp3", port=20000))


def test_of_a_datagram_with_several_messages_what_may_pass_goes_on_and_the_rest_is_answered(dnp3: Datagrams) -> None:
    restart = request("C4 0D")
    effect = dnp3.client(POLL + restart, T0)
    assert effect.to_asset == POLL
    assert effect.to_client.startswith(b"\x05\x64")
    assert dnp3.inspection.refused == 1


def test_of_a_datagram_that_is_broken_anywhere_nothing_goes_on(dnp3: Datagrams) -> None:
    for broken in (POLL + POLL[:-1], POLL[:-1] + POLL, POLL + POLL[:-2] + b"\0\0"):
        effect = dnp3.client(broken, T0)
        assert (effect.to_asset, effect.to_client, effect.ending) == (b"", b"", None)
    assert dnp3.client(POLL, T0).to_asset == POLL


def test_a_fragment_whose_rest_is_lost_ends_nothing_and_is_never_sent_on_in_part(dnp3: Datagrams) -> None:
    first, *rest = in_segments(CLASS_POLL, 5)
    assert dnp3.client(first, T0).to_asset == b""
    assert dnp3.inspection.tick(T0 + 60 * SECOND) is None
    assert dnp3.client(POLL, T0 + 60 * SECOND).to_asset == POLL
    for segment in rest:
        assert dnp3.client(segment, T0 + 60 * SECOND).to_asset == b"", "what it belongs to is gone"
    assert dnp3.asset(response("C3 81 00 00"), T0 + 60 * SECOND).to_client


@pytest.mark.parametrize("name", ["modbus", "dnp3", "bacnet", "fins", "enip"])
def test_protocols_that_are_spoken_over_udp_have_a_decoder_of_datagrams(name: str) -> None:
    make: Callable[[], Decoder] | None = NAMED[name].decoder("udp")
    assert make is not None
    assert "udp" in NAMED[name].transports
