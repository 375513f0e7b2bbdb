"""EtherNet/IP and CIP over TCP and UDP: what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from penstock.wire.enip.connections import Connections
from penstock.wire.enip.datagrams import EnipDatagrams
from penstock.wire.enip.decoder import MAX_HELD_BYTES, EnipDecoder, EnipFrame, fits
from penstock.wire.enip.dissector import EnipDissector
from penstock.wire.enip.words import LIMITS
from penstock.wire.protocol import Between, WireProtocol

__all__ = ["ENIP", "Connections", "EnipDatagrams", "EnipDecoder", "EnipDissector", "EnipFrame"]


def _between() -> Between:
    """Implicit data over UDP mean what their opening over TCP said."""
    connections = Connections()
    return Between(
        streams=lambda: EnipDecoder(connections),
        datagrams=lambda: EnipDatagrams(connections),
        dissectors={
            "tcp": lambda: EnipDissector(connections),
            "udp": lambda: EnipDissector(connections, is_datagrams=True),
        },
    )


ENIP: Final = WireProtocol(
    name="enip",
    title="EtherNet/IP (CIP)",
    refusal="CIP general status, PCCC status, or encapsulation status",
    unseen=(
        "names behind numbers of tags that no list told",
        "what is inside structures, project fragments and firmware",
        "CIP Security (TLS, DTLS)",
        "connections that were opened on another flow",
    ),
    ports=("tcp/44818", "udp/44818", "udp/2222"),
    max_held_bytes=MAX_HELD_BYTES,
    # A command has 24 bytes at least; what is sent without a large connection has some 600 at most.
    portion_bytes=1_280,
    limits=LIMITS,
    fits=fits,
    dissectors={"tcp": EnipDissector, "udp": lambda: EnipDissector(is_datagrams=True)},
    column="ENIP",
    streams=EnipDecoder,
    datagrams=EnipDatagrams,
    between=_between,
    words=MappingProxyType({"on": 1, "off": 0, "true": 1, "false": 0}),
)
