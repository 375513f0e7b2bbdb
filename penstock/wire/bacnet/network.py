"""The layers below a BACnet service: BVLL (how it crosses IP) and NPDU (which network it is for).

Pure.  ANSI/ASHRAE 135-2020, annex J.2 (BVLL) and clause 6.2 (NPDU).  Every length must be exactly what the layer says;
what is not is `Malformed`, and what does not begin as a BACnet/IP message is `WrongProtocol`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from penstock.model import Malformed
from penstock.wire.bacnet import codes
from penstock.wire.decoder import Side, WrongProtocol

#: J.2: the type of BACnet/IP over IPv4, function, and the length of the whole datagram.
BVLL_TYPE: Final = 0x81
_BVLL_BYTES: Final = 4
#: An address of B/IP: IPv4 and port (J.1.2).  A BDT entry has a mask behind it, an FDT entry two times.
ADDRESS_BYTES: Final = 6
ENTRY_BYTES: Final = 10
#: What stands behind the header of functions that carry no network message: at least, and a multiple of what.
_SIZES: Final = {
    codes.BVLC_RESULT: (2, 0),
    codes.WRITE_BDT: (0, ENTRY_BYTES),
    codes.READ_BDT: (0, 0),
    codes.READ_BDT_ACK: (0, ENTRY_BYTES),
    codes.REGISTER: (2, 0),
    codes.READ_FDT: (0, 0),
    codes.READ_FDT_ACK: (0, ENTRY_BYTES),
    codes.DELETE_FDT: (ADDRESS_BYTES, 0),
}
#: 6.2.2: the bits of the control octet.
_VERSION: Final = 1
_IS_MESSAGE: Final = 0x80
_HAS_DESTINATION: Final = 0x20
_HAS_SOURCE: Final = 0x08
_RESERVED: Final = 0x50
_PRIORITY: Final = 0x03
#: 6.2.2.1: network and length of an address; the network of everyone.
_NETWORK_BYTES: Final = 3
ALL_NETWORKS: Final = 0xFFFF
_MAX_ADDRESS_BYTES: Final = 18
#: 6.2.4: a vendor's network message has the vendor's number behind its type.
_VENDOR_MESSAGES: Final = 0x80
_VENDOR_MESSAGE_BYTES: Final = 3
_NO_MESSAGE: Final = -1


class Scope(msgspec.Struct, frozen=True, gc=False):
    """For whom a message is.

    `unit` is the network of the device (of its sender where the asset sends), 0 the asset's own.  `station` is the
    device's address there in hexadecimal.  `is_shared`: more than one device is meant (6.2.2.1; what a BBMD forwards
    was a broadcast as well, J.4.5).  `relay` says what the asset is to do for others than the one who sent it: pass a
    ``broadcast`` on, take a message for ``forwarded``, or answer to another ``station``; else it is empty.
    """

    unit: int = 0
    station: str = ""
    is_shared: bool = False
    relay: str = ""


#: For the asset itself, from its peer.
ASSET: Final = Scope()


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Where a message comes from and goes to, and where its content begins.

    `function` is that of the BVLL.  `at` is where the APDU, the content of a network message, or that of a BVLL
    function begins.  `destination` and `source` are network (2 bytes), length (1) and address as they stand in the
    NPDU, empty where it has none.  `message` is the type of a network message, -1 for an APDU.  `control` is the
    control octet of the NPDU, -1 where there is no NPDU.  `asked` and `answered` are the other end of a transaction,
    equal in a request and in its reply: 0 for the asset itself.  The scopes are those of a message of either side.
    """

    function: int
    at: int
    control: int = -1
    destination: bytes = b""
    source: bytes = b""
    message: int = _NO_MESSAGE
    asked: int = 0
    answered: int = 0
    from_client: Scope = ASSET
    from_asset: Scope = ASSET

    @property
    def network(self) -> int:
        """The network number of the destination, 0 without one: the asset itself."""
        return int.from_bytes(self.destination[:2], "big")


def is_plain(data: bytes) -> bool:
    """Whether this is an APDU for the asset itself from its peer: the usual case, whose APDU begins at byte 6."""
    return (
        len(data) > 6  # noqa: PLR2004 - BVLL and NPDU headers
        and data[0] == BVLL_TYPE
        and data[1] == codes.UNICAST
        and data[2] << 8 | data[3] == len(data)
        and data[4] == _VERSION
        and data[5] <= 7  # noqa: PLR2004 - nothing but priority and "expects a reply"
    )


def fits(data: bytes, side: Side) -> bool | None:
    """See `penstock.wire.Known.fits`; both sides begin the same way."""
    del side
    if len(data) < _BVLL_BYTES:
        return None if data and data[0] == BVLL_TYPE else False
    length = data[2] << 8 | data[3]
    try:
        envelope(data[:length])
    except Malformed:
        return False
    return True


