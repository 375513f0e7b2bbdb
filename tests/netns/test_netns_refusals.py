"""A real scan: a handful of records, and their counts are the kernel's own."""

from __future__ import annotations

import errno
import socket
import threading
import time

from gate_plant import MODBUS, PLAIN, ROGUE, USER, Control, Plant, eventually

from penstock.kernel.attempts import OTHERS
from penstock.model import FlowsRefused, SourceScanned

PORTS = 10_000


def scan(plant: Plant) -> None:
    """SYNs to so many ports, as fast as the machine sends them."""
    for first in range(1, PORTS, 500):
        opened = []
        for port in range(first, first + 500):
            one = plant.rogue.socket()
            one.setblocking(False)
            assert one.connect_ex((PLAIN, port)) in (0, errno.EINPROGRESS)
            opened.append(one)
        for one in opened:
            one.close()


def refusals(control: Control) -> list[FlowsRefused | SourceScanned]:
    """What was told of refusals so far; it is left where it is."""
    control.drain()
    return [event for event in control.events if isinstance(event, FlowsRefused | SourceScanned)]


def test_a_scan_of_ten_thousand_ports_leaves_a_handful_of_records_that_add_up(plant: Plant) -> None:
    """The rogue is told as a scan, another source beside it by itself, and nothing is left uncounted."""
    base = plant.counter("refused")
    threading.Thread(target=scan, args=(plant,), daemon=True).start()
    time.sleep(0.2)
    quiet = plant.user.socket(kind=socket.SOCK_DGRAM)
    quiet.sendto(b"who-is", (PLAIN, MODBUS))
    assert plant.control.event(FlowsRefused, source=USER).count == 1
    eventually(lambda: plant.counter("refused") - base >= PORTS, 20)

    def adds_up() -> bool:
        return 1 + sum(event.count for event in refusals(plant.control)) == plant.counter("refused") - base

    eventually(adds_up, 45)
    told = refusals(plant.control)
    scans = [event for event in told if isinstance(event, SourceScanned)]
    assert {event.source for event in scans} == {ROGUE}
    assert scans[0].destinations == 1
    assert scans[0].ports > 100
    untold = [event for event in told if event.source == OTHERS]
    assert sum(event.count for event in untold) > PORTS / 2
    assert len(told) <= 20
