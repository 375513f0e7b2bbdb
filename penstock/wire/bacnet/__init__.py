"""BACnet/IP over UDP: what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from penstock.model import Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.bacnet.decoder import MAX_HELD_BYTES, BacnetDecoder
from penstock.wire.bacnet.dissector import BacnetDissector, BacnetNetworkDissector
from penstock.wire.bacnet.frames import BacnetFrame
from penstock.wire.bacnet.network import fits
from penstock.wire.bacnet.words import (
    PRIORITY_AXIS,
    PROPERTY_AXIS,
    read_objects,
    read_priorities,
    read_properties,
)
from penstock.wire.objects import Left, Objects
from penstock.wire.protocol import Limit, WireProtocol

__all__ = ["BACNET", "MAX_HELD_BYTES", "BacnetDecoder", "BacnetDissector", "BacnetFrame", "BacnetNetworkDissector"]


def _bare(name: str) -> str:
    """``present-value@8`` is a write to ``present-value``."""
    return name.partition("@")[0]


def _left(_operation: Operation, target: Target) -> Left:
    """A present value is what the highest priority wants, which need not be what was written (19.2)."""
    is_kept = target.values is not None and _bare(target.name) != "present-value"
    return Left.VALUES if is_kept else Left.UNKNOWN


BACNET: Final = WireProtocol(
    name="bacnet",
    title="BACnet/IP",
    refusal="Error, Reject or Abort; a negative result of the BVLL",
    unseen=(
        "BACnet/SC, IPv6 and MS/TP",
        "what private transfers mean",
        "a backup or restore that another flow began",
    ),
    ports=("udp/47808",),
    max_held_bytes=MAX_HELD_BYTES,
    limits=(
        Limit(
            key="objects",
            about="objects by type and instance; the type by its name in the standard, or a vendor's by its number",
            example="objects: [analog-value:1-5, binary-output:*]",
            classes=frozenset(
                {
                    Is.DISCOVERY,
                    Is.READ,
                    Is.WRITE,
                    Is.CONFIG,
                    Is.FILE_READ,
                    Is.FILE_WRITE,
                    Is.PROGRAM_FROM_DEVICE,
                    Is.PROGRAM_TO_DEVICE,
                }
            ),
            read=read_objects,
        ),
        Limit(
            key="properties",
            about="properties by their name in the standard, or a vendor's by its number",
            example="properties: [present-value, status-flags]",
            classes=frozenset({Is.READ, Is.WRITE, Is.CONFIG}),
            read=read_properties,
            axis=PROPERTY_AXIS,
        ),
        Limit(
            key="priorities",
            about="at which priorities may be written, 1 to 16; a write that names none is one at 16",
            example="priorities: 8-16",
            classes=frozenset({Is.WRITE, Is.CONFIG}),
            read=read_priorities,
            axis=PRIORITY_AXIS,
        ),
    ),
    datagrams=BacnetDecoder,
    dissectors=MappingProxyType({"udp": BacnetDissector, "llc/82": BacnetNetworkDissector}),
    fits=fits,
    column="BACnet-APDU",
    words=MappingProxyType({"inactive": 0, "active": 1, "off": 0, "on": 1, "null": "null", "relinquish": "null"}),
    objects=Objects(wide=frozenset({"all", "required", "optional"}), bare=_bare, has_parts=False, left=_left),
)
