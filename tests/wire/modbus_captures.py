"""Real Modbus captures by direction: the bytes of each beside the PDUs that tshark decoded of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from captured import CAPTURES, CapturedFlow, expected, flows, require_captures

from penstock.wire import Side

__all__ = ["CAPTURES", "NAMES", "PORT", "Half", "halves", "require_captures"]

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

    @property
    def is_modbus(self) -> bool:
        """Whether tshark saw nothing but Modbus here."""
        return bool(self.pdus) and all(pdu["p"] == "mbtcp" for pdu in self.pdus)


def halves(name: str) -> list[Half]:
    """Every direction of every TCP connection of a capture that carries data to or from port 502."""
    file = f"{name}.pcap"
    ports = {line["stream"]: {line["sport"], line["dport"]} for line in expected(file).values()}
    served = [flow for flow in flows(file) if flow.carrier == "tcp" and PORT in ports.get(flow.number, ())]
    return [half for flow in served for side in Side if (half := _half(flow, side)).data]


def _half(flow: CapturedFlow, side: Side) -> Half:
    lines = expected(flow.capture)
    frames = [packet.frame for packet in flow.packets if packet.side is side]
    pdus = [pdu for frame in dict.fromkeys(frames) for pdu in lines.get(frame, {"pdus": []})["pdus"]]
    return Half(f"{flow.capture}, stream {flow.number}, {side.value}", side, flow.said(side), pdus)
