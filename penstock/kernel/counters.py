"""I/O: the named counters of the kernel's table.

Stands beside `elements`, on a socket of its own.  Formats: linux/netfilter/nf_tables.h (NFTA_OBJ_*, NFTA_COUNTER_*).
"""

from __future__ import annotations

import errno
import struct
from socket import htonl

from penstock.kernel.netlink import DUMP, NFT_SUBSYSTEM, NetlinkSocket, attribute, attributes, payload

_GET_OBJECT = 19  # NFT_MSG_GETOBJ
_INET = 1  # NFPROTO_INET
_TABLE, _NAME, _TYPE, _DATA = 1, 2, 3, 4  # NFTA_OBJ_*
_COUNTER = struct.pack("=I", htonl(1))  # NFT_OBJECT_COUNTER
_PACKETS = 2  # NFTA_COUNTER_PACKETS
_LONG = struct.Struct("!Q")


class Counters:
    """Reads the counters of one table."""

    def __init__(self, table: str = "penstock") -> None:
        self._socket = NetlinkSocket()
        self._asked = attribute(_TABLE, table.encode() + b"\0") + attribute(_TYPE, _COUNTER)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def packets(self) -> dict[str, int]:
        """Packets that each counter has seen since the table was made; empty where there is no table."""
        request = self._socket.message(NFT_SUBSYSTEM, _GET_OBJECT, DUMP, _INET, self._asked)
        try:
            found = [payload(body) for body in self._socket.dump(request)]
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return {}
        return {
            bytes(each[_NAME]).rstrip(b"\0").decode(): _LONG.unpack(attributes(each[_DATA])[_PACKETS])[0]
            for each in found
            if _NAME in each and _DATA in each and bytes(each[_TYPE]) == _COUNTER
        }
