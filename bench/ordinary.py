"""What a connection says that runs for days: the captured reads and writes over and over, behind its beginning.

Captures of OPC UA are made of beginnings: a channel, a session, a walk through the address space, and then one read.
`ORDINARY` makes of such flows what most messages of a plant are.  Sequence numbers and request ids go on as a client
and a server count them; nothing else of the captured messages is changed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from penstock.wire import Side

Talk = list[tuple[Side, bytes]]

#: Each captured exchange is repeated so often.
TIMES: Final = 500
_HEAD: Final = 16
_BODY: Final = 24
_TYPE: Final = slice(24, 28)
_numbers = struct.Struct("<II")
#: Requests and their responses: Read and Write (OPC 10000-6, A.3), as type ids of four bytes.
_EXCHANGES: Final = {b"\x01\x00\x77\x02": b"\x01\x00\x7a\x02", b"\x01\x00\xa1\x02": b"\x01\x00\xa4\x02"}


def opcua_reads_and_writes(talk: Talk) -> Talk:
    """The flow up to its first read or write, then every read and write with its answer, `TIMES` times."""
    exchanges = [
        (data, next(each for side, each in talk[at:] if side is Side.ASSET and each[_TYPE] == _EXCHANGES[data[_TYPE]]))
        for at, (side, data) in enumerate(talk)
        if side is Side.CLIENT and data[_TYPE] in _EXCHANGES
    ]
    if not exchanges:
        return []
    begun = talk[: talk.index((Side.CLIENT, exchanges[0][0]))]
    numbers = {side: _last_number(begun, side) for side in Side}
    said, request = list(begun), 1 << 20
    for _ in range(TIMES):
        for asked, answered in exchanges:
            request += 1
            for side, data in ((Side.CLIENT, asked), (Side.ASSET, answered)):
                numbers[side] += 1
                said.append((side, data[:_HEAD] + _numbers.pack(numbers[side], request) + data[_BODY:]))
    return said


def _last_number(talk: Talk, side: Side) -> int:
    """The last sequence number of a side; a packet may hold several messages."""
    number = 0
    for each, data in talk:
        at = 0
        while each is side and at < len(data):
            if data[at : at + 3] == b"MSG":
                number = _numbers.unpack_from(data, at + _HEAD)[0]
            at += struct.unpack_from("<4xI", data, at)[0]
    return int(number)


#: By protocol: what the bound of `decoders.py` is about, where captures show something else for the most part.
ORDINARY: Final[Mapping[str, Callable[[Talk], Talk]]] = {"opcua": opcua_reads_and_writes}
