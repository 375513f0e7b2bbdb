"""What is said of packets that nobody but the kernel carried: counts of flows, copies kept and copies lost.

Events of the enforcer and of the observer to control; see `penstock.model.message`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Flows on the kernel path, what they carried in both directions, and what of it their clients sent."""

    flows: int = 0
    packets: int = 0
    bytes: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFlowsFolded:
    """Flows of one grant that opened and closed in bulk since `since_us`, and are told together.

    `traffic` is what the closed ones carried.  Flows that failed open are never among them.
    """

    grant: int
    opened: int
    closed: int
    traffic: Traffic
    since_us: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficCounted:
    """What the flows that are open now have carried so far, by grant; `is_all`: grants that are missing have none."""

    open: dict[int, Traffic]
    is_all: bool
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsLost:
    """So many events were lost because nobody took them in time; of flows, what could be made good was told since."""

    count: int
    why: str
    opened: int
    closed: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadStored:
    """A file of copied packets is whole and on the disk: `sha256` (hex) of all its bytes is its name.

    `asset`, `subject` are empty for a grant that nobody knew when it was written.  `was_recovered`: its writer ended
    without closing it, and what was whole of it was kept.
    """

    grant: int
    subject: str
    asset: str
    first_us: int
    last_us: int
    packets: int
    bytes: int
    sha256: str
    size_bytes: int
    was_recovered: bool
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadLost:
    """Copies of packets that are missing: from the store, or, where they are stored (`is_stored`), from the decoding.

    `count` is ``None`` where nobody can know it, `grant` 0 where it is not known whose they were.
    """

    grant: int
    count: int | None
    why: str
    is_stored: bool
    from_us: int
    until_us: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadRemoved:
    """A file leaves the payload store: asked before it is removed."""

    sha256: str
    grant: int
    size_bytes: int
    why: str
    at_us: int
