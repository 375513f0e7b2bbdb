"""The ring: bounded, never waiting, surviving either side, believing nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.bus.ring import KIND_MASK, LONG_KINDS, SLOT_BYTES, RingReader, RingWriter, Word
from penstock.model import Malformed

SLOTS = 1 << 14


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker-1.ring"


def drain(reader: RingReader) -> list[tuple[int, int, int, bytes]]:
    found = everything(reader)
    reader.release(reader.position)
    return found


def everything(reader: RingReader) -> list[tuple[int, int, int, bytes]]:
    """Rows and long entries in their order: kind, first, second, payload."""
    found: list[tuple[int, int, int, bytes]] = []
    entries = reader.entries(lambda _, tag, first, second: found.append((tag & KIND_MASK, first, second, b"")))
    for entry in entries:
        found.append((entry.kind, entry.first, entry.second, entry.payload))  # noqa: PERF401  rows come in between
    return found


def test_what_is_put_comes_out_in_order(path: Path) -> None:
    """Rows and long entries."""
    writer, reader = RingWriter(path, SLOTS), None
    reader = RingReader(path)
    assert writer.put_row(1, 2, 3)
    assert writer.put(LONG_KINDS, b"x" * 100, 9)
    assert writer.put_last_row(2, 5, 6)
    rows = drain(reader)
    assert [(kind, second, payload) for kind, _, second, payload in rows] == [
        (1, 3, b""),
        (LONG_KINDS, 9, b"x" * 100),
        (2, 6, b""),
    ]
    assert drain(reader) == []


def test_a_full_ring_says_no_and_keeps_what_it_has(path: Path) -> None:
    """Rows that begin something leave room for those that end it; then even these are refused, and counted."""
    writer, reader = RingWriter(path, SLOTS), RingReader(path)
    begun = sum(writer.put_row(1, i, 0) for i in range(SLOTS))
    assert begun == SLOTS - SLOTS // 8
    ended = sum(writer.put_last_row(2, i, 0) for i in range(SLOTS))
    assert begun + ended == SLOTS
    assert not writer.put(LONG_KINDS, b"lost")
    assert writer.word(Word.LOST) == SLOTS - ended + 1
    assert [first for _, first, _, _ in drain(reader)] == [*range(begun), *range(ended)]
    assert writer.put_row(1, 7, 0)


def test_an_unhealthy_reader_stops_rows_at_once(path: Path) -> None:
    """Only what ends something, and records, are still taken."""
    writer, reader = RingWriter(path, SLOTS), RingReader(path)
    reader.set_word(Word.UNHEALTHY, 1)
    assert not writer.put_row(1, 0, 0)
    assert writer.put_last_row(2, 0, 0)
    reader.set_word(Word.UNHEALTHY, 0)
    assert writer.put_row(1, 0, 0)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=60))
def test_entries_wrap_around_unharmed(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    """Lap after lap, wherever the end of the file cuts an entry."""
    path = tmp_path_factory.mktemp("ring") / "r"
    writer, reader = RingWriter(path, SLOTS), RingReader(path)
    for lap in range(40):
        for number, size in enumerate(sizes):
            assert writer.put(LONG_KINDS, bytes((lap ^ number,)) * size, number)
        entries = drain(reader)
        assert [payload for _, _, _, payload in entries] == [
            bytes((lap ^ number,)) * size for number, size in enumerate(sizes)
        ]
    writer.close()
    reader.close()


def test_a_new_writer_goes_on_behind_what_is_unread(path: Path) -> None:
    """A worker's death loses nothing that it had written."""
    reader_of_old = RingWriter(path, SLOTS)
    reader_of_old.put_row(1, 11, 0)
    RingWriter(path, SLOTS).put_row(1, 12, 0)
    assert [first for _, first, _, _ in drain(RingReader(path))] == [11, 12]


def test_a_new_reader_begins_where_the_last_one_had_released(path: Path) -> None:
    """What was read but not released is read again."""
    writer, reader = RingWriter(path, SLOTS), RingReader(path)
    writer.put_row(1, 1, 0)
    drain(reader)
    writer.put_row(1, 2, 0)
    assert len(everything(reader)) == 1
    reader.close()
    assert [first for _, first, _, _ in drain(RingReader(path))] == [2]


def test_a_writer_that_is_killed_leaves_only_whole_entries(path: Path) -> None:
    """SIGKILL in the middle of writing as fast as it can."""
    RingWriter(path, SLOTS).close()
    reader = RingReader(path)
    begun, told = os.pipe()
    child = os.fork()
    if child == 0:
        writer = RingWriter(path, SLOTS)
        os.write(told, b"!")
        number = 0
        while True:
            number += writer.put_row(1, number, number)
    os.read(begun, 1)
    seen = everything(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen += everything(reader)
    os.close(begun)
    os.close(told)
    assert [first for _, first, _, _ in seen] == list(range(len(seen)))
    assert all(first == second for _, first, second, _ in seen)


def test_a_changed_byte_is_noticed(path: Path) -> None:
    """Stamp and checksum; the reader can go on behind the damage."""
    writer, reader = RingWriter(path, SLOTS), RingReader(path)
    writer.put(LONG_KINDS, b"evidence")
    with path.open("r+b") as file:
        file.seek(4096 + SLOT_BYTES)
        file.write(b"E")
    with pytest.raises(Malformed):
        everything(reader)
    assert reader.skip_damage() == 2
    writer.put_row(1, 5, 0)
    assert [first for _, first, _, _ in drain(reader)] == [5]


@pytest.mark.parametrize("damage", ["truncate", "head", "magic"])
def test_a_ring_that_contradicts_itself_is_refused(path: Path, damage: str) -> None:
    """A compromised writer can do this; it must not be able to kill or mislead the reader."""
    writer = RingWriter(path, SLOTS)
    writer.put_row(1, 1, 1)
    if damage == "truncate":
        os.truncate(path, 4096)
    else:
        with path.open("r+b") as file:
            file.seek({"head": 8 * Word.HEAD, "magic": 0}[damage])
            file.write(b"\xff" * 8)
    with pytest.raises(Malformed):
        everything(RingReader(path))


def test_a_damaged_file_is_replaced_by_the_next_writer(path: Path) -> None:
    """Not repaired: a reader keeps the old one open until it looks again."""
    path.write_bytes(b"no ring")
    before = path.stat().st_ino
    writer = RingWriter(path, SLOTS)
    assert path.stat().st_ino != before
    assert writer.put_row(1, 2, 3)
