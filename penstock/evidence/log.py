"""I/O: the log itself: records go in, and are on the disk when `append` returns.

Stands between `control`, which calls it through `Writer`, and the files that `segment` and `checkpoint` describe.  One
process and one thread at a time.  It must never lose an acknowledged record, write half a batch, or decide what is
recorded.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penstock.evidence.checkpoint import Checkpoint, VerifyingKey, sign
from penstock.evidence.disk import Disk
from penstock.evidence.durable import AppendFile, Reserve, cut, replace
from penstock.evidence.line import encode, gap_record, number
from penstock.evidence.recovery import recover
from penstock.evidence.segment import MAX_BODY_BYTES, encode_frame, encode_start, segment_name
from penstock.evidence.source import CHECKPOINT_NAME, CHECKPOINTS_NAME
from penstock.evidence.tree import Frontier, leaf_hash
from penstock.model import Json, Record, RecordKind, Unavailable

#: A segment is a file that is still pleasant to copy, and 64 MiB of lines are some 200,000 records.
SEGMENT_BYTES = 64 << 20
#: Given up when the disk is full: room for some 10,000 records and the checkpoint over them.
RESERVE_BYTES = 4 << 20
LOCK_NAME = "lock"
RESERVE_NAME = "reserve"
_FULL = (ENOSPC, EDQUOT)


class Log:
    """An append-only log in one folder, signed as `origin`.  Made by `Log.open`; `close` it, or use it in a `with`."""

    def __init__(
        self, *, disk: Disk, folder: Path, key: Ed25519PrivateKey, origin: str, now_us: Callable[[], int], lock: int
    ) -> None:
        self._disk, self._folder, self._key, self._now_us, self._lock = disk, folder, key, now_us, lock
        self.origin = origin
        self._tree = Frontier()
        self._segment: AppendFile | None = None
        self._checkpoints: AppendFile | None = None
        self._signed = self._kept = -1
        #: The record of the start, until the disk took it.
        self._owed: list[bytes] = []
        self._segment_bytes = SEGMENT_BYTES
        self._reserve = Reserve(disk, folder / RESERVE_NAME, 0)

    @classmethod
    def open(
        cls,
        folder: Path,
        key: Ed25519PrivateKey,
        origin: str,
        now_us: Callable[[], int],
        *,
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> Log:
        """Open the log in `folder`, or begin one there; writes a `log.started` record and a checkpoint.

        What a crash left unfinished is cut and told in that record.  On a full disk the log opens all the same, and
        that record comes with the first that fits.  Raises `Unavailable` when another process has the log or the disk
        fails, `Tampered` when the log is not the one that was last signed, and `ValueError` for an origin with white
        space or a plus sign.
        """
        verifying_key, disk = VerifyingKey.of(key, origin), disk or Disk()
        lock = _lock(disk, folder)
        log = cls(disk=disk, folder=folder, key=key, origin=origin, now_us=now_us, lock=lock)
        try:
            log._segment_bytes = segment_bytes
            log._reserve = Reserve(disk, folder / RESERVE_NAME, reserve_bytes)
            log._recover(verifying_key)
        except OSError as error:
            log.close()
            raise _unavailable(error) from error
        except BaseException:
            log.close()
            raise
        return log

    @property
    def size(self) -> int:
        """How many records the log holds: the number of the next one."""
        return self._tree.size

    @property
    def has_reserve(self) -> bool:
        """Whether the space for the last records is still kept back; false on a full disk."""
        return self._reserve.is_held

    def root(self) -> bytes:
        """The root of the tree over all records."""
        return self._tree.root()

    def append(self, records: Sequence[Record]) -> range:
        """Write records as one batch; they are durable on return, and the range tells their numbers.

        Raises `ValueError` for a record that no line can hold (see `encode`), and `Unavailable` when the disk does not
        take them; the log then holds none of them and can be used again.  Group commit is the caller's: one batch costs
        one sync.
        """
        return self.append_lines([encode(record) for record in records])

    def append_lines(self, lines: Sequence[bytes]) -> range:
        """As `append`, for lines that `encode` made."""
        first = self._tree.size + len(self._owed)
        try:
            self._append_or_free([*self._owed, *lines])
        except OSError as error:
            raise _unavailable(error) from error
        self._owed = []
        return range(first, self._tree.size)

    def gap(self, lost: Mapping[str, int], *, from_us: int, why: str) -> range:
        """Admit that records were lost since `from_us`: the caller counted them by kind.  Raises `Unavailable`."""
        return self.append([gap_record(lost, at_us=self._now_us(), from_us=from_us, why=why)])

    def checkpoint(self, *, keep: bool = True) -> Checkpoint:
        """Sign what the log holds now, in place of the newest checkpoint; with `keep` also in the list of all.

        Does nothing when nothing was added since the last one.  Raises `Unavailable`.
        """
        checkpoint = Checkpoint(origin=self.origin, size=self._tree.size, root=self._tree.root())
        note = sign(checkpoint, self._key)
        try:
            self._write_checkpoint(note, keep=keep)
        except OSError as error:
            raise _unavailable(error) from error
        self._reserve.take()
        return checkpoint

    def close(self) -> None:
        """Give the folder back.  Writes nothing: whoever wants a last checkpoint asks for it before."""
        for file in (self._segment, self._checkpoints):
            if file is not None:
                file.close()
        self._segment = self._checkpoints = None
        if self._lock >= 0:
            with suppress(OSError):
                self._disk.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self, key: VerifyingKey) -> None:
        found = recover(self._disk, self._folder, key)
        self._tree = found.tree
        if found.segment:
            self._segment = AppendFile(self._disk, self._folder / found.segment, is_new=False)
        self._reserve.take()
        detail: dict[str, Json] = {
            "previous_size": found.tree.size,
            "previous_root": b64encode(found.tree.root()).decode(),
            "cut_bytes": found.cut_bytes,
        }
        self._owed = [encode(Record(kind=RecordKind.LOG_STARTED, at_us=self._now_us(), detail=detail))]
        with suppress(Unavailable):
            self.append_lines([])
            self.checkpoint()

    def _append_or_free(self, lines: Sequence[bytes]) -> None:
        try:
            self._append(lines)
        except OSError as error:
            if error.errno not in _FULL or not self._reserve.give_up():
                raise
            self._append(lines)

    def _append(self, lines: Sequence[bytes]) -> None:
        """All lines or none.  Raises `OSError`."""
        if not lines:
            return
        segment, tree = self._ready_segment(), self._tree.copy()
        start = segment.length_bytes
        try:
            for batch in _batches(lines):
                numbered = [number(tree.size + index, line) for index, line in enumerate(batch)]
                segment.append(encode_frame(tree.size, numbered))
                for line in numbered:
                    tree.append(leaf_hash(line))
        except OSError:
            segment.cut_back(start)
            raise
        self._tree = tree

    def _ready_segment(self) -> AppendFile:
        """The segment to write to: the last one, or a new one when that is long enough or broken.  Raises `OSError`."""
        segment = self._segment
        if segment is not None and not segment.is_broken and segment.length_bytes < self._segment_bytes:
            return segment
        if segment is not None and segment.is_broken and self._disk.exists(segment.path):
            cut(self._disk, segment.path, segment.length_bytes)
        self._segment = self._new_segment()
        if segment is not None:
            segment.close()
        return self._segment

    def _new_segment(self) -> AppendFile:
        """A segment that goes on from here.  One of that name holds no record: its first write failed."""
        path = self._folder / segment_name(self._tree.size)
        self._disk.unlink(path)
        segment = AppendFile(self._disk, path, is_new=True)
        try:
            segment.append(encode_start(self._tree))
            self._disk.sync_folder(self._folder)
        except OSError:
            segment.close()
            with suppress(OSError):
                self._disk.unlink(path)
            raise
        return segment

    def _write_checkpoint(self, note: bytes, *, keep: bool) -> None:
        """The newest first: a crash between the two leaves the list behind, never ahead."""
        size = self._tree.size
        if self._signed != size:
            replace(self._disk, self._folder / CHECKPOINT_NAME, note)
            self._signed = size
        if keep and self._kept != size:
            self._ready_checkpoints().append(note + b"\n")
            self._kept = size

    def _ready_checkpoints(self) -> AppendFile:
        file = self._checkpoints
        if file is not None and not file.is_broken:
            return file
        path = self._folder / CHECKPOINTS_NAME
        if file is not None:
            cut(self._disk, path, file.length_bytes)
        self._checkpoints = AppendFile(self._disk, path, is_new=False)
        self._disk.sync_folder(self._folder)
        return self._checkpoints


def _lock(disk: Disk, folder: Path) -> int:
    """Take the folder for this process.  Raises `Unavailable`."""
    try:
        disk.make_folder(folder)
        descriptor = disk.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _unavailable(error) from error
    try:
        disk.lock(descriptor)
    except OSError as error:
        disk.close(descriptor)
        raise Unavailable(f"another process writes the log in {folder}") from error
    return descriptor


def _batches(lines: Sequence[bytes]) -> list[list[bytes]]:
    """The lines in as few frames as hold them."""
    batches: list[list[bytes]] = [[]]
    length = 0
    for line in lines:
        longest = len(line) + len('{"seq":,') + 20
        if length + longest > MAX_BODY_BYTES:
            batches.append([])
            length = 0
        batches[-1].append(line)
        length += longest
    return batches


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"the evidence log cannot be written: {error.strerror or error}")
