"""A log in a temporary folder, and a disk that fails on demand."""

import errno
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penstock.evidence.checkpoint import VerifyingKey
from penstock.evidence.disk import Disk
from penstock.evidence.folder import FolderSource
from penstock.evidence.log import Log
from penstock.evidence.report import Report
from penstock.evidence.segment import Readable
from penstock.evidence.verify import verify_log
from penstock.model import Json, Record, RecordKind

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "penstock.example/gate-1"
PUBLIC = VerifyingKey.of(KEY, ORIGIN)
START_US = 1_790_000_000_000_000


class Clock:
    """Time that goes on by one millisecond each time it is asked."""

    def __init__(self) -> None:
        self.at_us = START_US

    def __call__(self) -> int:
        self.at_us += 1000
        return self.at_us


class FaultyDisk(Disk):
    """The real disk, with a size and with errors that a test orders.

    `free_bytes` is what writes may still take (None: no limit): a write that does not fit is short, the next one fails
    as on a full disk.  `errors` names calls and how many of them fail with an input/output error.
    """

    def __init__(self) -> None:
        self.free_bytes: int | None = None
        self.errors: dict[str, int] = {}
        self.most_bytes = 1 << 30
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.errors.get(name, 0) > 0:
            self.errors[name] -= 1
            raise OSError(errno.EIO, "Input/output error")

    def write(self, descriptor: int, data: memoryview) -> int:
        self._call("write")
        most = min(len(data), self.most_bytes)
        if self.free_bytes is not None:
            if self.free_bytes == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            most = min(most, self.free_bytes)
            self.free_bytes -= most
        return super().write(descriptor, data[:most])

    def sync_data(self, descriptor: int) -> None:
        self._call("sync_data")
        super().sync_data(descriptor)

    def sync_folder(self, folder: Path) -> None:
        self._call("sync_folder")
        super().sync_folder(folder)

    def truncate(self, descriptor: int, length_bytes: int) -> None:
        self._call("truncate")
        before = self.size(descriptor)
        super().truncate(descriptor, length_bytes)
        if self.free_bytes is not None:
            self.free_bytes += max(0, before - length_bytes)

    def rename(self, source: Path, destination: Path) -> None:
        self._call("rename")
        super().rename(source, destination)

    def unlink(self, path: Path) -> None:
        if self.free_bytes is not None and path.exists():
            self.free_bytes += path.stat().st_size
        super().unlink(path)


class MemorySource:
    """The files of a log as bytes."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    @classmethod
    def of(cls, folder: Path) -> "MemorySource":
        return cls({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})

    @property
    def names(self) -> Sequence[str]:
        return sorted(self.files)

    @property
    def segments(self) -> list[str]:
        return [name for name in self.names if name.startswith("records-")]

    def size_bytes(self, name: str) -> int:
        return len(self.files[name])

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        yield io.BytesIO(self.files[name])


def record(index: int = 0, **detail: Json) -> Record:
    return Record(
        kind=RecordKind.FLOW_CLOSED,
        at_us=START_US + index * 1000,
        grant=17 + index % 3,
        subject=f"subject-{index % 5}",
        asset=f"plc-{index % 4}",
        protocol="modbus",
        detail={"index": index, **detail},
    )


def open_log(folder: Path, disk: Disk | None = None, segment_bytes: int = 64 << 20, reserve_bytes: int = 0) -> Log:
    return Log.open(folder, KEY, ORIGIN, Clock(), disk=disk, segment_bytes=segment_bytes, reserve_bytes=reserve_bytes)


def verified(folder: Path) -> Report:
    return verify_log(FolderSource(folder), PUBLIC)
