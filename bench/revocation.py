"""I/O: what revocation takes while the gate holds ten thousand grants: a real gate, real flows, its own admin socket.

usage: bench/revocation.py [--quick] [--json]          `make bench` runs it too

Every measured flow is opened as people open it: an engineer signs in, asks for a grant at the portal, and connects.
Then the administrator revokes it.  `busy` flows ask 2,000 times a second or as fast as they are answered, `idle` ones
wait.  It must never count a flow that was not answered before, nor leave out one that ended badly: that is an error.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import report
from plant import (
    CLIENT,
    CONTROLLER,
    CONTROLLER_KERNEL,
    GATE,
    MODBUS_PORT,
    OVERLAY,
    far_core,
    gate_core,
    make_request,
    on_core,
)
from report import Row, Target, judged

from penstock.lab.gate import LabGate
from penstock.lab.netns import Lan, Node, enter
from penstock.model import PenstockError, Unavailable

#: What bench/run.py calls it.
NAME = "revocation"
#: Machines on each side of the conduit that fills the gate: this times this many grants are held.
EACH_SIDE = 100
REVOCATIONS, LOCKDOWNS = 100, 5
#: How long a flow is used, or left alone, before it is revoked.
SETTLE_S = 0.03
LINE_WITHIN_S = 20.0
BACK_WITHIN_S = 60.0
#: Variant → the asset, and its address on the overlay.
WAYS = {"kernel": ("plc-kernel", "100.64.0.51"), "inspected": ("plc-echo", "100.64.0.50")}
_NS_PER_MS = 1e6
ENDS = Path(__file__).with_name("revocation_ends.py")

TARGETS = (
    *(
        Target(
            name=f"revocation, {variant}, busy: acknowledged within 5 ms, p99",
            variant=variant,
            mode="busy",
            connections=1,
            figure="ack_p99_ms",
            limit=5.0,
        )
        for variant in WAYS
    ),
    *(
        Target(
            name=f"revocation, {variant}, busy: requests answered that were sent after the acknowledgement",
            variant=variant,
            mode="busy",
            connections=1,
            figure="answered_after_ack",
            limit=0,
        )
        for variant in WAYS
    ),
    *(
        Target(
            name=f"revocation, {variant}, idle: both ends closed within 30 ms, p99",
            variant=variant,
            mode="idle",
            connections=1,
            figure="closed_p99_ms",
            limit=30.0,
        )
        for variant in WAYS
    ),
    Target(
        name="lockdown of everything: acknowledged within a second",
        variant="lockdown",
        mode="busy",
        connections=2,
        figure="ack_max_ms",
        limit=1000.0,
    ),
    Target(
        name="lockdown: requests answered that were sent after the acknowledgement",
        variant="lockdown",
        mode="busy",
        connections=2,
        figure="answered_after_ack",
        limit=0,
    ),
)


def site(each_side: int) -> str:
    """The two measured assets, and a conduit between so many machines on either side."""
    held = "\n".join(
        f"  source-{number}: {{zone: sources, role: source, address: 10.80.0.{number}, overlay: 100.64.80.{number}}}\n"
        f"  target-{number}: {{zone: targets, role: target, address: 10.81.0.{number}, overlay: 100.64.81.{number}, "
        "services: {data: {protocol: data, port: 4000}}}"
        for number in range(1, each_side + 1)
    )
    measured = "\n".join(
        f"  {name}: {{zone: machines, role: plc, address: {address}, overlay: {WAYS[variant][1]}, "
        f"services: {{modbus: {MODBUS_PORT}}}}}"
        for variant, name, address in (
            ("inspected", "plc-echo", CONTROLLER),
            ("kernel", "plc-kernel", CONTROLLER_KERNEL),
        )
    )
    return f"""\
site: bench
domain: bench.plant
overlay: {OVERLAY}
zones:
  machines: {{networks: [192.168.10.32/27]}}
  sources: {{networks: [10.80.0.0/16]}}
  targets: {{networks: [10.81.0.0/16]}}
