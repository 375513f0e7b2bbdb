"""What a witness makes of a packet."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.lab.witness import Segment, segment_of

ETHERNET = bytes.fromhex("001d9c001012 001d9c002021 0800")
MODBUS = bytes.fromhex("0001 0000 0006 01 06 000b 012c")


def ipv4(protocol: int, body: bytes, options: bytes = b"") -> bytes:
    header = struct.pack(
        ">BBHHHBBH4s4s",
        0x45 + len(options) // 4,
        0,
        20 + len(options) + len(body),
        0,
        0,
        64,
        protocol,
        0,
        bytes((10, 20, 0, 2)),
        bytes((10, 20, 10, 12)),
    )
    return ETHERNET + header + options + body


def tcp(payload: bytes, flags: int = 0x18, options: bytes = b"") -> bytes:
    offset = (5 + len(options) // 4) << 4
    return struct.pack(">HHIIBBHHH", 40000, 502, 77, 0, offset, flags, 0, 0, 0) + options + payload


def test_a_tcp_segment_is_read_with_its_payload() -> None:
    assert segment_of(ipv4(6, tcp(MODBUS)), at=5.0) == Segment(
        at=5.0,
        source="10.20.0.2",
        source_port=40000,
        destination="10.20.10.12",
        destination_port=502,
        protocol=6,
        flags="AP",
        sequence=77,
        payload=MODBUS,
    )


def test_options_are_no_payload() -> None:
    found = segment_of(ipv4(6, tcp(MODBUS, options=b"\x01" * 12), options=b"\x01" * 4))
    assert found is not None
    assert (found.payload, found.destination_port) == (MODBUS, 502)


def test_the_padding_of_a_short_frame_is_no_payload() -> None:
    found = segment_of(ipv4(6, tcp(b"", flags=0x02)) + b"\0" * 6)
    assert found is not None
    assert (found.payload, found.flags) == (b"", "S")


def test_udp_and_other_packets_are_seen_too() -> None:
    datagram = segment_of(ipv4(17, struct.pack(">HHHH", 5000, 47808, 12, 0) + b"bacn"))
    ping = segment_of(ipv4(1, b"\x08\x00ping"))
    assert datagram is not None
    assert ping is not None
    assert (datagram.destination_port, datagram.payload) == (47808, b"bacn")
    assert (ping.protocol, ping.destination_port, ping.flags) == (1, 0, "")


def test_what_is_not_ipv4_is_nothing() -> None:
    assert segment_of(ETHERNET[:12] + b"\x08\x06" + bytes(28)) is None


@pytest.mark.parametrize("cut", [0, 13, 20, 33, 40, 47])
def test_a_packet_without_all_its_headers_is_nothing(cut: int) -> None:
    assert segment_of(ipv4(6, tcp(MODBUS))[:cut]) is None


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_no_packet_makes_a_witness_stumble(packet: bytes) -> None:
    found = segment_of(ETHERNET + packet)
    assert found is None or len(found.payload) <= len(packet)
