"""Frames: what is written is read, and what is not is told, whatever the bytes are."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.evidence.segment import (
    MAX_BODY_BYTES,
    Damage,
    Frame,
    Start,
    encode_frame,
    encode_start,
    first_seq_of,
    read_segment,
    segment_name,
)
from penstock.evidence.tree import Frontier, leaf_hash

START = encode_start(Frontier())
BATCHES = st.lists(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b" ")), min_size=1, max_size=4))


def framed(batches: list[list[bytes]]) -> bytes:
    seq, data = 0, START
    for batch in batches:
        data += encode_frame(seq, batch)
        seq += len(batch)
    return data


class Trickle(io.BytesIO):
    """A file that gives few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(3, size or 0))


@settings(max_examples=60, deadline=None)
@given(BATCHES)
def test_frames_come_back_as_they_were_written(batches: list[list[bytes]]) -> None:
    pieces = list(read_segment(io.BytesIO(framed(batches))))
    assert isinstance(pieces[0], Start)
    assert [list(piece.lines) for piece in pieces if isinstance(piece, Frame)] == batches
    assert not any(isinstance(piece, Damage) for piece in pieces)


def test_short_reads_make_no_difference() -> None:
    data = framed([[b"one", b"two"], [b"three"]])
    assert list(read_segment(Trickle(data)))[1:] == list(read_segment(io.BytesIO(data)))[1:]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_pieces_cover_any_bytes_without_overlap(data: bytes) -> None:
    at = 0
    for piece in read_segment(io.BytesIO(data)):
        assert (piece.offset if isinstance(piece, Damage | Frame) else 0) == at
        assert piece.end >= at
        at = piece.end
    assert at == len(data)


@settings(max_examples=100, deadline=None)
@given(BATCHES.filter(bool), st.data())
def test_frames_after_damage_are_still_read(batches: list[list[bytes]], choice: st.DataObject) -> None:
    data = framed(batches)
    at = choice.draw(st.integers(0, len(data)))
    broken = data[:at] + choice.draw(st.binary(min_size=1, max_size=30)) + data[at:]
    whole = {piece.first_seq: piece.lines for piece in read_segment(io.BytesIO(data)) if isinstance(piece, Frame)}
    found = [piece for piece in read_segment(io.BytesIO(broken)) if isinstance(piece, Frame)]
    assert len(found) >= len(batches) - 2
    assert all(whole[piece.first_seq] == piece.lines for piece in found)


def test_first_line_carries_the_tree_before_it() -> None:
    tree = Frontier()
    for index in range(11):
        tree.append(leaf_hash(b"%d" % index))
    (start,) = read_segment(io.BytesIO(encode_start(tree)))
    assert isinstance(start, Start)
    assert (start.tree.size, start.tree.root()) == (11, tree.root())


def test_frame_that_is_too_long_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="at least one line"):
        encode_frame(0, [])
    with pytest.raises(ValueError, match="at most"):
        encode_frame(0, [b"x" * MAX_BODY_BYTES])


def test_frame_that_claims_to_be_too_long_is_damage_and_not_read_into_memory() -> None:
    data = START + b"#frame 1 0 99999999999 00000000\n"
    damage = list(read_segment(io.BytesIO(data)))[-1]
    assert isinstance(damage, Damage)
    assert not damage.is_torn
    assert "99999999999" in damage.why


def test_names_of_files_sort_as_their_records() -> None:
    names = [segment_name(seq) for seq in (0, 9, 10, 10**17)]
    assert names == sorted(names)
    assert [first_seq_of(name) for name in names] == [0, 9, 10, 10**17]
    assert [first_seq_of(name) for name in ("checkpoint", "records-1.log", "records-x.log")] == [None] * 3
