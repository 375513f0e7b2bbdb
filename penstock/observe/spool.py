"""I/O: the payload store's writer: copied packets of each grant into capture files, whole or recovered, never silent.

Stands between the copies and the folder ``evidence/payload``.  A file is ``GRANT-TIME.part`` while it grows,
``SHA256.pcapng.new`` once it is closed and on the disk, and ``SHA256.pcapng`` once the evidence has its record.  What
cannot be written is counted and told; a full disk must never take the space that the evidence needs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from penstock.model import Json, PayloadLost, PayloadStored
from penstock.observe.packets import length_of
from penstock.observe.pcapng import about_of, blocks, packet_block, packet_of, preamble

#: A file is closed at this size, or after this time.
FILE_BYTES: Final = 16 << 20
FILE_US: Final = 300_000_000
#: All files together; then the oldest go.  Space that stays free for the evidence.
STORE_BYTES: Final = 4 << 30
FREE_BYTES: Final = 512 << 20
#: Files that are open at a time, one a grant; the one that was written to longest ago is closed for another.
MAX_OPEN: Final = 128
#: What may wait in memory for one file before it is written.
FLUSH_BYTES: Final = 256 << 10
#: How long nothing is tried after the disk refused.
PAUSE_US: Final = 2_000_000
INTERFACE: Final = "kernel path"
PART, NEW, WHOLE = ".part", ".pcapng.new", ".pcapng"


@dataclass(slots=True)
class Growing:
    """A file that is written to."""

    path: Path
    descriptor: int
    grant: int
    about: dict[str, Json]
    opened_us: int
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    size_bytes: int = 0
    first_us: int = 0
    last_us: int = 0
    packets: int = 0
    payload_bytes: int = 0
    waiting: list[bytes] = field(default_factory=list)
    waiting_bytes: int = 0
    waiting_payload: int = 0


class Spool:
    """The files that grow now.  `tell` gets what is lost."""

    def __init__(self, folder: Path, tell: Callable[[PayloadLost], None]) -> None:
        self._folder, self._tell = folder, tell
        self._growing: dict[int, Growing] = {}
        self._refused: dict[int, tuple[int, int, int]] = {}
        self._why = ""
        self._paused_until_us = 0
        #: Closed ones that wait to be put on the disk (`finish`).
        self.over: list[Growing] = []

    def add(self, grant: int, about: Callable[[], dict[str, Json]], at_us: int, data: bytes) -> None:
        """Take one packet; `about` says whose it is, for a new file."""
        file = self._growing.get(grant)
        if file is None:
            file = self._open(grant, about, at_us)
            if file is None:
                return
        block = packet_block(at_us, data, length_of(data))
        if not file.packets and not file.waiting:
            file.first_us = at_us
        file.waiting.append(block)
        file.waiting_bytes += len(block)
        file.waiting_payload += len(data)
        file.last_us = at_us
        if file.waiting_bytes >= FLUSH_BYTES:
            self._flush(file, at_us)
            if file.size_bytes >= FILE_BYTES:
                self.close(grant)

    def flush(self, now_us: int) -> None:
        """Write what waits, close what is old, and tell what was refused; some times a second."""
        for grant, file in list(self._growing.items()):
            self._flush(file, now_us)
            if not 0 <= now_us - file.opened_us < FILE_US:
                self.close(grant)
        for grant, (count, from_us, until_us) in self._refused.items():
            lost = PayloadLost(
                grant=grant,
                count=count,
                why=self._why,
                is_stored=False,
                from_us=from_us,
                until_us=until_us,
                at_us=now_us,
            )
            self._tell(lost)
        self._refused.clear()

    def close(self, grant: int) -> None:
        """Close a grant's file, if it has one; what is in it is put on the disk by `finish`."""
        file = self._growing.pop(grant, None)
        if file is not None:
            self._flush(file, file.last_us)
            self._put_over(file)

    def close_all(self) -> None:
        """Close every file."""
        for grant in list(self._growing):
            self.close(grant)

    def check_space(self, now_us: int) -> None:
        """Stop while the disk has too little left for the evidence itself; files that grow are closed."""
        status = os.statvfs(self._folder)
        if status.f_bavail * status.f_frsize < FREE_BYTES:
            self.close_all()
            self._pause(f"the disk has less than {FREE_BYTES >> 20} MiB left, which are the evidence's", now_us)

    def _open(self, grant: int, about: Callable[[], dict[str, Json]], at_us: int) -> Growing | None:
        if 0 < self._paused_until_us - at_us <= 2 * PAUSE_US:  # further ahead: the clock was set back
            self._refuse(grant, 1, at_us, at_us)
            return None
        if len(self._growing) >= MAX_OPEN:
            self.close(min(self._growing, key=lambda number: self._growing[number].last_us))
        path, said = self._folder / f"{grant}-{at_us}{PART}", about()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._pause(f"a file cannot be made: {error.strerror}", at_us)
            self._refuse(grant, 1, at_us, at_us)
            return None
        file = self._growing[grant] = Growing(path, descriptor, grant, said, at_us)
        head = preamble(INTERFACE, said)
        file.waiting.append(head)
        file.waiting_bytes += len(head)
        self._flush(file, at_us, packets=0)
        if grant not in self._growing:  # the disk refused even the beginning
            self._refuse(grant, 1, at_us, at_us)
        return self._growing.get(grant)

    def _flush(self, file: Growing, now_us: int, *, packets: int | None = None) -> None:
        if not file.waiting:
            return
        data, count = b"".join(file.waiting), len(file.waiting) if packets is None else packets
        carried = file.waiting_payload
        file.waiting, file.waiting_bytes, file.waiting_payload = [], 0, 0
        try:
            _write(file.descriptor, data)
        except OSError as error:
            self._give_up(file, count, error, now_us)
            return
        file.digest.update(data)
        file.size_bytes += len(data)
        file.packets += count
        file.payload_bytes += carried

    def _give_up(self, file: Growing, count: int, error: OSError, now_us: int) -> None:
        """The disk refused: keep what is whole, count what is not."""
        self._pause(f"the disk refused: {error.strerror}", now_us)
        self._refuse(file.grant, count, file.last_us or now_us, now_us)
        with suppress(OSError):
            os.ftruncate(file.descriptor, file.size_bytes)
        self._growing.pop(file.grant, None)
        self._put_over(file)

    def _put_over(self, file: Growing) -> None:
        """Once and never twice: its descriptor is closed then, and its number may be another file's."""
        if not any(each is file for each in self.over):
            self.over.append(file)

    def _pause(self, why: str, now_us: int) -> None:
        self._why, self._paused_until_us = why, now_us + PAUSE_US

    def _refuse(self, grant: int, count: int, from_us: int, until_us: int) -> None:
        before = self._refused.get(grant)
        if before is not None:
            count, from_us = count + before[0], before[1]
        self._refused[grant] = count, from_us, until_us


