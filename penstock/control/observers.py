"""I/O: control's side of the observer: what it is told, and what was copied by nobody while there was none.

Stands beside `links`.  The observer is in nobody's way: no grant ever waits for it.  It must never call a file stored
before its record is on the disk.
"""

from __future__ import annotations

import asyncio
from typing import Final

from penstock.bus.channel import Link
from penstock.control.gate import Gate
from penstock.control.payload import payload_record
from penstock.control.ports import Clock, Recorder
from penstock.model import (
    CountTraffic,
    Done,
    Failed,
    Grant,
    Hello,
    ObserveGrants,
    PayloadLost,
    PayloadRemoved,
    PayloadStored,
    Site,
    Unavailable,
)

#: How often the grants are looked at: a copy waits two seconds for its grant to be known.
LOOK_S: Final = 0.1
#: Reading 50,000 flows takes some 0.5 s, in the background of everything else that the enforcer does.
COUNT_WITHIN_S: Final = 1.0
_COUNT_LOOK_S: Final = 0.02
NO_OBSERVER: Final = "no observer ran; what went by was counted by the kernel, and not copied"
UNCOUNTED: Final = "no observer ran before control did; what went by was not copied"


class Observers:
    """The one observer, while it is there, and the count of what passed while it was not."""

    def __init__(self, gate: Gate, recorder: Recorder, clock: Clock) -> None:
        self._gate, self._recorder, self._clock = gate, recorder, clock
        self._link: Link | None = None
        self._told: ObserveGrants | None = None
        #: The snapshot that was told of: ten thousand grants are not looked through while nothing changes.
        self._looked_at: object = None
        self._was_seen = False
        #: When the last observer left, and how many packets each copied grant had carried then.
        self._left_us = 0
        self._carried: dict[int, int] = {}
        self.is_counted = False
        """Whether it is known what had passed when the last observer left."""
        self._has_left, self._has_joined = asyncio.Event(), False

    def joined(self, link: Link, hello: Hello) -> None:
        """An observer said who it is; `mark` is 1 where it has just begun, and 0 where only control is new to it."""
        self._link, self._told = link, None
        self._has_joined = True
        self._was_seen = self._was_seen or not hello.mark

    def left(self, link: Link) -> None:
        """A link closed."""
        if link is self._link:
            self._link = None
            self._has_left.set()

    async def receive(self, report: PayloadStored | PayloadLost | PayloadRemoved) -> Done | Failed:
        """Record it; done means that it is on the disk."""
        try:
            await self._recorder.write([payload_record(report)])
        except Unavailable as error:
            return Failed(why=str(error))
        return Done()

    async def follow(self) -> None:
        """Tell the observer which grants are copied, and count what passes while there is none; until cancelled."""
        while True:
            if self._has_left.is_set():
                self._has_left.clear()
                self._left_us = self._clock().wall_us
                self._carried = await self._count()
                self.is_counted = True
            if self._has_joined:
                self._has_joined = False
                await self._settle()
            await self._tell()
            await asyncio.sleep(LOOK_S)

    async def _tell(self) -> None:
        link, now = self._link, self._gate.state.now
        if link is None or (now is self._looked_at and self._told is not None):
            return
        wanted = copied(self._gate)
        if wanted == self._told:
            self._looked_at = now
            return
        try:
            await link.ask(wanted)
        except Unavailable:
            link.close()
        else:
            self._told = wanted

    async def _settle(self) -> None:
        """An observer is there again: record what nobody copied."""
        now_us = self._clock().wall_us
        if self._left_us:
            carried = await self._count()
            for number, packets in carried.items():
                missed = packets - self._carried.get(number, 0)
                if missed > 0:
                    self._lose(number, missed, NO_OBSERVER, self._left_us, now_us)
        elif not self._was_seen:
            for number, packets in (await self._count()).items():
                if packets:
                    self._lose(number, None, UNCOUNTED, 0, now_us)
        self._left_us, self._carried, self._was_seen, self.is_counted = 0, {}, True, False

    def _lose(self, number: int, count: int | None, why: str, from_us: int, until_us: int) -> None:
        lost = PayloadLost(
            grant=number, count=count, why=why, is_stored=False, from_us=from_us, until_us=until_us, at_us=until_us
        )
        self._recorder.put([payload_record(lost)])

    async def _count(self) -> dict[int, int]:
        """Packets that each copied grant has carried until now, as far as the enforcer answers in time."""
        wanted = copied(self._gate)
        if not wanted.stored:
            return {}
        await count_traffic(self._gate)
        return {number: self._gate.sessions.tally(number).carried.packets for number in wanted.stored}


def copied(gate: Gate) -> ObserveGrants:
    """The grants whose packets the kernel copies, and which of them are kept."""
    now = gate.state.now
    grants = tuple(live.grant for _, live in sorted(now.grants.items()) if live.grant.is_copied)
    site = None if now.policy is None else now.policy.site
    return ObserveGrants(grants=grants, stored=tuple(grant.number for grant in grants if _is_kept(grant, site)))


def _is_kept(grant: Grant, site: Site | None) -> bool:
    conduits = () if site is None else site.conduits
    return any(conduit.records_payload and conduit.name in grant.conduits for conduit in conduits)


async def count_traffic(gate: Gate) -> bool:
    """Have the enforcer count what the open flows carry; whether it did so in time.

    Without a kernel there is no such flow, and nothing to wait for.
    """
    if not gate.settings.has_kernel:
        return True
    traffic, before_us = gate.events.traffic, gate.events.traffic.counted_at_us
    try:
        await gate.enforcer.command(CountTraffic())
    except Unavailable:
        return False
    for _ in range(int(COUNT_WITHIN_S / _COUNT_LOOK_S)):
        if traffic.counted_at_us != before_us:
            return True
        await asyncio.sleep(_COUNT_LOOK_S)
    return False
