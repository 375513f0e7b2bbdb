"""Each protocol's inspected path beside HAProxy in TCP mode and the direct path, in one run.

usage: bench/protocols.py [--quick] [--rounds N] [--protocols NAME,NAME] [--json]

The plant, the cores, the gate and the loads are those of `run`: a closed loop on 1 and on 50 connections.  A client
says over each connection what `talks` has for the protocol, and the device answers it; both check every byte.  Within
a round the ways to one device follow each other in random order.  It prints a table and writes
``bench/out/protocols.json``.  A missed target is a result, and exits 0; a wrong or missing reply is an error.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import processes
from measuring import OUT, machine, one_run, plant_of_this_run
from plant import BUILD, CLIENT, CLIENT_MAC, CONTROLLER, GATE, OVERLAY, RELAYS, Plant, Way, build, far_core, on_core
from plant import gate_core as core_between
from relays import haproxy
from report import Load, Row, Run, judged, rows_of, table_of
from report import Target as Bound
from talks import TALKS

from penstock.lab.gate import LabGate
from penstock.lab.netns import enter
from penstock.model import PenstockError

VARIANTS: Final = ("direct", "haproxy", "inspected")
OVERLAY_ADDRESS: Final = "100.64.0.60"
#: Where devices listen that speak a talk; the usual port of Modbus is taken by the plant's own controller.
PORTS: Final = {"modbus": 1502, "s7comm": 102, "enip": 44818, "dnp3": 20000, "iec104": 2404, "opcua": 4840}
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

conduits:
  The client reads the device:
    from: {{asset: client-1}}
    to: {{asset: device}}
    allow: {{{allowed}}}
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
    parser.add_argument("--protocols", type=_protocols, default=tuple(TALKS), help="only these, separated by commas")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of the table")
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def _protocols(words: str) -> tuple[str, ...]:
    chosen = words.split(",")
    unknown = sorted(set(chosen) - set(TALKS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such protocol: {', '.join(unknown)}; there are {', '.join(TALKS)}")
    return tuple(name for name in TALKS if name in chosen)


def loads(*, is_quick: bool) -> tuple[Load, ...]:
    """One connection, and as many as a busy controller room has."""
    seconds = 0.4 if is_quick else 1.4
    return tuple(Load(mode="closed", connections=count, seconds=seconds) for count in (1, 50))


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
            for load in loads(is_quick=is_quick):
                for name, several in ways.items():
                    print(f"bench: round {number + 1} of {count}, {name}, {load.connections}", file=sys.stderr)
                    runs[name] += [one_run(plant, way, load) for way in random.sample(several, len(several))]
        return [machine(), *(row for name in names for row in rows_of_protocol(name, runs[name]))]


def rows_of_protocol(name: str, runs: Sequence[Run]) -> list[Row]:
    """What was measured of one protocol, and what the targets say of it."""
    places = {variant: place for place, variant in enumerate(VARIANTS)}
    rows = rows_of(sorted(runs, key=lambda run: (run.load.connections, places[run.variant])))
    return [{**row, "protocol": name} for row in [*rows, *judged(rows, TARGETS)]]


def text(rows: Sequence[Row]) -> str:
    """The tables, by protocol and load, and the targets."""
    parts = []
    for name in dict.fromkeys(row["protocol"] for row in rows if "protocol" in row):
        mine = [row for row in rows if row.get("protocol") == name]
        parts += [table_of(f"{name}, {title}", found) for title, found in _by_load(mine)]
    verdicts = [row for row in rows if row["bench"] == "target"]
    lines = [
        f"  {'met   ' if row['is_met'] else 'MISSED'}  {row['protocol']:8} {row['name']}: {row['measured']:g}"
        for row in sorted(verdicts, key=lambda row: str(row["name"]))
    ]
    return "\n\n".join([*parts, "\n".join(["targets", *lines])])


def _by_load(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for count in dict.fromkeys(row["connections"] for row in rows if row["bench"] == "path"):
        found = [row for row in rows if row["bench"] == "path" and row["connections"] == count]
        yield f"connections: {count} (medians of {found[0]['rounds']} rounds)", found


def _ways(plant: Plant, names: Sequence[str]) -> dict[str, list[Way]]:
    """Start a device and an HAProxy for each protocol, and one gate before them all."""
    talks = {name: _written(plant.folder, name) for name in names}
    for name, talk in talks.items():
        command = (str(BUILD / "respondent"), str(PORTS[name]), str(talk))
        plant.start(plant.controller, f"respondent-{name}", command, far_core())
    gate = _start_gate(plant, names)
    ways = {}
    for port, (name, talk) in enumerate(talks.items(), start=FIRST_RELAY_PORT):
        relay = haproxy(plant.folder, f"haproxy-{name}", port, "", f"{CONTROLLER}:{PORTS[name]}")
        process = plant.start(plant.relays, relay.variant, relay.command, core_between())
        ways[name] = [
            Way(variant="direct", address=CONTROLLER, port=PORTS[name], talk=talk),
            Way(variant="haproxy", address=RELAYS, port=port, talk=talk, processes=(process.pid,)),
            Way(variant="inspected", address=OVERLAY_ADDRESS, port=PORTS[name], talk=talk, processes=(gate,)),
        ]
    return ways


def _written(folder: Path, name: str) -> Path:
    path = folder / f"{name}.talk"
    path.write_text(TALKS[name]().text)
    return path


def site_of(names: Sequence[str]) -> str:
    """The site document of the gate that is measured."""
    return SITE.format(
        overlay=OVERLAY,
        client=CLIENT,
        mac=CLIENT_MAC,
        device=CONTROLLER,
        address=OVERLAY_ADDRESS,
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
    with on_core(core_between()):
        gate.start()
    assert gate.process is not None
    # Every process exists now; the count of each is taken before and after a load.
    assert processes.family(gate.process.pid)
    return gate.process.pid


if __name__ == "__main__":
    sys.exit(main())
