"""The encapsulation header and the common packet format: where a message ends, and the CIP message in it.

Pure.  ODVA CIP Volume 2, 2-3 (header) and 2-6 (common packet format).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import WrongProtocol

HEADER_BYTES: Final = 24
#: 2-3.2.2: the data behind the header have at most 65,511 bytes.
MAX_DATA_BYTES: Final = 65_511
MAX_FRAME_BYTES: Final = HEADER_BYTES + MAX_DATA_BYTES
RR_DATA: Final = 0x6F
UNIT_DATA: Final = 0x70
_MAX_COMMAND: Final = 0xFF
_LENGTH_END: Final = 4

NULL_ADDRESS: Final = 0x0000
CONNECTED_ADDRESS: Final = 0x00A1
CONNECTED_DATA: Final = 0x00B1
UNCONNECTED_DATA: Final = 0x00B2
SEQUENCED_ADDRESS: Final = 0x8002
#: How implicit data begin: two items, the first a sequenced address (2-6.3).
IMPLICIT_HEAD: Final = b"\x02\x00\x02\x80"
#: Where implicit data go: an address as sockets have it, 16 bytes (2-6.3.3).
SOCKET_ADDRESSES: Final = (0x8000, 0x8001)
_SOCKET_ADDRESS_BYTES: Final = 16

_unconnected_layout = Struct("<IHHHHHH").unpack_from
_connected_layout = Struct("<IHHHHIHHH").unpack_from
UNCONNECTED_CIP: Final = 40
CONNECTED_CIP: Final = 46
_item = Struct("<HH").unpack_from


def end_of_frame(stream: bytes, start: int) -> int:
    """How long the message at `start` is; 0 while that is not known.  Raises `Malformed` as soon as it can.

    Another protocol shows in the second byte (no command is above 0xFF) or in the options, which are 0 (2-3.2.6).
    """
    held = len(stream) - start
    if held > 1 and stream[start + 1]:
        raise WrongProtocol("the command is none of EtherNet/IP (2-3.2)")
    if held >= _LENGTH_END:
        size = HEADER_BYTES + (stream[start + 2] | stream[start + 3] << 8)
        if size > MAX_FRAME_BYTES:
            raise Malformed(f"{size - HEADER_BYTES} bytes of data are more than {MAX_DATA_BYTES} (2-3.2.2)")
        if held >= HEADER_BYTES and stream[start + 20 : start + HEADER_BYTES] != b"\0\0\0\0":
            raise WrongProtocol("the options are not 0, so this is not EtherNet/IP (2-3.2.6)")
        return size
    return 0


def unconnected(data: bytes) -> bytes:
    """The CIP message of Send RR Data.  Raises `Malformed`."""
    if len(data) >= UNCONNECTED_CIP:
        interface, _, count, address, address_size, kind, size = _unconnected_layout(data, HEADER_BYTES)
        if (
            not interface
            and count == 2  # noqa: PLR2004 - address and data
            and address == NULL_ADDRESS
            and not address_size
            and kind == UNCONNECTED_DATA
            and UNCONNECTED_CIP + size == len(data)
            and size
        ):
            return data[UNCONNECTED_CIP:]
    return _with_addresses(data)


def connected(data: bytes) -> tuple[int, int, bytes]:
    """Number of the connection, sequence count and CIP message of Send Unit Data.  Raises `Malformed`."""
    if len(data) >= CONNECTED_CIP:
        interface, _, count, address, address_size, number, kind, size, sequence = _connected_layout(data, HEADER_BYTES)
        if (
            not interface
            and count == 2  # noqa: PLR2004 - address and data
            and address == CONNECTED_ADDRESS
            and address_size == 4  # noqa: PLR2004 - a number of 32 bits
            and kind == CONNECTED_DATA
            and CONNECTED_CIP - 2 + size == len(data)
        ):
            return number, sequence, data[CONNECTED_CIP:]
    raise Malformed("Send Unit Data without the items of a connected message (2-6)")


def items_of(data: bytes, at: int) -> list[tuple[int, bytes]]:
    """The items of the common packet format at `at`, which fill the rest of `data`.  Raises `Malformed`."""
    if len(data) < at + 2:
        raise Malformed("a common packet without a number of items (2-6.1)")
    count = data[at] | data[at + 1] << 8
    at += 2
    found: list[tuple[int, bytes]] = []
    while at < len(data):
        if at + 4 > len(data):
            raise Malformed("a common packet ends within an item (2-6.1)")
        kind, size = _item(data, at)
        if at + 4 + size > len(data):
            raise Malformed("a common packet ends within an item (2-6.1)")
        found.append((kind, data[at + 4 : at + 4 + size]))
        at += 4 + size
    if len(found) != count:
        raise Malformed(f"a common packet announces {count} items and has {len(found)} (2-6.1)")
    return found


def _with_addresses(data: bytes) -> bytes:
    """Send RR Data with socket addresses behind the message: they go with openings and their answers (2-6.3.3)."""
    if len(data) < HEADER_BYTES + 6 or any(data[HEADER_BYTES : HEADER_BYTES + 4]):
        raise Malformed("Send RR Data to another interface than CIP (2-4.7)")
    items = items_of(data, HEADER_BYTES + 6)
    if [kind for kind, _ in items[:2]] != [NULL_ADDRESS, UNCONNECTED_DATA] or items[0][1] or not items[1][1]:
        raise Malformed("Send RR Data without the items of an unconnected message (2-6)")
    kinds = [kind for kind, _ in items[2:]]
    if len(set(kinds)) != len(kinds) or any(
        kind not in SOCKET_ADDRESSES or len(each) != _SOCKET_ADDRESS_BYTES for kind, each in items[2:]
    ):
        raise Malformed("Send RR Data with items that do not belong to it (2-6)")
    return items[1][1]
