"""Pure: ARP frames that ask whether an address is free, and that announce one (RFC 826, RFC 5227).

Stands behind `penstock.kernel.aliases`, which sends and receives them.  It must never make a frame that claims an
address before it is known to be free: a probe's sender address is 0.0.0.0.
"""

from __future__ import annotations

import struct
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address

ETHERTYPE = 0x0806
_BROADCAST = b"\xff" * 6
_NOBODY = b"\0" * 6
_UNSPECIFIED = IPv4Address(0)
_REQUEST, _REPLY = 1, 2
#: Ethernet: to, from, type.  ARP: hardware 1, protocol IPv4, lengths 6 and 4, operation, sender, target.
_FRAME = struct.Struct("!6s6sH HHBBH 6s4s6s4s")
_KIND = (1, 0x0800, 6, 4)


def probe(hardware: bytes, address: IPv4Address) -> bytes:
    """Is somebody using this address?  (RFC 5227 section 2.1.1)"""
    return _request(hardware, _UNSPECIFIED, address)


def announcement(hardware: bytes, address: IPv4Address) -> bytes:
    """This address is mine from now on.  (RFC 5227 section 2.3)"""
    return _request(hardware, address, address)


def holder_of(frame: bytes, own: bytes, asked: AbstractSet[IPv4Address]) -> tuple[IPv4Address, str] | None:
    """Which of the `asked` addresses somebody else uses, or probes for as well, and its hardware address.

    ``None`` for every other frame, whatever it holds.
    """
    if len(frame) < _FRAME.size:
        return None
    _, _, ethertype, *kind, operation, hardware, sender, _, target = _FRAME.unpack_from(frame)
    if ethertype != ETHERTYPE or tuple(kind) != _KIND or operation not in {_REQUEST, _REPLY} or hardware == own:
        return None
    claimed, wanted = IPv4Address(sender), IPv4Address(target)
    if claimed in asked:
        return claimed, hardware.hex(":")
    if claimed == _UNSPECIFIED and operation == _REQUEST and wanted in asked:
        return wanted, hardware.hex(":")
    return None


def _request(hardware: bytes, sender: IPv4Address, target: IPv4Address) -> bytes:
    return _FRAME.pack(
        _BROADCAST, hardware, ETHERTYPE, *_KIND, _REQUEST, hardware, sender.packed, _NOBODY, target.packed
    )
