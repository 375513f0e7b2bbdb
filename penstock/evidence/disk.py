"""I/O: the few calls to the operating system that the log makes, as one door that tests can replace with a failing one.

Stands under `log`.  It must never decide anything: every method is one system call, and raises `OSError` as that does.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Disk:
    """The real disk."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor; new files can be read and written by the gate's own user and read by its group."""
        return os.open(path, flags | os.O_CLOEXEC, 0o640)

    def read(self, descriptor: int, length_bytes: int) -> bytes:
        """Up to that many bytes from where the descriptor stands."""
        return os.read(descriptor, length_bytes)

    def seek(self, descriptor: int, offset: int) -> None:
        """Stand at `offset` from the beginning."""
        os.lseek(descriptor, offset, os.SEEK_SET)

    def size(self, descriptor: int) -> int:
        """The length of the file in bytes."""
        return os.fstat(descriptor).st_size

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of `data` and tell how much: on a filling disk less than all, without an error."""
        return os.write(descriptor, data)

    def sync_data(self, descriptor: int) -> None:
        """Wait until the file's bytes and length are on the disk.  After an error the descriptor is lost."""
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, length_bytes: int) -> None:
        """Cut the file to that length."""
        os.ftruncate(descriptor, length_bytes)

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        os.close(descriptor)

    def rename(self, source: Path, destination: Path) -> None:
        """Put `source` in the place of `destination` at once."""
        source.rename(destination)

    def unlink(self, path: Path) -> None:
        """Remove a file; it is no error when there is none."""
        path.unlink(missing_ok=True)

    def exists(self, path: Path) -> bool:
        """Whether there is such a file."""
        return path.exists()

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted."""
        return sorted(path.name for path in folder.iterdir())

    def make_folder(self, folder: Path) -> None:
        """Make a folder with its parents unless it is there; only the gate's own user and group can look inside."""
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Wait until the names in a folder are on the disk."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, descriptor: int) -> None:
        """Take the file for this process alone.  Raises `BlockingIOError` when another has it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def allocate(self, descriptor: int, length_bytes: int) -> None:
        """Take that much space on the disk."""
        os.posix_fallocate(descriptor, 0, length_bytes)

    def available_bytes(self, folder: Path) -> int:
        """The space on the disk that this process may still use."""
        status = os.statvfs(folder)
        return status.f_bavail * status.f_frsize
