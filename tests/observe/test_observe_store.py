"""The payload store's writer: whole capture files, recovered ones, and every loss told."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import subprocess
from pathlib import Path

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watched import ASSET, CLIENT, T0, packet

from penstock.model import Json, PayloadLost, PayloadStored
from penstock.observe import spool as module
from penstock.observe.pcapng import about_of, blocks, packet_block, packet_of, preamble
from penstock.observe.spool import NEW, PART, WHOLE, Spool, finish, keep, oldest_beyond, recover

ABOUT: dict[str, Json] = {"grant": 12, "subject": "scada-1", "asset": "plc-1", "conduits": ["a", "b"]}


class Store:
    """A spool in a folder, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost: list[PayloadLost] = []
        self.spool = Spool(folder, self.lost.append)

    def add(self, count: int, from_us: int = T0, grant: int = 12) -> None:
        for number in range(count):
            self.spool.add(grant, lambda: ABOUT, from_us + number, numbered(number))

    def finish(self) -> list[PayloadStored]:
        over, self.spool.over = self.spool.over, []
        return [stored for file in over if (stored := finish(file, T0)) is not None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def numbered(number: int) -> bytes:
    return packet(CLIENT, 40001, ASSET, 502, number, 0x18, b"payload %d" % number)


def read(path: Path) -> list[tuple[int, bytes]]:
    """Time and bytes of every packet, with an independent reader."""
    return [(round(at_s * 1_000_000), data) for at_s, data in dpkt.pcapng.Reader(io.BytesIO(path.read_bytes()))]


def test_an_independent_reader_finds_every_packet_with_its_time(store: Store) -> None:
    store.add(500)
    store.spool.close_all()
    (stored,) = store.finish()
    path = store.folder / (stored.sha256 + NEW)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == stored.sha256
    found = read(path)
    assert [data for _, data in found] == [numbered(number) for number in range(500)]
    assert all(abs(at_us - T0 - number) <= 1 for number, (at_us, _) in enumerate(found))
    assert (stored.grant, stored.subject, stored.asset) == (12, "scada-1", "plc-1")
    assert (stored.packets, stored.first_us, stored.last_us) == (500, T0, T0 + 499)
    assert stored.bytes == sum(len(numbered(number)) for number in range(500))
    assert stored.size_bytes == path.stat().st_size
    assert about_of(path.read_bytes()) == ABOUT
    assert store.lost == []


def test_tshark_and_capinfos_read_the_file(store: Store) -> None:
    """What an analyst has at hand: the count, the comment, the interface's name, and the protocol inside."""
    for program in ("capinfos", "tshark"):
        assert shutil.which(program), f"{program} is missing: scripts/system-packages test"
    store.add(40)
    store.spool.close_all()
    (stored,) = store.finish()
    keep(store.folder, stored.sha256)
    path = store.folder / (stored.sha256 + WHOLE)
    said = subprocess.run(["capinfos", "-M", "-c", "-E", str(path)], capture_output=True, text=True, check=True).stdout
    assert "Number of packets:   40" in said
    assert "rawip" in said
    fields = ["-T", "fields", "-e", "ip.src", "-e", "tcp.dstport", "-e", "frame.interface_name", "-e", "frame.len"]
    lines = subprocess.run(
        ["tshark", "-n", "-r", str(path), *fields], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(lines) == 40
    assert lines[0].split("\t") == [CLIENT, "502", "kernel path", str(len(numbered(0)))]


def test_a_file_is_closed_when_it_is_full_or_old_and_another_one_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 4000)
    monkeypatch.setattr(module, "FLUSH_BYTES", 1000)
    store.add(200)
    store.spool.flush(T0 + module.FILE_US + 1000)
    stored = store.finish()
    assert len(stored) > 3
    assert sum(one.packets for one in stored) == 200
    assert all(one.size_bytes < 6000 for one in stored)
    assert list(store.folder.glob(f"*{PART}")) == []


def test_what_a_full_disk_refuses_is_counted_and_the_rest_is_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(10)
    store.spool.flush(T0)
    real = os.write

    def short(descriptor: int, data: memoryview) -> int:
        real(descriptor, data[:37])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", short)
    store.add(5, T0 + 100)
    store.spool.flush(T0 + 200)
    monkeypatch.setattr(module.os, "write", real)
    store.add(3, T0 + 300)  # within the pause
    store.spool.flush(T0 + 400)
    store.add(2, T0 + module.PAUSE_US + 1000)
    store.spool.close_all()
    stored = store.finish()
    assert [one.packets for one in stored] == [10, 2]
    assert [(lost.count, lost.is_stored) for lost in store.lost] == [(5, False), (3, False)]
    assert "No space left on device" in store.lost[0].why
    assert [data for _, data in read(store.folder / (stored[0].sha256 + NEW))] == [numbered(n) for n in range(10)]


def test_the_space_of_the_evidence_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREE_BYTES", 1 << 62)
    store.spool.check_space(T0)
    store.add(4)
    store.spool.flush(T0)
    assert [(lost.count, lost.grant) for lost in store.lost] == [(4, 12)]
    assert list(store.folder.iterdir()) == []


def test_files_that_grow_are_closed_when_the_space_is_the_evidences(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred open files could take gigabytes more."""
    store.add(4)
    monkeypatch.setattr(module, "FREE_BYTES", 1 << 62)
    store.spool.check_space(T0 + 10)
    store.add(3, T0 + 20)
    store.spool.flush(T0 + 30)
    (stored,) = store.finish()
    assert stored.packets == 4
    assert [lost.count for lost in store.lost] == [3]
    assert "evidence" in store.lost[0].why


def test_a_file_that_the_disk_refuses_while_it_is_closed_is_finished_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second time its descriptor would be another file's, which would be cut short."""
    store.add(10)
    store.spool.flush(T0)
    store.add(2, T0 + 100)
    real = os.write
    monkeypatch.setattr(module.os, "write", _refuse)
    store.spool.close(12)
    monkeypatch.setattr(module.os, "write", real)
    assert len(store.spool.over) == 1
    assert [one.packets for one in store.finish()] == [10]
    store.spool.flush(T0 + 200)
    assert [lost.count for lost in store.lost] == [2]


def test_the_packet_whose_file_could_not_even_begin_is_counted_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "write", _refuse)
    store.add(3)
    store.spool.flush(T0 + 10)
    assert store.finish() == []
    assert [lost.count for lost in store.lost] == [3]


def test_a_clock_that_is_set_back_does_not_lengthen_the_pause(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(module.os, "write", _refuse)
    store.add(1)
    monkeypatch.setattr(module.os, "write", real)
    store.add(2, T0 - 3_600_000_000)
    store.spool.close_all()
    assert [one.packets for one in store.finish()] == [2]


def _refuse(_descriptor: int, _data: memoryview) -> int:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("cut_bytes", [0, 1, 30, 2000])
def test_a_file_that_nobody_closed_is_kept_up_to_its_last_whole_packet(store: Store, cut_bytes: int) -> None:
    """A crash: the next observer tells what is there, and that something may be missing."""
    store.add(100)
    store.spool.flush(T0)
    (part,) = store.folder.glob(f"*{PART}")
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) - cut_bytes])
    stored, lost = recover(store.folder, T0 + 99)
    assert isinstance(stored, PayloadStored)
    assert isinstance(lost, PayloadLost)
    assert stored.was_recovered
    assert (stored.grant, stored.subject, stored.asset) == (12, "scada-1", "plc-1")
    assert (lost.grant, lost.count, lost.from_us, lost.until_us) == (12, None, stored.last_us, T0 + 99)
    found = read(store.folder / (stored.sha256 + NEW))
    assert len(found) == stored.packets
    assert stored.packets == 100 if not cut_bytes else 75 < stored.packets < 100
    again = [one for one in recover(store.folder, T0) if isinstance(one, PayloadStored)]
    assert [one.sha256 for one in again] == [stored.sha256], "told again until the evidence has it"
    keep(store.folder, stored.sha256)
    assert list(recover(store.folder, T0)) == []


