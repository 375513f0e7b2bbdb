"""I/O: what stands on the disk when a log is opened, and cutting away what a crash left unfinished.

Stands under `log`.  Only bytes that were never acknowledged are cut: nothing that a checkpoint covers, and nothing
that a good frame follows.  Where that cannot be kept the log is not opened: going on would sign a second history.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from penstock.evidence.checkpoint import MAX_CHECKPOINT_BYTES, Checkpoint, VerifyingKey, verify
from penstock.evidence.disk import Disk
from penstock.evidence.durable import cut
from penstock.evidence.segment import Damage, Frame, Start, first_seq_of, read_segment
from penstock.evidence.source import CHECKPOINT_NAME, CHECKPOINTS_NAME
from penstock.evidence.tree import Frontier, leaf_hash
from penstock.model import Malformed, Tampered

_HINT = "keep this folder as it is for the investigation, and start a new log in an empty one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The log as it was found: its tree, the segment to go on in (none: a new one), and how many bytes were cut."""

    tree: Frontier
    segment: str
    cut_bytes: int


def recover(disk: Disk, folder: Path, key: VerifyingKey) -> Recovered:
    """Find the end of the log in `folder`, and cut what a crash left after it.

    Reads from the segment that the newest checkpoint reaches into, and holds that checkpoint against the tree.  Raises
    `Tampered` when the log does not carry it, and `OSError`.
    """
    last = read_checkpoint(disk, folder, key)
    cut_bytes = _cut_checkpoints(disk, folder)
    names = _names_from(disk, folder, last)
    walk = _Walk(disk=disk, folder=folder, last=last)
    for name, next_name in pairwise([*names, None]):
        assert name is not None
        walk.step(name, next_name)
    if last is not None and walk.tree.size < last.size:
        raise _tampered(f"the log ends after {walk.tree.size} records, but {last.size} were signed")
    return Recovered(tree=walk.tree, segment=walk.segment, cut_bytes=cut_bytes + walk.cut_bytes)


def read_checkpoint(disk: Disk, folder: Path, key: VerifyingKey) -> Checkpoint | None:
    """The newest checkpoint; None when there never was one.  Raises `Tampered` when it is not one of this key."""
    path = folder / CHECKPOINT_NAME
    if not disk.exists(path):
        return None
    with _opened(disk, path) as file:
        note = file.read(MAX_CHECKPOINT_BYTES)
    try:
        return verify(note, key)
    except (Malformed, Tampered) as error:
        raise _tampered(f"{CHECKPOINT_NAME}: {error}; is this the log of another key?") from error


def end_of_last_note(data: bytes) -> int:
    """Where the last whole note in `data` ends: after an empty line that follows a signature; 0 when there is none."""
    at = len(data)
    while (at := data.rfind(b"\n\n", 0, at)) >= 0:
        if data.startswith(b"\n\xe2\x80\x94 ", data.rfind(b"\n", 0, at)):
            return at + 2
    return 0


