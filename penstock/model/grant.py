"""A grant: a time-limited permission with a number, and the marks that carry the number in the kernel.

The number is the connection mark, the session's key and the evidence's key.  Only `penstock.control` mints grants.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.model.site import place_of
from penstock.model.subject import Binding, Subject

#: 32-bit connection mark: the low 24 bits are the grant number, the high bits say what kind of flow it is.
GRANT_MASK = 0x00FF_FFFF
PROXIED_BIT = 0x0100_0000
SAFETY_BIT = 0x0200_0000
COPIED_BIT = 0x0400_0000
UPSTREAM_BIT = 0x0800_0000
#: This flow alone is ended, whatever becomes of its grant: none of its packets passes any more.
ENDED_BIT = 0x4000_0000
#: It belongs to one station: its client's packets come from the hardware address that the grant names.
STATION_BIT = 0x8000_0000
#: Packet mark of packets that are delivered to the transparent proxy, and of probes that close revoked flows.
TPROXY_BIT = 0x1000_0000
PROBE_MARK = 0x2000_0000
#: Packet mark of worker 1's heartbeat, and its key in the `alive` set.
FIRST_WORKER_MARK = 0x1000_0001


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Permission for one subject to open flows to one service of one asset until `expires_at_us`.

    Times are microseconds since the Unix epoch.  `expires_at_us` is ``None`` only for a standing grant of a
    safety-critical machine conduit.  `source` is the address that an address-bound grant belongs to,
    `certificate` the SHA-256 (hex) of the client certificate that a certificate-bound grant belongs to.
    `last_port` makes `port` the first of a range; `overlay_port` is the one on the overlay address where that differs.
    `is_copied`: packets of its kernel path flows are copied into the payload store.
    """

    number: int
    subject: Subject
    asset: str
    service: str
    protocol: str
    transport: str
    port: int
    overlay: str
    underlay: str
    conduits: tuple[str, ...]
    binding: Binding
    revision: int
    opened_at_us: int
    expires_at_us: int | None
    idle_s: int
    is_inspected: bool
    is_safety_critical: bool = False
    source: str | None = None
    certificate: str | None = None
    last_port: int | None = None
    overlay_port: int | None = None
    is_copied: bool = False
    station_mac: str | None = None
    """The hardware address that an address-bound grant of a person belongs to, beside `source` (RFC 7042 form)."""

    @property
    def upstream_mark(self) -> int:
        """The mark of the worker's own sockets towards the asset; below 2**31, because setsockopt(2) takes an int."""
        return self.number | (SAFETY_BIT if self.is_safety_critical else 0) | UPSTREAM_BIT

    @property
    def reached_at(self) -> int:
        """The (first) port on the overlay address."""
        return self.port if self.overlay_port is None else self.overlay_port

    @property
    def at(self) -> str:
        """``tcp/502``, ``udp/5000-5010`` or ``icmp``: where the asset offers it."""
        return place_of(self.transport, self.port, self.last_port)

    @property
    def mark(self) -> int:
        """The grant number, with the bits that say what else the kernel must know of its flows."""
        safety = SAFETY_BIT if self.is_safety_critical else 0
        station = STATION_BIT if self.station_mac is not None else 0
        return self.number | safety | station | (COPIED_BIT if self.is_copied else 0)
