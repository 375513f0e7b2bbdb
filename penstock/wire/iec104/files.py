"""File transfer: the types 120 to 127.

Pure.  IEC 60870-5-101:2003, 7.3.6 and 7.4.11.  Files go both ways with the same types, so who sends one says what is
done: a client that offers a file or sends segments writes it, one that calls, selects or acknowledges reads it.
Objects are the addresses of the files, with the name of the file (a number) and of the section.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.iec104 import codes

_READ: Final = (OperationClass.FILE_READ,)
_WRITE: Final = (OperationClass.FILE_WRITE,)
_NAME_AT: Final = 9
#: Types with the number of a section behind the name of the file.
_WITH_SECTION: Final = frozenset({121, 122, 123, 124, 125})
_SEGMENT_AT: Final = 13
#: 7.2.6.30, select and call qualifier.
_DELETE: Final = 4
_CALLS: Final = {
    0: "directory",
    1: "select file",
    2: "call file",
    3: "deactivate file",
    _DELETE: "delete file",
    5: "select section",
    6: "call section",
    7: "deactivate section",
}


def file_operation(asdu: bytes, *, is_asking: bool) -> Operation:
    """What a file type does.  `is_asking`: the client sent it, or its mirror came back.  Raises `Malformed`."""
    kind, cause, unit = asdu[0], asdu[2] & codes.CAUSE_BITS, asdu[4] | asdu[5] << 8
    mnemonic, title, _ = codes.TYPES[kind]
    _check_length(asdu)
    classes, mode, is_known = _meaning(asdu, is_asking=is_asking)
    if is_asking and not is_known:
        classes = (*classes, OperationClass.UNKNOWN)
    name = f"file {asdu[_NAME_AT] | asdu[_NAME_AT + 1] << 8}"
    if kind in _WITH_SECTION and asdu[_NAME_AT + 2]:
        name += f" section {asdu[_NAME_AT + 2]}"
    address = asdu[6] | asdu[7] << 8 | asdu[8] << 16
    target = Target(classes[0], mnemonic, address, 1, name)
    return Operation("iec104", classes, f"{kind}/{cause}", f"{title}: {mode}" if mode else title, unit, (target,))


def _check_length(asdu: bytes) -> None:
    kind, count = asdu[0], asdu[1]
    size = codes.TYPES[kind][2]
    if kind == codes.SEGMENT:
        if count != 1 or len(asdu) < _SEGMENT_AT or len(asdu) != _SEGMENT_AT + asdu[_SEGMENT_AT - 1]:
            raise Malformed("a segment is not as long as it says (-101, 7.3.6.6)")
        return
    length = size or 0
    if kind == 126 and count & 0x80:  # noqa: PLR2004 - a directory is a sequence
        length *= count & 0x7F
        count = 1 if count & 0x7F else 0
    if count != 1 or len(asdu) != _NAME_AT + length:
        raise Malformed(f"{codes.TYPES[kind][0]} has not the length of its objects (-101, 7.3.6)")


def _meaning(asdu: bytes, *, is_asking: bool) -> tuple[tuple[OperationClass, ...], str, bool]:
    """Classes, how, and whether cause and qualifier are the standard's."""
    kind, cause = asdu[0], asdu[2] & codes.CAUSE_BITS
    is_known = cause in codes.ASKING_CAUSES.get(kind, ()) or cause in codes.REPLIES
    if kind == codes.CALL_FILE:
        qualifier = asdu[_NAME_AT + 3] & 0x0F
        call = _CALLS.get(qualifier)
        writes = qualifier == _DELETE or not is_asking
        return _WRITE if writes else _READ, call or "reserved call", call is not None and is_known
    is_reader = kind in {codes.ACKNOWLEDGE_FILE, 127}
    return _READ if is_reader is is_asking else _WRITE, "", is_known