def test_a_file_without_a_whole_packet_leaves_nothing_but_the_word_that_something_is_missing(store: Store) -> None:
    (store.folder / f"12-{T0}{PART}").write_bytes(b"\x0a\x0d\x0d\x0anonsense")
    (lost,) = recover(store.folder, T0)
    assert isinstance(lost, PayloadLost)
    assert list(store.folder.iterdir()) == []


def test_what_an_earlier_observer_left_is_found_at_once_and_read_later(store: Store) -> None:
    """What the new observer writes meanwhile is its own."""
    store.add(10)
    store.spool.close_all()
    left = recover(store.folder, T0 + 99)
    store.finish()
    store.add(5, T0 + 1000, grant=13)
    store.spool.flush(T0 + 2000)
    assert [(one.grant, one.count) for one in left if isinstance(one, PayloadLost)] == [(12, None)]
    store.spool.close_all()
    assert [(one.grant, one.packets) for one in store.finish()] == [(13, 5)]


def test_a_file_of_somebody_else_or_one_that_cannot_be_read_stops_no_recovery(store: Store) -> None:
    (store.folder / f"notes{PART}").write_bytes(b"not of the store")
    (store.folder / f"7-{T0}{PART}").mkdir()
    (store.folder / f"{'0' * 64}{NEW}").mkdir()
    store.add(10)
    store.spool.close_all()
    told = list(recover(store.folder, T0 + 99))
    assert [one.packets for one in told if isinstance(one, PayloadStored)] == [10]
    assert {one.grant for one in told if isinstance(one, PayloadLost)} == {0, 7, 12}


