"""What stands below IP in captures is found for every link type that is read, and nothing is made of the rest."""

from __future__ import annotations

import pytest
from built_captures import ethernet
from hypothesis import given
from hypothesis import strategies as st

from penstock.observe.links import IPV4, IPV6, LINK_TYPES, link_packet

V4, V6 = b"\x45" + b"4" * 19, b"\x60" + b"6" * 39
H = bytes.fromhex
COOKED = H("0000 0001 0006 0200 0000 000a 0000")
COOKED_2 = H("0000 0000 0001 0001 00 06 0200 0000 000a 0000")


@pytest.mark.parametrize(
    ("link", "packet", "kind", "data"),
    [
        (1, ethernet(V4), IPV4, V4),
        (1, ethernet(V6, IPV6), IPV6, V6),
        (1, ethernet(H("0005 0800") + V4, 0x8100), IPV4, V4),
        (1, ethernet(H("0005 8100 0007 86dd") + V6, 0x88A8), IPV6, V6),
        (1, ethernet(H("aaaa03 000000 0800") + V4 + b"pad", 28), IPV4, V4),
        (1, ethernet(b"\xfe\xfe", 0x8892), 0x8892, b"\xfe\xfe"),
        (113, COOKED + H("0800") + V4, IPV4, V4),
        (113, COOKED + H("8100 0005 0800") + V4, IPV4, V4),
        (276, H("86dd") + COOKED_2 + V6, IPV6, V6),
        (0, H("02000000") + V4, IPV4, V4),
        (0, H("00000002") + V4, IPV4, V4),
        (0, H("1e000000") + V6, IPV6, V6),
        (108, H("00000018") + V6, IPV6, V6),
        (12, V4, IPV4, V4),
        (14, V4, IPV4, V4),
        (101, V6, IPV6, V6),
        (228, V4, IPV4, V4),
        (229, V6, IPV6, V6),
    ],
)
def test_every_link_type_gives_what_it_carries(link: int, packet: bytes, kind: int, data: bytes) -> None:
    found = link_packet(link, packet)
    assert found is not None
    assert (found.kind, found.is_llc, found.data) == (kind, False, data)


def test_llc_is_told_by_its_access_point_and_without_the_padding_of_the_frame() -> None:
    found = link_packet(1, ethernet(H("8282 03 0104") + b"\0" * 41, 5))
    assert found is not None
    assert (found.kind, found.is_llc, found.data) == (0x82, True, H("0104"))


def test_hardware_addresses_are_kept_where_the_link_has_them() -> None:
    plain, cooked = link_packet(1, ethernet(V4)), link_packet(113, COOKED + H("0800") + V4)
    assert plain is not None
    assert cooked is not None
    assert (plain.source, plain.destination) == (H("02000000000a"), H("02000000000b"))
    assert cooked.source == H("02000000000a")


@pytest.mark.parametrize(
    ("link", "packet"),
    [
        (105, V4),
        (1, ethernet(V4)[:13]),
        (1, ethernet(b"", 0x8100)),
        (0, H("07000000") + V4),
        (101, b"\x75"),
        (101, b""),
    ],
)
def test_other_links_and_what_is_cut_are_nothing(link: int, packet: bytes) -> None:
    assert link_packet(link, packet) is None


@given(st.sampled_from(sorted(LINK_TYPES)), st.binary(max_size=80))
def test_nothing_is_raised_and_nothing_is_invented(link: int, packet: bytes) -> None:
    found = link_packet(link, packet)
    assert found is None or found.data in packet or link == 276
