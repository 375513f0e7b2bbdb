"""What the flows of live grants have carried, for `admin`.

An enforcer that does not answer in time makes the figures old, never the page slow.
"""

from __future__ import annotations

from penstock.control import Gate
from penstock.model import Json


def traffic_of(gate: Gate, number: int) -> dict[str, Json]:
    """What a grant's flows have carried over the kernel path since control started, the open ones included."""
    tally = gate.sessions.tally(number)
    carried = tally.carried
    return {
        "flows": tally.flows,
        "kernel_flows_open": tally.open.flows,
        "packets": carried.packets,
        "bytes": carried.bytes,
        "packets_sent": carried.packets_sent,
        "bytes_sent": carried.bytes_sent,
        "flows_uncounted": tally.uncounted,
    }
