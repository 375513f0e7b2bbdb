"""Microseconds to decode one captured message, of each protocol, beside the library that people use for it.

What is timed: the bytes of a packet in; every frame out, and of each request its operation with object and values.  The
payloads are those of the real captures (PENSTOCK_CAPTURES), each flow with a new decoder.  The processor's time counts,
in the best of several runs, in which the protocols take turns; beside it the time for 1,000 bytes, as some messages are
long.  Reference libraries decode the same payloads one by one; GPL ones in their own process.

Where captures are mostly the beginnings of connections, the bound is held to what comes after them (`ordinary`).

    python bench/decoders.py [--strict] [PROTOCOL ...]

prints a table, and says what is above its bound; with `--strict` the exit status says so as well.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from decoder_peers import PEERS, Payloads, Peer
from ordinary import ORDINARY

from penstock.model import Malformed
from penstock.observe import Flows, packets_of
from penstock.wire import KNOWN, PROTOCOLS, Decoder, Role, Side, WireProtocol, recognise
from penstock.wire.enip import EnipDecoder

ROOT = Path(__file__).parents[1]
CAPTURES = Path(os.environ.get("PENSTOCK_CAPTURES", ROOT.parent / "shared" / "captures"))
RUNS = 40
#: Messages that one run decodes at least, so that the clock does not matter.
LEAST_MESSAGES = 2_000
#: What each decoder has to reach, in microseconds a message.
BOUNDS: Final = {
    "modbus": 1.0,
    "s7comm": 3.0,
    "enip": 3.0,
    "dnp3": 6.0,
    "iec104": 3.0,
    "opcua": 3.0,
    "bacnet": 5.0,
    "fins": 5.0,
}

#: Captures of EtherNet/IP begin behind the openings of their connections; without these their messages would be passed
#: over as unknown, and the figure would be better than it is.
PASSIVE: Final[dict[str, Callable[[], Decoder]]] = {"enip": lambda: EnipDecoder(assumes_router=True)}

Talk = list[tuple[Side, bytes]]


class Sample(NamedTuple):
    """The captured flows of one protocol: how to make a decoder of each, and what its sides said in which order."""

    flows: list[tuple[Callable[[], Decoder], Talk]]

    @property
    def payloads(self) -> Payloads:
        """All packets' payloads, and whether the client sent them."""
        return [(side is Side.CLIENT, data) for _, talk in self.flows for side, data in talk]

    @property
    def requests(self) -> Sample:
        """What the clients said, as far as it can be read without the answers."""
        asked = [(make, [each for each in talk if each[0] is Side.CLIENT]) for make, talk in self.flows]
        return Sample([(make, readable(make, talk)) for make, talk in asked])


def main(names: Sequence[str]) -> int:
    """Measure and print; the number of decoders that are slower than their bound."""
    samples = captured()
    chosen = [protocol.name for protocol in PROTOCOLS if not names or protocol.name in names]
    works = [work for name in chosen for work in works_of(name, samples[name])]
    found = timed(works)
    print(
        f"{'protocol':10} {'messages':>8} {'us/message':>11} {'us/request':>11} {'us/KB':>6} {'bound':>6}   reference"
    )
    slow = 0
    for name in chosen:
        sample, bound = samples[name], BOUNDS[name]
        peers = "; ".join(peer_text(peer, sample.payloads) for peer in PEERS.get(name, ()))
        every, asked = found[name, "message"], found.get((name, "request"), 0.0)
        messages = next(work.messages for work in works if work.key == (name, "message"))
        per_kb = every * messages / sum(len(data) for _, data in sample.payloads) * 1000
        print(f"{name:10} {messages:8} {every:11.2f} {asked:11.2f} {per_kb:6.1f} {bound:6.1f}   {peers}", end="")
        print("" if every <= bound else "  ABOVE ITS BOUND", flush=True)
        slow += is_slow(name, found)
        if (name, "ordinary") in found:
            print(f"  ordinary {found[name, 'ordinary']:20.2f}" + ("  ABOVE ITS BOUND" * is_slow(name, found)))
    return slow


def is_slow(name: str, found: Mapping[tuple[str, str], float]) -> bool:
    """Whether a decoder is above its bound; where there is a figure of ordinary traffic, that is what is bounded."""
    return found.get((name, "ordinary"), found[name, "message"]) > BOUNDS[name]


