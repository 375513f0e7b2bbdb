"""Real captures, replayed as copies: the operations and their times are those that tshark decoded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dpkt
import pytest
from modbus_captures import CAPTURES, NAMES, PORT, require_captures
from watched import T0, Watched, grant, rows_of

from penstock.observe.packets import segment_of

#: Requests that tshark reads without complaint though their own fields contradict each other (strict reading: wire).
MALFORMED = {"modbus-all-functions": 2, "modbus-diagnostics": 2}


@dataclass
class Expected:
    """What tshark saw of one connection: requests by their frame's time, answers beside them."""

    requests: list[tuple[int, int]] = field(default_factory=list)
    latencies: dict[int, tuple[int, bool]] = field(default_factory=dict)
    is_modbus: bool = True


def ip_packets(path: Path) -> list[tuple[int, bytes]]:
    """Time in microseconds and the IPv4 packet of every frame, with independent code."""
    found = []
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        for at_s, frame in reader:
            is_ethernet = reader.datalink() == dpkt.pcap.DLT_EN10MB
            link = dpkt.ethernet.Ethernet(frame) if is_ethernet else dpkt.sll.SLL(frame)
            if isinstance(link.data, dpkt.ip.IP):
                found.append((round(at_s * 1_000_000), frame[len(frame) - len(link.data) - _trailer(frame, link) :]))
    return found


def _trailer(frame: bytes, link: Any) -> int:
    """What Ethernet adds behind short packets."""
    head = 14 if isinstance(link, dpkt.ethernet.Ethernet) else 16
    return max(0, len(frame) - head - len(link.data))


def expected(name: str) -> dict[tuple[str, int], Expected]:
    """By the client's address and port."""
    found: dict[tuple[str, int], Expected] = {}
    waiting: dict[tuple[str, int, int, int, int], list[int]] = {}
    for line in (CAPTURES / f"{name}.pcap.expected.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if PORT not in (entry["sport"], entry["dport"]) or "retx" in entry:
            continue
        is_request = entry["dport"] == PORT
        client = (entry["src"], entry["sport"]) if is_request else (entry["dst"], entry["dport"])
        known = found.setdefault(client, Expected())
        at_us = round(entry["time"] * 1_000_000)
        for pdu in entry["pdus"]:
            if pdu["p"] != "mbtcp" or "fc" not in pdu:
                known.is_modbus = False
                continue
            key = (*client, pdu["tid"], pdu["unit"], pdu["fc"])
            if is_request:
                waiting.setdefault(key, []).append(len(known.requests))
                known.requests.append((pdu["fc"], at_us))
            elif waiting.get(key):
                asked = waiting[key].pop(0)
                known.latencies[asked] = at_us - known.requests[asked][1], "exception" in pdu
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_replayed_capture_gives_the_operations_that_tshark_decoded(name: str, tmp_path: Path) -> None:
    """Each connection that tshark took for Modbus and nothing else: function, time, latency, exception."""
    require_captures()
    wanted, watched = expected(name), Watched(tmp_path)
    packets = ip_packets(CAPTURES / f"{name}.pcap")
    first_us = packets[0][0]
    for at_us, data in packets:
        segment = segment_of(data)
        if segment is None or PORT not in (segment.source_port, segment.port):
            continue
        asset = segment.destination if segment.port == PORT else segment.source
        watched.take(segment, T0 + at_us - first_us, grant(underlay=".".join(map(str, asset))))
    watched.reading.end_all("the capture ended", T0 + packets[-1][0] - first_us)
    rows: dict[str, list[tuple[str, int, int, int]]] = {}
    for record in watched.records():
        if record.kind == "operations":
            rows.setdefault(str(record.detail["source"]), []).extend(rows_of(record))
    compared = malformed = 0
    for (address, port), connection in wanted.items():
        if not connection.is_modbus or not connection.requests:
            continue
        got = rows.get(f"{address}:{port}", [])
        codes = [row[0].split("/")[0] for row in got]
        malformed += codes.count("malformed")
        wanted_codes = [str(code) for code, _ in connection.requests]
        assert len(codes) == len(wanted_codes)
        assert all(code in (wish, "malformed") for code, wish in zip(codes, wanted_codes, strict=True))
        for number, (row, (_, at_us)) in enumerate(zip(got, connection.requests, strict=True)):
            assert abs(row[1] - at_us) <= 1
            if number in connection.latencies:
                latency_us, is_exception = connection.latencies[number]
                assert abs(row[2] - latency_us) <= 2
                assert row[3] == int(is_exception)
            else:
                assert row[3] == 2
        compared += len(got)
    assert compared >= 6, "this capture proved nothing"
    assert malformed == MALFORMED.get(name, 0)
