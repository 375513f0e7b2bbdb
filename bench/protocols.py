"""Each protocol's inspected path beside HAProxy in TCP mode and the direct path, in one run.

usage: bench/protocols.py [--quick] [--rounds N] [--protocols NAME,NAME] [--json]

The plant, the cores, the gate and the loads are those of `run`: a closed loop on 1 and on 50 connections.  A client
says over each connection what `talks` has for the protocol, and the device answers it; both check every byte.  Within
a round the ways to one device follow each other in random order.  What is spoken over UDP (BACnet) is compared with the
gate's kernel path, for HAProxy has no mode for it.  It prints a table and writes
``bench/out/protocols.json``.  A missed target is a result, and exits 0; a wrong or missing reply is an error.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import processes
from measured_runs import OUT, machine, one_run, plant_of_this_run
from plant import (
    BUILD,
    CLIENT,
    CLIENT_MAC,
    CONTROLLER,
    CONTROLLER_KERNEL,
    GATE,
    OVERLAY,
    RELAYS,
    Plant,
    Way,
    build,
    far_core,
    gate_core,
    on_core,
)
from relays import haproxy
from report import HAPROXY, Load, Row, Run, judged, rows_of, table_of
from report import Target as Bound
from talks import DATAGRAMS, TALKS

from penstock.lab.gate import LabGate
from penstock.lab.netns import enter
from penstock.model import PenstockError

VARIANTS: Final = ("direct", "kernel", "haproxy", "inspected")
EVERY: Final = {**TALKS, **DATAGRAMS}
OVERLAY_ADDRESS, OVERLAY_KERNEL = "100.64.0.60", "100.64.0.61"
#: Where devices listen that speak a talk; the usual port of Modbus is taken by the plant's own controller.
PORTS: Final = {"modbus": 1502, "s7comm": 102, "enip": 44818, "dnp3": 20000, "iec104": 2404, "opcua": 4840} | {
    "bacnet": 47808
}
#: Connections at a time; and flows of datagrams, of which one client's address may have 32.
MANY_CONNECTIONS, MANY_FLOWS = 50, 30
#: Of HAProxy, one for each protocol.
FIRST_RELAY_PORT: Final = 1601
#: What a client must be allowed beside reading: some protocols open their connections with operations.
ALLOWED: Final = {"s7comm": "session, read", "enip": "session, read"}

SITE: Final = """\
site: bench
domain: bench.plant
overlay: {overlay}

zones:
  control-room: {{networks: [192.168.10.0/27]}}
  machines: {{networks: [192.168.10.32/27]}}

assets:
  client-1: {{zone: control-room, role: scada, address: {client}, mac: "{mac}"}}
  device:
    zone: machines
    role: plc
    address: {device}
    overlay: {address}
    services: {{{services}}}
  device-kernel:
    zone: machines
    role: plc
    address: {other}
    overlay: {other_address}
    services: {{bacnet: {bacnet}}}

conduits:
  The client reads the device:
    from: {{asset: client-1}}
    to: {{asset: device}}
    allow: {{{allowed}}}
    on_failure: closed

  The client reaches the other device on one port:
    from: {{asset: client-1}}
    to: {{asset: device-kernel}}
    allow: {{udp/{bacnet}: any}}
    on_failure: closed
