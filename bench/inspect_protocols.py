"""Each protocol through the inspection without sockets: one pair, one refusal, and one turn of the event loop.

    python bench/inspect_protocols.py [PROTOCOL ...]

`pair` is from the bytes of a request that was judged before to what is sent on, and the same for its answer; `first` is
a request that the flow sees for the first time, with the policy's judgement; `refused` one that the policy forbids.
The requests are those of `talks`.  `turn` is what a whole portion of the client's bytes (`WireProtocol.portion_bytes`)
takes when all of it is refused: so long the heartbeat, and every other flow, waits for one client that floods the gate.
Processor time, the best of several runs.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from inspect_micro import GRANT, T0
from talks import TALKS, Exchange

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import Binding, Decision, Operation, Request
from penstock.policy import Judge, parse
from penstock.proxy.inspect import Inspection
from penstock.proxy.meter import Meters
from penstock.proxy.rates import Rates
from penstock.wire import DECODERS, NAMED

PAIRS: Final = 2_000
RUNS: Final = 15
#: A turn may take so long: a hundredth of the time between two beats.
TURN_US: Final = 2_000.0
SITE: Final = """\
site: bench
domain: bench.plant
overlay: 100.64.0.0/16
zones:
  control-room: {{networks: [192.168.10.0/27]}}
  machines: {{networks: [192.168.10.32/27]}}
assets:
  scada-1: {{zone: control-room, role: scada, address: 192.168.10.11, mac: "02:00:00:00:10:11"}}
  plc-1: {{zone: machines, role: plc, address: 192.168.10.50, services: {{{name}: {port}}}}}
conduits:
  c:
    from: {{asset: scada-1}}
    to: {{asset: plc-1}}
    allow: {{{name}: [{allowed}]}}
    on_failure: closed
"""


class Figures(NamedTuple):
    """Microseconds for one of each."""

    pair: float
    first: float
    refused: float
    turn: float


class Flow:
    """One inspected flow of a protocol under a policy; the beginning of its talk is over."""

    def __init__(self, folder: Path, name: str, allowed: str) -> None:
        port = NAMED[name].ports[0].partition("/")[2]
        judge = Judge.of_site(parse({"site.yaml": SITE.format(name=name, port=port, allowed=allowed)}).site, 1)
        self.grant = replace(GRANT, asset="plc-1", service=name, protocol=name, port=int(port))
        journal = Journal(RingWriter(folder / f"{name}.ring"), T0)
        self.reader, flow = JournalReader(folder / f"{name}.ring"), journal.open_flow(self.grant, "127.0.0.1:1", T0)

        def decide(operation: Operation, now_us: int) -> Decision:
            return judge.judge(
                Request(
                    subject=self.grant.subject,
                    asset="plc-1",
                    protocol=name,
                    operation=operation,
                    binding=Binding.ADDRESS,
                    has_tls=False,
                    proof_age_s=now_us // 1_000_000,
                )
            )

        self.inspection = Inspection(self.grant, DECODERS[name](), decide, journal, flow, Rates(), Meters())

    def begin(self, exchanges: Sequence[Exchange]) -> None:
        """Say the beginning of a talk."""
        for asked, answered in exchanges:
            self.inspection.from_client(asked, T0)
            self.inspection.from_asset(answered, T0)


def main(names: Sequence[str]) -> int:
    """Measure and print; the number of protocols whose turn takes too long."""
    gc.freeze()
    gc.disable()
    slow = 0
    print(f"{'protocol':10} {'pair us':>8} {'first us':>9} {'refused us':>11} {'portion':>8} {'turn us':>8}")
    for name in names or tuple(TALKS):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            found = measured(Path(folder), name)
        verdict = "" if found.turn <= TURN_US else f"  ABOVE {TURN_US:.0f}"
        slow += bool(verdict)
        print(
            f"{name:10} {found.pair:8.2f} {found.first:9.1f} {found.refused:11.1f} {NAMED[name].portion_bytes:8} "
            f"{found.turn:8.0f}{verdict}",
            flush=True,
        )
    return slow


def measured(folder: Path, name: str) -> Figures:
    """The figures of one protocol."""
    talk = TALKS[name]()
    turns = list(talk.turns(PAIRS))
    begun, said = turns[: len(talk.once)], turns[len(talk.once) :]
    pair = min(_pairs(folder, name, begun, said) for _ in range(RUNS))
    first = min(_each(folder, name, begun, said[:1], "session, read", "first") for _ in range(10 * RUNS))
    refused = min(_each(folder, name, begun, said[:60], "session, write", "refused") for _ in range(RUNS))
    turn = min(_turn(folder, name, begun, said) for _ in range(RUNS))
    return Figures(pair, first, refused, turn)


def _pairs(folder: Path, name: str, begun: Sequence[Exchange], said: Sequence[Exchange]) -> float:
    flow = Flow(folder, name, "session, read")
    flow.begin([*begun, said[0]])
    client, asset, rest = flow.inspection.from_client, flow.inspection.from_asset, said[1:]

    def run() -> None:
        for asked, answered in rest:
            client(asked, T0)
            asset(answered, T0)

    spent = _seconds(run)
    assert (flow.inspection.refused, flow.inspection.is_waiting) == (0, False)
    flow.reader.read(T0)
    return spent / len(rest) * 1e6


def _each(
    folder: Path, name: str, begun: Sequence[Exchange], said: Sequence[Exchange], allowed: str, what: str
) -> float:
    flow = Flow(folder, name, allowed)
    flow.begin(begun)
    count = flow.inspection.refused
    spent = _seconds(lambda: [flow.inspection.from_client(asked, T0) for asked, _ in said])
    assert flow.inspection.refused - count == (len(said) if what == "refused" else 0)
    return spent / len(said) * 1e6


def _turn(folder: Path, name: str, begun: Sequence[Exchange], said: Sequence[Exchange]) -> float:
    """One portion of requests that are refused, as it is given to the inspection."""
    flow = Flow(folder, name, "session, write")
    flow.begin(begun)
    stream = b"".join(_up_to(NAMED[name].portion_bytes, (asked for asked, _ in said)))
    spent = _seconds(lambda: flow.inspection.from_client(stream, T0))
    assert flow.inspection.refused >= 1
    return spent * 1e6


def _up_to(size: int, requests: Iterator[bytes]) -> Iterator[bytes]:
    """The requests of a portion; what is cut off is held for the next one."""
    for each in requests:
        yield each[:size]
        size -= len(each)
        if size <= 0:
            return


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main(sys.argv[1:])
