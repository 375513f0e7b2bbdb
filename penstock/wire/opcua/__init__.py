"""OPC UA over TCP in UA Binary: what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from penstock.wire.opcua.decoder import OpcUaDecoder
from penstock.wire.opcua.dissector import OpcUaDissector, fits
from penstock.wire.opcua.frames import OpcUaFrame
from penstock.wire.opcua.limits import LIMITS
from penstock.wire.opcua.transport import MAX_MESSAGE_BYTES
from penstock.wire.protocol import WireProtocol

__all__ = ["OPCUA", "OpcUaDecoder", "OpcUaDissector", "OpcUaFrame"]

OPCUA: Final = WireProtocol(
    name="opcua",
    title="OPC UA",
    refusal="ServiceFault; in a signed or encrypted channel an Error message that ends it",
    unseen=(
        "what is inside encrypted channels that the gate does not terminate",
        "HTTPS, WebSockets and PubSub",
        "values of subscriptions are not assigned to nodes",
    ),
    ports=("tcp/4840",),
    column="OpcUa",
    fits=fits,
    dissectors=MappingProxyType({"tcp": OpcUaDissector}),
    max_held_bytes=MAX_MESSAGE_BYTES,
    # A request has 58 bytes at least; reads and writes of some 50 nodes are usual.
    portion_bytes=2_560,
    limits=LIMITS,
    streams=OpcUaDecoder,
    words=MappingProxyType({"true": 1, "false": 0}),
)
