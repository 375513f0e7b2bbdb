"""Time for one request and its reply through the inspected path, without sockets: decode, judge, write rows.

Prints nanoseconds for a pair (best of several runs; the machine may be shared): of the inspection alone, of the whole
of a connection's code (the clocks, the measuring and the two writes, into transports that do nothing), and of the
reader's share of it.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import (
    Binding,
    Decision,
    Grant,
    Operation,
    PublishGrant,
    PublishRevision,
    Reason,
    Request,
    Site,
    Subject,
    SubjectKind,
)
from penstock.proxy.hall import Hall
from penstock.proxy.inspect import Inspection
from penstock.proxy.meter import Meters
from penstock.proxy.office import Clock, Office
from penstock.proxy.rates import Rates
from penstock.proxy.server import ClientSide
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
ALLOWED = Decision(is_allowed=True, reason=Reason.ALLOWED, revision=1, conduit="c")


def allow(_: Operation, _now_us: int) -> Decision:
    """Everything is allowed: the engine's own time is another benchmark."""
    return ALLOWED


class Judge:
    """The same, as a policy."""

    def judge(self, _request: Request, _spent: Callable[[str, int], int]) -> Decision:
        """Yes."""
        return ALLOWED


class Transport(asyncio.Transport):
    """A transport that takes everything and does nothing."""

    def write(self, _data: object) -> None:
        """Sent."""

    def is_reading(self) -> bool:
        """As if."""
        return True

    def is_closing(self) -> bool:
        """Never."""
        return False


class Side(ClientSide):
    """A flow that has come about, without anybody at its ends."""

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self.grant = GRANT
        self.relay, self._journal = office.hall.relay(GRANT, "127.0.0.1:40000", self._now(), self.way)
        self._client = self._asset = Transport()
        self._relay_client = self.relay.from_client


def pairs() -> list[tuple[bytes, bytes]]:
    """Requests and their replies, each with a transaction number of its own."""
    made = []
    for number in range(PAIRS):
        head = (number & 0xFFFF).to_bytes(2, "big")
        request = head + bytes.fromhex("0000 0006 01 03 0000 0002")
        made.append((request, head + bytes.fromhex("0000 0007 01 03 04 0001 0002")))
    return made


def measure(name: str, run: Callable[[], None], clean: Callable[[], object]) -> None:
    """Time `run` and `clean` in turn, and print the figures of `run`."""
    times, cleans = [], []
    for _ in range(RUNS):
        begin = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - begin) / PAIRS)
        begin = time.perf_counter_ns()
        clean()
        cleans.append((time.perf_counter_ns() - begin) / PAIRS)
    times.sort()
    print(f"{name}: {times[0]:.0f} ns a pair at best, {times[len(times) // 2]:.0f} ns median of {RUNS} runs")
    print(f"reader:     {min(cleans):.0f} ns a pair at best (in another process)")


def inspection_alone(folder: Path) -> None:
    """Bytes in, effects out."""
    journal = Journal(RingWriter(folder / "alone.ring"), T0)
    reader = JournalReader(folder / "alone.ring")
    flow = journal.open_flow(GRANT, "127.0.0.1:40000", T0)
    inspection = Inspection(GRANT, ModbusDecoder(), allow, journal, flow, Rates(), Meters())
    now, every = T0, pairs()

    def run() -> None:
        nonlocal now
        for request, reply in every:
            now += 1
            assert inspection.from_client(request, now).to_asset is request
            assert inspection.from_asset(reply, now).to_client is reply

    measure("inspection", run, lambda: reader.read(now))


def connection(folder: Path) -> None:
    """The same between the two ends of a flow."""
    clock = Clock()
    hall = Hall(Journal(RingWriter(folder / "ends.ring"), clock.now_us()), lambda _site, _revision: Judge())
    hall.publish(PublishRevision(revision=1, site=Site(name="s", domain="s.ot", overlay="100.64.0.0/16")))
    hall.publish(PublishGrant(grant=GRANT))
    reader = JournalReader(folder / "ends.ring")
    side = Side(Office(hall=hall, clock=clock, group=None))  # type: ignore[arg-type]  # nothing is dialled
    every = pairs()

    def run() -> None:
        for request, reply in every:
            side.data_received(request)
            side.pass_from_asset(reply)

    measure("connection", run, lambda: reader.read(clock.now_us()))


def main() -> None:
    """Run and print."""
    gc.freeze()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        inspection_alone(Path(folder))
        connection(Path(folder))


if __name__ == "__main__":
    main()
