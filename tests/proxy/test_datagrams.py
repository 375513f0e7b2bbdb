"""Datagrams in a stream: whatever the stream does to the bytes, each arrives as it was sent or not at all."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import Malformed
from penstock.proxy.datagrams import MAX_DATAGRAM_BYTES, framed, split_datagrams

DATAGRAMS = st.lists(st.binary(max_size=300) | st.integers(0, MAX_DATAGRAM_BYTES).map(bytes), max_size=12)


def read_in_pieces(stream: bytes, cuts: list[int], most: int) -> tuple[list[bytes], bytes]:
    """What a reader finds that gets the stream in these pieces."""
    found: list[bytes] = []
    rest = b""
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(borders):
        rest += stream[start:end]
        while True:
            datagrams, rest = split_datagrams(rest, most)
            found += datagrams
            if len(datagrams) < most:
                break
    return found, rest


@given(datagrams=DATAGRAMS, cuts=st.lists(st.integers(0, 1 << 20), max_size=8), most=st.integers(1, 5))
def test_datagrams_arrive_as_they_were_however_the_stream_is_cut(
    datagrams: list[bytes], cuts: list[int], most: int
) -> None:
    stream = b"".join(map(framed, datagrams))
    assert read_in_pieces(stream, cuts, most) == (datagrams, b"")


@given(datagrams=DATAGRAMS, cuts=st.lists(st.integers(0, 1 << 20), max_size=4), lost=st.integers(1, 100))
def test_a_stream_that_breaks_off_gives_whole_datagrams_only(
    datagrams: list[bytes], cuts: list[int], lost: int
) -> None:
    stream = b"".join(map(framed, datagrams))
    found, rest = read_in_pieces(stream[: max(0, len(stream) - lost)], cuts, 3)
    assert found == datagrams[: len(found)]
    assert len(found) < len(datagrams) or not datagrams
    assert len(rest) < 2 + MAX_DATAGRAM_BYTES


@given(noise=st.binary(max_size=2000))
def test_noise_is_refused_or_is_datagrams_and_nothing_is_kept_beyond_one_frame(noise: bytes) -> None:
    try:
        found, rest = split_datagrams(noise, 1 << 20)
    except Malformed:
        return
    assert b"".join(map(framed, found)) + rest == noise
    assert len(rest) < 2 + MAX_DATAGRAM_BYTES


@pytest.mark.parametrize("length", [MAX_DATAGRAM_BYTES + 1, 0xFFFF])
def test_a_length_that_no_datagram_has_is_malformed_at_once(length: int) -> None:
    with pytest.raises(Malformed, match=str(length)):
        split_datagrams(framed(b"first") + length.to_bytes(2, "big"), 8)
