"""Enforcement on flows: the transparent proxy and the tunnel.  It is given what judges; it never asks anybody.

Stands between the kernel, which steers flows to it, and `penstock.wire`, which reads them.
"""

from penstock.proxy.hall import Judge
from penstock.proxy.inspect import Inspection
from penstock.proxy.relay import Effect, End, Ending
from penstock.proxy.worker import run as run_worker

__all__ = ["Effect", "End", "Ending", "Inspection", "Judge", "run_worker"]
