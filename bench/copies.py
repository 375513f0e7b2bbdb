"""What accounting costs: events of the connection table and copies of packets.

usage: bench/copies.py [--quick] [--json]

A real enforcer and a real observer on a gate between two hosts in namespaces; `storm` makes short connections and
datagrams at a steady rate.  Rows say what was asked for, what was told of it, and the CPU that it took.  A loss is a
result, not an error.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import processes
from enforcing import Enforcer
from plant import BUILD, COMPILE, HERE, build
from report import Row

from penstock.bus import Message, decode, encode
from penstock.lab.netns import Lan, Node, enter
from penstock.model import (
    ApplyRuleset,
    Binding,
    Done,
    GatePlace,
    Grant,
    Hello,
    KernelFlowClosed,
    KernelFlowOpened,
    KernelFlowsFolded,
    ObserveGrants,
    OpenGrant,
    PayloadLost,
    PayloadStored,
    Ruleset,
    Subject,
    SubjectKind,
    Translation,
    Unavailable,
)

NAME = "copies"
GATE, CLIENT, ASSET, OVERLAY = "192.168.20.2", "192.168.20.11", "192.168.20.50", "100.64.20.50"
PLAIN_PORT, DATAGRAM_PORT = 5020, 5022
CONNECTIONS_PER_S = (2000, 5000)
COPIES_PER_S = (20_000, 50_000, 110_000)
TTL_MS = 3_600_000


def grant(number: int, port: int, transport: str = "tcp", *, is_copied: bool = False) -> Grant:
    """A grant of the client."""
    return Grant(
        number=number,
        subject=Subject(name="bench", kind=SubjectKind.MACHINE),
        asset="asset",
        service="s",
        protocol="other",
        transport=transport,
        port=port,
        overlay=OVERLAY,
        underlay=ASSET,
        conduits=("c",),
        binding=Binding.ADDRESS,
        revision=1,
        opened_at_us=0,
        expires_at_us=None,
        idle_s=60,
        is_inspected=False,
        source=CLIENT,
        is_copied=is_copied,
    )


GRANTS = (
    grant(1, PLAIN_PORT),
    grant(3, DATAGRAM_PORT, "udp", is_copied=True),
)


class Watcher:
    """Control's end for the observer; counts what it stores and loses."""

    def __init__(self, folder: Path) -> None:
        self.stored = self.lost = 0
        self.is_there = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "control.sock"))
        self._listener.listen()
        self._link: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def observe(self, *grants: Grant) -> None:
        """These are copied and kept; files of the others are closed."""
        assert self._link is not None
        told = ObserveGrants(grants=grants, stored=tuple(each.number for each in grants))
        self._link.sendall(encode(told))

    def _serve(self) -> None:
        self._link, _ = self._listener.accept()
        with suppress(OSError), self._link.makefile("rb") as stream:
            while head := stream.read(4):
                message = decode(stream.read(int.from_bytes(head, "big")))
                if isinstance(message, Hello):
                    self.is_there.set()
                    continue
                self.stored += message.packets if isinstance(message, PayloadStored) else 0
                self.lost += (message.count or 0) if isinstance(message, PayloadLost) else 0
                self._link.sendall(encode(Done()))