def envelope(data: bytes) -> Envelope:
    """The layers of one datagram.  Raises `Malformed` or `WrongProtocol`."""
    if len(data) < _BVLL_BYTES or data[0] != BVLL_TYPE:
        raise WrongProtocol("the datagram does not begin as a BACnet/IP message (135 J.2)")
    function, length = data[1], data[2] << 8 | data[3]
    if length != len(data):
        raise Malformed(f"a BVLL length of {length} in a datagram of {len(data)} bytes (135 J.2)")
    if function not in codes.CARRIERS:
        _check_size(function, length - _BVLL_BYTES)
        return Envelope(function, _BVLL_BYTES)
    start = _BVLL_BYTES + (ADDRESS_BYTES if function == codes.FORWARDED else 0)
    try:
        at = _end_of_network(data, start)
    except IndexError:
        raise Malformed("the datagram ends within the NPDU (135 6.2)") from None
    return _open_network(function, start, data[start:at])


def _check_size(function: int, size: int) -> None:
    least, step = _SIZES.get(function, (0, 1))
    if size < least or (size != least if not step else size % step):
        raise Malformed(f"BVLL function {function} has {size} bytes (135 J.2)")


def _end_of_network(data: bytes, start: int) -> int:
    """Where the NPDU ends and its content begins.  Raises `IndexError` where it does not end."""
    control, at = data[start + 1], start + 2
    if control & _HAS_DESTINATION:
        at += _NETWORK_BYTES + data[at + 2]
    if control & _HAS_SOURCE:
        at += _NETWORK_BYTES + data[at + 2]
    if control & _HAS_DESTINATION:
        at += 1  # hop count
    first = data[at]
    if control & _IS_MESSAGE:
        at += 1 if first < _VENDOR_MESSAGES else _VENDOR_MESSAGE_BYTES
        if at > len(data):
            raise IndexError
    return at


@lru_cache(maxsize=1024)
def _open_network(function: int, start: int, header: bytes) -> Envelope:
    """The layers, with an NPDU of these bytes, which begins at `start`.  The same few come again and again."""
    if header[0] != _VERSION:
        raise WrongProtocol(f"NPDU version {header[0]}, not 1 (135 6.2.1)")
    control, at = header[1], 2
    if control & _RESERVED:
        raise Malformed(f"control octet 0x{control:02X} has reserved bits (135 6.2.2)")
    destination = source = b""
    if control & _HAS_DESTINATION:
        destination = _address(header, at, is_source=False)
        at += len(destination)
    if control & _HAS_SOURCE:
        source = _address(header, at, is_source=True)
        at += len(source)
    at += 1 if control & _HAS_DESTINATION else 0
    is_shared = function != codes.UNICAST or (bool(destination) and not destination[2])
    return Envelope(
        function,
        start + len(header),
        control,
        destination,
        source,
        header[at] if control & _IS_MESSAGE else _NO_MESSAGE,
        _peer(destination, source),
        _peer(source, destination),
        _scope(destination, is_shared, _relay(function, source, is_shared=is_shared)),
        _scope(source, is_shared, ""),
    )


def _scope(address: bytes, is_shared: bool, relay: str) -> Scope:  # noqa: FBT001 - the order of the fields
    return Scope(int.from_bytes(address[:2], "big"), address[3:].hex(), is_shared, relay)


def _relay(function: int, source: bytes, *, is_shared: bool) -> str:
    if function == codes.FORWARDED:
        return "forwarded"
    return "broadcast" if is_shared else "station" if source else ""


def _peer(asked: bytes, asking: bytes) -> int:
    return int.from_bytes(bytes((1, len(asked))) + asked + asking, "big") if asked or asking else 0


def _address(header: bytes, at: int, *, is_source: bool) -> bytes:
    network, size = header[at] << 8 | header[at + 1], header[at + 2]
    if not network or size > _MAX_ADDRESS_BYTES:
        raise Malformed(f"an address of {size} bytes on network {network} (135 6.2.2)")
    if size if network == ALL_NETWORKS and not is_source else is_source and (not size or network == ALL_NETWORKS):
        raise Malformed(f"network {network} with an address of {size} bytes (135 6.2.2.1)")
    return header[at : at + _NETWORK_BYTES + size]


def reply_to(sealed: Envelope, content: bytes, *, is_message: bool = False) -> bytes:
    """A datagram to the sender of a request, as if it came from the device that the request was for.

    `content` is an APDU, or a network message from its type on.
    """
    control = sealed.control & _PRIORITY if sealed.control >= 0 else 0
    control |= _IS_MESSAGE if is_message else 0
    head = b""
    if sealed.source:
        control |= _HAS_DESTINATION
        head += sealed.source
    if sealed.destination and not is_message:
        control |= _HAS_SOURCE
        head += sealed.destination
    if sealed.source:
        head += b"\xff"
    return bvll(codes.UNICAST, bytes((_VERSION, control)) + head + content)


def bvll(function: int, content: bytes) -> bytes:
    """A datagram of that BVLL function."""
    return bytes((BVLL_TYPE, function)) + (len(content) + _BVLL_BYTES).to_bytes(2, "big") + content
