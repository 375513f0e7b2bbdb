"""What both kinds of flow have in common: bytes in, and what is to be done with them out.

Pure.  `penstock.proxy.inspect` is the kind that reads what it forwards; `RawRelay` forwards what it cannot read, for
services that are enforced on addresses and ports.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from penstock.model import Grant, HoldDecided, Reason
from penstock.proxy.meter import Transaction

#: No expiry: later than any clock.
NEVER_US = 1 << 62
#: As much as comes.
ALL_BYTES = 1 << 30
#: Of a flow whose ends say nothing of themselves, or whose protocol says it in its operations.
NOTHING_TOLD: Final[Mapping[str, str]] = MappingProxyType({})


class End(StrEnum):
    """Who or what ended a flow."""

    CLIENT = "client"
    ASSET = "asset"
    GATE = "gate"
    IDLE = "idle"
    UNREACHABLE = "asset_unreachable"


class Ending(msgspec.Struct, frozen=True):
    """How a flow ended; `reason` is set when the gate ended it, `why` says more to people."""

    by: End
    reason: Reason | None = None
    why: str = ""

    @property
    def reason_of_rest(self) -> Reason:
        """Why what still waits in the flow is never sent on."""
        if self.reason is not None:
            return self.reason
        return Reason.SENDER_GONE if self.by is End.CLIENT else Reason.ASSET_GONE


class Effect(msgspec.Struct, gc=False):
    """What to write to either end, and whether the flow ends after that.

    `transactions` are those that begin with `to_asset` or end with `to_client`: writing is part of what they take.
    """

    to_asset: bytes = b""
    to_client: bytes = b""
    ending: Ending | None = None
    transactions: tuple[Transaction, ...] = ()


class Relay(Protocol):
    """One flow between a client and an asset.  Times are microseconds since the epoch."""

    portion_bytes: int
    """What it is given of the client's bytes in one turn of the event loop: judging takes time, others wait."""

    @property
    def told(self) -> Mapping[str, str]:
        """What the ends said of themselves in clear text (``client_banner``), for the record of the flow's end."""

    @property
    def frames(self) -> int:
        """How many requests were forwarded."""

    @property
    def refused(self) -> int:
        """How many requests were refused."""

    def from_client(self, data: bytes, now_us: int) -> Effect:
        """What follows from bytes of the client."""

    def from_asset(self, data: bytes, now_us: int) -> Effect:
        """What follows from bytes of the asset."""

    def tick(self, now_us: int) -> Ending | None:
        """Whether time alone ends the flow.  Call it some times a second."""

    def lapse(self, now_us: int) -> Effect | None:
        """What follows for requests that are held: their time is over, or the policy is another.  After `tick`."""

    def decide(self, decided: HoldDecided, now_us: int) -> Effect | None:
        """What follows from a decision about a held request; ``None`` where it is held no longer, or never was."""

    @property
    def is_holding(self) -> bool:
        """Whether a request is held: then the client waits, and is not idle."""

    def withdraw(self, now_us: int) -> None:
        """The client sends no more: what it has waiting is never sent on."""

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much."""

    def renew(self, grant: Grant) -> None:
        """The grant was published again, or the policy was: nothing that was decided before holds."""

    def settle(self, now_us: int, reason: Reason | None = None) -> None:
        """The flow has ended, for this reason of the gate or for none: write down what is still open."""

    @property
    def is_waiting(self) -> bool:
        """Whether the asset still owes answers."""


def expiry_us(grant: Grant) -> int:
    """When the grant ends."""
    return NEVER_US if grant.expires_at_us is None else grant.expires_at_us


class HoldsNothing:
    """A relay in which no request waits for a second person, and whose ends are as open as they say."""

    is_holding = False

    def lapse(self, now_us: int) -> None:
        """Nothing is held."""

    def decide(self, decided: HoldDecided, now_us: int) -> None:
        """Nothing is held."""

    def withdraw(self, now_us: int) -> None:
        """Nothing is held."""

    def stepped(self, step_us: int) -> None:
        """There is nothing whose time would count."""

    @property
    def is_waiting(self) -> bool:
        """Nobody knows."""
        return True


class RawRelay(HoldsNothing):
    """Forwards everything while its grant lives."""

    told: Mapping[str, str] = NOTHING_TOLD

    def __init__(self, grant: Grant) -> None:
        self.frames = self.refused = 0
        self.portion_bytes = ALL_BYTES
        self._live_until_us = expiry_us(grant)

    def from_client(self, data: bytes, now_us: int) -> Effect:
        """Bytes for the asset."""
        ending = self.tick(now_us)
        return Effect(data) if ending is None else Effect(ending=ending)

    def from_asset(self, data: bytes, now_us: int) -> Effect:
        """Bytes for the client."""
        ending = self.tick(now_us)
        return Effect(b"", data) if ending is None else Effect(ending=ending)

    def tick(self, now_us: int) -> Ending | None:
        """The grant may have expired."""
        return None if now_us < self._live_until_us else Ending(End.GATE, Reason.GRANT_EXPIRED)

    def renew(self, grant: Grant) -> None:
        """The grant's expiry may have moved."""
        self._live_until_us = expiry_us(grant)

    def settle(self, now_us: int, reason: Reason | None = None) -> None:
        """There is nothing open."""


class ShutRelay(HoldsNothing):
    """A flow that cannot be inspected as it should be: nothing of it passes, and the first byte ends it."""

    told: Mapping[str, str] = NOTHING_TOLD

    def __init__(self, inner: Relay, why: str) -> None:
        self._inner, self._why = inner, why
        self.portion_bytes = inner.portion_bytes
        self.frames = self.refused = 0

    def from_client(self, data: bytes, now_us: int) -> Effect:  # noqa: ARG002 - a relay's
        """Nothing."""
        return Effect(ending=Ending(End.GATE, Reason.INSPECTION_UNAVAILABLE, self._why))

    from_asset = from_client

    def tick(self, now_us: int) -> Ending | None:
        """See `Relay.tick`."""
        return self._inner.tick(now_us)

    def renew(self, grant: Grant) -> None:
        """See `Relay.renew`."""
        self._inner.renew(grant)

    def settle(self, now_us: int, reason: Reason | None = None) -> None:
        """See `Relay.settle`."""
        self._inner.settle(now_us, reason)
