"""I/O: what replacing the ruleset costs flows on the kernel path: a real enforcer, a numbered stream, TCP's counters.

usage: bench/replacement.py [--quick] [--json]          `make bench` runs it too

The same stream runs twice, once undisturbed and once while the ruleset is replaced 200 times, so that what the machine
itself does to it can be told from what the replacements do.  It must never leave a lost datagram out.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from enforcing import Enforcer, grant
from report import Row, Target, judged

from penstock.lab.netns import Lan, Node, enter
from penstock.lab.stream import Continuity, Stream, watched
from penstock.model import (
    ApplyRuleset,
    GatePlace,
    OpenGrant,
    PenstockError,
    Ruleset,
    Translation,
)

#: What bench/run.py calls it.
NAME = "replacement"
REPLACEMENTS = 200
CLIENT, GATE, ASSET, OVERLAY = "192.168.10.11", "192.168.10.2", "192.168.10.50", "100.64.0.50"
PORT = 4000
UNDISTURBED, REPLACED = "undisturbed", "replaced"
TARGETS = (
    Target(
        name="rulesets replaced under traffic: datagrams lost",
        variant=REPLACED,
        mode="stream",
        connections=2,
        figure="lost",
        limit=0,
    ),
    Target(
        name="rulesets replaced under traffic: TCP segments sent again",
        variant=REPLACED,
        mode="stream",
        connections=2,
        figure="sent_again",
        limit=0,
    ),
)
RULESET = Ruleset(
    revision=1,
    overlay="100.64.0.0/16",
    place=GatePlace(interface="eth0", address=GATE),
    assets=(Translation(overlay=OVERLAY, underlay=ASSET),),
)


class Bed:
    """A client, an asset that echoes, and a gate of which only the enforcer runs."""

    def __init__(self, folder: Path) -> None:
        self._lan = Lan("plant")
        self._client = self._lan.add("client", f"{CLIENT}/24")
        gate = self._lan.add("gate", f"{GATE}/24")
        self._asset = self._lan.add("asset", f"{ASSET}/24")
        self._client.route("100.64.0.0/16", GATE)
        _echo(self._asset)
        self._enforcer = Enforcer(gate, folder, RULESET.place)
        self._revision = 0
        self.replace()
        for number, transport in ((1, "tcp"), (2, "udp")):
            self._enforcer.do(OpenGrant(grant=grant(number, CLIENT, OVERLAY, ASSET, transport, PORT), ttl_ms=3_600_000))

    def stream(self) -> Stream:
        """A fresh stream over the gate."""
        udp = self._client.socket(kind=socket.SOCK_DGRAM)
        udp.connect((OVERLAY, PORT))
        return Stream(udp=udp, tcp=self._client.connect(OVERLAY, PORT))

    def replace(self) -> float:
        """Put the next ruleset in force; how long that took, in seconds."""
        self._revision += 1
        return self._enforcer.do(ApplyRuleset(ruleset=replace(RULESET, revision=self._revision)))

    def close(self) -> None:
        """End everything."""
        self._enforcer.close()
        self._lan.close()


def measured(*, is_quick: bool) -> list[Row]:
    """Both rows, and the targets.  Call it in namespaces of its own (`enter`).  Raises `PenstockError`."""
    count = 20 if is_quick else REPLACEMENTS
    with tempfile.TemporaryDirectory(prefix="penstock-replacement-") as folder:
        bed = Bed(Path(folder))
        try:
            took_s: list[float] = []
            began_s = time.monotonic()
            replaced = watched(bed.stream(), lambda: took_s.extend(bed.replace() for _ in range(count)))
            lasted_s = time.monotonic() - began_s
            undisturbed = watched(bed.stream(), lambda: time.sleep(lasted_s))
        finally:
            bed.close()
    took_ms = sorted(1000 * each for each in took_s)
    rows = [
        row(UNDISTURBED, 0, undisturbed),
        row(REPLACED, count, replaced) | {"apply_p50_ms": round(took_ms[len(took_ms) // 2], 1)},
    ]
    return rows + judged(rows, TARGETS)


def row(variant: str, replacements: int, suffered: Continuity) -> Row:
    """One run of the stream."""
    return {
        "bench": NAME,
        "variant": variant,
        "mode": "stream",
        "connections": 2,
        "replacements": replacements,
        "sent": suffered.sent,
        "lost": suffered.lost,
        "answered": suffered.answered,
        "sent_again": suffered.sent_again,
        "longest_udp_gap_ms": round(1000 * suffered.longest_udp_gap_s, 1),
        "longest_tcp_gap_ms": round(1000 * suffered.longest_tcp_gap_s, 1),
    }


def text(rows: Sequence[Row]) -> str:
    """The table that a person reads; empty where nothing of it was measured."""
    found = [each for each in rows if each.get("bench") == NAME]
    if not found:
        return ""
    names = ("replacements", "sent", "lost", "answered", "sent_again", "longest_udp_gap_ms", "longest_tcp_gap_ms")
    head = ("stream", *(name.replace("_", " ") for name in names))
    lines = [head, *((str(each["variant"]), *(str(each[name]) for name in names)) for each in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    listed = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    took = [f"\none ruleset takes {each['apply_p50_ms']} ms (p50)" for each in found if "apply_p50_ms" in each]
    met = [each for each in rows if each.get("bench") == "target" and each["name"].startswith("rulesets replaced")]
    judged_so = [f"\n{'met   ' if each['is_met'] else 'MISSED'}  {each['name']}: {each['measured']}" for each in met]
    return "\n".join(("rulesets replaced under traffic, kernel path", *listed)) + "".join(took + judged_so)


def _echo(node: Node) -> None:
    datagrams, listener = node.listen(ASSET, PORT, socket.SOCK_DGRAM), node.listen(ASSET, PORT)

    def answer_datagrams() -> None:
        while True:
            data, peer = datagrams.recvfrom(64)
            datagrams.sendto(data, peer)

    def converse(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(64):
                connection.sendall(data)

    def answer_connections() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=until_closed, args=(partial(converse, connection),), daemon=True).start()

    def until_closed(answer: Callable[[], None]) -> None:
        with suppress(OSError):
            answer()

    for each in (answer_datagrams, answer_connections):
        threading.Thread(target=until_closed, args=(each,), daemon=True).start()


def main(argv: Sequence[str] | None = None) -> int:
    """Run it alone, and return the exit status."""
    parser = argparse.ArgumentParser(description="rulesets replaced under traffic")
    parser.add_argument("--quick", action="store_true", help="20 replacements instead of 200")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of the table")
    options = parser.parse_args(argv)
    enter()
    try:
        rows = measured(is_quick=options.quick)
    except (PenstockError, ConnectionError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps(rows, indent=1) if options.json else text(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
