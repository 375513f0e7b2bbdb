"""SMB 2 and 3 by command, SMB 1 by its command codes, encrypted SMB as such.

Pure.  MS-SMB2 (header 2.2.1, messages 2.2.3 to 2.2.37, encryption 2.2.41), MS-CIFS (header 2.2.3.1), RFC 1002 section
4.3.1 (session packets).  Compounded commands are shown one by one.  Data of files is never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.model import Malformed, Operation
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import (
    UNTOLD,
    MessageDissector,
    Pdu,
    RecognisedProtocol,
    asking,
    named,
    operation_of,
    shown_text,
)

#: (commands, name, classes): the taxonomy.  CREATE and IOCTL are refined below.
CODES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    ((0, 3, 4, 12, 13), "negotiate, tree connect and disconnect, cancel, echo", (Is.SESSION,)),
    ((1, 2), "session setup, logoff", (Is.AUTH,)),
    ((5,), "create", (Is.FILE_READ,)),
    ((6, 7, 10, 15, 18), "close, flush, lock, notify, oplock", (Is.FILE_READ,)),
    ((8, 14, 16), "read, find, get info", (Is.FILE_READ,)),
    ((9, 17), "write, set info", (Is.FILE_WRITE,)),
    ((11,), "ioctl", (Is.VENDOR,)),
)
COMMANDS: Final = {
    0: "Negotiate Protocol",
    1: "Session Setup",
    2: "Session Logoff",
    3: "Tree Connect",
    4: "Tree Disconnect",
    5: "Create",
    6: "Close",
    7: "Flush",
    8: "Read",
    9: "Write",
    10: "Lock",
    11: "Ioctl",
    12: "Cancel",
    13: "KeepAlive",
    14: "Find",
    15: "Notify",
    16: "GetInfo",
    17: "SetInfo",
    18: "Break",
}
MEANINGS: Final = {code: (COMMANDS[code], classes) for codes, _, classes in CODES for code in codes}
#: MS-ERREF 2.3.1, those that file traffic shows.
STATUS: Final = {
    0x00000000: "STATUS_SUCCESS",
    0x00000103: "STATUS_PENDING",
    0x0000010B: "STATUS_NOTIFY_CLEANUP",
    0x0000010C: "STATUS_NOTIFY_ENUM_DIR",
    0x80000005: "STATUS_BUFFER_OVERFLOW",
    0x80000006: "STATUS_NO_MORE_FILES",
    0xC0000001: "STATUS_UNSUCCESSFUL",
    0xC000000D: "STATUS_INVALID_PARAMETER",
    0xC000000F: "STATUS_NO_SUCH_FILE",
    0xC0000011: "STATUS_END_OF_FILE",
    0xC0000016: "STATUS_MORE_PROCESSING_REQUIRED",
    0xC0000022: "STATUS_ACCESS_DENIED",
    0xC0000034: "STATUS_OBJECT_NAME_NOT_FOUND",
    0xC0000035: "STATUS_OBJECT_NAME_COLLISION",
    0xC000003A: "STATUS_OBJECT_PATH_NOT_FOUND",
    0xC0000043: "STATUS_SHARING_VIOLATION",
    0xC0000056: "STATUS_DELETE_PENDING",
    0xC000006D: "STATUS_LOGON_FAILURE",
    0xC00000BB: "STATUS_NOT_SUPPORTED",
    0xC00000C9: "STATUS_NETWORK_NAME_DELETED",
    0xC00000CC: "STATUS_BAD_NETWORK_NAME",
    0xC0000120: "STATUS_CANCELLED",
    0xC0000128: "STATUS_FILE_CLOSED",
    0xC000019C: "STATUS_FS_DRIVER_REQUIRED",
}
#: SMB 1 (MS-CIFS 2.2.2.1): what still opens a conversation that goes on in SMB 2.
COMMANDS_1: Final = {
    0x72: "Negotiate Protocol",
    0x73: "Session Setup AndX",
    0x74: "Logoff AndX",
    0x75: "Tree Connect AndX",
}
_NEGOTIATE_1: Final = 0x72
_MARKS: Final = {b"\xffSMB": 1, b"\xfeSMB": 2, b"\xfdSMB": 3, b"\xfcSMB": 4}
_ENCRYPTED: Final = ("encrypted", (Is.UNKNOWN,))
_HEAD_BYTES: Final = 4
#: RFC 1002 4.3.1 has 17 bits of length, SMB over TCP 24 (MS-SMB2 2.1); more than this is none of real traffic.
MAX_MESSAGE_BYTES: Final = (8 << 20) + 4096 + _HEAD_BYTES
_SESSION_KINDS: Final = frozenset({0x81, 0x82, 0x83, 0x84, 0x85})
_MAX_SESSION_BYTES: Final = 256
_RESPONSE: Final = 1
_CREATE, _READ, _WRITE, _IOCTL = 5, 8, 9, 11
#: MS-SMB2 2.2.13.1: access that changes a file: write, append, write attributes, delete, permissions, owner, all.
_CHANGING: Final = (
    0x0002
    | 0x0004
    | 0x0010
    | 0x0100
    | 0x0040
    | 0x1_0000
    | 0x4_0000
    | 0x8_0000
    | 0x1000_0000
    | 0x4000_0000
    | 0x0200_0000
)
#: MS-SMB2 2.2.13: open an existing file; everything else may make or overwrite one.
_OPEN: Final = 1
_DELETE_ON_CLOSE: Final = 0x1000
_HEADER_BYTES: Final = 64
#: MS-CIFS 2.2.3.1.
_HEADER_1_BYTES: Final = 32
#: MS-SMB2 2.2.4 and 2.2.20: the sizes by which the replies to NEGOTIATE and READ are told from an error.
_NEGOTIATED, _HAS_READ = 65, 17


def fits(data: bytes, side: Side) -> bool | None:  # noqa: ARG001 - both sides begin alike
    """See `Known.fits`: the mark of SMB behind a session head, or the session request of NetBIOS (RFC 1002)."""
    if data[0] in _SESSION_KINDS:
        return _fits_session(data)
    if data[0]:
        return False
    mark = data[_HEAD_BYTES : _HEAD_BYTES + 4]
    if len(data) < _HEAD_BYTES + 4:
        is_short = len(data) > 3 and data[1] == data[2] == 0 and data[3] < 32  # noqa: PLR2004 - the least of all headers
        return False if is_short or not any(each.startswith(mark) for each in _MARKS) else None
    return mark in _MARKS and int.from_bytes(data[1:4], "big") >= 32  # noqa: PLR2004


def _fits_session(data: bytes) -> bool | None:
    """A session request has two encoded names (RFC 1002 4.3.2), its answers and keep-alives a length of their own."""
    if len(data) < _HEAD_BYTES:
        return None if not any(data[1:3]) else False
    if data[0] == 0x81 and data[1:4] == b"\0\0\x44":  # noqa: PLR2004 - session request, 68 bytes
        names = data[_HEAD_BYTES : _HEAD_BYTES + 34]
        if names[:1] not in {b"", b"\x20"} or names[1:33].strip(b"ABCDEFGHIJKLMNOP"):
            return False
        return True if len(names) > 32 else None  # noqa: PLR2004
    lengths = {0x82: 0, 0x83: 1, 0x84: 6, 0x85: 0}
    return None if data[0] != 0x81 and data[1:4] == bytes((0, 0, lengths[data[0]])) and len(data) < 12 else False  # noqa: PLR2004


def length_of(stream: bytes, start: int) -> int:
    """How long the message at `start` is, `UNTOLD` while too few bytes tell.  Raises `Malformed`."""
    if stream[start] and stream[start] not in _SESSION_KINDS:
        raise Malformed("no session packet (RFC 1002 section 4.3.1)")
    if len(stream) - start < _HEAD_BYTES:
        return UNTOLD
    length = int.from_bytes(stream[start + 1 : start + 4], "big")
    if stream[start]:
        if length > _MAX_SESSION_BYTES:
            raise Malformed("a session packet of no kind (RFC 1002 section 4.3.1)")
        return _HEAD_BYTES + length
    mark = stream[start + 4 : start + 8]
    if mark not in _MARKS and (len(mark) == 4 or not any(each.startswith(mark) for each in _MARKS)):  # noqa: PLR2004
        raise Malformed("no message of SMB (MS-SMB2 2.2.1)")
    return _HEAD_BYTES + length if len(mark) == 4 else UNTOLD  # noqa: PLR2004


def show(message: bytes, side: Side) -> Sequence[Shown]:
    """The commands of one message, as far as it is there."""
    mark = _MARKS.get(message[_HEAD_BYTES : _HEAD_BYTES + 4], 0)
    data = message[_HEAD_BYTES:]
    if message[0] or not mark:
        return ()
    if mark == 1:
        return _show_1(data, side)
    if mark > 2:  # noqa: PLR2004 - encrypted or compressed
        asked = (
            asking(message, side, operation_of("smb", _ENCRYPTED, data[1:4].decode())) if side is Side.CLIENT else None
        )
        return [Shown({"p": "smb2"}, asked)] if asked else ()
    found: list[Shown] = []
    at = 0
    while len(data) - at >= _HEADER_BYTES and data[at : at + 4] == b"\xfeSMB":
        step = int.from_bytes(data[at + 20 : at + 24], "little")
        end = at + step if _HEADER_BYTES <= step < len(data) - at else len(data)
        found += _command(data[at:end], side)
        at = end
    return found


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _command(data: bytes, side: Side) -> list[Shown]:
    """One command of a compound (MS-SMB2 2.2.1.2)."""
    code, flags = _little(data, 12, 2), _little(data, 16, 4)
    pdu: Pdu = {"p": "smb2"}
    is_response = flags & _RESPONSE
    if is_response:
        named(pdu, "status", _little(data, 8, 4), STATUS, "Unknown error code")
    named(pdu, "cmd", code, COMMANDS, f"unknown-0x{code:02x}")
    pdu |= {"response": is_response, "mid": _little(data, 24, 8)}
    body = data[_HEADER_BYTES:]
    if is_response:
        if code == 0 and _little(body, 0, 2) == _NEGOTIATED:
            pdu["dialect"] = [_little(body, 4, 2)]
        return [Shown(pdu), *(_content(body[16:]) if code == _READ and _little(body, 0, 2) == _HAS_READ else ())]
    file = _fields(pdu, code, data, body)
    kept = _without_content(data) if code in {_WRITE, _IOCTL} else None
    asked = asking(data, side, _operation(code, body, file), kept)
    return [Shown(pdu, asked), *(_content(body[48:]) if code == _WRITE else ())]


def _without_content(data: bytes) -> bytes:
    """A write, or a call of a device or pipe, with what it brings overwritten."""
    return data[: _HEADER_BYTES + 48] + b"*" * (len(data) - _HEADER_BYTES - 48)


def _content(data: bytes) -> Sequence[Shown]:
    """Contents of a file as the reference decode shows bytes that nobody reads."""
    return [Shown({"p": "data", "len": len(data), "head": data[:24].hex()})] if data else ()


def _fields(pdu: Pdu, code: int, data: bytes, body: bytes) -> str:
    """What a request names; gives its file or share."""
    if code == _CREATE:
        at, size = _little(body, 44, 2), _little(body, 46, 2)
        pdu["file"] = shown_text_16(data[at : at + size])
        return str(pdu["file"])
    if code == 3:  # noqa: PLR2004 - TREE_CONNECT (2.2.9)
        at, size = _little(body, 4, 2), _little(body, 6, 2)
        pdu["tree"] = shown_text_16(data[at : at + size])
        return str(pdu["tree"])
    if code == 0:
        count = min(_little(body, 2, 2), (len(body) - 36) // 2)
        pdu["dialect"] = [_little(body, 36 + 2 * each, 2) for each in range(count)]
    elif code == _READ:
        pdu["rlen"] = _little(body, 4, 4)
    elif code == _WRITE:
        pdu["wlen"] = _little(body, 4, 4)
    return ""


def shown_text_16(data: bytes) -> str:
    """Text in UTF-16 as the reference decode shows it."""
    return data.decode("utf-16-le", "replace")


def _operation(code: int, body: bytes, file: str) -> Operation:
    meaning = MEANINGS.get(code)
    text = str(code)
    if code == _CREATE:
        access, disposition, options = _little(body, 24, 4), _little(body, 36, 4), _little(body, 40, 4)
        is_changing = access & _CHANGING or disposition != _OPEN or options & _DELETE_ON_CLOSE
        meaning = ("Create", (Is.FILE_WRITE if is_changing else Is.FILE_READ,))
    elif code == _IOCTL:
        text = f"{code}/0x{_little(body, 4, 4):08X}"
    return operation_of("smb", meaning, text, *((("path", file),) if file else ()))


def _show_1(data: bytes, side: Side) -> Sequence[Shown]:
    if len(data) < _HEADER_1_BYTES:
        return ()
    code, is_response = data[4], data[9] >> 7
    pdu: Pdu = {"p": "smb", "cmd": [code], "cmd_name": [COMMANDS_1.get(code, "Unknown")], "response": is_response}
    pdu["status"] = _little(data, 5, 4)
    if is_response:
        return [Shown(pdu)]
    if code == _NEGOTIATE_1:
        pdu["dialects"] = [shown_text(each) for each in data[35:].split(b"\x02")[1:]]
    meaning = ("Negotiate Protocol", (Is.SESSION,)) if code == _NEGOTIATE_1 else None
    kept = None if meaning else data[:_HEADER_1_BYTES] + b"*" * (len(data) - _HEADER_1_BYTES)  # a password may follow
    return [Shown(pdu, asking(data, side, operation_of("smb", meaning, f"1/0x{code:02X}"), kept))]


SMB: Final = RecognisedProtocol(
    name="smb",
    title="SMB",
    column="SMB2",
    ports=("tcp/445", "tcp/139"),
    fits=fits,
    dissectors={"tcp": lambda: MessageDissector(length_of, MAX_MESSAGE_BYTES, show)},
)
