"""Whatever the bytes are, a dissector of a recognised protocol raises nothing, stays bounded, and takes linear time."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from captured import CapturedFlow, Make, flows_of
from fuzzing import hold_dissector
from hypothesis import given, settings
from hypothesis import strategies as st
from recognised_captures import BY_NAME, CAPTURED, Captured

from penstock.wire import RECOGNISED, Dissector, Known, Shown, Side

VECTORS = json.loads((Path(__file__).parent / "recognised_vectors.json").read_text())["vectors"]
MAKERS = [(each, carrier) for each in RECOGNISED for carrier in each.dissectors]
every = pytest.mark.parametrize(
    ("known", "carrier"), MAKERS, ids=[f"{each.name}-{carrier}" for each, carrier in MAKERS]
)
#: The largest message of any of them that is kept whole (a write of SMB), and the lines of the others.
MAX_HELD_BYTES = (8 << 20) + 8192


def read(dissector: Dissector, side: Side, data: bytes) -> list[Shown]:
    """What comes out, with every operation and everything that goes on record looked at."""
    found = list(dissector.feed(side, data))
    for shown in found:
        assert shown.pdu["p"]
        if shown.frame is not None:
            assert shown.frame.operation.classes
            assert len(shown.frame.recorded) == len(shown.frame.data)
    return found


def held_bytes(thing: Any, seen: set[int] | None = None) -> int:
    """All bytes that an object keeps, as far as it can be followed."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type) or callable(thing):
        return 0
    seen.add(id(thing))
    if isinstance(thing, bytes | bytearray):
        return len(thing)
    if isinstance(thing, dict):
        return sum(held_bytes(each, seen) for each in thing.values())
    if isinstance(thing, list | tuple | set | frozenset):
        return sum(held_bytes(each, seen) for each in thing)
    return sum(held_bytes(getattr(thing, name, None), seen) for name in getattr(type(thing), "__slots__", ()))


@every
@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=200)), max_size=6))
def test_nothing_is_raised_for_any_bytes(known: Known, carrier: str, pieces: list[tuple[Side, bytes]]) -> None:
    dissector = known.dissectors[carrier]()
    for side, data in pieces:
        read(dissector, side, data)
        dissector.lost(side)


@settings(max_examples=150)
@given(st.data(), st.sampled_from(CAPTURED))
def test_captured_bytes_with_changed_missing_and_added_ones_are_read(data: st.DataObject, captured: Captured) -> None:
    flow = data.draw(st.sampled_from(flows_of(captured.name, captured.kinds)[:8]))
    dissector = captured.known.dissectors[captured.carrier]()
    for packet in flow.packets[: data.draw(st.integers(1, 12))]:
        changed = bytearray(packet.data)
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        read(dissector, packet.side, bytes(changed))


@settings(max_examples=60)
@given(st.data(), st.sampled_from([each for each in CAPTURED if each.carrier == "tcp"]))
def test_a_flow_can_be_read_from_any_place_on(data: st.DataObject, captured: Captured) -> None:
    flow = data.draw(st.sampled_from(flows_of(captured.name, captured.kinds)))
    dissector = captured.known.dissectors["tcp"]()
    start = data.draw(st.integers(0, len(flow.packets) - 1))
    for packet in flow.packets[start : start + 20]:
        cut = data.draw(st.integers(0, len(packet.data)))
        read(dissector, packet.side, packet.data[cut:])


def broken(source: random.Random, data: bytes) -> bytes:
    """`data` with one byte changed, some missing, some added, or its end cut off."""
    changed, at = bytearray(data), source.randrange(len(data))
    match source.randrange(4):
        case 0:
            changed[at] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
        case 1:
            del changed[at : at + source.randint(1, 5)]
        case 2:
            changed[at:at] = source.randbytes(source.randint(1, 5))
        case _:
            del changed[at:]
    return bytes(changed)


