"""The count of open flows: right in the end, and no larger than what is open."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from control_world import World, play
from hypothesis import given
from hypothesis import strategies as st

from penstock.control.live_flows import LiveFlows
from penstock.control.observers import count_traffic
from penstock.control.state import State
from penstock.model import KernelFlowClosed, KernelFlowOpened


def _events(number: int) -> tuple[KernelFlowOpened, KernelFlowClosed]:
    ends = {"source": "10.20.0.13", "overlay": "100.64.10.12", "port": 502, "at_us": 0, "source_port": 4000}
    return (
        KernelFlowOpened(grant=number, has_failed_open=False, **ends),  # type: ignore[arg-type]
        KernelFlowClosed(grant=number, packets=1, bytes=1, has_failed_open=False, **ends),  # type: ignore[arg-type]
    )


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), max_size=40))
def test_grants_whose_flows_have_all_ended_are_not_remembered(opened: list[tuple[int, int]]) -> None:
    """Nobody has to look for that: a gate runs for years, and its numbers are used up."""
    flows = LiveFlows(State())
    for number, count in opened:
        for _ in range(count):
            flows.hear(_events(number)[0])
    assert set(flows._kernel) == {number for number, _ in opened}
    for number, count in opened:
        for _ in range(count):
            flows.hear(_events(number)[1])
    assert not flows._kernel


def test_without_a_kernel_there_is_nothing_to_count_and_nobody_waits_for_it(world: World) -> None:
    async def scenario(world: World) -> None:
        world.gate.settings = replace(world.gate.settings, has_kernel=False)
        world.steps.clear()
        assert await asyncio.wait_for(count_traffic(world.gate), 60)
        assert "enforcer CountTraffic" not in world.steps

    play(world, scenario)
