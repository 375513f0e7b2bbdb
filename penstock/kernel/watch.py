"""I/O: tells when somebody else changed nf_tables, and who.

Stands between netfilter and `oversight`.  The kernel ends each transaction with a message (NFT_MSG_NEWGEN) that names
its number and the process.  A filter in the kernel keeps everything else away, our own transactions included: opening
grants wakes nobody up.  It must never take a change for ours because of the name of its process.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import dataclass

from penstock.kernel.netlink import NFT_SUBSYSTEM, NetlinkSocket, each_message, payload
from penstock.kernel.readback import generation_in

_NFTABLES_GROUP = 7  # NFNLGRP_NFTABLES
_NEW_GENERATION = NFT_SUBSYSTEM << 8 | 15  # NFT_MSG_NEWGEN
_PROCESS, _NAME = 2, 3  # NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME
_LONG = struct.Struct("!I")
_MAX_READ = 64

_SO_ATTACH_FILTER = 26
_TYPE_OFFSET, _PORT_OFFSET = 4, 12  # in struct nlmsghdr
# linux/bpf_common.h: load a half word or a word in network byte order, jump if equal, return
_LOAD_HALF, _LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x28, 0x20, 0x15, 0x06
_EVERYTHING, _NOTHING = 0xFFFF_FFFF, 0
_instruction = struct.Struct("=HBBI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One change: its number, and the process that made it as the kernel knows it."""

    generation: int
    by: str


class ChangeWatch:
    """For an event loop: read when `fileno` is readable."""

    def __init__(self, own_ports: tuple[int, ...]) -> None:
        """`own_ports`: the netlink sockets whose transactions are our own."""
        self._socket = NetlinkSocket(groups=(_NFTABLES_GROUP,))
        self._socket.only_listen()
        _attach(self._socket.socket, own_ports)

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def received(self) -> list[Transaction]:
        """What others changed since the last call, a bounded number of them.  Raises ENOBUFS when some were lost."""
        found = []
        for _ in range(_MAX_READ):
            data = self._socket.received()
            if data is None:
                break
            for kind, _, body in each_message(data):
                if kind == _NEW_GENERATION:
                    attributes = payload(body)
                    name = bytes(attributes.get(_NAME, b"")).rstrip(b"\0").decode("utf-8", "replace")
                    pid = _LONG.unpack(attributes[_PROCESS])[0] if _PROCESS in attributes else 0
                    by = f"{name or 'unknown'} (pid {pid})"
                    found.append(Transaction(generation=generation_in(attributes), by=by))
        return found


def _attach(watching: socket.socket, own_ports: tuple[int, ...]) -> None:
    """Let the kernel pass on the ends of transactions that did not come from `own_ports`, and nothing else."""
    last = 3 + len(own_ports)  # the instruction that passes on; the one behind it does not
    steps = [(_LOAD_HALF, 0, 0, _TYPE_OFFSET), (_JUMP_EQUAL, 0, last - 1, _as_loaded("H", _NEW_GENERATION))]
    steps.append((_LOAD_WORD, 0, 0, _PORT_OFFSET))
    steps += [(_JUMP_EQUAL, last - 3 - at, 0, _as_loaded("I", port)) for at, port in enumerate(own_ports)]
    steps += [(_RETURN, 0, 0, _EVERYTHING), (_RETURN, 0, 0, _NOTHING)]
    program = ctypes.create_string_buffer(b"".join(_instruction.pack(*step) for step in steps))
    # struct sock_fprog: the number of instructions, and where they are
    watching.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(steps), ctypes.addressof(program)))


def _as_loaded(code: str, value: int) -> int:
    """A value in host byte order as the filter sees it, which loads in network byte order."""
    number: int = struct.unpack(f">{code}", struct.pack(f"={code}", value))[0]
    return number
