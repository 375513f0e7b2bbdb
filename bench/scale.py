"""What size costs the part of the gate that is not in the kernel: reading, judging, compiling and keeping a large site.

usage: bench/scale.py [--quick] [--json]

It makes up a site of 1,000 controllers in 50 cells, which five machines poll (5,000 standing flows), and people with
5,000 grants more.  Each step is timed at that size and at a tenth of it.  `grows` is the ratio of the two: ten is
linear, a hundred is quadratic.  Control runs with its real database; the kernel, the workers and the evidence are
left out, so the figures are what control itself costs.  The kernel's side of the same size is `bench/scale_kernel.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from argon2 import PasswordHasher
from report import Row

from penstock.control import ActiveSignIn, Asking, Gate, Given, LiveGrant, Moment, SignInKind, Store
from penstock.identity import Authority, Passwords, Seal
from penstock.kernel import render
from penstock.model import (
    Binding,
    Command,
    Factor,
    GatePlace,
    GateSettings,
    Listener,
    Publication,
    Record,
    Subject,
    SubjectKind,
)
from penstock.policy import accept, compile_policy, compile_ruleset, machine_paths, parse, reach

T = TypeVar("T")

PLACE = GatePlace(interface="ot0", address="10.0.0.2")
MACHINES = 5
PER_CELL = 20
S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the site is: `cells` of 20 controllers, and `people` with a grant to each controller of one cell."""

    cells: int
    people: int

    @property
    def text(self) -> str:
        """``1005 assets, 5000 standing flows, 10000 grants``."""
        standing = self.cells * PER_CELL * MACHINES
        grants = standing + self.people * PER_CELL
        return f"{self.cells * PER_CELL + MACHINES} assets, {standing} standing flows, {grants} grants"


FULL, TENTH = Size(cells=50, people=250), Size(cells=5, people=25)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both sizes and print them side by side."""
    parser = argparse.ArgumentParser(description="what size costs control")
    parser.add_argument("--quick", action="store_true", help="a tenth and a fiftieth of the size")
    parser.add_argument("--json", action="store_true", help="the rows as JSON instead of the table")
    options = parser.parse_args(argv)
    small, large = (Size(cells=1, people=5), TENTH) if options.quick else (TENTH, FULL)
    rows = measured(small, large)
    print(json.dumps(rows, indent=1) if options.json else text(rows, small, large))
    return 0


def measured(small: Size, large: Size) -> list[Row]:
    """One row a step, at both sizes.  The small one goes first, so that the peak of memory is the large one's."""
    figures = [{**of_policy(size), **asyncio.run(of_control(size))} for size in (small, large)]
    rows: list[Row] = []
    for step, before in figures[0].items():
        after = figures[1][step]
        rows.append({"bench": "scale", "step": step, "small_ms": before, "large_ms": after, "grows": after / before})
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*rows, {"bench": "scale", "step": "peak memory of this process", "large_mb": peak_mb}]


def text(rows: list[Row], small: Size, large: Size) -> str:
    """The table that a person reads."""
    lines = [f"small: {small.text}", f"large: {large.text}", ""]
    lines.append(f"{'STEP':<52}{'SMALL':>12}{'LARGE':>12}{'GROWS':>8}")
    for row in rows:
        if "grows" in row:
            lines.append(f"{row['step']:<52}{row['small_ms']:>9.2f} ms{row['large_ms']:>9.2f} ms{row['grows']:>7.1f}x")
        else:
            lines.append(f"{row['step']:<64}{row['large_mb']:>9.0f} MB")
    return "\n".join(lines)


# --- the site


def document(size: Size, *, note: int = 0) -> str:
    """A site document; `note` changes one conduit of it, as an edit would."""
    head = "site: large\noverlay: 100.64.0.0/14\nzones:\n  control: {networks: [10.0.0.0/24]}\n"
    return "".join((head, *_zones(size), "assets:\n", *_assets(size), "conduits:\n", *_conduits(size, note)))


def _zones(size: Size) -> Iterator[str]:
    for cell in range(size.cells):
        yield f"  cell-{cell}: {{networks: [10.1.{cell}.0/24]}}\n"


def _assets(size: Size) -> Iterator[str]:
    for number in range(MACHINES):
        mac = f"00:1d:9c:00:00:{number:02x}"
        yield f'  scada-{number}: {{zone: control, role: scada, address: 10.0.0.{10 + number}, mac: "{mac}"}}\n'
    for cell in range(size.cells):
        for number in range(PER_CELL):
            yield (
                f"  plc-{cell}-{number}: {{zone: cell-{cell}, role: plc, address: 10.1.{cell}.{10 + number}, "
                f"services: {{modbus: 502, web: {{protocol: https, port: 443}}}}, limits: {{connections: 8}}}}\n"
            )


def _conduits(size: Size, note: int) -> Iterator[str]:
    for cell in range(size.cells):
        limit, to = 100 + note if cell == 0 else 100, f"to: {{zone: cell-{cell}}}"
        write = f"{{write: {{holding_registers: 10-12, values: 0-{limit}}}}}"
        yield (
            f"  SCADA polls cell {cell}: {{from: {{role: scada}}, {to}, allow: {{modbus: [read]}}, on_failure: open, "
            "approved_by: safety@large, latency_budget: 5ms}\n"
            f"  Operators of cell {cell}: {{from: {{group: cell-{cell}}}, {to}, allow: {{modbus: [read, {write}]}}, "
            "require: {factors: two}}\n"
            f"  Maintainers of cell {cell}: {{from: {{group: maintainers}}, {to}, allow: {{tcp/443: any}}, "
            "require: {factors: two}}\n"
        )


