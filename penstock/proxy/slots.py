"""Places on assets: how many connections an asset can bear, and who waits for the next one.

Pure.  A controller has a handful of connections; the one too many makes it refuse somebody who is needed.  So flows are
counted for each asset over all grants of a worker; one too many waits in order of arrival, and is refused when its time
is over.  A safety-critical flow is counted, but never waits and is never refused.  It must never let two flows take
the same place, and never let one that came later pass one that waits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from enum import Enum
from typing import Final, Protocol

from penstock.model import Asset, Grant, Json, Limits, Rate, Reason

#: Flows that may wait for one asset, and of these for one grant: each has a connection and up to 64 KiB.
MAX_WAITING: Final = 64
MAX_WAITING_OF_GRANT: Final = 16
_US_PER_S: Final = 1_000_000
_NO_LIMITS: Final = Limits()


class Shortage(Enum):
    """What an asset has too little of."""

    CONNECTIONS = "connections"
    OPENS = "opens"
    QUEUE = "queue"

    def detail(self, limits: Limits, waited_us: int = 0) -> dict[str, Json]:
        """What a record, and the client, should hear of it."""
        found: dict[str, Json] = {"shortage": self.value}
        if limits.connections is not None:
            found["connections"] = limits.connections
        if limits.opens is not None:
            found |= {"opens": limits.opens.count, "period_s": limits.opens.period_s}
        if limits.queue_s:
            found["queue_s"] = limits.queue_s
        return found | {"waited_us": waited_us} if waited_us else found


class Guest(Protocol):
    """A flow that wants a place."""

    grant: Grant

    def take_place(self, waited_us: int) -> None:
        """Your turn."""

    def hold_on(self, detail: dict[str, Json]) -> None:
        """Wait: there may be a place later."""

    def turn_away(self, reason: Reason, detail: dict[str, Json]) -> None:
        """No place for you."""


class Slots:
    """The places of all assets.  Times are microseconds since the epoch."""

    def __init__(self) -> None:
        self._limits: dict[str, Limits] = {}
        self._held: Counter[str] = Counter()
        self._opened: dict[str, deque[int]] = {}
        self._waiting: dict[str, deque[tuple[Guest, int]]] = {}

    @property
    def waiting(self) -> int:
        """How many flows wait, for all assets."""
        return sum(map(len, self._waiting.values()))

    @property
    def queues(self) -> dict[str, int]:
        """How many flows wait, by asset."""
        return {asset: len(queue) for asset, queue in self._waiting.items()}

    def held(self, asset: str) -> int:
        """How many places of this asset are taken here."""
        return self._held[asset]

    def limits(self, asset: str) -> Limits:
        """What this asset can bear."""
        return self._limits.get(asset, _NO_LIMITS)

    def set_limits(self, assets: Iterable[Asset]) -> None:
        """A revision says what its assets can bear.  What is taken stays taken."""
        self._limits = {asset.name: asset.limits for asset in assets if asset.limits != _NO_LIMITS}
        self._opened = {name: opened for name, opened in self._opened.items() if self.limits(name).opens}

    def ask(self, guest: Guest, now_us: int) -> None:
        """Ask for a place: the guest is told at once to take it, to wait, or that there is none."""
        asset = guest.grant.asset
        limits = self.limits(asset)
        shortage = self._shortage(asset, limits, now_us)
        if guest.grant.is_safety_critical or (shortage is None and asset not in self._waiting):
            self._take(guest, asset, limits, now_us, 0)
            return
        queue = self._waiting.get(asset, deque())
        same = sum(each.grant.number == guest.grant.number for each, _ in queue)
        shortage = shortage or Shortage.QUEUE
        if not limits.queue_s:
            guest.turn_away(Reason.ASSET_FULL, shortage.detail(limits))
        elif len(queue) >= MAX_WAITING or same >= MAX_WAITING_OF_GRANT:
            guest.turn_away(Reason.ASSET_FULL, Shortage.QUEUE.detail(limits))
        else:
            queue.append((guest, now_us))
            self._waiting[asset] = queue
            guest.hold_on(shortage.detail(limits))

    def leave(self, asset: str, now_us: int) -> None:
        """A place is free again."""
        self._held[asset] -= 1
        if self._held[asset] <= 0:
            del self._held[asset]
        self._serve(asset, now_us)

    def forget(self, guest: Guest) -> None:
        """This guest waits no more, if it did."""
        asset = guest.grant.asset
        queue = self._waiting.get(asset)
        if queue is not None:
            self._keep(asset, deque(each for each in queue if each[0] is not guest))

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: nobody waits longer for that, or shorter."""
        self._opened = {name: deque(at_us + step_us for at_us in opened) for name, opened in self._opened.items()}
        self._waiting = {
            name: deque((guest, since_us + step_us) for guest, since_us in queue)
            for name, queue in self._waiting.items()
        }

    def tick(self, now_us: int) -> None:
        """Some time went by: who has waited too long is turned away, and new connections may be due again."""
        for asset in list(self._waiting):
            self._serve(asset, now_us)
            self._expire(asset, now_us)

    def guests(self) -> list[Guest]:
        """Everybody who waits."""
        return [guest for queue in self._waiting.values() for guest, _ in queue]

    def _serve(self, asset: str, now_us: int) -> None:
        """Give free places to those who wait, in order of arrival."""
        limits = self.limits(asset)
        while (queue := self._waiting.get(asset)) and self._shortage(asset, limits, now_us) is None:
            guest, since_us = queue.popleft()
            self._keep(asset, queue)
            self._take(guest, asset, limits, now_us, now_us - since_us)

    def _expire(self, asset: str, now_us: int) -> None:
        limits = self.limits(asset)
        patience_us = limits.queue_s * _US_PER_S
        while (queue := self._waiting.get(asset)) and now_us - queue[0][1] >= patience_us:
            guest, since_us = queue.popleft()
            self._keep(asset, queue)
            shortage = self._shortage(asset, limits, now_us) or Shortage.QUEUE
            guest.turn_away(Reason.ASSET_FULL, shortage.detail(limits, now_us - since_us))

    def _take(self, guest: Guest, asset: str, limits: Limits, now_us: int, waited_us: int) -> None:
        self._held[asset] += 1
        if limits.opens is not None:
            self._opened.setdefault(asset, deque()).append(now_us)
        guest.take_place(max(0, waited_us))

    def _keep(self, asset: str, queue: deque[tuple[Guest, int]]) -> None:
        """A queue without anybody is none."""
        if queue:
            self._waiting[asset] = queue
        else:
            self._waiting.pop(asset, None)

    def _shortage(self, asset: str, limits: Limits, now_us: int) -> Shortage | None:
        if limits.connections is not None and self._held[asset] >= limits.connections:
            return Shortage.CONNECTIONS
        if limits.opens is not None and self._recent(asset, limits.opens, now_us) >= limits.opens.count:
            return Shortage.OPENS
        return None

    def _recent(self, asset: str, rate: Rate, now_us: int) -> int:
        opened = self._opened.get(asset)
        if opened is None:
            return 0
        while opened and opened[0] <= now_us - rate.period_s * _US_PER_S:
            opened.popleft()
        return len(opened)
