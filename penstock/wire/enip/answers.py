"""What a CIP reply says to its request: the status in words, and the values that were read.

Pure.  ODVA CIP Volume 1, 2-4.2 (message router responses) and appendix B (status); Rockwell 1756-PM020 for the data of
tags and 1770-6.5.16 for PCCC.  Never raises: what it cannot read is ``unreadable``.
"""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.model import Malformed, Target
from penstock.wire.decoder import Answer, Frame
from penstock.wire.enip import pccc, values
from penstock.wire.enip.codes import CONNECTION_MANAGER, PCCC_OBJECT, TAG_CLASSES
from penstock.wire.enip.containers import unconnected
from penstock.wire.enip.names import ENCAPSULATION_STATUS, GENERAL_STATUS, PCCC_STATUS
from penstock.wire.enip.operations import (
    CIP,
    COMMAND,
    NAMED,
    OPENING,
    OPENING_BYTES,
    read_part,
    split_multiple,
    with_names,
)
from penstock.wire.enip.path import path_of
from penstock.wire.enip.symbols import named
from penstock.wire.enip.tags import expect_list

UNREADABLE: Final = Answer("unreadable")
#: 0 is success; 6 is success as well, with more to come (appendix B-1).
_GOOD: Final = (0, 6)
_REPLY_BIT: Final = 0x80
_MULTIPLE: Final = 0x0A
_SENT: Final = 0x52
_PCCC: Final = 0x4B
_SINGLE, _LIST = 0x0E, 0x03
_READ_TAG: Final = (0x4C, 0x52)
_EXTENDED: Final = 0xF0

Targets = tuple[Target, ...]


def says_no(message: bytes) -> bool:
    """Whether a CIP reply refuses, also where the refusal is that of a PCCC command inside."""
    if message[2] not in _GOOD:
        return True
    if message[0] == _PCCC | _REPLY_BIT and len(message) > 4:  # noqa: PLR2004 - service, status
        at = 4 + 2 * message[3]
        size = message[at] if at < len(message) else 0
        # A requester of 7 bytes, then command with the reply bit, then status.
        return size == 7 and len(message) >= at + size + 4 and bool(message[at + size + 1])  # noqa: PLR2004
    return False


def answer(request: Frame, reply: Frame) -> Answer:
    """See `Decoder.answer`."""
    try:
        if request.what[0] != NAMED:
            return _answer(request.what, reply)
        names, what = with_names(request.what)
        found = _answer(what, reply)
        return Answer(found.status, named(found.targets, names))
    except (Malformed, ValueError, IndexError):
        return UNREADABLE


def _answer(asked: bytes, reply: Frame) -> Answer:
    if reply.what[0] == COMMAND:
        code = int.from_bytes(reply.what[3:7], "little")
        return Answer(_status(code, ENCAPSULATION_STATUS)) if code else Answer()
    if reply.what[0] != CIP:
        return UNREADABLE
    if asked[0] == OPENING:
        return _read(asked[OPENING_BYTES:], reply.what[2:])
    return _read(asked[2 + asked[1] :], reply.what[2:]) if asked[0] == CIP else UNREADABLE


def _read(asked: bytes, message: bytes) -> Answer:
    """What the reply `message` says to the CIP request `asked`."""
    end = 2 + 2 * asked[1]
    service, number, data = asked[0], path_of(asked[2:end]).number, asked[end:]
    at = 4 + 2 * message[3]
    if service == _SENT and number == CONNECTION_MANAGER:
        is_routers = message[0] == _SENT | _REPLY_BIT
        return Answer(_general(message)) if is_routers else _read(unconnected(data)[0], message)
    if len(message) < at or message[0] != service | _REPLY_BIT:
        return UNREADABLE
    if service == _MULTIPLE:
        return _read_multiple(data, message, at)
    if message[2] not in _GOOD:
        return Answer(_general(message))
    if service == _PCCC and number == PCCC_OBJECT:
        return _read_pccc(data, message[at:])
    return _read_values(asked, number, data, message[at:])


