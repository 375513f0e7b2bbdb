"""The common oracle harness: what a protocol's dissector makes of real captures, beside what tshark made of them.

`flows(name)` gives the conversations of a capture, packet by packet after IP and TCP reassembly.  `compare` feeds a
dissector with them and checks every PDU of every frame against ``NAME.expected.jsonl``, key by key.  What differs must
stand in ``differences/PROTOCOL.json`` with its reason, and what stands there must still differ: the file only shrinks.

    python tests/wire/captured.py s7-plc-stop.pcapng penstock.wire.s7comm.dissector:S7Dissector s7comm cotp

prints the differences of one capture in the form of that file.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest

from penstock.observe.capture_files import packets_of
from penstock.observe.captured_flows import Flow, Flows
from penstock.wire import KNOWN, Dissector, Shown, Side, is_reversed, of_carrier

ROOT = Path(__file__).parents[2]
CAPTURES = Path(os.environ.get("PENSTOCK_CAPTURES", ROOT.parent / "shared" / "captures"))
DIFFERENCES = Path(__file__).parent / "differences"
SERVICE_PORTS: Final = frozenset(
    (transport, int(port)) for each in KNOWN for transport, port in (text.split("/") for text in each.ports)
)
_NOTHING: Final = "(nothing)"
#: What no protocol begins with, and long enough to fill a head.
TAIL: Final = bytes(range(251, 240, -1)) * 3

Pdu = dict[str, Any]
Make = Callable[[], Dissector]


@dataclass
class CapturedPacket:
    """What one packet made readable of one side, usually its payload; `missing` bytes in front were never captured."""

    frame: int
    side: Side
    data: bytes
    missing: int = 0


@dataclass
class CapturedFlow:
    """One conversation of a capture.  `carrier` is ``tcp``, ``udp``, ``ether/8892`` or ``llc/82``."""

    capture: str
    carrier: str
    number: int | None
    packets: list[CapturedPacket] = field(default_factory=list)

    @property
    def frames(self) -> frozenset[int]:
        """The numbers of its packets."""
        return frozenset(packet.frame for packet in self.packets)

    def said(self, side: Side) -> bytes:
        """All bytes of one side."""
        return b"".join(packet.data for packet in self.packets if packet.side is side)

    def orient(self) -> None:
        """Turn the sides round where a protocol knows the bytes only so (as `penstock decode` does)."""
        candidates = of_carrier(KNOWN, self.carrier)
        if is_reversed(candidates, self.said(Side.CLIENT), self.said(Side.ASSET)):
            for packet in self.packets:
                packet.side = Side.ASSET if packet.side is Side.CLIENT else Side.CLIENT


def require_captures() -> None:
    """Skip where the captures are not at hand; where CI is set, their absence is a failure."""
    if not CAPTURES.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"no captures at {CAPTURES}; set PENSTOCK_CAPTURES")
        pytest.skip(f"the captures are test data outside this repository, and there are none at {CAPTURES}")


def names(prefix: str = "") -> list[str]:
    """The capture files whose name begins so, to parametrize with; where there are none, one that `flows` refuses."""
    found = [path.name for path in CAPTURES.glob(f"{prefix}*") if path.suffix in {".pcap", ".pcapng"}]
    return sorted(found) or ["no captures"]


@lru_cache(maxsize=8)
def flows(name: str) -> tuple[CapturedFlow, ...]:
    """The conversations of a capture file (``modbus-diagnostics.pcap``), in the order of their first packet."""
    require_captures()
    found: dict[Flow, CapturedFlow] = {}
    reader = Flows(SERVICE_PORTS)
    with (CAPTURES / name).open("rb") as file:
        for packet in packets_of(file.read):
            for arrival in reader.take(packet):
                flow = arrival.flow
                captured = found.setdefault(flow, CapturedFlow(name, flow.carrier, flow.number))
                captured.packets += [
                    CapturedPacket(arrival.number, arrival.side, piece.data, piece.missing) for piece in arrival.pieces
                ]
    for captured in found.values():
        if captured.carrier in {"tcp", "udp"} and captured.packets:
            captured.orient()
    return tuple(found.values())


@cache
def expected(name: str) -> dict[int, Pdu]:
    """What tshark decoded by frame number: the whole line, with its ``pdus``."""
    require_captures()
    lines = (CAPTURES / f"{name}.expected.jsonl").read_text().splitlines()
    return {line["frame"]: line for line in map(json.loads, lines)}


def expected_pdus(name: str, frame: int, kinds: Collection[str]) -> list[Pdu]:
    """The PDUs of one frame whose ``p`` is one of `kinds`; empty where the frame completes none."""
    return [pdu for pdu in expected(name).get(frame, {"pdus": []})["pdus"] if pdu["p"] in kinds]


def flows_of(name: str, kinds: Collection[str]) -> list[CapturedFlow]:
    """Those conversations of a capture in which tshark saw one of `kinds`."""
    return [flow for flow in flows(name) if any(expected_pdus(name, frame, kinds) for frame in flow.frames)]


def whole(data: bytes) -> Iterator[bytes]:
    """As the network brought it."""
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """One byte at a time."""
    return (data[at : at + 1] for at in range(len(data)))


def dissect(flow: CapturedFlow, make: Make, cut: Callable[[bytes], Iterator[bytes]] = whole) -> dict[int, list[Shown]]:
    """What a new dissector makes of a conversation: by frame, what that frame completes."""
    dissector = make()
    found: dict[int, list[Shown]] = {}
    for packet in flow.packets:
        if packet.missing:
            dissector.lost(packet.side)
        shown = [each for piece in cut(packet.data) for each in dissector.feed(packet.side, piece)]
        found.setdefault(packet.frame, []).extend(shown)
    for side in Side:  # whatever comes behind is no reason to raise, nor to give what was there once more
        for piece in cut(TAIL):
            dissector.feed(side, piece)
    return found


def coalesced(flow: CapturedFlow, make: Make) -> list[Pdu]:
    """What it makes of a conversation whose packets of one side up to the other side's next came as one."""
    dissector = make()
    found: list[Pdu] = []
    for side, run in groupby(flow.packets, key=lambda packet: packet.side):
        data = b""
        for packet in run:
            if packet.missing:
                found += [shown.pdu for shown in dissector.feed(side, data)] if data else []
                dissector.lost(side)
                data = b""
            data += packet.data
        found += [shown.pdu for shown in dissector.feed(side, data)]
    return found


