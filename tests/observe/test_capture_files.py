"""Capture files of every kind are read packet by packet, and what is broken is told, never guessed."""

from __future__ import annotations

import struct

import pytest
from built_captures import block, enhanced, interface, pcap, reader, section
from hypothesis import given
from hypothesis import strategies as st

from penstock.observe.capture_files import MAX_BLOCK_BYTES, MAX_PACKET_BYTES, CaptureFileError, Packet, packets_of

DATA = [b"first", b"", b"third packet"]


def read(data: bytes) -> list[Packet]:
    return list(packets_of(reader(data)))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "part_ns"), [(0xA1B2C3D4, 5000), (0xA1B23C4D, 5), (0xA1B2CD34, 5000)])
def test_classic_files_of_both_byte_orders_and_all_resolutions(order: str, magic: int, part_ns: int) -> None:
    found = read(pcap(DATA, order=order, magic=magic, link=113))
    assert found == [Packet(at + 1, at * 10**9 + part_ns, 113, data, len(data)) for at, data in enumerate(DATA)]


def test_upper_bits_of_the_link_type_tell_of_the_checksum_and_not_of_the_link() -> None:
    assert read(pcap([b"x"], link=0x2400_0001))[0].link == 1


@pytest.mark.parametrize("order", "<>")
def test_pcapng_sections_interfaces_and_resolutions(order: str) -> None:
    resolution = struct.pack(order + "HHB3x", 9, 1, 9)  # nanoseconds
    binary = struct.pack(order + "HHB3x", 9, 1, 0x80 | 10)  # 1/1024 s
    later = struct.pack(order + "HHq", 14, 8, 100)
    data = (
        section(order)
        + interface(1, order=order)
        + interface(0, resolution, order)
        + interface(101, binary + later, order)
    )
    data += enhanced(b"a", 7, 0, order) + enhanced(b"bc", 7, 1, order) + enhanced(b"", 512, 2, order)
    data += block(5, b"statistics..", order) + block(0xBAD, b"", order)
    data += section("<") + interface(228) + block(3, struct.pack("<I", 3) + b"xyz")
    data += block(2, struct.pack("<HHIIII", 0, 9, 0, 8, 2, 60) + b"ol")
    assert read(data) == [
        Packet(1, 7000, 1, b"a", 1),
        Packet(2, 7, 0, b"bc", 2),
        Packet(3, 100_500_000_000, 101, b"", 0),
        Packet(4, 0, 228, b"xyz", 3),
        Packet(5, 8000, 228, b"ol", 60),
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither"),
        (b"GIF89a", "neither"),
        (pcap([])[:10], "within its head"),
        (pcap(DATA)[:-1], "within a packet"),
        (pcap(DATA)[:30], "head of a packet"),
        (pcap([])[:24] + struct.pack("<IIII", 0, 0, MAX_PACKET_BYTES + 1, 0), "longer than any"),
        (section()[:8] + b"\1\2\3\4", "no byte order"),
        (section()[:20], "within a block"),
        (section() + enhanced(b"no interface"), "of no interface"),
        (section() + interface()[:-4] + b"\0\0\0\0", "lengths of a block differ"),
        (section() + struct.pack("<II", 6, MAX_BLOCK_BYTES + 4), "is none"),
        (section() + struct.pack("<II", 6, 8), "is none"),
        (section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 99, 99)), "longer than its block"),
        (section() + interface() + block(6, b"1234"), "too short for a packet"),
        (section() + block(1, b""), "not described"),
        (section() + b"\1\0\0", "head of a block"),
    ],
)
def test_what_is_no_capture_or_broken_is_told(data: bytes, why: str) -> None:
    with pytest.raises(CaptureFileError, match=why):
        read(data)


def test_a_break_is_told_with_the_number_of_whole_packets_in_front_of_it() -> None:
    stream = packets_of(reader(pcap(DATA)[:-1]))
    assert [next(stream).data, next(stream).data] == DATA[:2]
    with pytest.raises(CaptureFileError) as told:
        next(stream)
    assert told.value.packets == 2


WHOLE = {
    "classic": pcap(DATA),
    "next generation": section() + interface() + b"".join(map(enhanced, DATA)) + section(">") + interface(order=">"),
}


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 400))
def test_a_file_cut_anywhere_gives_its_whole_packets_and_no_other(kind: str, at: int) -> None:
    whole = read(WHOLE[kind])
    found: list[Packet] = []
    told = None
    try:
        found.extend(packets_of(reader(WHOLE[kind][:at])))
    except CaptureFileError as error:
        told = error.packets
    assert told in {None, len(found)}
    assert found == whole[: len(found)]


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 400), st.binary(min_size=1, max_size=30))
def test_no_bytes_raise_anything_else_nor_are_more_read_at_once_than_a_block(kind: str, at: int, noise: bytes) -> None:
    data = WHOLE[kind][:at] + noise + WHOLE[kind][at + len(noise) :]
    source = reader(data)
    asked: list[int] = []

    def read_some(count: int) -> bytes:
        asked.append(count)
        return source(count)

    try:
        for packet in packets_of(read_some):
            assert len(packet.data) <= MAX_PACKET_BYTES
    except CaptureFileError:
        pass
    assert max(asked) <= MAX_BLOCK_BYTES
    assert len(asked) <= len(data) + 2  # every call consumed something, but for the last ones
