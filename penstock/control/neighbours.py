"""I/O: the kernel's tables of neighbours and routes, as everybody may read them.

Tells the hardware address that packets of a station come from: its own on the gate's segment, its router's behind one.
It must never ask the network: who has just spoken to the gate is in the table already.
"""

from __future__ import annotations

import struct
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

_NEIGHBOURS, _ROUTES = Path("/proc/net/arp"), Path("/proc/net/route")
_COMPLETE, _GATEWAY, _UP = 0x2, 0x2, 0x1  # ATF_COM of linux/if_arp.h; RTF_GATEWAY, RTF_UP of linux/route.h
_NOBODY = "00:00:00:00:00:00"
_FIELDS = 8


def hardware_of(address: str) -> str | None:
    """Where packets of this IPv4 address come from; ``None`` where the kernel does not know, or for IPv6."""
    try:
        wanted = IPv4Address(address)
    except AddressValueError:
        return None
    neighbours = neighbours_in(_NEIGHBOURS.read_text(encoding="ascii"))
    if str(wanted) in neighbours:
        return neighbours[str(wanted)]
    router = router_in(_ROUTES.read_text(encoding="ascii"), wanted)
    return None if router is None else neighbours.get(str(router))


def neighbours_in(table: str) -> dict[str, str]:
    """Address to hardware address, of every complete entry of /proc/net/arp (proc_net(5))."""
    found = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 4 and int(fields[2], 16) & _COMPLETE and fields[3] != _NOBODY:  # noqa: PLR2004
            found[fields[0]] = fields[3].lower()
    return found


def router_in(table: str, address: IPv4Address) -> IPv4Address | None:
    """The router of the most specific route to this address in /proc/net/route; ``None`` where it is on the link."""
    best: tuple[int, bool, int] | None = None
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < _FIELDS:
            continue
        network, gateway, mask = (_number(fields[at]) for at in (1, 2, 7))
        flags = int(fields[3], 16)
        if flags & _UP and int(address) & mask == network and (best is None or mask > best[0]):
            best = (mask, bool(flags & _GATEWAY), gateway)
    return IPv4Address(best[2]) if best is not None and best[1] else None


def _number(text: str) -> int:
    """An address as the kernel prints it there: hexadecimal, in the machine's own byte order."""
    number: int = struct.unpack("!I", struct.pack("=I", int(text, 16)))[0]
    return number
