"""I/O: the gate's main job, told step by step on the simulated plant.

Every claim is checked against what was seen from outside: packets at the controllers, answers at the native tools,
lines that the pollers wrote, and the evidence.  Nothing here looks into the gate's processes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from penstock.lab.gate import Done, LabFailure, LabGate, Person
from penstock.lab.modbus import Conversation, Refused
from penstock.lab.narrator import Narrator, hexdump
from penstock.lab.plant import Plant
from penstock.lab.witness import Witness
from penstock.model import PenstockError

SET_POINT = 11
WITHIN_LIMITS, OUTSIDE_LIMITS = 300, 900
PASSWORD = "turbine hall seven"


@dataclass(slots=True)
class Scene:
    """Everything that the story plays with."""

    plant: Plant
    gate: LabGate
    folder: Path
    tell: Narrator
    maria: Person
    tunnel: subprocess.Popen[Any] | None = None
    local_port: int = 0

    def penstock(self, *words: str, person: Person | None = None) -> Done:
        """Run ``penstock …`` at the engineering station (a person) or at the gate (the administrator)."""
        station = self.plant.nodes["eng-1" if person else "gate"]
        done = self.gate.command(*words, station=station, person=person)
        self.tell.show("$", "penstock " + " ".join(words))
        return done

    def search(self, *words: str) -> list[dict[str, Any]]:
        """Entries of the evidence, as the command line finds them."""
        return self.gate.search(*words)

    def find(self, *words: str, within_s: float = 6.0) -> list[dict[str, Any]]:
        """The same, once there is at least one: evidence is written in the background."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = self.search(*words)
            return bool(found)

        with suppress(LabFailure):
            self.gate.wait(is_there, f"evidence {' '.join(words)}", within_s)
        return found


def polling_passes(scene: Scene) -> None:
    """SCADA's declared polling."""
    tell, plant = scene.tell, scene.plant
    tell.step(
        "SCADA's declared polling passes",
        "scada-1 polls both controllers at their overlay addresses. The conduit “SCADA polls the filters” allows it to "
        "read. The gate stands beside the network: the controller sees one neighbour, the gate.",
    )
    polls = plant.polls("scada-1")
    scene.gate.wait(lambda: all(line["ok"] for line in polls.lines()[-4:]), "polling to have begun", 15)
    with Witness(plant.nodes["plc-filter-1"]) as witness:
        before = len(polls.lines())
        scene.gate.wait(lambda: len(polls.lines()) >= before + 15, "fifteen polls", 15)
        lines = polls.lines()[before:]
        segments = [one for one in witness.segments() if one.payload and one.destination_port == 502]
    answered = [line for line in lines if line["ok"]]
    slowest = max((line["latency_us"] for line in answered), default=0)
    tell.show("scada-1", f"{len(answered)} of {len(lines)} polls answered, the slowest after {slowest / 1000:.2f} ms")
    if segments:
        seen = segments[-1]
        tell.show("packet", f"at plc-filter-1: {seen.source} → {seen.destination}:502   {hexdump(seen.payload)}")
    tell.claim("every poll was answered", len(lines) >= 15 and len(answered) == len(lines))
    sources = {one.source for one in segments}
    tell.claim("the controller talks to the gate and to nobody else", sources == {scene.gate.address})
    records = scene.find("--kind", "operations", "--subject", "scada-1", "--limit", "1")
    tell.claim("the operations are on record with identity, asset and object", bool(records))


def undeclared_source_is_refused(scene: Scene) -> None:
    """A source that no conduit names."""
    tell, plant = scene.tell, scene.plant
    tell.step(
        "An undeclared source gets nothing",
        "rogue-1 stands on the same switch and tries the dosing controller's overlay address. No conduit names it.",
    )
    overlay, rogue = plant.overlay("plc-dosing"), plant.address("rogue-1")
    with Witness(plant.nodes["plc-dosing"]) as witness:
        outcome = "connected"
        try:
            plant.nodes["rogue-1"].connect(overlay, 502, timeout_s=1.5).close()
        except OSError as error:
            outcome = str(error)
        reached = [one for one in witness.segments() if rogue in (one.source, one.destination)]
    tell.show("rogue-1", f"connect to {overlay}:502 → {outcome}")
    tell.show("packets", f"at plc-dosing from or to rogue-1: {len(reached)}")
    tell.claim("the attempt was not answered", outcome != "connected")
    tell.claim("no packet of it reached the controller", not reached)
    records = [one for one in scene.find("--kind", "flow.refused", "--limit", "50") if rogue in json.dumps(one)]
    for one in records[-1:]:
        tell.show("evidence", f"#{one['seq']} {one['time']} {one['kind']} from {rogue}, reason {one.get('reason')}")
    tell.claim("the refusal is on record with its source and reason", bool(records) and bool(records[-1].get("reason")))