def test_a_comment_that_is_nested_too_deeply_says_nothing() -> None:
    """A damaged or forged file; nested far beyond what Python can stand."""
    nested = b"[" * 60_000
    body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + struct.pack("<HH", 1, len(nested)) + nested + bytes(4)
    length = struct.pack("<I", len(body) + 12)
    assert about_of(struct.pack("<I", 0x0A0D0D0A) + length + body + length) == {}


def test_an_empty_file_is_not_stored(store: Store) -> None:
    store.spool.add(12, lambda: ABOUT, T0, numbered(1))
    store.spool.close(12)
    assert len(store.finish()) == 1
    store.spool.close(12)
    assert store.finish() == []


def test_the_oldest_files_go_first(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}{WHOLE}"
        path.write_bytes(b"x" * 100)
        os.utime(path, (number, number))
    assert [path.name for path, _ in oldest_beyond(tmp_path, 250)] == [f"{n}{WHOLE}" for n in range(3)]
    assert oldest_beyond(tmp_path, 500) == []


@settings(max_examples=200, deadline=None)
@given(
    packets=st.lists(st.tuples(st.integers(0, 2**63), st.binary(max_size=70)), max_size=8),
    cut=st.integers(0, 2000),
    flipped=st.integers(0, 2000),
)
def test_a_file_that_is_cut_or_damaged_is_read_up_to_there_and_not_beyond(
    packets: list[tuple[int, bytes]], cut: int, flipped: int
) -> None:
    written = [packet_block(at_us, data, len(data)) for at_us, data in packets]
    whole = preamble("kernel path", ABOUT) + b"".join(written)
    found = [packet_of(whole, block) for block in blocks(whole)]
    assert [one for one in found if one] == [(at_us, len(data)) for at_us, data in packets]
    torn = whole[: len(whole) - min(cut, len(whole))]
    ends = [block.end for block in blocks(torn)]
    assert all(end <= len(torn) for end in ends)
    assert len(ends) == sum(block.end <= len(torn) for block in blocks(whole))
    damaged = bytearray(whole)
    damaged[flipped % len(whole)] ^= 0xFF
    for block in blocks(bytes(damaged)):  # whatever is there: no error, nothing outside
        packet_of(bytes(damaged), block)
    about_of(bytes(damaged))
