"""What the flows of live grants have carried, asked of the kernel when an administrator looks.

Stands beside `admin`.  An enforcer that does not answer in time makes the figures old, never the page slow.
"""

from __future__ import annotations

import asyncio

from penstock.control import Gate
from penstock.model import CountTraffic, Json, Unavailable

#: Reading 50,000 flows takes some 0.5 s, in the background of everything else that the enforcer does.
PATIENCE_S = 1.0
_LOOK_S = 0.02


async def count(gate: Gate) -> bool:
    """Have the open flows counted; whether the figures are those of now."""
    traffic, before_us = gate.events.traffic, gate.events.traffic.counted_at_us
    try:
        await gate.enforcer.command(CountTraffic())
    except Unavailable:
        return False
    for _ in range(int(PATIENCE_S / _LOOK_S)):
        if traffic.counted_at_us != before_us:
            return True
        await asyncio.sleep(_LOOK_S)
    return False


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
