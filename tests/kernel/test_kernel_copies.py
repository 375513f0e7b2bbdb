"""Copies out of the kernel's datagrams, byte by byte."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kernel.copies import Copy, copies_in
from penstock.kernel.netlink import attribute
from penstock.model import COPIED_BIT, SAFETY_BIT


def message(copy: Copy, *, has_time: bool = True, extra: bytes = b"") -> bytes:
    """As linux/netfilter/nfnetlink_log.h has it: packet header, mark, time, number, packet."""
    body = b"\2\0\0\2" + attribute(1, b"\x08\0\2\0") + extra
    body += attribute(2, struct.pack("!I", copy.grant | COPIED_BIT | SAFETY_BIT))
    if has_time:
        body += attribute(3, struct.pack("!QQ", *divmod(copy.at_us, 1_000_000)))
    body += attribute(12, struct.pack("!I", copy.number)) + attribute(9, copy.data)
    whole = struct.pack("=IHHII", 16 + len(body), 4 << 8, 0, 0, 0) + body
    return whole + b"\0" * (-len(whole) % 4)


COPIES = st.lists(
    st.builds(
        Copy,
        grant=st.integers(1, 0xFF_FFFF),
        number=st.integers(0, 2**32 - 1),
        at_us=st.integers(1, 2**60),
        data=st.binary(max_size=90),
    ),
    max_size=9,
)


@settings(max_examples=100, deadline=None)
@given(copies=COPIES)
def test_copies_are_read_as_they_were_written(copies: list[Copy]) -> None:
    """Grant without the other bits of the mark, number, time, and the bytes without padding."""
    assert copies_in(b"".join(map(message, copies))) == copies


def test_a_message_of_another_shape_among_the_others_is_read_as_well() -> None:
    """Without a time, or with more attributes than the one before."""
    one, two, three = (Copy(7, number, 1_000_001 * number, b"packet") for number in (1, 2, 3))
    extra = attribute(4, b"\0\0\0\2") + attribute(10, b"prefix\0")
    data = message(one) + message(two, has_time=False) + message(three, extra=extra) + message(one)
    assert copies_in(data) == [one, two._replace(at_us=0), three, one]


def test_what_is_no_copy_is_left_out() -> None:
    """An error of netlink, a message without a mark."""
    error = struct.pack("=IHHII", 20, 2, 0, 0, 0) + b"\0\0\0\0"
    unmarked = b"\2\0\0\2" + attribute(12, b"\0\0\0\1") + attribute(9, b"data")
    unmarked = struct.pack("=IHHII", 16 + len(unmarked), 4 << 8, 0, 0, 0) + unmarked
    copy = Copy(7, 1, 5, b"packet")
    assert copies_in(error + unmarked + message(copy)) == [copy]


@settings(max_examples=300, deadline=None)
@given(copies=COPIES, cut=st.integers(0, 400), places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))))
def test_bytes_that_are_no_messages_do_no_harm(copies: list[Copy], cut: int, places: list[tuple[int, int]]) -> None:
    """Reading ends, and nothing comes from outside of the datagram, whatever the lengths say."""
    data = bytearray(b"".join(map(message, copies)))
    for place, value in places:
        if data:
            data[place % len(data)] = value
    torn = bytes(data[: max(0, len(data) - cut)])
    for copy in copies_in(torn):
        assert len(copy.data) <= len(torn)