class _DiskFile:
    """A descriptor as a file to read."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk, self._descriptor = disk, descriptor

    @property
    def length_bytes(self) -> int:
        return self._disk.size(self._descriptor)

    def seek(self, offset: int) -> None:
        self._disk.seek(self._descriptor, offset)

    def read(self, length_bytes: int, /) -> bytes:
        return self._disk.read(self._descriptor, length_bytes)


@contextmanager
def _opened(disk: Disk, path: Path) -> Iterator[_DiskFile]:
    descriptor = disk.open(path, os.O_RDONLY)
    try:
        yield _DiskFile(disk, descriptor)
    finally:
        disk.close(descriptor)


class _Walk:
    """Going through the last segments in order; `tree` is what was found good so far."""

    def __init__(self, *, disk: Disk, folder: Path, last: Checkpoint | None) -> None:
        self._disk, self._folder, self._last = disk, folder, last
        self.tree, self.segment, self.cut_bytes = Frontier(), "", 0

    def step(self, name: str, next_name: str | None) -> None:
        """Read one segment, cut its unacknowledged end.  Raises `Tampered`."""
        next_seq = None if next_name is None else first_seq_of(next_name)
        end = self._read(name, next_seq)
        if end:
            self.cut_bytes += _cut_to(self._disk, self._folder / name, end)
            self.segment = name
        elif next_name is None:
            self._remove(name)
        if next_seq is not None and self.tree.size != next_seq:
            raise _tampered(f"{name}: the records from {self.tree.size} up to {next_seq} are missing")

    def _read(self, name: str, next_seq: int | None) -> int:
        """Take in the good frames of a segment that come before `next_seq`; tells where they end, 0 without a start."""
        end, damage = 0, None
        with _opened(self._disk, self._folder / name) as file:
            for piece in read_segment(file):
                match piece:
                    case Start():
                        self._begin(name, piece.tree)
                        end = piece.end
                    case Damage():
                        damage = damage or piece
                    case Frame() if next_seq is not None and piece.first_seq >= next_seq:
                        break
                    case Frame() if damage is not None or piece.first_seq != self.tree.size:
                        raise _tampered(f"{name}: damage at byte {end}, and good records after it")
                    case Frame():
                        self._take(piece)
                        end = piece.end
        self._check_end(name, damage, is_started=end > 0)
        return end

    def _begin(self, name: str, tree: Frontier) -> None:
        if self.segment and tree.root() != self.tree.root():
            raise _tampered(f"{name}: its first line does not go on from the segment before it")
        if tree.size != first_seq_of(name):
            raise _tampered(f"{name}: its first line is that of another segment")
        self.tree = tree
        self._check_root()

    def _take(self, frame: Frame) -> None:
        for line in frame.lines:
            self.tree.append(leaf_hash(line))
            self._check_root()

    def _check_root(self) -> None:
        last = self._last
        if last is not None and self.tree.size == last.size and self.tree.root() != last.root:
            raise _tampered(f"the first {last.size} records are not those that were signed")

    def _check_end(self, name: str, damage: Damage | None, *, is_started: bool) -> None:
        """A damaged end may be cut only where nothing was signed."""
        if damage is None or self._last is None or self.tree.size >= self._last.size:
            return
        if is_started or not damage.is_torn:
            raise _tampered(
                f"{name}: {damage.why} at byte {damage.offset}, where {self._last.size} records were signed"
            )

    def _remove(self, name: str) -> None:
        """Remove a last segment without a first line: a crash came between making the file and filling it."""
        path = self._folder / name
        self.cut_bytes += _cut_to(self._disk, path, 0)
        self._disk.unlink(path)
        self._disk.sync_folder(self._folder)


def _names_from(disk: Disk, folder: Path, last: Checkpoint | None) -> list[str]:
    """The segments from the one on that the newest checkpoint ends in."""
    names = [name for name in disk.names(folder) if first_seq_of(name) is not None]
    size = last.size if last is not None else 0
    older = [name for name in names if (first_seq_of(name) or 0) < size]
    if names and not older and first_seq_of(names[0]) != size:
        raise _tampered(f"{names[0]}: the records before it were signed and are missing")
    return names[max(0, len(older) - 1) :]


def _cut_checkpoints(disk: Disk, folder: Path) -> int:
    """Cut an unfinished checkpoint from the end of the list of all; tells how many bytes that were."""
    path = folder / CHECKPOINTS_NAME
    if not disk.exists(path):
        return 0
    with _opened(disk, path) as file:
        start = max(0, file.length_bytes - 2 * MAX_CHECKPOINT_BYTES)
        file.seek(start)
        data = b""
        while more := file.read(2 * MAX_CHECKPOINT_BYTES):
            data += more
    return _cut_to(disk, path, start + end_of_last_note(data))


def _cut_to(disk: Disk, path: Path, end: int) -> int:
    with _opened(disk, path) as file:
        length = file.length_bytes
    if length > end:
        cut(disk, path, end)
    return length - end


def _tampered(why: str) -> Tampered:
    error = Tampered(why)
    error.add_note(_HINT)
    return error
