"""Pure: which names there are, and who may know which.

Made whole out of what control publishes, and replaced whole.  A name that somebody may not know is not there for him.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address

import dns.exception
import dns.name

from penstock.model import Malformed, PublishNames

#: The gate's own name in the domain, where no asset has it.
GATE_LABELS = ("gate", "penstock-gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One state of the domain.

    `names` are labels in small letters with their addresses, `askers` the labels that a single address may know,
    `networks` are those whose machines may know all of them.  `revision` is the serial number of the zone.
    """

    domain: dns.name.Name
    revision: int
    gate: str
    gate_address: IPv4Address | None
    names: Mapping[str, IPv4Address]
    askers: Mapping[str, frozenset[str]]
    networks: tuple[IPv4Network, ...]

    @classmethod
    def of(cls, published: PublishNames) -> Directory:
        """What control published.  Raises `Malformed` where it is no directory."""
        try:
            names = {label.lower(): IPv4Address(address) for label, address in published.names}
            gate = next(label for label in (*GATE_LABELS, "") if label not in names)
            return cls(
                domain=dns.name.from_text(published.domain),
                revision=published.revision,
                gate=gate,
                gate_address=IPv4Address(published.gate_address) if published.gate_address else None,
                names=names,
                askers={source: frozenset(labels) for source, labels in published.askers},
                networks=tuple(IPv4Network(network) for network in published.networks),
            )
        except (ValueError, dns.exception.DNSException) as error:
            raise Malformed(f"not a directory of names: {error}") from error

    def known_to(self, source: str) -> frozenset[str] | None:
        """The labels that this address may know; ``None`` for one that may not ask at all."""
        try:
            address = ip_address(source)
        except ValueError:
            return None
        if isinstance(address, IPv4Address) and any(address in network for network in self.networks):
            return frozenset(self.names)
        return self.askers.get(source)
