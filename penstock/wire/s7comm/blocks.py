"""Names of blocks and files on the wire: ``_0A00001P`` is DB1, in the part of memory that waits for its activation.

Pure.  A name that is no block's is a file of the table ``file``, so that no range of blocks can mean it.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.s7comm.addresses import BLOCK_KINDS, LAST_NUMBER

#: Two digits of the kind, five of the number, and the part of memory (P passive, A active, B both).
BLOCK_NAME_BYTES: Final = 8
_DIGITS: Final = frozenset(b"0123456789")
#: In front of a name: the whole block, or its head only.
_MARKS: Final = frozenset(b"_$")


def text_of(name: bytes) -> str:
    """A name as text that is safe to show."""
    return name.decode("ascii", "backslashreplace")


def block_target(found: OperationClass, name: bytes) -> Target:
    """The block that the eight bytes name."""
    kind, digits = BLOCK_KINDS.get(name[:2]), name[2:7]
    number = int(digits) if len(name) == BLOCK_NAME_BYTES and _DIGITS.issuperset(digits) else LAST_NUMBER + 1
    if kind is None or number > LAST_NUMBER:
        return Target(found, "file", 0, 1, text_of(name))
    return Target(found, kind, number, 1)


def file_target(found: OperationClass, name: bytes) -> Target:
    """The block or the file that a name of an upload or a download means."""
    if len(name) == BLOCK_NAME_BYTES + 1 and name[0] in _MARKS:
        return block_target(found, name[1:])
    return Target(found, "file", 0, 1, text_of(name))


def counted_text(body: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Bytes behind their count of one byte, and where they end.  Raises `Malformed`."""
    if at >= end or at + 1 + body[at] > end:
        raise Malformed("a text that goes past the end of its parameters")
    stop = at + 1 + body[at]
    return body[at + 1 : stop], stop