"""

TARGETS: Final = (
    Bound(
        name="inspected, 50 connections: requests/s at least 0.7 x HAProxy",
        variant="inspected",
        mode="closed",
        connections=50,
        figure="per_s_to_haproxy",
        limit=0.7,
        is_at_least=True,
    ),
    Bound(
        name="inspected, 50 connections: p99 at most 1.3 x HAProxy",
        variant="inspected",
        mode="closed",
        connections=50,
        figure="p99_to_haproxy",
        limit=1.3,
    ),
    Bound(
        name="inspected, 1 connection: p50 at most 1.2 x HAProxy",
        variant="inspected",
        mode="closed",
        connections=1,
        figure="p50_to_haproxy",
        limit=1.2,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = _options(argv)
    enter()  # before anything starts a thread
    try:
        rows = measured(options.protocols, options.rounds, is_quick=options.quick)
    except PenstockError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    OUT.mkdir(exist_ok=True)
    (OUT / "protocols.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows, indent=1) if options.json else text(rows))
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="each protocol's inspected path beside HAProxy")
    parser.add_argument("--quick", action="store_true", help="short runs, two rounds: to see that everything works")
    parser.add_argument("--rounds", type=int, help="how often each path is measured (5)")
    parser.add_argument("--protocols", type=_protocols, default=tuple(EVERY), help="only these, separated by commas")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of the table")
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def _protocols(words: str) -> tuple[str, ...]:
    chosen = words.split(",")
    unknown = sorted(set(chosen) - set(EVERY))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such protocol: {', '.join(unknown)}; there are {', '.join(EVERY)}")
    return tuple(name for name in EVERY if name in chosen)


def loads(name: str, *, is_quick: bool) -> tuple[Load, ...]:
    """One connection, and as many as a busy control room has; of datagrams, as one client's address may have flows."""
    seconds = 0.4 if is_quick else 1.4
    several = MANY_FLOWS if name in DATAGRAMS else MANY_CONNECTIONS
    return tuple(Load(mode="closed", connections=count, seconds=seconds) for count in (1, several))


def measured(names: Sequence[str], count: int, *, is_quick: bool) -> list[Row]:
    """The rows of every protocol.  Raises `PenstockError`."""
    build()
    with plant_of_this_run() as plant:
        ways = _ways(plant, names)
        for each in ways.values():
            for way in each:
                plant.wait_for(way)
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for number in range(count):
            for name, several in ways.items():
                for load in loads(name, is_quick=is_quick):
                    print(f"bench: round {number + 1} of {count}, {name}, {load.connections}", file=sys.stderr)
                    runs[name] += [one_run(plant, way, load) for way in random.sample(several, len(several))]
        return [machine(), *(row for name in names for row in rows_of_protocol(name, runs[name]))]


def rows_of_protocol(name: str, runs: Sequence[Run]) -> list[Row]:
    """What was measured of one protocol, and what the targets say of it."""
    places = {variant: place for place, variant in enumerate(VARIANTS)}
    rows = rows_of(sorted(runs, key=lambda run: (run.load.connections, places[run.variant])))
    for row in rows:
        row["per_s_best"] = max(run.figures["per_s"] for run in runs if _is_of(run, row, row["variant"]))
        haproxy_best = [run.figures["per_s"] for run in runs if _is_of(run, row, HAPROXY)]
        row["per_s_best_to_haproxy"] = round(row["per_s_best"] / max(haproxy_best), 3) if haproxy_best else None
    return [{**row, "protocol": name} for row in [*rows, *judged(rows, TARGETS)]]


def _is_of(run: Run, row: Row, variant: str) -> bool:
    """Whether a run is one of this variant's under the load of a row."""
    return (run.variant, run.load.mode, run.load.connections) == (variant, row["mode"], row["connections"])


def text(rows: Sequence[Row]) -> str:
    """The tables, by protocol and load, and the targets."""
    parts = []
    for name in dict.fromkeys(row["protocol"] for row in rows if "protocol" in row):
        mine = [row for row in rows if row.get("protocol") == name]
        parts += [f"{table_of(f'{name}, {title}', found)}\n{_best(found)}" for title, found in _by_load(mine)]
    verdicts = [row for row in rows if row["bench"] == "target"]
    lines = [
        f"  {'met   ' if row['is_met'] else 'MISSED'}  {row['protocol']:8} {row['name']}: {row['measured']:g}"
        for row in sorted(verdicts, key=lambda row: str(row["name"]))
    ]
    return "\n\n".join([*parts, "\n".join(["targets", *lines])])


