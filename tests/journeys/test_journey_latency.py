"""A worker that cannot keep up: what the gate says of its own time, and how a safe conduit leaves its way."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_journey_failures import longest_gap_s, verified, wait_for_record
from works import Works

from penstock.lab.layout import SITE_PATH

POLLS, ARCHIVES = "SCADA polls the filters", "The historian archives the dosing"
APPROVED = "    approved_by: safety.officer@riverside\n"


@pytest.fixture
def site_text() -> str:
    """Both machines' conduits have a budget; only the safety-critical one may step aside."""
    text = SITE_PATH.read_text()
    budget = "    latency_budget: 50ms\n"
    text = text.replace(APPROVED, f"{APPROVED}{budget}    on_overload: step-aside\n")
    return text.replace("    on_failure: closed\n", f"    on_failure: closed\n{budget}")


def conduits(works: Works) -> dict[str, dict[str, Any]]:
    done = works.gate.command("conduits", "--json", station=works.plant.nodes["gate"])
    assert done.status == 0, done.said
    return {each["conduit"]: each for each in json.loads(done.printed)["conduits"]}


def own(conduit: dict[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = conduit["measured"]["inspected"]["start"]["own"]
    return figures


def metrics(works: Works) -> dict[tuple[str, ...], float]:
    """Every sample of the page, by name and values of its labels, read by Prometheus's own parser."""
    done = works.gate.command("metrics", station=works.plant.nodes["gate"])
    assert done.status == 0, done.said
    families = text_string_to_metric_families(done.printed)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@contextmanager
def slowed(pid: int, stop_s: float = 0.15, go_s: float = 0.2) -> Iterator[None]:
    """A worker that gets the processor in turns only: too slow to keep a budget, alive enough to beat."""
    is_over = threading.Event()

    def turns() -> None:
        while not is_over.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(stop_s)
            os.kill(pid, signal.SIGCONT)
            is_over.wait(go_s)

    thread = threading.Thread(target=turns)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def answered_since(works: Works, poller: str, since: float) -> int:
    return sum(line["ok"] for line in works.plant.polls(poller).lines() if line["at"] >= since)


def test_an_overloaded_worker_loses_the_safety_critical_conduit_until_somebody_brings_it_back(works: Works) -> None:
    gate = works.gate
    gate.wait(lambda: own(conduits(works)[POLLS])["count"] >= 3, "transactions to be measured", 20)
    before = conduits(works)[POLLS]
    assert (before["path"], before["mode"], before["budget_us"]) == ("inspected", "open", 50_000)
    assert before["flows"]["inspected"] >= 1
    whole = before["measured"]["inspected"]["start"]["total"]
    assert 0 < own(before)["p50_us"] <= whole["p50_us"]

    worker, since = gate.pid("worker-1"), time.time()
    assert worker is not None
    with slowed(worker):
        (record, *_) = wait_for_record(works, "--kind", "conduit.stood_aside")
        assert (record["detail"]["conduit"], record["detail"]["by"]) == (POLLS, "the latency budget")
        gate.wait(lambda: conduits(works)[POLLS]["flows"]["kernel"] >= 1, "flows on the kernel path", 20)
        aside, other = conduits(works)[POLLS], conduits(works)[ARCHIVES]
        assert (aside["path"], other["path"]) == ("aside", "inspected"), "what may not fail open stays inspected"
        slow_since = time.time()
        assert longest_gap_s(works, slow_since, "plc-filter-1") < 1.5
        assert gate.pid("worker-1") == worker, "it was slow, not dead"
    assert longest_gap_s(works, since, "plc-filter-1") < 1.5

    shown = gate.command("conduits", station=works.plant.nodes["gate"])
    assert f"“{POLLS}” stands aside, uninspected: " in shown.said
    assert metrics(works)["penstock_conduit_aside", POLLS] == 1
    back = gate.command("conduits", "return", POLLS, station=works.plant.nodes["gate"])
    assert back.status == 0, back.said
    counted = own(conduits(works)[POLLS])["count"]
    gate.wait(lambda: own(conduits(works)[POLLS])["count"] >= counted + 3, "inspection again", 20)
    assert conduits(works)[POLLS]["path"] == "inspected"
    (returned,) = wait_for_record(works, "--kind", "conduit.stood_back")
    assert returned["detail"]["conduit"] == POLLS
    assert metrics(works)["penstock_conduit_aside", POLLS] == 0
    assert metrics(works)["penstock_own_seconds_count", POLLS] >= counted + 3
    again = gate.command("conduits", "return", POLLS, station=works.plant.nodes["gate"])
    assert (again.status, "does not stand aside" in again.said) == (2, True)
    assert not works.gate.records("process.ended")
    assert verified(works)


def test_a_run_of_the_gate_as_it_should_be_is_within_its_budget(works: Works) -> None:
    """Measured, not assumed: of some hundred transactions the median of the gate's share is far below the budget."""
    gate = works.gate
    gate.wait(lambda: own(conduits(works)[ARCHIVES])["count"] >= 5, "transactions to be measured", 30)
    found = conduits(works)
    for name in (POLLS, ARCHIVES):
        figures = own(found[name])
        assert figures["p50_us"] < 50_000
        assert found[name]["path"] == "inspected"
    page = metrics(works)
    counted = page["penstock_own_seconds_count", ARCHIVES]
    assert page["penstock_own_seconds_bucket", ARCHIVES, "+Inf"] == counted >= 5
    assert page["penstock_loop_lag_seconds_count",] > 40
    assert page["penstock_inspection_alive",] == 1
    assert Path(works.gate.run_dir / "admin.sock").stat().st_mode & 0o777 == 0o600
