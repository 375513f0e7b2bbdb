"""Pure: the socket filter that keeps events of the connection table from waking a reader who would ignore them.

Stands before `ConnectionEvents`.  A TCP connection makes some eight events; three of them say something: it opened,
both ends are done, it ended.  Classic BPF (linux/filter.h, bpf(4)), with the kernel's own search for netlink attributes
(SKF_AD_NLATTR).  It must never keep back what it does not know: that is let through, and read.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Final

from penstock.kernel.netlink import CONNTRACK_SUBSYSTEM, CREATE
from penstock.model import GRANT_MASK, PROXIED_BIT, UPSTREAM_BIT

_LD_BYTE, _LD_BYTE_X, _LD_WORD, _LD_WORD_X = 0x30, 0x50, 0x20, 0x40
_LD_NUMBER, _LDX_NUMBER, _TAX, _RETURN = 0x00, 0x01, 0x07, 0x06
_JUMP_EQUAL, _JUMP_BITS = 0x15, 0x45
_FIND, _FIND_NESTED = 0xFFFF_F000 + 12, 0xFFFF_F000 + 16  # SKF_AD_OFF + SKF_AD_NLATTR, ..._NLATTR_NEST
_instruction = struct.Struct("=HBBI")

#: Behind the headers of netlink and netfilter.
_ATTRIBUTES: Final = 20
_PROTOCOL_INFO, _TCP, _STATE, _MARK = 4, 1, 1, 8  # CTA_PROTOINFO, CTA_PROTOINFO_TCP, ..._STATE, CTA_MARK
_TIME_WAIT, _CLOSE = 7, 8
_DELETED: Final = 2
_IS_LITTLE: Final = sys.byteorder == "little"
#: Where the low and the high byte of the 16-bit type stand, and the high byte of the flags.
_LOW, _HIGH, _FLAGS_HIGH = (4, 5, 7) if _IS_LITTLE else (5, 4, 6)

#: Operation, where to go if true and if false (labels; empty: on), and a number.
_PROGRAM: Final[tuple[tuple[str, int, str, str, int], ...]] = (
    ("", _LD_BYTE, "", "", _HIGH),
    ("", _JUMP_EQUAL, "", "accept", CONNTRACK_SUBSYSTEM),
    ("", _LD_BYTE, "", "", _LOW),
    ("", _JUMP_EQUAL, "mark", "", _DELETED),
    ("", _LD_BYTE, "", "", _FLAGS_HIGH),
    ("", _JUMP_BITS, "mark", "", CREATE >> 8),
    ("", _LD_NUMBER, "", "", _ATTRIBUTES),
    ("", _LDX_NUMBER, "", "", _PROTOCOL_INFO),
    ("", _LD_WORD, "", "", _FIND),
    ("", _JUMP_EQUAL, "refuse", "", 0),
    ("", _LDX_NUMBER, "", "", _TCP),
    ("", _LD_WORD, "", "", _FIND_NESTED),
    ("", _JUMP_EQUAL, "refuse", "", 0),
    ("", _LDX_NUMBER, "", "", _STATE),
    ("", _LD_WORD, "", "", _FIND_NESTED),
    ("", _JUMP_EQUAL, "refuse", "", 0),
    ("", _TAX, "", "", 0),
    ("", _LD_BYTE_X, "", "", 4),
    ("", _JUMP_EQUAL, "mark", "", _TIME_WAIT),
    ("", _JUMP_EQUAL, "mark", "refuse", _CLOSE),
    ("mark", _LD_NUMBER, "", "", _ATTRIBUTES),
    ("", _LDX_NUMBER, "", "", _MARK),
    ("", _LD_WORD, "", "", _FIND),
    ("", _JUMP_EQUAL, "refuse", "", 0),
    ("", _TAX, "", "", 0),
    ("", _LD_WORD_X, "", "", 4),
    ("", _JUMP_BITS, "refuse", "", PROXIED_BIT | UPSTREAM_BIT),
    ("", _JUMP_BITS, "accept", "refuse", GRANT_MASK),
    ("accept", _RETURN, "", "", 0xFFFF_FFFF),
    ("refuse", _RETURN, "", "", 0),
)


def instructions() -> bytes:
    """The program, as the kernel reads it (struct sock_filter)."""
    places = {label: place for place, (label, *_) in enumerate(_PROGRAM) if label}

    def distance(label: str, place: int) -> int:
        return places[label] - place - 1 if label else 0

    return b"".join(
        _instruction.pack(code, distance(yes, place), distance(no, place), number)
        for place, (_, code, yes, no, number) in enumerate(_PROGRAM)
    )


def filter_program() -> tuple[object, bytes]:
    """A struct sock_fprog for SO_ATTACH_FILTER, and what must be kept until it is set."""
    program = ctypes.create_string_buffer(instructions(), len(_PROGRAM) * _instruction.size)
    return program, struct.pack("@HP", len(_PROGRAM), ctypes.addressof(program))
