"""I/O: the payload store beside a log: which capture files its records name, and whether they are still what they were.

Stands beside `verify`, on the auditor's side.  A file is named by the SHA-256 of its bytes, and its record is in the
log, so the log's signatures hold for the file as well.  It must never write, and never call a file good that it has not
read to its end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from penstock.evidence.query import Search, search
from penstock.evidence.segment import Damage
from penstock.evidence.source import Source
from penstock.model import Record, RecordKind

#: The folder of the store, in the folder of the log.
FOLDER_NAME: Final = "payload"
SUFFIX: Final = ".pcapng"
#: A file whose record is on the disk, but whose writer has not heard of that yet.
FRESH_SUFFIX: Final = ".pcapng.new"
_READ_BYTES: Final = 1 << 20
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_KINDS: Final = frozenset({RecordKind.PAYLOAD_STORED, RecordKind.PAYLOAD_REMOVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadFile:
    """A capture file as record `seq` names it; times in microseconds since the epoch, `bytes` are those of packets."""

    seq: int
    sha256: str
    grant: int | None
    subject: str | None
    asset: str | None
    first_us: int
    last_us: int
    packets: int
    bytes: int
    size_bytes: int
    is_removed: bool = False


def payload_files(source: Source, damaged: Callable[[str, Damage], None]) -> list[PayloadFile]:
    """Every file that the log names, by the time of its first packet."""
    found: dict[str, PayloadFile] = {}
    removed: set[str] = set()
    for entry in search(source, Search(kinds=_KINDS), damaged):
        name = entry.record.detail.get("sha256")
        if not isinstance(name, str):
            continue
        if entry.record.kind is RecordKind.PAYLOAD_REMOVED:
            removed.add(name)
        else:
            found.setdefault(name, _file(entry.seq, name, entry.record))
    files = [replace(file, is_removed=True) if name in removed else file for name, file in found.items()]
    return sorted(files, key=lambda file: (file.first_us, file.seq))


def path_of(folder: Path, file: PayloadFile) -> Path | None:
    """Where the file is, `folder` being the log's; ``None`` where it is not, or the name is no digest."""
    if not _DIGEST.fullmatch(file.sha256):  # a forged log must not lead out of the folder
        return None
    for suffix in (SUFFIX, FRESH_SUFFIX):
        path = folder / FOLDER_NAME / (file.sha256 + suffix)
        if path.is_file():
            return path
    return None


def payload_problems(folder: Path, files: list[PayloadFile]) -> Iterator[str]:
    """What is not as the log says, a sentence each; a file whose removal is on record need not be there."""
    for file in files:
        if file.is_removed:
            continue
        path = path_of(folder, file)
        if path is None:
            yield f"record {file.seq}: the payload file {file.sha256} is missing, and its removal is not on record"
        elif (actual := digest_of(path)) != file.sha256:
            yield f"record {file.seq}: the payload file {path.name} was changed: its bytes have the digest {actual}"


def digest_of(path: Path) -> str:
    """SHA-256 (hex) of the file's bytes; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                digest.update(data)
    except OSError:
        return ""
    return digest.hexdigest()


def _file(seq: int, name: str, record: Record) -> PayloadFile:
    def number(field: str) -> int:
        value = record.detail.get(field)
        return value if isinstance(value, int) else 0

    return PayloadFile(
        seq=seq,
        sha256=name,
        grant=record.grant,
        subject=record.subject,
        asset=record.asset,
        first_us=number("first_us"),
        last_us=number("last_us"),
        packets=number("packets"),
        bytes=number("bytes"),
        size_bytes=number("size_bytes"),
    )
