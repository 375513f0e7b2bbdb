"""Real captures and what tshark decoded from them: the bytes of each flow and direction beside the expected PDUs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dpkt
import pytest

from penstock.wire import Side

ROOT = Path(__file__).parents[2]
CAPTURES = Path(os.environ.get("PENSTOCK_CAPTURES", ROOT.parent / "shared" / "captures"))
NAMES = (
    "modbus-all-functions",
    "modbus-coils-poll",
    "modbus-diagnostics",
    "modbus-poll-registers",
    "modbus-port502-mixed",
    "modbus-umas-fc90",
)
PORT = 502


@dataclass
class Half:
    """One direction of one captured connection."""

    name: str
    side: Side
    data: bytes = b""
    pdus: list[dict[str, Any]] = field(default_factory=list)
    next_number: int | None = None

    @property
    def is_modbus(self) -> bool:
        """Whether tshark saw nothing but Modbus here."""
        return bool(self.pdus) and all(pdu["p"] == "mbtcp" for pdu in self.pdus)

    def receive(self, segment: dpkt.tcp.TCP) -> None:
        """Append what is new in the segment; captures have no gaps within a direction, so that is an error."""
        number = segment.seq + (1 if segment.flags & dpkt.tcp.TH_SYN else 0)
        if self.next_number is None:
            self.next_number = number
        ahead = (number - self.next_number + 2**31) % 2**32 - 2**31
        assert ahead <= 0, f"{self.name}: a gap of {ahead} bytes"
        fresh = segment.data[-ahead:] if -ahead < len(segment.data) else b""
        self.data += fresh
        self.next_number = (self.next_number + len(fresh)) % 2**32


def require_captures() -> None:
    """Skip where the captures are not at hand; where CI is set, their absence is a failure."""
    if not CAPTURES.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"no captures at {CAPTURES}; set PENSTOCK_CAPTURES")
        pytest.skip(f"the captures are test data outside this repository, and there are none at {CAPTURES}")


def halves(name: str) -> list[Half]:
    """Every direction of every TCP connection of a capture that carries data to or from port 502."""
    require_captures()
    found: dict[tuple[str, int, str, int], Half] = {}
    for ends, segment in _segments(CAPTURES / f"{name}.pcap"):
        if PORT in (segment.sport, segment.dport):
            side = Side.CLIENT if segment.dport == PORT else Side.ASSET
            half = found.get(ends)
            if not segment.data and half is not None:
                continue
            if half is None or (segment.flags & dpkt.tcp.TH_SYN and not half.data):
                half = found[ends] = Half(name=f"{name} {ends}", side=side)
            half.receive(segment)
    for line in (CAPTURES / f"{name}.pcap.expected.jsonl").read_text().splitlines():
        entry = json.loads(line)
        ends = (entry["src"], entry["sport"], entry["dst"], entry["dport"])
        if ends in found and "retx" not in entry:
            found[ends].pdus += entry["pdus"]
    return [half for half in found.values() if half.data]


def _segments(path: Path) -> Iterator[tuple[tuple[str, int, str, int], dpkt.tcp.TCP]]:
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        for _, packet in reader:
            link = dpkt.ethernet.Ethernet(packet) if reader.datalink() == dpkt.pcap.DLT_EN10MB else dpkt.sll.SLL(packet)
            inner = link.data
            if isinstance(inner, dpkt.ip.IP) and isinstance(inner.data, dpkt.tcp.TCP):
                tcp = inner.data
                yield (_text(inner.src), tcp.sport, _text(inner.dst), tcp.dport), tcp


def _text(address: bytes) -> str:
    return ".".join(map(str, address))