def finish(file: Growing, now_us: int) -> PayloadStored | None:
    """Put a closed file on the disk under its digest; ``None`` where nothing is in it.  Raises `OSError`."""
    try:
        if file.packets:
            os.ftruncate(file.descriptor, file.size_bytes)
            os.fsync(file.descriptor)
    finally:
        os.close(file.descriptor)
    if not file.packets:
        file.path.unlink()
        return None
    name = file.digest.hexdigest()
    file.path.rename(file.path.with_name(name + NEW))
    _sync_folder(file.path.parent)
    return PayloadStored(
        grant=file.grant,
        subject=str(file.about.get("subject", "")),
        asset=str(file.about.get("asset", "")),
        first_us=file.first_us,
        last_us=file.last_us,
        packets=file.packets,
        bytes=file.payload_bytes,
        sha256=name,
        size_bytes=file.size_bytes,
        was_recovered=False,
        at_us=now_us,
    )


def keep(folder: Path, sha256: str) -> None:
    """The evidence has the record of this file."""
    with suppress(FileNotFoundError):
        (folder / (sha256 + NEW)).rename(folder / (sha256 + WHOLE))
        _sync_folder(folder)


def recover(folder: Path, now_us: int) -> Iterator[PayloadStored | PayloadLost]:
    """What an earlier observer left: files that it did not close, and files whose record may be missing.

    Which files these are is found at once; they are read, up to 16 MiB each, one by one as the answer is asked for.
    """
    return _left(sorted(folder.glob(f"*{NEW}")), sorted(folder.glob(f"*{PART}")), now_us)


def oldest_beyond(folder: Path, limit_bytes: int) -> list[tuple[Path, int]]:
    """The files that must go, with their sizes, so that all together are within the limit."""
    found = sorted((each.stat().st_mtime_ns, each, each.stat().st_size) for each in folder.glob(f"*{WHOLE}"))
    total, gone = sum(size for _, _, size in found), []
    for _, path, size in found:
        if total <= limit_bytes:
            break
        gone.append((path, size))
        total -= size
    return gone


def _left(fresh: list[Path], parts: list[Path], now_us: int) -> Iterator[PayloadStored | PayloadLost]:
    for path in fresh:
        try:
            yield _described(path.read_bytes(), path.name.removesuffix(NEW), now_us, was_recovered=False)
        except OSError as error:
            yield _unclosed(path, now_us, now_us, f"the file {path.name} cannot be read: {error.strerror}")
    for path in parts:
        stored, why = None, "the observer ended without closing its file; what it had not written is missing"
        try:
            stored = _recovered(path, now_us)
        except OSError as error:
            why = f"the observer ended without closing its file, which cannot be recovered now: {error.strerror}"
        if stored is not None:
            yield stored
        yield _unclosed(path, now_us if stored is None else stored.last_us, now_us, why)


def _unclosed(path: Path, from_us: int, now_us: int, why: str) -> PayloadLost:
    digits = path.name.partition("-")[0]
    return PayloadLost(
        grant=int(digits) if path.name.endswith(PART) and digits.isdecimal() else 0,
        count=None,
        why=why,
        is_stored=False,
        from_us=from_us,
        until_us=now_us,
        at_us=now_us,
    )


def _recovered(path: Path, now_us: int) -> PayloadStored | None:
    data = path.read_bytes()
    end = max((block.end for block in blocks(data)), default=0)
    whole = data[:end]
    described = _described(whole, hashlib.sha256(whole).hexdigest(), now_us, was_recovered=True)
    if not described.packets:
        path.unlink()
        return None
    with path.open("r+b") as file:
        file.truncate(end)
        os.fsync(file.fileno())
    path.rename(path.with_name(described.sha256 + NEW))
    _sync_folder(path.parent)
    return described


def _described(data: bytes, name: str, now_us: int, *, was_recovered: bool) -> PayloadStored:
    packets = [found for block in blocks(data) if (found := packet_of(data, block)) is not None]
    about = about_of(data)
    grant = about.get("grant")
    return PayloadStored(
        grant=grant if isinstance(grant, int) else 0,
        subject=str(about.get("subject", "")),
        asset=str(about.get("asset", "")),
        first_us=packets[0][0] if packets else 0,
        last_us=packets[-1][0] if packets else 0,
        packets=len(packets),
        bytes=sum(captured for _, captured in packets),
        sha256=name,
        size_bytes=len(data),
        was_recovered=was_recovered,
        at_us=now_us,
    )


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
