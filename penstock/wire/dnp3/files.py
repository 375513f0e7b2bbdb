"""The file objects of DNP3 (group 70): names, modes, handles and blocks.

Pure.  IEEE 1815-2012, annex A.28.  Texts lie behind the fixed fields, where an offset and a size in front say they lie;
both must be exactly right, for there is no other place that every station would read.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.dnp3.codes import (
    ABORT_FILE,
    ACTIVATE_CONFIGURATION,
    AUTHENTICATE_FILE,
    CLOSE_FILE,
    DELETE_FILE,
    FILE_INFORMATION,
    FILE_MODES,
    OPEN_FILE,
    READ,
    WRITE,
)

_AUTHENTICATION: Final = 2
_COMMAND: Final = 3
_STATUS: Final = 4
_TRANSPORT: Final = 5
_TRANSPORT_STATUS: Final = 6
_DESCRIPTOR: Final = 7
_SPECIFICATION: Final = 8
#: User name and password, each with offset and size, and a key (A.28.2).
_authentication = Struct("<HHHHI")
#: Name offset and size, time of creation, permissions, key, file size, mode, block size, request (A.28.3).
_command = Struct("<HH6sHIIHHH")
#: Handle, file size, block size, request, status (A.28.4).
_status = Struct("<IIHHB")
#: Handle and block (A.28.5), its highest bit marks the last one.
_transport = Struct("<II")
#: Name offset and size, type, file size, time, permissions, request (A.28.7).
_descriptor = Struct("<HHHI6sHH")
#: Which variation each function takes (4.4.20 to 4.4.26, A.28).
_VARIATIONS: Final = {
    READ: _TRANSPORT,
    WRITE: _TRANSPORT,
    OPEN_FILE: _COMMAND,
    CLOSE_FILE: _STATUS,
    DELETE_FILE: _COMMAND,
    FILE_INFORMATION: _DESCRIPTOR,
    AUTHENTICATE_FILE: _AUTHENTICATION,
    ABORT_FILE: _STATUS,
    ACTIVATE_CONFIGURATION: _SPECIFICATION,
}
_LAST_BLOCK: Final = 0x8000_0000
#: Where the handle lies behind the first object header with a 16-bit size (0x5B): header, count, size.
_HANDLE_AT: Final = 6
_PRINTABLE: Final = 0x20
_DELETE: Final = 0x7F


class FileStatus(msgspec.Struct, frozen=True, gc=False):
    """What an answer says of a file: its handle and a status code."""

    handle: int
    status: int


def file_target(code: int, spot: bytes, variation: int, found: OperationClass, name: str) -> Target | None:
    """The target of one file object in a request of function `code`; ``None`` for a variation it cannot have.

    `name` is the file behind the handle, where the object has one.  Raises `Malformed`.
    """
    if variation != _VARIATIONS.get(code):
        return None
    if variation == _COMMAND:
        fields = _fields(_command, spot)
        mode = FILE_MODES.get(fields[6], OperationClass.UNKNOWN) if code == OPEN_FILE else found
        return Target(mode, "files", 0, 1, _text(spot, fields[0], fields[1], _command.size))
    if variation in {_TRANSPORT, _STATUS}:
        fields = _fields(_transport if variation == _TRANSPORT else _status, spot)
        block = fields[1] & ~_LAST_BLOCK if variation == _TRANSPORT else 0
        return Target(found, "files", block, 1, name)
    if variation == _DESCRIPTOR:
        fields = _fields(_descriptor, spot)
        return Target(found, "files", 0, 1, _text(spot, fields[0], fields[1], _descriptor.size))
    if variation == _SPECIFICATION:
        return Target(found, "files", 0, 1, _readable(spot))
    at, size, secret_at, secret_size, _ = _fields(_authentication, spot)
    if at != _authentication.size or secret_at != at + size or secret_at + secret_size != len(spot):
        raise Malformed("user name and password do not lie behind their offsets (A.28.2)")
    return Target(found, "files", 0, 1, _readable(spot[at : at + size]))


def handle_of(fragment: bytes, at: int) -> int | None:
    """The handle in the only file object of a fragment whose objects start at `at`; ``None`` where there is none."""
    if fragment[at : at + 1] != b"\x46" or fragment[at + 1 : at + 2] not in {b"\x04", b"\x05", b"\x06"}:
        return None
    if fragment[at + 2 : at + 4] != b"\x5b\x01":
        return None
    raw = fragment[at + _HANDLE_AT : at + _HANDLE_AT + 4]
    return int.from_bytes(raw, "little") if len(raw) == 4 else None  # noqa: PLR2004 - a handle has 32 bits


def opened_name(fragment: bytes, at: int) -> str:
    """The name in the file command of a fragment, empty where there is none that can be read."""
    if fragment[at : at + 4] != b"\x46\x03\x5b\x01":
        return ""
    spot = fragment[at + _HANDLE_AT :]
    try:
        fields = _fields(_command, spot)
        return _text(spot, fields[0], fields[1], _command.size)
    except Malformed:
        return ""


def file_status(spot: bytes, variation: int) -> FileStatus | None:
    """What one file object of an answer says; ``None`` where it says nothing."""
    if variation == _STATUS and len(spot) >= _status.size:
        fields = _status.unpack_from(spot)
        return FileStatus(fields[0], fields[4])
    if variation == _TRANSPORT_STATUS and len(spot) > _transport.size:
        return FileStatus(_transport.unpack_from(spot)[0], spot[_transport.size])
    return None


def password_span(objects: bytes) -> tuple[int, int]:
    """Where the password lies in the objects of a request that authenticates (everywhere where it cannot be told)."""
    spot = objects[_HANDLE_AT:]
    if len(spot) >= _authentication.size and objects[1] == _AUTHENTICATION:
        _, _, at, size, _ = _authentication.unpack_from(spot)
        if at + size == len(spot):
            return _HANDLE_AT + at, len(objects)
    return 0, len(objects)


def _fields(layout: Struct, spot: bytes) -> tuple[int, ...]:
    if len(spot) < layout.size:
        raise Malformed(f"a file object of {len(spot)} octets, less than {layout.size} (A.28)")
    return layout.unpack_from(spot)


def _text(spot: bytes, at: int, size: int, fixed: int) -> str:
    if at != fixed or at + size != len(spot):
        raise Malformed(f"a file name of {size} octets at {at} is not what follows the fields (A.28)")
    return _readable(spot[at : at + size])


def _readable(raw: bytes) -> str:
    """A name as text.  Control characters, and a step upwards in a path, are nobody's file name."""
    if any(octet < _PRINTABLE or octet == _DELETE for octet in raw):
        raise Malformed("a file name with a control character (A.28)")
    name = raw.decode("utf-8", "backslashreplace")
    if ".." in name.replace("\\", "/").split("/"):
        raise Malformed("a file name with a step upwards")
    return name