def _read_values(asked: bytes, number: int, data: bytes, shown: bytes) -> Answer:
    service = asked[0]
    targets = read_part(asked, 0).targets
    if service in _READ_TAG and number in TAG_CLASSES and len(data) in (2, 6):
        return Answer("", _tag_values(targets[0], is_whole=service == _READ_TAG[0], data=data, shown=shown))
    if service == _SINGLE:
        return Answer("", (msgspec.structs.replace(targets[0], values=(values.raw(shown),)),))
    if service == _LIST and len(expect_list(data)) == 1 and shown[:4] == b"\1\0" + data[2:4]:
        if shown[4:6] != b"\0\0":
            return Answer(_status(shown[4] | shown[5] << 8, GENERAL_STATUS))
        return Answer("", (msgspec.structs.replace(targets[0], values=(values.raw(shown[6:]),)),))
    return Answer("", tuple(each for each in targets if each.values is not None))


def _tag_values(target: Target, *, is_whole: bool, data: bytes, shown: bytes) -> Targets:
    """The elements that an answer shows; a fragment, and a first part (status 6), show fewer than were asked for."""
    kind = values.kind_of(shown)
    part = shown[kind.size :]
    size = values.SIZES.get(kind.code)
    if size is None:
        read = values.read(kind, target.count, part) if is_whole else (values.raw(part),)
        return (msgspec.structs.replace(target, values=read),)
    count = min(len(part) // size, target.count)
    first = target.first if is_whole else target.first + int.from_bytes(data[2:6], "little") // size
    read = values.read(kind, count, part[: count * size])
    return (msgspec.structs.replace(target, first=first, count=count, values=read),)


def _read_multiple(data: bytes, message: bytes, at: int) -> Answer:
    """The answers of the requests in a packet: every status that is no success, and all values."""
    asked = split_multiple(data)
    if len(message) == at:
        return Answer(_general(message))
    given = split_multiple(message[at:])
    if len(asked) != len(given) or any(len(each) < 4 for each in given):  # noqa: PLR2004 - service to status
        return UNREADABLE
    answers = [_read(one, other) for one, other in zip(asked, given, strict=True)]
    statuses = dict.fromkeys(each.status for each in answers if each.status)
    return Answer(", ".join(statuses), tuple(target for each in answers for target in each.targets))


def _read_pccc(data: bytes, shown: bytes) -> Answer:
    asked = pccc.read_command(data)
    size = shown[0]
    command, status = shown[size], shown[size + 1]
    if command != asked.command | pccc.REPLY_BIT or shown[size + 2 : size + 4] != asked.number.to_bytes(2, "little"):
        return UNREADABLE
    rest = shown[size + 4 :]
    if status:
        more = f" 0x{rest[0]:02X}" if status == _EXTENDED and rest else ""
        return Answer(f"0x{status:02X}{more} {PCCC_STATUS.get(status, 'unknown PCCC status')}")
    targets = pccc.targets_of(asked)
    if asked.function in pccc.LOGICAL_READS:
        wanted, address, _ = pccc.logical_address(asked.data, has_part=asked.function == pccc.LOGICAL_READS[1])
        if len(rest) != wanted:
            return UNREADABLE
        return Answer("", (msgspec.structs.replace(targets[0], values=pccc.decoded(address, rest)),))
    return Answer("", targets if any(each.values is not None for each in targets) else ())


def _general(message: bytes) -> str:
    """``15 privilege violation``; extended words behind it in hexadecimal (``1 connection failure 0x0315``)."""
    words = [message[i] | message[i + 1] << 8 for i in range(4, min(len(message) - 1, 4 + 2 * message[3]), 2)]
    return " ".join([_status(message[2], GENERAL_STATUS), *(f"0x{each:04X}" for each in words)])


def _status(code: int, names: dict[int, str]) -> str:
    return f"{code} {names.get(code, 'unknown status')}"
