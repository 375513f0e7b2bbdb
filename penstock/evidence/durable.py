"""I/O: writing that either reached the disk or left no trace.

Stands between `disk` and `log`.  A write can be short, and a sync that failed must never be tried again on the same
descriptor (Linux drops the pages it could not write, and the second sync then reports success).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from penstock.evidence.disk import Disk


class AppendFile:
    """A file that grows by whole pieces: after a failed `append` it is as long as before.

    `is_broken` tells that the descriptor must not be used any more: a sync or the cutting back failed.  `length_bytes`
    is then still the length that counts, and `cut` brings the file back to it.
    """

    def __init__(self, disk: Disk, path: Path, *, is_new: bool) -> None:
        self._disk, self.path = disk, path
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | (os.O_EXCL if is_new else 0)
        self._descriptor = disk.open(path, flags)
        self.length_bytes = 0 if is_new else disk.size(self._descriptor)
        self.is_broken = False

    def append(self, data: bytes) -> None:
        """Add `data` and wait until it is on the disk.  Raises `OSError`, and has then added nothing."""
        if self.is_broken:
            raise OSError("this descriptor failed before")
        start = self.length_bytes
        try:
            write_all(self._disk, self._descriptor, data)
        except OSError:
            self.cut_back(start)
            raise
        try:
            self._disk.sync_data(self._descriptor)
        except OSError:
            self.cut_back(start)
            self._give_up()
            raise
        self.length_bytes = start + len(data)

    def cut_back(self, length_bytes: int) -> None:
        """Drop what stands after `length_bytes`, at once for readers; a failure makes the file broken."""
        self.length_bytes = length_bytes
        if self.is_broken:
            return
        try:
            self._disk.truncate(self._descriptor, length_bytes)
        except OSError:
            self._give_up()

    def close(self) -> None:
        """Give the descriptor back."""
        if not self.is_broken:
            self._give_up()

    def _give_up(self) -> None:
        if not self.is_broken:
            self.is_broken = True
            with suppress(OSError):
                self._disk.close(self._descriptor)


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Write all of `data`, however short each write is.  Raises `OSError`."""
    rest = memoryview(data)
    while rest:
        written = disk.write(descriptor, rest)
        if written <= 0:
            raise OSError("the disk took nothing")
        rest = rest[written:]


def cut(disk: Disk, path: Path, length_bytes: int) -> None:
    """Cut a file to that length and wait until it is so on the disk, by a fresh descriptor.  Raises `OSError`."""
    descriptor = disk.open(path, os.O_RDWR)
    try:
        if disk.size(descriptor) > length_bytes:
            disk.truncate(descriptor, length_bytes)
        disk.sync_data(descriptor)
    finally:
        disk.close(descriptor)


def replace(disk: Disk, path: Path, data: bytes) -> None:
    """Put `data` in the place of the file `path` at once.  Raises `OSError`, and the old file then still stands."""
    beside = path.with_name(f"{path.name}.new")
    descriptor = disk.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(disk, descriptor, data)
        disk.sync_data(descriptor)
    finally:
        disk.close(descriptor)
    disk.rename(beside, path)
    disk.sync_folder(path.parent)


class Reserve:
    """A file that only takes space: given up when the disk is full, so that the last records fit."""

    def __init__(self, disk: Disk, path: Path, length_bytes: int) -> None:
        self._disk, self._path, self._length_bytes = disk, path, length_bytes

    @property
    def is_held(self) -> bool:
        """Whether the space is still kept back."""
        return self._length_bytes > 0 and self._disk.exists(self._path)

    def give_up(self) -> bool:
        """Set the space free; tells whether there was any."""
        if not self.is_held:
            return False
        try:
            self._disk.unlink(self._path)
        except OSError:
            return False
        return True

    def take(self) -> None:
        """Keep the space back again, once the disk has twice as much; a full disk is no error."""
        if self._length_bytes <= 0 or self.is_held:
            return
        try:
            if self._disk.available_bytes(self._path.parent) >= 2 * self._length_bytes:
                self._fill()
        except OSError:
            with suppress(OSError):
                self._disk.unlink(self._path)

    def _fill(self) -> None:
        descriptor = self._disk.open(self._path, os.O_WRONLY | os.O_CREAT)
        try:
            self._disk.allocate(descriptor, self._length_bytes)
        finally:
            self._disk.close(descriptor)
