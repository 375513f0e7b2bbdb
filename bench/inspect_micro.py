"""Time for one request and its reply through the inspected path, without sockets: decode, judge, write rows.

Prints nanoseconds for a pair (best of several runs; the machine may be shared) and for the reader's share of it.
"""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import Binding, Decision, Grant, Operation, Reason, Subject, SubjectKind
from penstock.proxy.inspect import Inspection
from penstock.proxy.rates import Rates
from penstock.wire import ModbusDecoder

PAIRS = 20_000
RUNS = 15
T0 = 1_764_000_000_000_000
GRANT = Grant(
    number=1,
    subject=Subject(name="scada-1", kind=SubjectKind.MACHINE),
    asset="plc-1",
    service="modbus",
    protocol="modbus",
    transport="tcp",
    port=502,
    overlay="100.64.0.1",
    underlay="127.0.0.1",
    conduits=("c",),
    binding=Binding.ADDRESS,
    revision=1,
    opened_at_us=T0,
    expires_at_us=T0 * 2,
    idle_s=900,
    is_inspected=True,
)


def allow(_: Operation, _now_us: int) -> Decision:
    """Everything is allowed: the engine's own time is another benchmark."""
    return Decision(is_allowed=True, reason=Reason.ALLOWED, revision=1, conduit="c")


def main() -> None:
    """Run and print."""
    gc.freeze()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "worker-1.ring"
        journal = Journal(RingWriter(path), T0)
        reader = JournalReader(path)
        flow = journal.open_flow(GRANT, "127.0.0.1:40000", T0)
        inspection = Inspection(GRANT, ModbusDecoder(), allow, journal, flow, Rates())
        pairs = []
        for number in range(PAIRS):
            head = (number & 0xFFFF).to_bytes(2, "big")
            request = head + bytes.fromhex("0000 0006 01 03 0000 0002")
            pairs.append((request, head + bytes.fromhex("0000 0007 01 03 04 0001 0002")))
        times, reads = [], []
        now = T0
        for _ in range(RUNS):
            begin = time.perf_counter_ns()
            for request, reply in pairs:
                now += 1
                assert inspection.from_client(request, now).to_asset is request
                assert inspection.from_asset(reply, now).to_client is reply
            times.append((time.perf_counter_ns() - begin) / PAIRS)
            begin = time.perf_counter_ns()
            reader.read(now)
            reads.append((time.perf_counter_ns() - begin) / PAIRS)
        times.sort()
        reads.sort()
        print(f"inspect: {times[0]:.0f} ns a pair at best, {times[len(times) // 2]:.0f} ns median of {RUNS} runs")
        print(f"reader:  {reads[0]:.0f} ns a pair at best (in another process)")


if __name__ == "__main__":
    main()
