"""What stations say to each other on one link: fragments become frames that belong together.

Pure.  IEEE 1815-2012: a response has the sequence number of its request (4.2.2.4.6), the fragments behind the first one
count on; an operate follows its select with the next number and the same objects (4.4.3); a file is opened by name and
then known by a handle (A.28).  All tables are bounded.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, TypeVar

from penstock.model import Malformed
from penstock.wire.decoder import NO_ANSWER, Frame, Role, Side
from penstock.wire.dnp3.codes import (
    ABORT_FILE,
    AUTHENTICATION_RESPONSE,
    CLOSE_FILE,
    CONFIRM,
    OPEN_FILE,
    OPERATE,
    READ,
    REFUSING_BITS,
    RESPONSE,
    SELECT,
    SILENT,
    UNSOLICITED,
    WRITE,
)
from penstock.wire.dnp3.controls import ANALOGS, RELAYS, status_of
from penstock.wire.dnp3.files import file_status, handle_of, opened_name
from penstock.wire.dnp3.frames import AnswerFrame, ConfirmFrame, RequestFrame
from penstock.wire.dnp3.link import Header
from penstock.wire.dnp3.operations import NAMED, NORMAL, SELECTED, UNSELECTED

Key = TypeVar("Key")
Value = TypeVar("Value")

_CLIENT: Final = Side.CLIENT
_ASSET: Final = Side.ASSET
_REQUEST: Final = Role.REQUEST
_REPLY: Final = Role.REPLY
_NOTICE: Final = Role.NOTICE
_LINK: Final = Role.LINK
#: Application control.
_FIRST: Final = 0x80
_FINAL: Final = 0x40
_WHOLE: Final = _FIRST | _FINAL
_UNSOLICITED_BIT: Final = 0x10
_NUMBER: Final = 0x0F
_FLAGS: Final = 0xF0
#: In a fragment behind one octet of transport: control, function code, objects; a response has two octets of
#: indications in front of its objects.
CONTROL_AT: Final = 1
CODE_AT: Final = 2
OBJECTS_AT: Final = 3
REPORT_AT: Final = 5
_FILES: Final = 70
_FILE: Final = bytes((_FILES,))
#: Object header, count and size in front of a file object.
_FILE_HEAD: Final = 6
_BY_HANDLE: Final = frozenset({READ, WRITE, CLOSE_FILE, ABORT_FILE})
_RESPONSES: Final = (RESPONSE, AUTHENTICATION_RESPONSE)
_REMEMBERED: Final = frozenset({CONFIRM, SELECT, OPERATE, OPEN_FILE})
_ANSWERED_WITH_STATUS: Final = frozenset({RELAYS, ANALOGS, _FILES})
#: Stations, selects and files that are remembered of one connection.
_MAX_REMEMBERED: Final = 64
#: A longer name is not remembered, so that what goes by its handle has no name.
_MAX_NAME: Final = 255
#: Objects up to this are remembered as they are: one or two controls.
_SHORT: Final = 40
_DIGEST_BYTES: Final = 64


class Conversation:
    """The memory of one flow: responses under way, selects, open files."""

    __slots__ = ("_is_stream", "_knows_selects", "_open", "_opening", "_selects", "_series")

    def __init__(self, *, is_stream: bool, knows_selects: bool = True) -> None:
        """Over UDP fragments may be lost (not `is_stream`).  Who came late does not know of all selects."""
        self._is_stream, self._knows_selects = is_stream, knows_selects
        #: By pair of stations: the exchange of a response that goes on, and the number of its next fragment.
        self._series: dict[int, tuple[int, int]] = {}
        #: By pair of stations: the number that the operate must have, and a digest of the objects.
        self._selects: dict[int, tuple[int, bytes]] = {}
        #: By exchange: the name in a request to open; by outstation and handle: the name that was opened.
        self._opening: dict[int, str] = {}
        self._open: dict[tuple[int, int], str] = {}

    def asked(self, header: Header, user: bytes, data: bytes) -> Frame:
        """The frame of a fragment that the master sent: `user` has one octet of transport in front of it."""
        if len(user) < OBJECTS_AT:
            raise Malformed("a fragment without a function code (4.2.2)")
        control, code = user[CONTROL_AT], user[CODE_AT]
        pair = header.pair
        exchange = NO_ANSWER if code in SILENT or pair == NO_ANSWER else pair | control & _NUMBER
        if control & _FLAGS == _WHOLE and code not in _REMEMBERED and user[OBJECTS_AT : OBJECTS_AT + 1] != _FILE:
            return RequestFrame(data, _CLIENT, header.prefix + user[CODE_AT:], exchange, False, _REQUEST)
        if code == CONFIRM and len(user) == OBJECTS_AT and control & _WHOLE == _WHOLE:
            return ConfirmFrame(data, _CLIENT, header.address, NO_ANSWER, False, _LINK)
        what = self._what(header, user, exchange)
        return RequestFrame(data, _CLIENT, what, exchange, False, _REQUEST)

    def answered(self, header: Header, user: bytes, data: bytes) -> Frame | None:
        """The frame of a fragment that the outstation sent; ``None`` where what it goes on from was lost."""
        if len(user) < OBJECTS_AT:
            raise Malformed("a fragment without a function code (4.2.2)")
        control, code = user[CONTROL_AT], user[CODE_AT]
        what = header.address + user[CONTROL_AT:]
        if code in _RESPONSES:
            if len(user) < REPORT_AT or control & _UNSOLICITED_BIT:
                raise Malformed("a response without indications, or with the unsolicited bit (4.2.2.4, 4.2.2.5)")
            exchange = header.pair | control & _NUMBER
            if control & _WHOLE != _WHOLE or self._series:
                found = self._exchange(header, control)
                if found is None:
                    return None
                exchange = found
            is_refusal = bool(user[REPORT_AT - 1] & REFUSING_BITS)
            if len(user) > REPORT_AT and user[REPORT_AT] in _ANSWERED_WITH_STATUS:
                is_refusal = self._is_refused(header, user, exchange) or is_refusal
            return AnswerFrame(data, _ASSET, what, exchange, is_refusal, _REPLY, bool(control & _FINAL))
        if code == CONFIRM and len(user) == OBJECTS_AT:
            return ConfirmFrame(data, _ASSET, what, NO_ANSWER, False, _LINK)
        if code == UNSOLICITED and (len(user) < REPORT_AT or not control & _UNSOLICITED_BIT):
            raise Malformed("an unsolicited response without indications or its bit (4.2.2.4, 4.2.2.5)")
        unnumbered = header.address + bytes((control & _FLAGS,)) + user[CODE_AT:]
        return AnswerFrame(data, _ASSET, unnumbered, NO_ANSWER, False, _NOTICE)

    def forget_select(self, header: Header) -> None:
        """The select was refused, so no operate follows it."""
        self._selects.pop(header.pair, None)

    def _what(self, header: Header, user: bytes, exchange: int) -> bytes:
        """The `what` of a request that the memory has a say in."""
        control, code = user[CONTROL_AT], user[CODE_AT]
        state, name = NORMAL, b""
        if code == SELECT:
            _remember(self._selects, header.pair, (control + 1 & _NUMBER, _digest(user)))
        elif code == OPERATE:
            state = SELECTED if self._is_armed(header, user) else UNSELECTED
        elif code == OPEN_FILE:
            opened = opened_name(user, OBJECTS_AT)
            if 0 < len(opened) <= _MAX_NAME:
                _remember(self._opening, exchange, opened)
        elif code in _BY_HANDLE:
            known = self._name(header, user, code)
            if known is not None:
                state, raw = NAMED, known.encode()
                name = len(raw).to_bytes(2, "little") + raw
        return header.address + bytes((state, control & _FLAGS)) + name + user[CODE_AT:]

    def _is_armed(self, header: Header, user: bytes) -> bool:
        """Whether the operate in `user` has the number and the objects that the last select asks for."""
        if not self._knows_selects:
            return True
        return self._selects.get(header.pair) == (user[CONTROL_AT] & _NUMBER, _digest(user))

    def _name(self, header: Header, user: bytes, code: int) -> str | None:
        handle = handle_of(user, OBJECTS_AT)
        if handle is None:
            return None
        key = header.destination, handle
        return self._open.pop(key, None) if code in {CLOSE_FILE, ABORT_FILE} else self._open.get(key)

    def _exchange(self, header: Header, control: int) -> int | None:
        """The exchange of a response of several fragments; a repeated fragment belongs to it as well."""
        number = control & _NUMBER
        exchange = header.pair | number
        if not control & _FIRST:
            known = self._series.get(header.pair)
            if known is None or (number - known[1]) & _NUMBER not in {0, _NUMBER}:
                if self._is_stream:
                    raise Malformed("a fragment of a response without the ones in front of it (4.2.2.4.1)")
                return None
            exchange = known[0]
        if control & _WHOLE == _WHOLE:
            self._series.pop(header.pair, None)
        else:
            _remember(self._series, header.pair, (exchange, number + 1 & _NUMBER))
        return exchange

    def _is_refused(self, header: Header, user: bytes, exchange: int) -> bool:
        """Whether a status in the answer says no; a file that was opened is remembered on the way."""
        if user[REPORT_AT] != _FILES:
            try:
                return bool(status_of(user, REPORT_AT))
            except Malformed:
                return False
        said = file_status(user[REPORT_AT + _FILE_HEAD :], user[REPORT_AT + 1]) if len(user) > REPORT_AT + 1 else None
        name = self._opening.pop(exchange, None)
        if said is None:
            return False
        if name is not None and not said.status and handle_of(user, REPORT_AT) is not None:
            _remember(self._open, (header.source, said.handle), name)
        return bool(said.status)


def _digest(user: bytes) -> bytes:
    objects = user[OBJECTS_AT:]
    return objects if len(objects) <= _SHORT else blake2b(objects, digest_size=_DIGEST_BYTES).digest()


def _remember(table: dict[Key, Value], key: Key, value: Value) -> None:
    """Put it at the end; the oldest one is forgotten where there are too many."""
    table.pop(key, None)
    if len(table) >= _MAX_REMEMBERED:
        del table[next(iter(table))]
    table[key] = value
