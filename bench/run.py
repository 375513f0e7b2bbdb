"""The side-by-side benchmark: one run, every path, the same load, alternating.

usage: bench/run.py [--quick] [--rounds N] [--variants NAME,NAME] [--json]

It builds a plant in network namespaces of its own (no right on the machine is needed), starts a real gate and the
relays it is compared with, and loads each path in turn, in random order, round after round.  It prints a table and
writes ``bench/out/latest.json``.  A missed target is a result, and exits 0; a wrong or missing reply is an error.
See ``docs/reference/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence

import copies
import gate
import processes
import replacement
import revocation
from measured_runs import OUT, machine, one_run, plant_of_this_run
from plant import Plant, Way, build
from report import Load, Row, Run, judged, rows_of, text

from penstock.lab.netns import enter
from penstock.model import PenstockError

VARIANTS = ("direct", "kernel", "copied", "inspected", "haproxy", "nginx", "inspected-tls", "haproxy-tls", "stunnel")
#: What can be asked for: the paths, and what is measured by itself.
PARTS = (*VARIANTS, revocation.NAME, replacement.NAME, copies.NAME)
PACE_US = 1000
REPORTED_S = 2.0
"""A worker tells each second what it measured."""
SETTLE_S = 3.0
"""How long the gate may come to rest before its idle memory is read."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = _options(argv)
    enter()  # before anything starts a thread
    try:
        rows = _measured(options)
    except PenstockError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    OUT.mkdir(exist_ok=True)
    (OUT / "latest.json").write_text(json.dumps(rows, indent=1) + "\n")
    parts = (text(rows), revocation.text(rows), replacement.text(rows), copies.text(rows))
    print(json.dumps(rows, indent=1) if options.json else "\n\n".join(part for part in parts if part))
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the side-by-side benchmark")
    parser.add_argument("--quick", action="store_true", help="short runs, two rounds: to see that everything works")
    parser.add_argument("--rounds", type=int, help="how often each path is measured (5)")
    parser.add_argument("--variants", type=_variants, default=PARTS, help="only these, separated by commas")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of the table")
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def _variants(words: str) -> tuple[str, ...]:
    chosen = words.split(",")
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such variant: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in chosen)


def loads(*, is_quick: bool) -> tuple[Load, ...]:
    """The loads, the longest for the one whose rare slow replies count."""
    paced_s, closed_s = (1.0, 0.5) if is_quick else (3.5, 1.4)
    return (
        Load(mode="paced", connections=1, seconds=paced_s, interval_us=PACE_US),
        Load(mode="closed", connections=1, seconds=closed_s),
        Load(mode="closed", connections=50, seconds=closed_s),
    )


def _measured(options: argparse.Namespace) -> list[Row]:
    rows = [machine()]
    if set(options.variants) & set(VARIANTS):
        rows += _paths(options)
    if revocation.NAME in options.variants:
        rows += revocation.measured(is_quick=options.quick)
    if replacement.NAME in options.variants:
        rows += replacement.measured(is_quick=options.quick)
    if copies.NAME in options.variants:
        rows += copies.measured(is_quick=options.quick)
    return rows


def _paths(options: argparse.Namespace) -> list[Row]:
    """The paths side by side, and what the targets say of them."""
    build()
    rows = []
    started = None
    with plant_of_this_run() as plant:
        if set(options.variants) & set(gate.VARIANTS):
            started = gate.start_gate(plant)
            plant.ways.update(started.ways)
            time.sleep(SETTLE_S)
            rows.append(memory(started.pid))
        plant.start_relays()
        ways = [plant.ways[name] for name in options.variants if name in VARIANTS]
        for way in ways:
            plant.wait_for(way)
        rows += rows_of(rounds(plant, ways, loads(is_quick=options.quick), options.rounds))
        if started is not None:
            time.sleep(REPORTED_S)
            rows += started.measured()
        return rows + judged(rows)


def rounds(plant: Plant, ways: Sequence[Way], every: Sequence[Load], count: int) -> list[Run]:
    """Measure every way under every load, `count` times; within a round the ways alternate in random order."""
    runs = []
    for number in range(count):
        for load in every:
            print(
                f"bench: round {number + 1} of {count}, {load.mode}, connections: {load.connections}", file=sys.stderr
            )
            runs += [one_run(plant, way, load) for way in random.sample(ways, len(ways))]
    order = {way.variant: place for place, way in enumerate(ways)}
    return sorted(runs, key=lambda run: (every.index(run.load), order[run.variant]))


def memory(supervisor: int) -> Row:
    """Resident memory of all the gate's processes while nothing happens, in MB (10^6 bytes)."""
    shares, rss_kb, pss_kb = {}, 0, 0
    for pid in processes.family(supervisor):
        rss, pss = processes.memory_kb(pid)
        command = processes.words(pid)
        name = command[command.index("process") + 1] if "process" in command else "supervisor"
        shares[name] = round(pss * 1024 / 1e6, 1)
        rss_kb, pss_kb = rss_kb + rss, pss_kb + pss
    total = {"rss_mb": round(rss_kb * 1024 / 1e6, 1), "pss_mb": round(pss_kb * 1024 / 1e6, 1)}
    return {"bench": "memory", "variant": "idle gate", "mode": "idle", "connections": 0, **total, "processes": shares}


if __name__ == "__main__":
    sys.exit(main())