def differences(name: str, make: Make, kinds: Collection[str]) -> list[Pdu]:
    """Where the dissector and tshark differ: capture, frame, number of the PDU in it, key, and what each says."""
    found: list[Pdu] = []
    for flow in flows_of(name, kinds):
        shown = dissect(flow, make)
        for frame in sorted(flow.frames):
            ours = [each.pdu for each in shown[frame] if each.pdu["p"] in kinds]
            theirs = expected_pdus(name, frame, kinds)
            found += [{"capture": name, "frame": frame, **each} for each in _differing(theirs, ours)]
    return found


def _differing(theirs: list[Pdu], ours: list[Pdu]) -> Iterator[Pdu]:
    for at in range(max(len(theirs), len(ours))):
        if at >= len(ours) or at >= len(theirs):
            one, other = theirs[at : at + 1], ours[at : at + 1]
            yield {"pdu": at, "key": "", "tshark": one[0] if one else _NOTHING, "ours": other[0] if other else _NOTHING}
            continue
        for key in sorted({*theirs[at], *ours[at]}):
            tshark, own = theirs[at].get(key, _NOTHING), ours[at].get(key, _NOTHING)
            if tshark != own or type(tshark) is not type(own):
                yield {"pdu": at, "key": key, "tshark": tshark, "ours": own}


def listed(file: str) -> list[Pdu]:
    """The known differences of one protocol; every one has a reason in words."""
    path = DIFFERENCES / f"{file}.json"
    if not path.exists():
        return []
    document = json.loads(path.read_text())
    reasons = document["reasons"]
    assert all(len(reason.split()) > 4 for reason in reasons.values()), "a reason says why, in words"
    assert {each["why"] for each in document["differences"]} == set(reasons), "reasons that nothing needs, or none"
    return list(document["differences"])


def compare(name: str, make: Make, file: str, kinds: Collection[str], *, is_cut: bool = True) -> int:
    """Hold the dissector to tshark's decode of one capture; gives how many PDUs were compared.

    `kinds` are the values of ``p`` that are the protocol's own; others in the same frames are somebody else's.
    `is_cut` is false where tshark's unit is the packet (text of Telnet): then no other cut can give the same units.
    """
    known = [{k: v for k, v in each.items() if k != "why"} for each in listed(file) if each["capture"] == name]
    found = differences(name, make, kinds)
    fresh = [each for each in found if each not in known]
    assert not fresh, f"{len(fresh)} new differences, the first: {json.dumps(fresh[0])}"
    healed = [each for each in known if each not in found]
    assert not healed, f"differs no longer, strike it from differences/{file}.json: {json.dumps(healed[0])}"
    compared = 0
    for flow in flows_of(name, kinds):
        shown = dissect(flow, make)
        compared += sum(each.pdu["p"] in kinds for every in shown.values() for each in every)
        if flow.carrier == "tcp" and is_cut:
            _assert_cuts_do_not_matter(flow, make, shown)
    return compared


def _assert_cuts_do_not_matter(flow: CapturedFlow, make: Make, shown: dict[int, list[Shown]]) -> None:
    by_bytes = dissect(flow, make, byte_by_byte)
    for frame, one in shown.items():
        assert [each.pdu for each in by_bytes[frame]] == [each.pdu for each in one], f"frame {frame} byte by byte"
    in_order = [each.pdu for frame in dict.fromkeys(packet.frame for packet in flow.packets) for each in shown[frame]]
    assert coalesced(flow, make) == in_order, f"{flow.capture}, stream {flow.number}, packets run together"


def main(name: str, where: str, *kinds: str) -> None:
    """Print the differences of one capture, one a line."""
    module, _, attribute = where.partition(":")
    make = getattr(importlib.import_module(module), attribute)
    for each in differences(name, make, kinds):
        sys.stdout.write(json.dumps({**each, "why": "?"}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