assets:
{measured}
{held}
conduits:
  Engineers read the controller:
    from: {{group: engineers}}
    to: {{asset: plc-echo}}
    allow: {{modbus: [read]}}
    require: {{factors: two}}
  Engineers reach the other address on one port:
    from: {{group: engineers}}
    to: {{asset: plc-kernel}}
    allow: {{tcp/{MODBUS_PORT}: any}}
    require: {{factors: two}}
  What the gate holds meanwhile:
    from: {{role: source}}
    to: {{role: target}}
    allow: {{tcp/4000: any}}
    on_failure: closed
"""


@dataclass(slots=True)
class Program:
    """One program of `revocation_ends`, which prints a line each time that something happened."""

    process: subprocess.Popen[str]

    def say(self, **fields: Any) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(fields) + "\n")
        self.process.stdin.flush()

    def hear(self, event: str) -> dict[str, Any]:
        """Its next line, which must be this event.  Raises `Unavailable`."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"event": "ended by itself"}
        if found["event"] != event:
            raise Unavailable(f"waited for {event!r}, but: {line.strip() or 'the program ended'}")
        return found


class UnixConnection(http.client.HTTPConnection):
    """HTTP on the gate's admin socket: a command is short, and the lockdown of a large site takes its time."""

    def __init__(self, path: Path) -> None:
        super().__init__("gate", timeout=BACK_WITHIN_S)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One revocation: until it was acknowledged, until both ends were closed, and what was answered after all.

    `cut_ms` is until the last answer that still arrived, of a busy flow.
    """

    ack_ms: float
    cut_ms: float
    closed_ms: float
    answered_after_ack: int
    answered: int


@dataclass(slots=True)
class Bed:
    """A plant with a gate, an engineer who is signed in, a controller and two clients."""

    folder: Path
    each_side: int
    lan: Lan = field(init=False)
    client: Node = field(init=False)
    gate: LabGate = field(init=False)
    controller: Program = field(init=False)
    clients: dict[str, Program] = field(default_factory=dict)
    token: str = ""
    admin: UnixConnection | None = None

    def start(self) -> None:
        """Start everything.  Raises `PenstockError`."""
        self.lan = Lan("revocation")
        self.client = self.lan.add("client", f"{CLIENT}/24")
        plc = self.lan.add("controller", f"{CONTROLLER}/24", f"{CONTROLLER_KERNEL}/24")
        node = self.lan.add("gate", f"{GATE}/24")
        self.client.route(OVERLAY, GATE)
        self.controller = self._program(plc, "controller", str(MODBUS_PORT))
        self.controller.hear("ready")
        self.clients = {variant: self._program(self.client, "client") for variant in WAYS}
        document = self.folder / "site.yaml"
        document.write_text(site(self.each_side))
        self.gate = LabGate(node=node, folder=self.folder, site=document, address=GATE)
        with on_core(gate_core()):
            self.gate.start()
        self._wait_for(self.each_side**2)
        person = self.gate.enrol("engineer", "engineers", secrets.token_urlsafe(24), self.client)
        _, request = make_request(person.name)
        proof = {"subject": person.name, "password": person.password, "totp": person.code(), "csr_pem": request}
        self.token = self.gate.api(self.client, "POST", "/api/sign-ins", proof)["token"]

    def close(self) -> None:
        """End everything."""
        if self.admin is not None:
            self.admin.close()
        if hasattr(self, "gate"):
            self.gate.stop()
        if hasattr(self, "lan"):
            self.lan.close()

    def open_flow(self, variant: str, mode: str) -> int:
        """A grant for the engineer, and a flow under it that is answered; the grant's number."""
        asset, overlay = WAYS[variant]
        wanted = {"asset": asset, "service": "modbus", "binding": "address"}
        grant: int = self.gate.api(self.client, "POST", "/api/grants", wanted, bearer=self.token)["grant"]
        self.clients[variant].say(mode=mode, address=overlay, port=MODBUS_PORT)
        self.clients[variant].hear("up")
        return grant

    def revoke(self, variant: str, mode: str) -> Sample:
        """Open one flow, and revoke its grant."""
        grant = self.open_flow(variant, mode)
        time.sleep(SETTLE_S)
        began_ns, ack_ns, _ = self.command("DELETE", f"/admin/grants/{grant}")
        return self._sample(variant, mode, began_ns, ack_ns, self.controller.hear("ended")["at_ns"])

    def lock_down(self) -> tuple[list[Sample], float]:
        """Isolate the site under a busy flow of each kind, and release it; how long the release took (ms)."""
        for variant in WAYS:
            self.open_flow(variant, "busy")
        time.sleep(SETTLE_S)
        wanted = {"kind": "site", "reason": "the benchmark"}
        began_ns, ack_ns, answer = self.command("POST", "/admin/isolations", wanted)
        if answer.get("not_yet") or answer.get("grants_closed", 0) != self.each_side**2 + len(WAYS):
            raise Unavailable(f"the lockdown did not do all of it: {answer}")
        ended_ns = max(self.controller.hear("ended")["at_ns"] for _ in WAYS)
        samples = [self._sample(variant, "busy", began_ns, ack_ns, ended_ns) for variant in WAYS]
        release_ns, released_ns, _ = self.command("DELETE", "/admin/isolations/site")
        released_ms = (released_ns - release_ns) / _NS_PER_MS
        self._wait_for(self.each_side**2)
        return samples, released_ms

    def command(self, method: str, path: str, body: Any = None) -> tuple[int, int, dict[str, Any]]:
        """One command on the administrator's connection: when it was sent, when it was acknowledged, the answer."""
        if self.admin is None:
            self.admin = UnixConnection(self.gate.run_dir / "admin.sock")
        content = b"" if body is None else json.dumps(body).encode()
        began_ns = time.monotonic_ns()
        self.admin.request(method, path, content, {"Content-Type": "application/json"})
        answer = self.admin.getresponse()
        said = answer.read()
        ack_ns = time.monotonic_ns()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise Unavailable(f"{method} {path}: HTTP {answer.status} {said[:200].decode(errors='replace')}")
        return began_ns, ack_ns, json.loads(said) if said else {}

    def _sample(self, variant: str, mode: str, began_ns: int, ack_ns: int, controller_ns: int) -> Sample:
        """Raises `Unavailable` for a flow that was not answered before, or did not end."""
        ended = self.clients[variant].hear("ended")
        sent_ns = ended["sent_ns"]
        if ended["how"] not in ("reset", "closed") or (mode == "busy" and not sent_ns):
            raise Unavailable(f"{variant}, {mode}: the flow ended so: {ended['how']}, {len(sent_ns)} answered")
        return Sample(
            ack_ms=(ack_ns - began_ns) / _NS_PER_MS,
            cut_ms=max(0, ended["last_answer_ns"] - began_ns) / _NS_PER_MS,
            closed_ms=(max(ended["at_ns"], controller_ns) - began_ns) / _NS_PER_MS,
            answered_after_ack=sum(each > ack_ns for each in sent_ns),
            answered=len(sent_ns),
        )

    def _program(self, node: Node, *words: str) -> Program:
        with on_core(far_core()):
            process = node.popen(
                [sys.executable, str(ENDS), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return Program(process)

    def _wait_for(self, grants: int) -> None:
        deadline = time.monotonic() + BACK_WITHIN_S
        while self.gate.status().get("grants") != grants:
            if time.monotonic() > deadline:
                raise Unavailable(f"{grants} grants were not held within {BACK_WITHIN_S:.0f} s")
            time.sleep(0.1)


def measured(*, is_quick: bool) -> list[Row]:
    """Every row, and the targets.  Call it in namespaces of its own (`enter`).  Raises `PenstockError`."""
    revocations, lockdowns = (20, 2) if is_quick else (REVOCATIONS, LOCKDOWNS)
    with tempfile.TemporaryDirectory(prefix="penstock-revocation-") as folder:
        bed = Bed(folder=Path(folder), each_side=EACH_SIDE)
        try:
            bed.start()
            rows = []
            for mode in ("busy", "idle"):
                for variant in WAYS:
                    print(f"bench: {revocations} revocations, {variant}, {mode}", file=sys.stderr)
                    samples = [bed.revoke(variant, mode) for _ in range(revocations)]
                    rows.append(_row(variant, mode, 1, EACH_SIDE**2, samples))
            print(f"bench: {lockdowns} lockdowns", file=sys.stderr)
            rows.append(_lockdowns([bed.lock_down() for _ in range(lockdowns)]))
        finally:
            bed.close()
    return rows + judged(rows, TARGETS)


def _lockdowns(found: Sequence[tuple[list[Sample], float]]) -> Row:
    row = _row("lockdown", "busy", len(WAYS), EACH_SIDE**2, [sample for samples, _ in found for sample in samples])
    return row | {"revocations": len(found), "released_max_ms": round(max(each for _, each in found), 1)}


def _row(variant: str, mode: str, connections: int, held: int, samples: Sequence[Sample]) -> Row:
    acks, closed = [each.ack_ms for each in samples], [each.closed_ms for each in samples]
    cuts = [each.cut_ms for each in samples]
    return {
        "bench": "revocation",
        "variant": variant,
        "mode": mode,
        "connections": connections,
        "grants_held": held,
        "revocations": len(samples),
        "cut_p50_ms": quantile(cuts, 0.5) if mode == "busy" else None,
        "cut_p99_ms": quantile(cuts, 0.99) if mode == "busy" else None,
        "ack_p50_ms": quantile(acks, 0.5),
        "ack_p99_ms": quantile(acks, 0.99),
        "ack_max_ms": round(max(acks), 2),
        "closed_p50_ms": quantile(closed, 0.5),
        "closed_p99_ms": quantile(closed, 0.99),
        "closed_max_ms": round(max(closed), 2),
        "answered_after_ack": sum(each.answered_after_ack for each in samples),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed (nearest rank)."""
    rank = max(1, -(-len(values) * round(share * 100) // 100))
    return round(sorted(values)[rank - 1], 2)


_COLUMNS = (
    "cut_p50_ms",
    "cut_p99_ms",
    "ack_p50_ms",
    "ack_p99_ms",
    "ack_max_ms",
    "closed_p50_ms",
    "closed_p99_ms",
    "answered_after_ack",
)
_HEADINGS = (
    "flow",
    "times",
    "last answer p50 ms",
    "p99",
    "ack p50 ms",
    "p99",
    "max",
    "both ends p50 ms",
    "p99",
    "answered after ack",
)


def text(rows: Sequence[Row]) -> str:
    """The rows of this benchmark for a person; empty where there are none."""
    found = [row for row in rows if row["bench"] == "revocation"]
    if not found:
        return ""
    cells = [list(_HEADINGS)]
    cells += [
        [f"{row['variant']}, {row['mode']}", str(row["revocations"]), *(_cell(row[name]) for name in _COLUMNS)]
        for row in found
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    ]
    return "\n".join([f"revocation with {found[0]['grants_held']:,} grants held", *(f"  {line}" for line in lines)])


def _cell(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:g}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure revocation alone."""
    parser = argparse.ArgumentParser(description="revocation with ten thousand grants held")
    parser.add_argument("--quick", action="store_true", help="few revocations: to see that everything works")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of the table")
    options = parser.parse_args(argv)
    enter()  # before anything starts a thread
    try:
        rows = measured(is_quick=options.quick)
    except PenstockError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps(rows, indent=1) if options.json else f"{text(rows)}\n\n{report.text(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
