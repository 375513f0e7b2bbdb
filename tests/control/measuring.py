"""What processes tell of latency, second by second, for tests of what follows from it."""

from __future__ import annotations

from control_world import SITE, World

from penstock.bus.histogram import bucket_of
from penstock.control.conduits import ConduitNow
from penstock.model import LatencyMeasured, WorkerMeasured

POLLS = "SCADA polls the filters"
OPERATORS = "Operators look at the filters"
BUDGET = "    approved_by: safety.officer@riverside\n    latency_budget: 5ms\n    on_overload: step-aside\n"
BUDGETED = SITE.replace("    approved_by: safety.officer@riverside\n", BUDGET)
FAST, SLOW = bucket_of(100), bucket_of(9_000)


def latency(conduit: str = POLLS, *, fast: int = 0, slow: int = 0, path: str = "inspected") -> LatencyMeasured:
    counts = {bucket: count for bucket, count in ((FAST, fast), (SLOW, slow)) if count}
    return LatencyMeasured(conduit=conduit, path=path, total=counts, own=counts if path == "inspected" else {}, at_us=0)


def worker(world: World, *, lag: dict[int, int] | None = None, flows: bool = True) -> WorkerMeasured:
    number = world.machine("scada-1").number
    return WorkerMeasured(
        mark=0x1000_0001, pid=7, lag=lag or {5: 40}, flows={number: 2} if flows else {}, queues={}, at_us=0
    )


async def second(world: World, *events: object, is_worker_heard: bool = True) -> None:
    """A second in which these were told."""
    world.clock.pass_s(1)
    for event in (*events, *([worker(world)] if is_worker_heard else [])):
        world.recorder.put(world.gate.events.records_of(event))  # type: ignore[arg-type]  # events all
    await world.gate.overload.sweep()


def now(world: World, name: str = POLLS) -> ConduitNow:
    return next(each for each in world.gate.conduits.now() if each.name == name)