def person(size: Size, number: int) -> Subject:
    """An operator of one cell."""
    return Subject(
        name=f"operator-{number}",
        kind=SubjectKind.PERSON,
        groups=frozenset({f"cell-{number % size.cells}"}),
        factors=frozenset({Factor.PASSWORD, Factor.TOTP}),
    )


# --- the policy


def of_policy(size: Size) -> dict[str, float]:
    """Milliseconds of each pure step."""
    found: dict[str, float] = {}
    written = document(size)
    read = _timed(found, "parse", lambda: parse({"site.yaml": written}))
    policy = _timed(found, "compile", lambda: compile_policy(read.site, 1))
    _timed(found, "check (compile, and the document's tests)", lambda: accept(read, 1))
    paths = _timed(found, "paths of machines", lambda: machine_paths(policy))
    assert len(paths) == size.cells * PER_CELL * MACHINES
    ruleset = _timed(found, "ruleset", lambda: compile_ruleset(policy, PLACE, ()))
    _timed(found, "render", lambda: render(ruleset))
    who = person(size, 0)
    _timed(found, "what one person can reach", lambda: reach(policy, who, Binding.ADDRESS, has_tls=False))
    return found


def _timed(found: dict[str, float], step: str, work: Callable[[], T]) -> T:
    """The best of three: what it costs, and not what else the machine did."""
    times: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        done = work()
        times.append((time.perf_counter() - began) * 1000)
    found[step] = min(times)
    return done


# --- control


class Silent:
    """A kernel, workers and evidence that take everything at once."""

    is_alive = is_healthy = is_synchronised = True
    size = 0

    async def command(self, command: Command) -> None:
        """In force."""

    async def publish(self, publication: Publication) -> None:
        """Told."""

    async def write(self, records: Sequence[Record], *, urgent: bool = False) -> range:
        """Durable."""
        return range(len(records), len(records) + urgent)

    def put(self, records: Sequence[Record]) -> bool:
        """Written."""
        return bool(records) or True


def now() -> Moment:
    """Both clocks of this machine."""
    return Moment(wall_us=time.time_ns() // 1000, steady_us=time.monotonic_ns() // 1000, boot="bench")


async def of_control(size: Size) -> dict[str, float]:
    """Milliseconds of each step of a gate's life at this size."""
    found: dict[str, float] = {}
    written = {"site.yaml": document(size)}
    with tempfile.TemporaryDirectory(prefix="penstock-scale-") as folder:
        gate = await _gate(Path(folder))
        with _clocked(found, "first start: open every machine's grant"):
            await gate.begin(written)
        with _clocked(found, "kernel joins"):
            await gate.revisions.synchronise(())
        found["open one grant (median of the last 100)"] = await _open_grants(gate, size)
        with _clocked(found, "revision that changes one conduit"):
            await gate.revisions.apply({"site.yaml": document(size, note=1)}, "bench")
        with _clocked(found, "kernel joins again"):
            await gate.revisions.synchronise(())
        with _clocked(found, "look for what has expired"):
            await gate.grants.sweep()
        await gate.store.close()
        gate = await _gate(Path(folder))
        with _clocked(found, "start again with every grant"):
            await gate.begin(written)
        standing = size.cells * PER_CELL * MACHINES
        assert len(gate.state.now.grants) == standing + size.people * PER_CELL, len(gate.state.now.grants)
        await gate.store.close()
    return found


async def _open_grants(gate: Gate, size: Size) -> float:
    """Open every person's grants through the front door; milliseconds of one when nearly all are there."""
    times: list[float] = []
    for number in range(size.people):
        subject = person(size, number)
        sign_in = await _signed_in(gate, subject)
        for controller in range(PER_CELL):
            asset = f"plc-{number % size.cells}-{controller}"
            source = f"10.0.{1 + number // 250}.{1 + number % 250}"
            began = time.perf_counter()
            asking = Asking(sign_in=sign_in, asset=asset, service="modbus", binding=Binding.ADDRESS, source=source)
            opened = await gate.grants.open(asking)
            times.append((time.perf_counter() - began) * 1000)
            assert isinstance(opened, LiveGrant), opened
    return median(times[-100:])


async def _signed_in(gate: Gate, subject: Subject) -> ActiveSignIn:
    moment = now()
    sign_in = ActiveSignIn(
        token_hash=secrets.token_hex(32),
        subject=subject,
        kind=SignInKind.CLIENT,
        source="10.0.0.99",
        opened_at_us=moment.wall_us,
        expires_at_us=moment.wall_us + 8 * 3600 * S,
        ends_steady_us=moment.steady_us + 8 * 3600 * S,
        boot=moment.boot,
    )
    await gate.subjects.add(subject.name, tuple(subject.groups), "bench")
    await gate.store.add_sign_in(sign_in)
    gate.state.put_sign_in(sign_in)
    return sign_in


async def _gate(folder: Path) -> Gate:
    names = ("gate.large.ot",)
    settings = GateSettings(
        state_dir=str(folder),
        run_dir=str(folder),
        site_path="",
        names=names,
        place=PLACE,
        portal=(Listener(host="127.0.0.1", port=0),),
        tunnel=(Listener(host="127.0.0.1", port=0),),
    )
    store, silent = Store(folder / "state.db"), Silent()
    await store.open()
    return Gate(
        Given(
            settings=settings,
            store=store,
            recorder=silent,
            enforcer=silent,
            workers=silent,
            authority=Authority(folder / "keys", names[0], names, now().wall_us),
            passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)),
            seal=Seal(bytes(32), secrets.token_bytes),
            clock=now,
            make_token=lambda: secrets.token_urlsafe(32),
            make_random=secrets.token_bytes,
            turn=asyncio.Lock(),
            locate=lambda _: "02:00:00:00:00:99",
        )
    )


@contextmanager
def _clocked(found: dict[str, float], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    found[step] = (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