class Bed:
    """Client, gate and asset on one switch."""

    def __init__(self, folder: Path) -> None:
        self.lan = Lan("lan")
        self.gate = self.lan.add("gate", f"{GATE}/24")
        self.client = self.lan.add("client", f"{CLIENT}/24")
        self.asset = self.lan.add("asset", f"{ASSET}/24")
        self.client.route("100.64.0.0/16", GATE)
        for port in (PLAIN_PORT, DATAGRAM_PORT):
            started(self.asset, [str(BUILD / "storm"), "sink", ASSET, str(port)])
        self.watcher = Watcher(folder)
        place = GatePlace(interface="eth0", address=GATE)
        self.enforcer = Enforcer(self.gate, folder, place)
        assets = (Translation(overlay=OVERLAY, underlay=ASSET),)
        ruleset = Ruleset(revision=1, overlay="100.64.0.0/16", place=place, assets=assets, has_copies=True)
        self.enforcer.do(ApplyRuleset(ruleset=ruleset))
        for each in GRANTS:
            self.enforcer.do(OpenGrant(grant=each, ttl_ms=TTL_MS))
        self.told = {"opened": 0, "closed": 0, "records": 0}
        threading.Thread(target=self._count, daemon=True).start()
        words = (sys.executable, "-m", "penstock", "process", "observer", "--settings", str(folder / "settings.json"))
        self.observer = self.gate.popen(words)
        if not self.watcher.is_there.wait(20):
            raise Unavailable("the observer did not come")

    def close(self) -> None:
        """End everything."""
        self.enforcer.close()
        self.lan.close()

    def events(self, rate: int, seconds: float) -> Row:
        """Short connections over the kernel path: what was told of them, and what that cost the enforcer."""
        before, count = dict(self.told), int(rate * seconds)
        used = processes.cpu_us([self.enforcer.process.pid])
        done, took_s = self.storm("connections", PLAIN_PORT, count, rate)
        wait_for(lambda: self.told["closed"] - before["closed"] >= done, 10)
        spent_us = processes.cpu_us_since(used)
        told = {name: self.told[name] - before[name] for name in before}
        return {
            "bench": NAME,
            "variant": "flow events",
            "asked_per_s": rate,
            "per_s": round(done / took_s),
            "count": done,
            "told": told["closed"],
            "missing": 2 * done - told["opened"] - told["closed"],
            "cpu_us_each": round(spent_us / (2 * done), 1),
            "records": told["records"],
        }

    def copies(self, rate: int, seconds: float) -> Row:
        """Datagrams of a copied grant: how many were kept, how many were lost on record."""
        count = int(rate * seconds)
        self.watcher.observe(GRANTS[1])
        stored, lost = self.watcher.stored, self.watcher.lost
        used = processes.cpu_us([self.observer.pid])
        done, took_s = self.storm("datagrams", DATAGRAM_PORT, count, rate)
        time.sleep(0.5)
        spent_us = processes.cpu_us_since(used)
        self.watcher.observe()  # the grant ends: its file is closed
        wait_for(lambda: self.watcher.stored + self.watcher.lost - stored - lost >= done, 20)
        kept, missing = self.watcher.stored - stored, self.watcher.lost - lost
        return {
            "bench": NAME,
            "variant": "copies",
            "asked_per_s": rate,
            "per_s": round(done / took_s),
            "count": done,
            "told": kept,
            "missing": done - kept,
            "recorded_as_lost": missing,
            "cpu_us_each": round(spent_us / done, 2),
        }

    def storm(self, kind: str, port: int, count: int, rate: int) -> tuple[int, float]:
        """How many there were, and how long they took."""
        words = [str(BUILD / "storm"), kind, OVERLAY, str(port), str(count), str(rate)]
        done, took_s = self.client.run(words, timeout_s=120).split()
        return int(done), float(took_s)

    def _count(self) -> None:
        with suppress(OSError, Unavailable):
            while True:
                self._add(self.enforcer.event())

    def _add(self, event: Message) -> None:
        self.told["records"] += 1
        match event:
            case KernelFlowOpened():
                self.told["opened"] += 1
            case KernelFlowClosed():
                self.told["closed"] += 1
            case KernelFlowsFolded():
                self.told["opened"] += event.opened
                self.told["closed"] += event.closed


def started(node: Node, words: list[str]) -> None:
    """Start a program that says when it is ready."""
    process = node.popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()


def said(row: Row) -> Row:
    """The row, told on the way."""
    print(f"bench: {row['variant']} at {row['asked_per_s']} per s: {row['told']} of {row['count']}", file=sys.stderr)
    return row


def wait_for(look: Any, within_s: float) -> None:
    """Until it is so, or the time is over: then the figures say it."""
    end = time.monotonic() + within_s
    while not look() and time.monotonic() < end:
        time.sleep(0.05)


def build_storm() -> None:
    """Compile the generator.  Raises `Unavailable` with the compiler's words."""
    words = (*COMPILE, "-o", str(BUILD / "storm"), str(HERE / "storm.c"))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"storm.c does not compile:\n{done.stderr}")


def measured(*, is_quick: bool) -> list[Row]:
    """Every row.  Call it in namespaces of its own (`enter`).  Raises `PenstockError`."""
    build()
    build_storm()
    seconds = 1.0 if is_quick else 4.0
    with tempfile.TemporaryDirectory(prefix="penstock-copies-") as folder:
        bed = Bed(Path(folder))
        try:
            rows = [said(bed.events(rate, seconds)) for rate in CONNECTIONS_PER_S]
            rows += [said(bed.copies(rate, seconds)) for rate in COPIES_PER_S]
        finally:
            bed.close()
    return rows


def text(rows: Sequence[Row]) -> str:
    """The rows for a person; empty where there are none."""
    found = [row for row in rows if row["bench"] == NAME]
    if not found:
        return ""
    lines = [
        f"{row['variant']:<18}{row['asked_per_s']:>9,}{row['per_s']:>9,}{row['count']:>9,}{row['told']:>9,}"
        f"{row['missing']:>9,}{row['cpu_us_each']:>13}"
        for row in found
    ]
    return "\n".join(["accounting          asked/s   done/s    count     told  missing  CPU us each", *lines])


def main() -> int:
    """Run it alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    enter()
    rows = measured(is_quick=options.quick)
    print(json.dumps(rows, indent=1) if options.json else text(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
