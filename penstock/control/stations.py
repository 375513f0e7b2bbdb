"""Grants that are bound to a station: they end when another machine takes its address, and when nobody uses them.

The weakest binding there is: address, hardware address, segment.  The kernel drops every packet that does not fit; this
ends the grants behind it.  It must never touch a machine's own grant, nor one that is bound to a certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from penstock.control.grants import Grants
from penstock.control.ports import US_PER_S, Clock, Enforcer
from penstock.control.rows import LiveGrant
from penstock.control.sessions import Sessions
from penstock.control.state import State
from penstock.model import Binding, CountTraffic, FlowsRefused, Reason, Record, Unavailable

#: How often the kernel is asked what these grants carry: the idle time of a grant is exact to this.
LOOK_US = 20 * US_PER_S


class Stations:
    """Watches the grants that are bound to stations."""

    def __init__(
        self,
        *,
        state: State,
        grants: Grants,
        sessions: Sessions,
        enforcer: Enforcer,
        counted_at_us: Callable[[], int],
        clock: Clock,
    ) -> None:
        """`counted_at_us` tells when the totals of `sessions` were counted last."""
        self._state, self._grants, self._sessions, self._clock = state, grants, sessions, clock
        self._enforcer, self._counted_at_us = enforcer, counted_at_us
        self._moved: set[str] = set()
        self._carried: dict[int, int] = {}
        self._used_us: dict[int, int] = {}
        self._looked_us = self._known_us = 0

    def refused(self, event: FlowsRefused) -> None:
        """Packets came from a station's address, but not from the station."""
        if event.reason == Reason.STATION_CHANGED.value:
            self._moved.add(event.source)

    def passed(self, record: Record) -> None:
        """A record of the worker: its flow is in use."""
        if record.grant in self._used_us:
            self._used_us[record.grant] = self._clock().steady_us

    async def sweep(self) -> None:
        """Each second: end what another machine has taken, and now and then what nobody uses."""
        bound, now_us = self._bound(), self._clock().steady_us
        moved, self._moved = self._moved, set()
        taken = tuple(number for number, live in bound.items() if live.grant.source in moved)
        if taken:
            await self._grants.close_all(taken, Reason.STATION_CHANGED, "another hardware address")
        self._used_us = {number: self._used_us.get(number, now_us) for number in bound}
        self._carried = {number: carried for number, carried in self._carried.items() if number in bound}
        if bound and now_us - self._looked_us >= LOOK_US:
            self._looked_us = now_us
            if self._counted_at_us() != self._known_us:
                self._known_us = self._counted_at_us()
                await self._end_idle(bound, now_us)
            with suppress(Unavailable):  # nobody knows what they carry then: they go on to their own end
                await self._enforcer.command(CountTraffic())

    async def _end_idle(self, bound: dict[int, LiveGrant], now_us: int) -> None:
        for number in bound:
            carried = self._sessions.tally(number).carried.packets
            if carried != self._carried.get(number, 0):
                self._carried[number], self._used_us[number] = carried, now_us
        idle = tuple(
            number
            for number, live in bound.items()
            if number in self._used_us and now_us - self._used_us[number] >= live.grant.idle_s * US_PER_S
        )
        await self._grants.close_all(idle, Reason.STATION_IDLE)

    def _bound(self) -> dict[int, LiveGrant]:
        return {
            number: live
            for number, live in self._state.now.grants.items()
            if live.sign_in is not None and live.grant.binding is Binding.ADDRESS
        }