def conversations() -> list[tuple[Make, list[tuple[Side, bytes]]]]:
    """The beginnings of captured flows, and the conversations written for the tests, each with who reads it."""
    found = []
    for captured in CAPTURED:
        make = captured.known.dissectors[captured.carrier]
        found += [
            (make, [(packet.side, packet.data) for packet in flow.packets[:25]])
            for flow in flows_of(captured.name, captured.kinds)[:10]
        ]
    for vector in VECTORS:
        make = BY_NAME[vector["protocol"]].dissectors[vector["carrier"]]
        found.append((make, [(Side(side), bytes.fromhex(data)) for side, data, _ in vector["packets"]]))
    return found


def test_broken_conversations_keep_the_contract_of_dissectors() -> None:
    """Deterministic, so that what it finds is found again."""
    source, talks = random.Random(11), conversations()
    for _ in range(3000):
        make, whole = source.choice(talks)
        start = source.randrange(len(whole))
        talk = whole[start : start + source.randint(1, 12)]
        for _ in range(source.randint(1, 6)):
            at = source.randrange(len(talk))
            side, data = talk[at]
            talk[at] = (side, broken(source, data) if data else data)
        hold_dissector(make, talk)


#: Heads that promise more than will come.
PROMISES = {
    "http": [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1" + b"0" * 90,
    ],
    "ftp": [b"STOR " + b"a" * 300],
    "telnet": [b"\xff\xfa\x18" + b"a" * 300],
    "ssh": [b"SSH-2.0-x\r\n" + b"\x00\x00\x80\x00\x04\x14" + b"a" * 300, b"SSH-2.0-" + b"a" * 300],
    "tls": [b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + b"a" * 300],
    "vnc": [b"RFB 003.008\n"],
    "smb": [b"\x00\x7f\xff\xff\xfeSMB"],
    "ge_srtp": [b"\x02\x00\x01\x00\xff\xff" + bytes(25) + b"\xc0" + bytes(24)],
    "melsec_slmp": [b"\x50\x00\x00\xff\xff\x03\x00\xff\xff"],
    "profinet": [b"\x04\x00"],
    "mms": [b"\x03\x00\xff\xff\x02\xf0\x80\x01\x00\x01\x00", b"\x03\x00\x00\x08\x02\xf0\x00a" * 100],
    "s7comm_plus": [b"\x03\x00\xff\xff\x02\xf0\x80\x72\x01"],
    "rdp": [b"\x03\x00\xff\xff\x02\xf0\x80\x7f\x65\x84\xff\xff\xff\xff"],
}


@every
def test_what_is_held_stays_bounded(known: Known, carrier: str) -> None:
    for promise in PROMISES[known.name]:
        for side in Side:
            dissector = known.dissectors[carrier]()
            read(dissector, side, promise)
            for _ in range(40):
                read(dissector, side, b"a" * 65_536)
                assert held_bytes(dissector) <= MAX_HELD_BYTES
            if known.name not in {"smb", "vnc"}:
                assert held_bytes(dissector) <= 200_000


def steps(work: Callable[[], object]) -> int:
    """How many calls of functions it takes."""
    count = 0

    def tick(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(tick)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def feed_all(captured: Captured, flow: CapturedFlow, times: int, size: int) -> None:
    dissector = captured.known.dissectors[captured.carrier]()
    for _ in range(times):
        for packet in flow.packets[:30]:
            for at in range(0, len(packet.data), size):
                dissector.feed(packet.side, packet.data[at : at + size])


@pytest.mark.parametrize("captured", CAPTURED, ids=lambda each: f"{each.protocol}-{each.name}")
def test_twice_the_bytes_take_at_most_twice_the_steps(captured: Captured) -> None:
    flow = flows_of(captured.name, captured.kinds)[0]
    once, twice = (steps(lambda times=times: feed_all(captured, flow, times, 64)) for times in (2, 4))
    assert twice <= 2.1 * once + 100


@pytest.mark.parametrize("known", [each for each in RECOGNISED if "tcp" in each.dissectors], ids=lambda each: each.name)
def test_a_message_that_never_ends_takes_steps_by_its_bytes(known: Known) -> None:
    for promise in PROMISES[known.name]:

        def work(count: int, promise: bytes = promise) -> int:
            dissector = known.dissectors["tcp"]()
            dissector.feed(Side.CLIENT, promise)
            return steps(lambda: [dissector.feed(Side.CLIENT, b"0") for _ in range(count)])

        assert work(4000) <= 3 * work(2000)
