"""The kernel path at full size beside the kernel path at its smallest, in one run.

usage: bench/scale_kernel.py [--quick] [--json]

Two gates stand on one switch before the same controller.  One holds a single grant; the other holds 1,000 assets,
5,000 standing flows, 10,000 grants and 50,000 open flows.  The same load runs through both in turn, so that what it
costs a packet to pass a full table is a ratio.  On the way to that size it is timed: rendering and applying the
ruleset, the first grants, one grant more and one grant less.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_DGRAM
from statistics import median, quantiles

import processes
from enforcing import Enforcer, grant
from plant import CLIENT, CLIENT_MAC, MODBUS_PORT, Plant, Way, build, gate_core, on_core
from report import Load, Row

from penstock.kernel import render
from penstock.lab.netns import Node, enter
from penstock.model import (
    FIRST_WORKER_MARK,
    ApplyRuleset,
    ArmWorker,
    CloseGrant,
    GatePlace,
    Grant,
    OpenGrant,
    PenstockError,
    Ruleset,
    Standing,
    Translation,
)

SMALL_GATE, FULL_GATE = "192.168.10.2", "192.168.10.4"
SMALL_OVERLAY, FULL_OVERLAY = "100.64.0.0/16", "100.80.0.0/16"
UDP_PORT = 47808
TTL_MS = 3_600_000
#: Assets that flows are really opened to: addresses that the controller has.
REAL_ASSETS = 10
SAMPLES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How full the full gate is."""

    assets: int = 1_000
    standing: int = 5_000
    grants: int = 10_000
    flows: int = 50_000