def engineer_signs_in(scene: Scene) -> None:
    """Two factors, then what may I reach."""
    tell, maria = scene.tell, scene.maria
    tell.step(
        "An engineer signs in with two factors",
        "maria, group operators, at the engineering station. First with a wrong one-time code, then with the right "
        "one. She gets a client certificate for this sign-in; her key never leaves the station.",
    )
    ca = str(scene.gate.state_dir / "keys" / "ca.pem")
    wrong = scene.gate.command(
        "login", "--gate", scene.gate.url, "--ca", ca, "--as", "maria", "--password-stdin",
        station=scene.plant.nodes["eng-1"], person=maria, typed=f"{maria.password}\n000000\n",
    )  # fmt: skip
    tell.show("wrong code", f"exit status {wrong.status}: {wrong.said.strip().splitlines()[-1] if wrong.said else ''}")
    tell.claim("a wrong one-time code is refused", wrong.status == 3)
    time.sleep(1.1)
    right = scene.gate.login(maria, scene.plant.nodes["eng-1"])
    tell.show("right code", f"exit status {right.status}: {(right.said + right.printed).strip().splitlines()[0]}")
    tell.claim("password and one-time code let her in", right.status == 0)
    loose = [path for path in maria.home.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    tell.claim("her key and certificate are readable by her alone", maria.home.exists() and not loose)
    listing = scene.penstock("ls", person=maria)
    tell.show("", listing.printed)
    tell.claim("she sees what she may reach", listing.status == 0 and "plc-dosing" in listing.printed)


def engineer_connects(scene: Scene) -> None:
    """Native tool, unchanged, through the tunnel."""
    tell, plant = scene.tell, scene.plant
    tell.step(
        "Her own Modbus tool works, unchanged",
        "penstock connect opens a local port; mbpoll reads the set point and sets it, inside the conduit's limits. "
        "Between the station and the gate there is only TLS 1.3.",
    )
    with Witness(plant.nodes["eng-1"]) as witness, Witness(plant.nodes["plc-dosing"]) as controller:
        scene.tunnel = scene.gate.connect(scene.maria, "plc-dosing", plant.nodes["eng-1"])
        tell.show("$", "penstock connect plc-dosing")
        assert scene.tunnel.stdout is not None
        address = scene.tunnel.stdout.readline().strip()
        scene.local_port = int(address.rpartition(":")[2] or 0)
        tell.show("", address)
        read = mbpoll(scene, "-r", str(SET_POINT), "-c", "1")
        tell.claim("mbpoll reads the set point", read.status == 0 and f"[{SET_POINT}]" in read.printed)
        written = mbpoll(scene, "-r", str(SET_POINT), values=(WITHIN_LIMITS,))
        tell.claim("mbpoll sets it inside the limits", written.status == 0)
        on_the_wire = [one for one in witness.segments() if scene.gate.address in (one.source, one.destination)]
        writes = [one for one in controller.segments() if one.payload[7:8] == b"\x06" and one.destination_port == 502]
    for one in writes[:1]:
        tell.show("packet", f"at plc-dosing: {one.source} → {one.destination}:502   {hexdump(one.payload)}")
    tell.claim("the controller got the write, from the gate", bool(writes) and writes[0].source == scene.gate.address)
    tunnel = [one.payload for one in on_the_wire if one.destination_port not in (8443, 502) and one.payload]
    clear = [payload for payload in tunnel if bytes.fromhex("000000060106") in payload]
    tell.show("packets", f"eng-1 → gate: {len(tunnel)} segments, first bytes {hexdump(tunnel[-1]) if tunnel else '-'}")
    tell.claim("between station and gate nothing is readable", bool(tunnel) and not clear)


def value_outside_is_refused(scene: Scene) -> None:
    """The refusal is Modbus's own, the connection stays."""
    tell, plant = scene.tell, scene.plant
    tell.step(
        "A value outside the limits is refused, and the connection stays up",
        f"mbpoll tries to set {OUTSIDE_LIMITS}; the conduit allows 0-550. The answer is the protocol's own exception, "
        "so the native tool understands it.",
    )
    with Witness(plant.nodes["plc-dosing"]) as controller:
        refused = mbpoll(scene, "-r", str(SET_POINT), values=(OUTSIDE_LIMITS,))
        tell.claim("mbpoll reports the Modbus exception", refused.status != 0 and "Illegal data value" in refused.said)
        with Conversation(plant.nodes["eng-1"], "127.0.0.1", scene.local_port) as talk:
            code = 0
            try:
                talk.write(SET_POINT, OUTSIDE_LIMITS)
            except Refused as exception:
                code = exception.code
            value = talk.read(SET_POINT)
        tell.show("one flow", f"write {OUTSIDE_LIMITS} → exception {code}; then read → {value}, on the same connection")
        tell.claim("on one connection: refused, then a read is answered", code == 3 and value == WITHIN_LIMITS)
        forbidden = OUTSIDE_LIMITS.to_bytes(2, "big")
        leaked = [
            one for one in controller.segments() if one.payload[7:8] == b"\x06" and one.payload[10:12] == forbidden
        ]
    tell.claim("nothing of it reached the controller", not leaked)
    records = scene.find("--kind", "operation.refused", "--subject", "maria")
    for one in records[-1:]:
        tell.show("evidence", f"#{one['seq']} maria {one['operation']} on {one['asset']}: {one['reason']}")
    tell.claim(
        "the refusal is on record with subject, asset, operation and reason",
        bool(records) and records[-1]["reason"] == "value_out_of_range",
    )


def revocation_cuts(scene: Scene) -> None:
    """Revoking ends a live connection at once."""
    tell, plant = scene.tell, scene.plant
    tell.step(
        "Her grant is revoked, and the live connection ends at once",
        "The administrator revokes the grant while the connection is in use.",
    )
    grants = [one for one in scene.gate.admin("GET", "/admin/grants").get("grants", []) if one["subject"] == "maria"]
    tell.claim("she has one live grant", len(grants) == 1)
    with Conversation(plant.nodes["eng-1"], "127.0.0.1", scene.local_port) as talk:
        talk.read(SET_POINT)
        began = time.monotonic()
        revoked = scene.penstock("grant", "revoke", str(grants[0]["number"]) if grants else "0")
        acknowledged = time.monotonic()
        last_answer = talk.poll_until_cut(SET_POINT, within_s=5)
        ended = time.monotonic()
    tell.show("eng-1", f"connection ended {(ended - acknowledged) * 1000:.1f} ms after the command had returned")
    tell.claim("the command succeeded", revoked.status == 0)
    tell.claim("the live connection was cut", last_answer is not None and ended - began < 5)
    again = "refused"
    with suppress(OSError, Refused), Conversation(plant.nodes["eng-1"], "127.0.0.1", scene.local_port) as talk:
        again = f"answered {talk.read(SET_POINT)}"
    tell.claim("a new connection under the old grant is refused", again == "refused")
    records = scene.find("--kind", "grant.closed", "--subject", "maria")
    tell.claim("the end of the grant is on record", bool(records))
    if scene.tunnel is not None:
        with suppress(subprocess.TimeoutExpired):
            scene.tunnel.wait(10)
        said = scene.tunnel.stderr.read() if scene.tunnel.stderr and scene.tunnel.poll() is not None else ""
        tell.show("connect", said.strip() or "still running")


def proxy_is_killed(scene: Scene) -> None:
    """Fail open for what is safety-critical, closed for the rest."""
    tell, plant = scene.tell, scene.plant
    tell.step(
        "The inspecting proxy is killed",
        "kill -9. “SCADA polls the filters” was declared safety-critical (on_failure: open), the historian's conduit "
        "was not. The kernel decides, with no process alive.",
    )
    scada, historian = plant.polls("scada-1"), plant.polls("historian-1")
    scene.gate.wait(lambda: historian.lines()[-1]["ok"] and scada.lines()[-1]["ok"], "both pollers to be answered")
    seen_scada, seen_historian = len(scada.lines()), len(historian.lines())
    worker = scene.gate.pid("worker-1")
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    killed = time.time()
    tell.show("$", f"kill -9 {worker}    (worker-1)")
    scene.gate.wait(lambda: scene.gate.pid("worker-1") not in (None, worker), "a new worker", 15)
    scene.gate.wait(scene.gate.is_ready, "inspection to be back", 20)
    back = time.time()
    scene.gate.wait(lambda: historian.lines()[-1]["ok"], "the historian to be answered again", 20)
    others = [line for line in historian.lines()[seen_historian:] if killed + 0.1 <= line["at"] <= back - 0.1]
    tell.show("", f"inspection was away for {back - killed:.2f} s")
    for controller in ("plc-filter-1", "plc-dosing"):
        answered = [
            line["at"]
            for line in scada.lines()[seen_scada:]
            if line["ok"] and line["target"] == controller and killed <= line["at"] <= back
        ]
        times = [killed, *answered, back]
        gap = max(later - sooner for sooner, later in pairwise(times))
        found = f"{len(answered)} polls of {controller} answered, longest gap {gap * 1000:.0f} ms"
        tell.show("scada-1", found)
        tell.claim(f"the safety-critical polling of {controller} went on", bool(answered) and gap < 1.0)
    tell.show("historian-1", f"{sum(1 for line in others if line['ok'])} of {len(others)} polls answered")
    refused = [line for line in others if not line["ok"]]
    tell.claim("the other conduit was closed", bool(refused))
    opened = scene.find("--kind", "failed_open", within_s=10)
    restored = scene.find("--kind", "inspection.restored", within_s=10)
    tell.claim("the open interval is on record, with its end", bool(opened) and bool(restored))


def evidence_is_verified(scene: Scene) -> None:
    """Offline, with the public key alone; then with one altered byte."""
    tell = scene.tell
    tell.step(
        "The evidence is verified offline, and one altered byte is found",
        "The folder is copied; verification needs the copy and the public key, not the gate.",
    )
    time.sleep(1.5)  # the next checkpoint covers what was recorded until now
    key, copy = scene.folder / "auditor.pub", scene.folder / "copy"
    shutil.copy(scene.gate.evidence / "evidence.pub", key)
    shutil.copytree(scene.gate.evidence, copy)
    good = scene.penstock("evidence", "verify", str(copy), "--key", str(key))
    tell.show("", good.printed)
    tell.claim("the copy verifies", good.status == 0)
    segment = next(copy.glob("records-*.log"))
    content = bytearray(segment.read_bytes())
    place = content.find(b'"maria"') + 1
    content[place] ^= 1
    segment.write_bytes(content)
    tell.show("altered", f"one bit of byte {place} in {segment.name}")
    bad = scene.penstock("evidence", "verify", str(copy), "--key", str(key))
    tell.show("", "\n".join(line for line in (bad.printed + bad.said).splitlines() if "TAMPERED" in line))
    tell.claim("the altered byte is found", bad.status == 1)


def mbpoll(scene: Scene, *words: str, values: tuple[int, ...] = ()) -> Done:
    """The real mbpoll (libmodbus) at the engineering station, against the local port of the tunnel."""
    command = ["mbpoll", "-m", "tcp", "-p", str(scene.local_port), "-0", "-t", "4", "-1", "-q", *words, "127.0.0.1"]
    command += [str(value) for value in values]
    with scene.plant.nodes["eng-1"].entered():
        done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    scene.tell.show("$", " ".join(command))
    scene.tell.show("", (done.stdout.strip() + "\n" + done.stderr.strip()).strip())
    return Done(status=done.returncode, printed=done.stdout, said=done.stdout + done.stderr)


STEPS: tuple[Callable[[Scene], None], ...] = (
    polling_passes,
    undeclared_source_is_refused,
    engineer_signs_in,
    engineer_connects,
    value_outside_is_refused,
    revocation_cuts,
    proxy_is_killed,
    evidence_is_verified,
)


def play(scene: Scene) -> bool:
    """Play every step, also after one that failed; returns whether all was as claimed."""
    for step in STEPS:
        try:
            step(scene)
        except (PenstockError, OSError, LookupError, ValueError, AssertionError, subprocess.SubprocessError) as error:
            if not scene.tell.steps:
                raise
            scene.tell.failed(f"{type(error).__name__}: {error}")
            if sys.flags.dev_mode:
                raise
    return scene.tell.summary()