def _best(rows: Sequence[Row]) -> str:
    """The rounds in which the machine was disturbed least."""
    told = [f"{row['variant']} {row['per_s_best']:,.0f}" for row in rows]
    ratios = [row["per_s_best_to_haproxy"] for row in rows if row["variant"] == "inspected"]
    ratio = f"; inspected/HAProxy {ratios[0]:.2f}" if ratios and ratios[0] is not None else ""
    return f"  best round, req/s: {', '.join(told)}{ratio}"


def _by_load(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for count in dict.fromkeys(row["connections"] for row in rows if row["bench"] == "path"):
        found = [row for row in rows if row["bench"] == "path" and row["connections"] == count]
        yield f"connections: {count} (medians of {found[0]['rounds']} rounds)", found


def _ways(plant: Plant, names: Sequence[str]) -> dict[str, list[Way]]:
    """Start a device and an HAProxy for each protocol, and one gate before them all."""
    talks = {name: _written(plant.folder, name) for name in names}
    for name, talk in talks.items():
        _start_device(plant, name, talk)
    gate = _start_gate(plant, names)
    ways = {}
    for port, (name, talk) in enumerate(talks.items(), start=FIRST_RELAY_PORT):
        inspected = Way(
            variant="inspected",
            address=OVERLAY_ADDRESS,
            port=PORTS[name],
            talk=talk,
            is_udp=name in DATAGRAMS,
            processes=(gate,),
        )
        direct = replace(inspected, variant="direct", address=CONTROLLER, processes=())
        if name in DATAGRAMS:
            other = replace(inspected, variant="kernel", address=OVERLAY_KERNEL)
        else:
            relay = haproxy(plant.folder, f"haproxy-{name}", port, "", f"{CONTROLLER}:{PORTS[name]}")
            process = plant.start(plant.relays, relay.variant, relay.command, gate_core())
            other = replace(inspected, variant="haproxy", address=RELAYS, port=port, processes=(process.pid,))
        ways[name] = [direct, other, inspected]
    return ways


def _start_device(plant: Plant, name: str, talk: Path) -> None:
    """A device that speaks a talk: one for all connections, or one for the datagrams to each of its addresses."""
    command = (str(BUILD / "respondent"), str(PORTS[name]), str(talk))
    for address in (CONTROLLER, CONTROLLER_KERNEL) if name in DATAGRAMS else ("",):
        words = (*command, address) if address else command
        plant.start(plant.controller, f"respondent-{name}{address}", words, far_core())


def _written(folder: Path, name: str) -> Path:
    path = folder / f"{name}.talk"
    path.write_text(EVERY[name]().text)
    return path


def site_of(names: Sequence[str]) -> str:
    """The site document of the gate that is measured."""
    return SITE.format(
        overlay=OVERLAY,
        client=CLIENT,
        mac=CLIENT_MAC,
        device=CONTROLLER,
        address=OVERLAY_ADDRESS,
        other=CONTROLLER_KERNEL,
        other_address=OVERLAY_KERNEL,
        bacnet=PORTS["bacnet"],
        services=", ".join(f"{name}: {PORTS[name]}" for name in names),
        allowed=", ".join(f"{name}: [{ALLOWED.get(name, 'read')}]" for name in names),
    )


def _start_gate(plant: Plant, names: Sequence[str]) -> int:
    """A real gate on its core; the number of its supervisor's process."""
    folder = plant.folder / "gate"
    folder.mkdir()
    site = folder / "site.yaml"
    site.write_text(site_of(names))
    gate = LabGate(node=plant.gate, folder=folder, site=site, address=GATE)
    with on_core(gate_core()):
        gate.start()
    assert gate.process is not None
    # Every process exists now; the count of each is taken before and after a load.
    assert processes.family(gate.process.pid)
    return gate.process.pid


if __name__ == "__main__":
    sys.exit(main())
