"""What all protocols must hold alike: the contract of decoders for any bytes, and that none is taken for another."""

from __future__ import annotations

import json
from functools import cache

import pytest
from captured import CAPTURES, CapturedFlow, expected, flows, names
from fuzzing import bytes_of, fuzz_one, talk_of
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.observe.capture_files import packets_of
from penstock.observe.decoded import line_of
from penstock.observe.dissection import Dissection
from penstock.wire import KNOWN, PROTOCOLS, Known, Side, WireProtocol, recognise

every = pytest.mark.parametrize("protocol", PROTOCOLS, ids=[each.name for each in PROTOCOLS])


@cache
def known_flows() -> tuple[tuple[Known, CapturedFlow], ...]:
    """Every captured flow that a protocol recognises, with that protocol."""
    found = []
    for name in names():
        for flow in flows(name):
            candidates = [each for each in KNOWN if flow.carrier in each.dissectors]
            if flow.packets and flow.carrier in {"tcp", "udp"}:
                known = recognise(candidates, flow.said(Side.CLIENT), flow.said(Side.ASSET))
                if known is not None and known.is_certain:
                    found.append((known.protocol, flow))
    return tuple(found)


def talks(protocol: WireProtocol) -> list[list[tuple[Side, bytes]]]:
    """Beginnings of captured flows of this protocol, short enough to be changed in many ways."""
    return [
        [(packet.side, packet.data) for packet in flow.packets[:12]]
        for known, flow in known_flows()
        if known is protocol
    ][:40]


@every
@settings(max_examples=40)
@given(st.data())
def test_any_bytes_are_frames_or_malformed(protocol: WireProtocol, data: st.DataObject) -> None:
    fuzz_one(protocol, data.draw(st.binary(max_size=300)))


@every
@settings(max_examples=60)
@given(st.data())
def test_captured_conversations_with_changed_missing_and_added_bytes_are_frames_or_malformed(
    protocol: WireProtocol, data: st.DataObject
) -> None:
    found = talks(protocol)
    assert found, "no capture of this protocol is recognised"
    whole = bytearray(bytes_of(data.draw(st.sampled_from(found))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    fuzz_one(protocol, bytes(whole))


@every
def test_captured_conversations_keep_the_contract_as_they_are(protocol: WireProtocol) -> None:
    for talk in talks(protocol):
        fuzz_one(protocol, bytes_of(talk))
        assert b"".join(data for _, data in talk_of(bytes_of(talk))) == b"".join(data for _, data in talk)


#: Which protocol tshark's kinds of units are of.
KINDS = {
    "mbtcp": "modbus",
    "s7comm": "s7comm",
    "enip": "enip",
    "dnp3": "dnp3",
    "iec60870_104": "iec104",
    "opcua": "opcua",
    "bvlc": "bacnet",
    "omron": "fins",
}


@pytest.mark.parametrize("name", names())
def test_a_captured_flow_is_recognised_as_what_tshark_sees_in_it_and_as_nothing_else(name: str) -> None:
    """Tshark goes by ports, we by bytes: they agree wherever it saw one of the judged protocols."""
    judged = {each.name for each in PROTOCOLS}
    lines = expected(name)
    for flow in flows(name):
        kinds = {
            KINDS[pdu["p"]]
            for frame in flow.frames
            for pdu in lines.get(frame, {"pdus": []})["pdus"]
            if pdu["p"] in KINDS
        }
        if flow.carrier not in {"tcp", "udp"} or not flow.packets:
            continue
        candidates = [each for each in KNOWN if flow.carrier in each.dissectors]
        found = recognise(candidates, flow.said(Side.CLIENT), flow.said(Side.ASSET))
        seen = found.protocol.name if found is not None and found.is_certain else ""
        if kinds & judged:
            assert {seen} == kinds & judged, f"stream {flow.number}"
        elif seen in judged:
            assert kinds, f"stream {flow.number} is taken for {seen}"


@pytest.mark.parametrize("name", names())
def test_every_capture_can_be_shown_line_by_line(name: str) -> None:
    """Each line is JSON, has what the reference's lines have, and in order; no packet stops the reading."""
    flows(name)  # where there are no captures, this says so
    numbers = []
    with (CAPTURES / name).open("rb") as file:
        dissection = Dissection(KNOWN)
        for packet in packets_of(file.read):
            for seen in dissection.take(packet):
                line = json.loads(json.dumps(line_of(seen, 0)))
                assert {"frame", "time", "protocol", "pdus"} <= line.keys()
                numbers.append(line["frame"])
    assert numbers == sorted(numbers)
