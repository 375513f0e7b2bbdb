"""What goes to the kernel and what comes from it, byte by byte."""

from __future__ import annotations

import struct

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kernel.attempts import Refusal
from penstock.kernel.conntrack import Direction
from penstock.kernel.elements import mark_bytes, number_in, service_key, service_of
from penstock.kernel.kick import checksum, probe
from penstock.kernel.netlink import attribute, attributes, each_message, nested
from penstock.kernel.refusals import refusal_of, refusals
from penstock.model import PROXIED_BIT, SAFETY_BIT


def packet(transport: int, payload: bytes, options: bytes = b"") -> bytes:
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 0, 0, 0, 64, transport, 0, b"\n\0\0\1", b"\n\0\0\2"
    )
    return head + options + payload


def test_an_attribute_is_padded_and_says_its_unpadded_length() -> None:
    """netlink(7): length and type in host order, then data, aligned to 4 bytes."""
    assert attribute(3, b"abcde") == struct.pack("=HH", 9, 3) + b"abcde\0\0\0"


@settings(max_examples=50, deadline=None)
@given(values=st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=6))
def test_attributes_are_read_as_they_were_written(values: dict[int, bytes]) -> None:
    """Nested or not."""
    written = b"".join(attribute(number, value) for number, value in values.items())
    assert {number: bytes(value) for number, value in attributes(memoryview(written)).items()} == values
    outer = attributes(memoryview(nested(7, written)))
    assert {number: bytes(value) for number, value in attributes(outer[7]).items()} == values


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_messages_do_no_harm(data: bytes) -> None:
    """Reading ends, whatever the lengths say."""
    list(each_message(data))
    list(attributes(memoryview(data)))
    refusal_of(memoryview(data))
    list(refusals(b""))


def test_the_fields_of_a_key_are_padded_to_four_bytes_each() -> None:
    """As nf_tables holds ``ipv4_addr . inet_proto . inet_service``."""
    key = service_key("100.64.0.50", "udp", 47808)
    assert key == bytes((100, 64, 0, 50)) + b"\x11\0\0\0" + b"\xba\xc0\0\0"
    assert service_of(key) == ("100.64.0.50", "udp", 47808)


def test_the_number_in_a_mark_is_free_of_its_bits() -> None:
    """The kind of flow is not part of the number."""
    assert number_in(mark_bytes(42 | SAFETY_BIT | PROXIED_BIT)) == 42


def test_a_refusal_names_addresses_transport_and_port() -> None:
    """TCP and UDP with their port, also behind IP options; others with their protocol's number."""
    ports = struct.pack("!HH", 40000, 502)
    assert refusal_of(memoryview(packet(6, ports))) == Refusal("10.0.0.1", "10.0.0.2", "tcp", 502)
    assert refusal_of(memoryview(packet(17, ports, b"\1" * 8))) == Refusal("10.0.0.1", "10.0.0.2", "udp", 502)
    assert refusal_of(memoryview(packet(1, b"\x08\0\0\0"))) == Refusal("10.0.0.1", "10.0.0.2", "icmp", 0)


@pytest.mark.parametrize("data", [b"", b"\x60" + b"\0" * 39, packet(6, b"")[:19]])
def test_what_is_not_ipv4_or_cut_short_is_no_refusal(data: bytes) -> None:
    """It is left out, not guessed."""
    assert refusal_of(memoryview(data)) is None


def copied(packet: bytes, prefix: bytes | None) -> bytes:
    """One message of the packet log, as linux/netfilter/nfnetlink_log.h has it."""
    body = b"\2\0\0\1" + (b"" if prefix is None else attribute(10, prefix)) + attribute(9, packet)
    return struct.pack("=IHHII", 16 + len(body), 4 << 8, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [(None, "grant_unknown"), (b"asset_full\0", "asset_full"), (b"nonsense \0", "grant_unknown")],
)
def test_the_prefix_of_a_log_statement_says_why(prefix: bytes | None, reason: str) -> None:
    """A prefix that is no reason of ours says nothing."""
    (refusal,) = refusals(copied(packet(6, struct.pack("!HH", 40000, 502)), prefix))
    assert (refusal.port, refusal.reason) == (502, reason)


def test_a_probe_is_an_acknowledgement_in_the_name_of_the_far_end() -> None:
    """Read back with an independent parser; its checksum is right."""
    far = Direction(source="10.0.0.1", source_port=40000, destination="10.0.0.2", port=502, transport=6)
    read = dpkt.ip.IP(probe(far))
    assert (read.src, read.dst) == (b"\n\0\0\2", b"\n\0\0\1")
    assert (read.data.sport, read.data.dport, read.data.flags) == (502, 40000, dpkt.tcp.TH_ACK)
    segment = bytes(read.data)
    assert checksum(struct.pack("!4s4sBBH", read.src, read.dst, 0, 6, len(segment)) + segment) == 0


def test_the_checksum_is_that_of_the_standard() -> None:
    """The example of RFC 1071 section 3."""
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2