class Work(NamedTuple):
    """Something to time: what it is, one run of it, and how many messages that has."""

    key: tuple[str, str]
    once: Callable[[], int]
    messages: int


def works_of(name: str, sample: Sample) -> Iterator[Work]:
    """All messages of a protocol, its requests alone, and its ordinary traffic where captures hardly show it."""
    yield work_of((name, "message"), sample)
    yield work_of((name, "request"), sample.requests)
    if name in ORDINARY:
        make = ORDINARY[name]
        yield work_of((name, "ordinary"), Sample([(each, made) for each, talk in sample.flows if (made := make(talk))]))


def work_of(key: tuple[str, str], sample: Sample) -> Work:
    """One run of a sample, after a first one that counts its messages."""
    return Work(key, lambda: run(sample), run(sample))


def captured() -> dict[str, Sample]:
    """The payloads of all captures by the protocol that they are recognised as."""
    found: dict[str, Sample] = {protocol.name: Sample([]) for protocol in PROTOCOLS}
    for path in sorted(CAPTURES.glob("*.pcap*")):
        if path.suffix in {".pcap", ".pcapng"}:
            for protocol, carrier, talk in talks(path):
                make = protocol.datagrams if carrier == "udp" else PASSIVE.get(protocol.name, protocol.streams)
                if make is not None and (kept := readable(make, talk)):
                    found[protocol.name].flows.append((make, kept))
    return found


def talks(path: Path) -> Iterator[tuple[WireProtocol, str, Talk]]:
    """The flows of one capture that speak a protocol whose operations are judged."""
    ports = frozenset((kind, int(port)) for each in KNOWN for kind, port in (text.split("/") for text in each.ports))
    reader, by_flow = Flows(ports), {}
    with path.open("rb") as file:
        for packet in packets_of(file.read):
            for arrival in reader.take(packet):
                talk = by_flow.setdefault(arrival.flow, [])
                talk += [(arrival.side, piece.data) for piece in arrival.pieces]
    for flow, talk in by_flow.items():
        said = {side: b"".join(data for each, data in talk if each is side) for side in Side}
        candidates = [each for each in KNOWN if flow.carrier in each.dissectors]
        known = recognise(candidates, said[Side.CLIENT], said[Side.ASSET]) if talk else None
        if known is not None and isinstance(known.protocol, WireProtocol):
            yield known.protocol, flow.carrier, talk


def readable(make: Callable[[], Decoder], talk: Talk) -> Talk:
    """The part of a flow up to where it breaks its protocol, as some captures mean to."""
    decoder = make()
    for at, (side, data) in enumerate(talk):
        try:
            decoder.feed(side, data)
        except Malformed:
            return talk[: max(0, at - 1)]
    return talk


def timed(works: Sequence[Work]) -> dict[tuple[str, str], float]:
    """Microseconds for one message of each, in the best of several runs.

    The works take turns, so that a moment in which the machine is busy does not fall upon all runs of one of them.
    """
    best: dict[tuple[str, str], float] = {}
    gc.disable()
    try:
        for _ in range(RUNS):
            for work in works:
                if work.messages:
                    found = once_us(work)
                    best[work.key] = min(found, best.get(work.key, found))
    finally:
        gc.enable()
    return best


def once_us(work: Work) -> float:
    """Microseconds for one message, in as many rounds as the clock needs."""
    rounds = -(-LEAST_MESSAGES // work.messages)
    start = time.process_time()
    for _ in range(rounds):
        work.once()
    return (time.process_time() - start) / rounds / work.messages * 1e6


def run(sample: Sample) -> int:
    """Decode everything once; the number of messages."""
    request, notice = Role.REQUEST, Role.NOTICE
    count = broken = 0
    for make, talk in sample.flows:
        feed = make().feed
        for side, data in talk:
            for frame in feed(side, data):
                count += 1
                if frame.role is request or frame.role is notice:
                    try:
                        _ = frame.operation
                    except Malformed:
                        broken += 1
    assert broken < count or not count
    return count


def peer_text(peer: Peer, payloads: Payloads) -> str:
    """``pymodbus 3.4 us``, or that it is not installed."""
    if importlib.util.find_spec(peer.package) is None:
        return f"{peer.package} not installed"
    found = peer.measure(payloads)
    return f"{peer.package} {found:.1f} us"


if __name__ == "__main__":
    is_slow = main([word for word in sys.argv[1:] if word != "--strict"]) > 0
    sys.exit(is_slow and "--strict" in sys.argv)
