"""A reading with its journal, and what control gets of it; TCP segments made by hand."""

from __future__ import annotations

import struct
from pathlib import Path
from socket import inet_aton
from typing import Any

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import Binding, Grant, Record, Subject, SubjectKind
from penstock.observe.packets import Segment
from penstock.observe.reading import Reading

T0 = 1_764_000_000_000_000
CLIENT, ASSET = "192.168.10.12", "192.168.10.50"


def grant(number: int = 12, **fields: Any) -> Grant:
    """A grant on the kernel path whose packets are copied."""
    values: dict[str, Any] = {
        "number": number,
        "subject": Subject(name="scada-1", kind=SubjectKind.MACHINE, role="scada"),
        "asset": "plc-filter-1",
        "service": "modbus",
        "protocol": "modbus",
        "transport": "tcp",
        "port": 502,
        "overlay": "100.64.0.50",
        "underlay": ASSET,
        "conduits": ("SCADA polls the filters",),
        "binding": Binding.ADDRESS,
        "revision": 3,
        "opened_at_us": T0,
        "expires_at_us": None,
        "idle_s": 900,
        "is_inspected": False,
        "is_copied": True,
    }
    return Grant(**values | fields)


def packet(source: str, source_port: int, destination: str, port: int, sequence: int, flags: int, data: bytes) -> bytes:
    """An IPv4 packet with a TCP segment."""
    tcp = struct.pack("!HHIIBBHHH", source_port, port, sequence % 2**32, 0, 0x50, flags, 8192, 0, 0) + data
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 7, 0x4000, 64, 6, 0, inet_aton(source), inet_aton(destination)
    )
    return head + tcp


def sent(sequence: int, data: bytes, flags: int = 0x18, port: int = 40001) -> Segment:
    """A segment from the client."""
    return Segment(inet_aton(CLIENT), port, inet_aton(ASSET), 502, sequence % 2**32, flags, data)


def returned(sequence: int, data: bytes, flags: int = 0x18, port: int = 40001) -> Segment:
    """A segment from the asset."""
    return Segment(inet_aton(ASSET), 502, inet_aton(CLIENT), port, sequence % 2**32, flags, data)


def request(number: int, first: int = 0) -> bytes:
    """Read two holding registers."""
    return struct.pack(">HHHBBHH", number, 0, 6, 1, 3, first, 2)


def answer(number: int) -> bytes:
    """Their values."""
    return struct.pack(">HHHBBBHH", number, 0, 7, 1, 3, 4, 1, 2)


def refusal(number: int) -> bytes:
    """An exception reply."""
    return struct.pack(">HHHBBB", number, 0, 3, 1, 0x83, 2)


class Watched:
    """A reading, and the other end of its journal."""

    def __init__(self, folder: Path) -> None:
        path = folder / "observer.ring"
        self.reading = Reading(Journal(RingWriter(path, 1 << 15), T0))
        self._reader = JournalReader(path)
        self._reader.read(T0)
        self.grant = grant()

    def take(self, segment: Segment, at_us: int = T0, of: Grant | None = None) -> None:
        """One segment."""
        self.reading.take(of or self.grant, segment, at_us)

    def records(self, now_us: int = T0 + 60_000_000) -> list[Record]:
        """What the evidence gets."""
        return self._reader.read(now_us, is_last=True)

    def rows(self) -> list[tuple[str, int, int, int]]:
        """Code, time from T0, latency and outcome of every operation, in order."""
        return [row for record in self.records() if record.kind == "operations" for row in rows_of(record)]


def rows_of(record: Record) -> list[tuple[str, int, int, int]]:
    """Code, time from T0, latency and outcome of every operation of a record."""
    detail: dict[str, Any] = record.detail
    return [
        (detail["operations"][index]["code"], detail["from_us"] + offset - T0, latency, outcome)
        for offset, index, latency, outcome in detail["rows"]
    ]