QUICK = Size(assets=200, standing=500, grants=1_000, flows=2_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print what was found."""
    parser = argparse.ArgumentParser(description="the kernel path at full size")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size: to see that everything works")
    parser.add_argument("--json", action="store_true", help="print the rows instead of the table")
    options = parser.parse_args(argv)
    enter(keeps_root=True)  # before anything starts a thread; a full ruleset needs the machine's root
    try:
        rows = measured(QUICK if options.quick else Size(), rounds=2 if options.quick else 5)
    except PenstockError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps(rows, indent=1) if options.json else text(rows))
    return 0


def text(rows: Sequence[Row]) -> str:
    """A line each row: what, then its figures."""
    lines = ["the kernel path at full size beside its smallest"]
    for row in rows:
        figures = ", ".join(
            f"{name} {value:,}"
            for name, value in row.items()
            if name not in {"bench", "variant", "mode", "connections"}
        )
        load = f" ({row['mode']}, {row['connections']} conn)" if "mode" in row else ""
        what = f"{row['bench'].removeprefix('scale: ')}: {row['variant']}{load}"
        lines.append(f"  {what:<52} {figures}")
    return "\n".join(lines)


def measured(size: Size, rounds: int) -> list[Row]:
    """The rows: how long each step took, and the ratio of the two gates under the same load."""
    build()
    with tempfile.TemporaryDirectory(prefix="penstock-scale-") as folder:
        plant = Plant(Path(folder))
        try:
            with on_core(gate_core()):
                small = Enforcer(plant.gate, Path(folder) / "small", _place(SMALL_GATE))
                full_node = plant.lan.add("gate-full", f"{FULL_GATE}/24")
                full = Enforcer(full_node, Path(folder) / "full", _place(FULL_GATE))
            small.do(ApplyRuleset(ruleset=_ruleset(SMALL_GATE, SMALL_OVERLAY, Size(assets=1, standing=0))))
            small.do(
                OpenGrant(grant=grant(1, CLIENT, "100.64.0.1", "192.168.10.50", "tcp", MODBUS_PORT), ttl_ms=TTL_MS)
            )
            rows = _fill(plant, full, size)
            ways = {
                "smallest": Way(variant="smallest", address="100.64.0.1", port=MODBUS_PORT),
                "full": Way(variant="full", address="100.80.0.1", port=MODBUS_PORT),
            }
            plant.client.route(FULL_OVERLAY, FULL_GATE)
            for way in ways.values():
                plant.wait_for(way)
            with _open_flows(plant, size.flows):
                rows.append(_row("flows", "open", flows=_flows(full_node), wanted=size.flows))
                rows += _compared(plant, ways, rounds)
                rows += _changes(full, size)
            rows.append(_row("memory", "enforcer", rss_mb=round(processes.memory_kb(full.process.pid)[0] / 1024, 1)))
            return rows
        finally:
            plant.close()


def _fill(plant: Plant, full: Enforcer, size: Size) -> list[Row]:
    """Bring the full gate to its size, timed."""
    addresses = [f"192.168.10.{100 + number}" for number in range(REAL_ASSETS)]
    plant.controller.ip(*(f"addr add {address}/24 dev eth0" for address in addresses))
    ruleset = _ruleset(FULL_GATE, FULL_OVERLAY, size)
    began = time.perf_counter()
    text = render(ruleset)
    rendered_s = time.perf_counter() - began
    first_s = full.do(ApplyRuleset(ruleset=ruleset))
    # an enforcer lets safety-critical flows begin once there is a worker; from then on the ruleset is whole
    whole_s = full.do(ArmWorker(mark=FIRST_WORKER_MARK))
    opened = [full.do(OpenGrant(grant=each, ttl_ms=TTL_MS)) for each in _grants(size.grants)]
    again_s = full.do(ApplyRuleset(ruleset=ruleset))
    return [
        _row("ruleset", "render", ms=_ms(rendered_s), script_kb=len(text) // 1024),
        _row("ruleset", "apply, empty kernel", ms=_ms(first_s)),
        _row("ruleset", "apply, with the standing flows", ms=_ms(whole_s)),
        _row("ruleset", "apply again, all grants held", ms=_ms(again_s)),
        _row("grants", f"open the first {len(opened):,}", s=round(sum(opened), 2), p50_ms=_ms(median(opened))),
    ]


def _compared(plant: Plant, ways: dict[str, Way], rounds: int) -> list[Row]:
    """The same load through both, alternating; medians over the rounds, and their ratio."""
    rows = []
    for load in (
        Load(mode="paced", connections=1, seconds=2.0, interval_us=1000),
        Load(mode="closed", connections=1, seconds=1.0),
        Load(mode="closed", connections=50, seconds=1.0),
    ):
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name in random.sample(list(ways), len(ways)):
                found[name].append(plant.measure(ways[name], load))
        figures = {
            name: {key: median(run[key] for run in runs) for key in ("p50_us", "p99_us", "per_s")}
            for name, runs in found.items()
        }
        ratio = {key: round(figures["full"][key] / figures["smallest"][key], 3) for key in figures["full"]}
        rows += [
            _row("path", name, mode=load.mode, connections=load.connections, **values)
            for name, values in (*figures.items(), ("full / smallest", ratio))
        ]
    return rows


def _changes(full: Enforcer, size: Size) -> list[Row]:
    """One grant more and one grant less, while everything is held."""
    more = [grant(size.grants + 10 + n, f"10.9.{n >> 8}.{n & 255}", "100.80.0.1", "192.168.10.100", "tcp", 502)
            for n in range(SAMPLES)]  # fmt: skip
    added = [full.do(OpenGrant(grant=each, ttl_ms=TTL_MS)) for each in more]
    removed = [full.do(CloseGrant(grant=each)) for each in more]
    return [
        _row("grants", f"one {what}", **_spread(times)) for what, times in (("more", added), ("less, idle", removed))
    ]


@contextmanager
def _open_flows(plant: Plant, count: int) -> Iterator[None]:
    """So many UDP flows through the full gate, each with its own entry in the kernel's table."""
    plant.lan.nodes["gate-full"].sysctl("net.netfilter.nf_conntrack_udp_timeout", 600)
    senders = [plant.client.socket(kind=SOCK_DGRAM) for _ in range(-(-count // REAL_ASSETS))]
    for number, sender in enumerate(senders):
        sender.bind((CLIENT, 20_000 + number))
        for asset in range(min(REAL_ASSETS, count - number * REAL_ASSETS)):
            sender.sendto(b"x", (f"100.80.0.{asset + 1}", UDP_PORT))
        if number % 50 == 0:
            time.sleep(0.01)  # the switch's queue is short
    yield
    for sender in senders:
        sender.close()


def _flows(node: Node) -> int:
    return int(node.run(["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]))


def _place(address: str) -> GatePlace:
    return GatePlace(interface="eth0", address=address)


def _ruleset(address: str, overlay: str, size: Size) -> Ruleset:
    prefix = overlay.rsplit(".", 2)[0]
    assets = [(f"{prefix}.{n // 250}.{n % 250 + 1}", _underlay(n)) for n in range(size.assets)]
    return Ruleset(
        revision=1,
        overlay=overlay,
        place=_place(address),
        assets=tuple(Translation(overlay=outer, underlay=inner) for outer, inner in assets),
        standing=tuple(
            Standing(
                source=f"10.8.{n // 250}.{n % 250 + 1}",
                overlay=assets[n % len(assets)][0],
                transport="tcp",
                port=MODBUS_PORT,
                grant=1_000_000 + n,
            )
            for n in range(size.standing)
        ),
        hardware=((CLIENT, CLIENT_MAC),),
    )


def _underlay(number: int) -> str:
    return f"192.168.10.{100 + number}" if number < REAL_ASSETS else f"10.7.{number // 250}.{number % 250 + 1}"


def _grants(count: int) -> Iterator[Grant]:
    """The client's own for every real asset, TCP and UDP; the rest are other people's."""
    for n in range(REAL_ASSETS):
        outer, inner = f"100.80.0.{n + 1}", _underlay(n)
        yield grant(2 * n + 1, CLIENT, outer, inner, "tcp", MODBUS_PORT)
        yield grant(2 * n + 2, CLIENT, outer, inner, "udp", UDP_PORT)
    for n in range(2 * REAL_ASSETS, count):
        asset = n % 1000
        outer = f"100.80.{asset // 250}.{asset % 250 + 1}"
        yield grant(n + 1, f"10.6.{n // 250}.{n % 250 + 1}", outer, _underlay(asset), "tcp", MODBUS_PORT)


def _row(bench: str, variant: str, **figures: object) -> Row:
    return {"bench": f"scale: {bench}", "variant": variant, **figures}


def _spread(times_s: list[float]) -> dict[str, float]:
    cuts = quantiles(times_s, n=100, method="inclusive")
    return {"p50_ms": _ms(cuts[49]), "p99_ms": _ms(cuts[98]), "worst_ms": _ms(max(times_s))}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


if __name__ == "__main__":
    sys.exit(main())
