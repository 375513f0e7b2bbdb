"""I/O: the gate that is measured: a real one, started, filled and signed in to as its administrator and users would.

It gives ways to the same controller: `inspected` (transparent proxy: every message decoded, decided and put into
evidence), `kernel` (addresses and ports only, enforced by the kernel), `copied` (the same, with a copy of every packet
for the payload store) and `inspected-tls` (the client's tunnel).
It must never prepare the gate in a way that is closed to an ordinary site.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from plant import (
    CLIENT,
    CLIENT_MAC,
    CONTROLLER,
    CONTROLLER_COPIED,
    CONTROLLER_KERNEL,
    GATE,
    MODBUS_PORT,
    OVERLAY,
    Plant,
    Tunnel,
    Way,
    gate_core,
    make_request,
    on_core,
)

from penstock.lab.gate import LabGate, Person

#: The conduits of the inspected ways.
CONDUITS = {"The client polls the controller": "inspected", "Engineers read the controller": "inspected-tls"}
VARIANTS = ("kernel", "copied", "inspected", "inspected-tls")
OVERLAY_INSPECTED, OVERLAY_KERNEL, OVERLAY_COPIED = "100.64.0.50", "100.64.0.51", "100.64.0.52"
#: Of the tunnel: TLS 1.3 with this protocol name, then one line each way.
ALPN = "penstock/1"

SITE = f"""\
site: bench
domain: bench.plant
overlay: {OVERLAY}

zones:
  control-room: {{networks: [192.168.10.0/27]}}
  machines: {{networks: [192.168.10.32/27]}}

assets:
  client-1: {{zone: control-room, role: scada, address: {CLIENT}, mac: "{CLIENT_MAC}"}}
  plc-echo:
    zone: machines
    role: plc
    address: {CONTROLLER}
    overlay: {OVERLAY_INSPECTED}
    services: {{modbus: {MODBUS_PORT}}}
  plc-kernel:
    zone: machines
    role: plc
    address: {CONTROLLER_KERNEL}
    overlay: {OVERLAY_KERNEL}
    services: {{modbus: {MODBUS_PORT}}}
  plc-copied:
    zone: machines
    role: plc
    address: {CONTROLLER_COPIED}
    overlay: {OVERLAY_COPIED}
    services: {{modbus: {MODBUS_PORT}}}

conduits:
  The client polls the controller:
    from: {{asset: client-1}}
    to: {{asset: plc-echo}}
    allow: {{modbus: [read]}}
    on_failure: closed

  The client reaches the other address on one port:
    from: {{asset: client-1}}
    to: {{asset: plc-kernel}}
    allow: {{tcp/{MODBUS_PORT}: any}}
    on_failure: closed

  The client is copied at the third address:
    from: {{asset: client-1}}
    to: {{asset: plc-copied}}
    allow: {{tcp/{MODBUS_PORT}: any}}
    record: payload

  Engineers read the controller:
    from: {{group: engineers}}
    to: {{asset: plc-echo}}
    allow: {{modbus: [read]}}
    require: {{factors: two, tls: true}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A running gate: its supervisor's process number, and the ways through it."""

    pid: int
    ways: dict[str, Way]
    lab: LabGate

    def measured(self) -> list[dict[str, Any]]:
        """What the gate itself measured under all loads together, a row for each inspected way and one for the loop."""
        answer = self.lab.admin("GET", "/admin/conduits")
        rows: list[dict[str, Any]] = []
        for each in answer["conduits"]:
            figures = each["measured"]["inspected"]["start"]
            if each["conduit"] in CONDUITS and figures["own"]["count"]:
                shares = {"own": figures["own"], "total": figures["total"]}
                rows.append({"bench": "own", "variant": CONDUITS[each["conduit"]], **shares})
        return [*rows, {"bench": "own", "variant": "event loop", "lag": answer["lag"]["start"]}] if rows else []


def start_gate(plant: Plant) -> Gate:
    """Start a gate on the plant's switch, enrol an engineer, sign in, and ask for what the ways need."""
    folder = plant.folder / "gate"
    folder.mkdir()
    site = folder / "site.yaml"
    site.write_text(SITE)
    gate = LabGate(node=plant.gate, folder=folder, site=site, address=GATE)
    with on_core(gate_core()):
        gate.start()
    assert gate.process is not None
    engineer = gate.enrol("engineer", "engineers", secrets.token_urlsafe(24), plant.client)
    pid = gate.process.pid
    tunnel, port = _tunnel(gate, plant, engineer)
    ways = (
        Way(variant="inspected", address=OVERLAY_INSPECTED, port=MODBUS_PORT, processes=(pid,)),
        Way(variant="kernel", address=OVERLAY_KERNEL, port=MODBUS_PORT, processes=(pid,)),
        Way(variant="copied", address=OVERLAY_COPIED, port=MODBUS_PORT, processes=(pid,)),
        Way(variant="inspected-tls", address=GATE, port=port, tunnel=tunnel, processes=(pid,)),
    )
    return Gate(pid=pid, ways={way.variant: way for way in ways}, lab=gate)


def _tunnel(gate: LabGate, plant: Plant, person: Person) -> tuple[Tunnel, int]:
    """Sign in with password and one-time code, and take a certificate and a grant; the tunnel and its port."""
    key, request = make_request(person.name)
    proof = {"subject": person.name, "password": person.password, "totp": person.code(), "csr_pem": request}
    signed_in = gate.api(plant.client, "POST", "/api/sign-ins", proof)
    wanted = {"asset": "plc-echo", "service": "modbus", "binding": "certificate"}
    grant = gate.api(plant.client, "POST", "/api/grants", wanted, bearer=signed_in["token"])
    folder = plant.folder / "engineer"
    folder.mkdir()
    for name, content in (("key", key), ("certificate", signed_in["certificate_pem"]), ("ca", signed_in["ca_pem"])):
        (folder / f"{name}.pem").write_text(content)
    tunnel = Tunnel(
        authority=folder / "ca.pem",
        certificate=folder / "certificate.pem",
        key=folder / "key.pem",
        alpn=ALPN,
        say=f'{{"grant": {grant["grant"]}}}',
        expect='{"ok": true}',
    )
    return tunnel, grant["tunnel_port"]
