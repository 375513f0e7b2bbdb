"""I/O: what the benchmarks with a plant have in common: the plant, one measurement, what it was measured on."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import processes
from plant import HERE, WARM_UP_S, Plant, Way, far_core, gate_core
from report import Load, Row, Run

from penstock.model import PenstockError

#: Where results are kept.
OUT: Final = HERE / "out"


@contextmanager
def plant_of_this_run() -> Iterator[Plant]:
    """A plant that ends with the block; what its programs printed is kept when something fails."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        plant = Plant(Path(folder))
        try:
            yield plant
        except PenstockError:
            kept = OUT / "failed"
            shutil.rmtree(kept, ignore_errors=True)
            with suppress(shutil.Error):  # files of running programs come and go
                shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sock", "*.key", "*.pem"))
            print(f"bench: what the programs printed is kept in {kept}", file=sys.stderr)
            raise
        finally:
            plant.close()


def one_run(plant: Plant, way: Way, load: Load) -> Run:
    """Load a way once; with the processor time of the processes that carry it."""
    before_us = processes.cpu_us(pid for process in way.processes for pid in processes.family(process))
    figures = plant.measure(way, load)
    spent_us = processes.cpu_us_since(before_us)
    # The warm-up is loaded alike but not counted.
    requests = figures["per_s"] * (load.seconds + WARM_UP_S)
    return Run(variant=way.variant, load=load, figures=figures, cpu_us=spent_us / requests if before_us else None)


def machine() -> Row:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return {
        "bench": "machine",
        "variant": "machine",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "processor": model,
        "cores": os.cpu_count(),
        "client_core": far_core(),
        "gate_core": gate_core(),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
