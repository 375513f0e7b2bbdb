"""TPKT and the ISO transport protocol above TCP (class 0): what S7comm, S7comm-plus, MMS and RDP stand on.

Pure.  Bytes of one direction in, `TransportUnit`s out: a connection request or confirm, a disconnect, or the user data
of one message, put together where it came in several data units.  Facts: RFC 1006 section 6 (the packet), and ISO 8073
(ITU-T X.224) sections 13.3 to 13.7 and 13.12 (the units).  What is not class 0 is `Malformed`: no peer of these
protocols speaks another class over TCP, and a gate that let it pass could not say what it means.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from penstock.model import Malformed
from penstock.wire.decoder import WrongProtocol

#: RFC 1006 section 6: version 3, a reserved byte, the length of the whole packet in two bytes.
VERSION: Final = 3
HEAD_BYTES: Final = 4
MIN_PACKET_BYTES: Final = 7
#: 13.7: length indicator 2, code, and the end-of-data mark in the top bit of the number (which class 0 keeps at 0).
DATA_HEAD_BYTES: Final = 7
_DATA_LENGTH: Final = 2
END_OF_DATA: Final = 0x80
#: 13.3.1: length indicator, code, two references and the class come before the parameters.
_FIXED_BYTES: Final = 7
#: 13.12: length indicator, code, one reference and the cause.
_ERROR_BYTES: Final = 5
#: 13.6.1: length indicator, code and two references.
_CONFIRM_BYTES: Final = 6
_CLASS_AT: Final = 6
_CLASS_MASK: Final = 0xF0
#: 13.3.4: the calling and the called transport selector.
CALLING_TSAP: Final = 0xC1
CALLED_TSAP: Final = 0xC2
#: 13.5.3: reason 136 of a disconnect is "connection request refused"; it is given as 0x80 plus 8.
_REFUSED: Final = 0x80 + 8


class Tpdu(IntEnum):
    """The units of class 0, by their codes (13.3 to 13.12).

    Class 0 needs no confirmation of a disconnect (6.7.1.5), but some servers send one.
    """

    CONNECT_REQUEST = 0xE0
    CONNECT_CONFIRM = 0xD0
    DISCONNECT_REQUEST = 0x80
    DISCONNECT_CONFIRM = 0xC0
    ERROR = 0x70
    DATA = 0xF0


_DATA: Final = Tpdu.DATA
_BY_CODE: Final = {int(each): each for each in Tpdu}
_FIXED: Final[dict[int, int]] = {Tpdu.ERROR: _ERROR_BYTES, Tpdu.DISCONNECT_CONFIRM: _CONFIRM_BYTES}
_WITH_CLASS: Final = frozenset({Tpdu.CONNECT_REQUEST, Tpdu.CONNECT_CONFIRM})


class TransportUnit(msgspec.Struct, gc=False):
    """One unit: its `kind`, its exact bytes with all packets that carried it, and its `payload`.

    The payload of data is the user data, put together.  Of every other unit it is the unit itself, from the length
    indicator on.  Data without end-of-data mark and without user data, as STEP 7 sends it for an acknowledgement,
    is a unit of its own with an empty payload: it adds nothing to any message.
    """

    kind: Tpdu
    data: bytes
    payload: bytes


class TransportReader:
    """The units of one direction.  Holds at most `max_bytes` of an incomplete message; takes linear time.

    `is_busy` is true while part of a message is held, and for ever after the stream broke.
    """

    __slots__ = ("_error", "_held", "_max_bytes", "_need", "_parts", "_parts_bytes", "is_busy")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._need = 0
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._error: Malformed | None = None
        self.is_busy = False

    @property
    def held_bytes(self) -> int:
        """How much of an incomplete message is held; at least 1 after the stream broke."""
        return self._parts_bytes + len(self._held) or int(self._error is not None)

    @property
    def is_broken(self) -> bool:
        """Whether every further call raises."""
        return self._error is not None

    def feed(self, data: bytes) -> list[TransportUnit]:
        """The units that `data` completes.  Raises as `Decoder.feed` does: units in front of a break come first."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return []
            data = bytes(self._held)
            self._held.clear()
        units: list[TransportUnit] = []
        start = 0
        try:
            while (end := self._end_of_packet(data, start)) is not None:
                unit = self._unit(data[start:end])
                start = end
                if unit is not None:
                    units.append(unit)
        except Malformed as error:
            self.give_up(error)
            if not units:
                raise
            return units
        self._held += data[start:]
        self.is_busy = bool(self._held or self._parts)
        return units

    def give_up(self, error: Malformed) -> None:
        """Nothing more is to be read: every further call raises `error`."""
        self._error, self.is_busy = error, True
        self._parts, self._parts_bytes = [], 0
        self._held.clear()

    def _end_of_packet(self, stream: bytes, start: int) -> int | None:
        """Where the packet at `start` ends, ``None`` while it is incomplete.  Raises as soon as the bytes tell."""
        held = len(stream) - start
        if held and stream[start] != VERSION:
            raise WrongProtocol(f"0x{stream[start]:02x} begins no packet of RFC 1006 (section 6)")
        if held < HEAD_BYTES:
            self._need = held + 1
            return None
        length = stream[start + 2] << 8 | stream[start + 3]
        if stream[start + 1] or length < MIN_PACKET_BYTES:
            raise Malformed(f"a packet of {length} bytes, reserved byte {stream[start + 1]} (RFC 1006 section 6)")
        if length > self._max_bytes - self._parts_bytes:
            raise Malformed(f"a message of more than {self._max_bytes} bytes")
        self._need = length
        return start + length if length <= held else None

    def _unit(self, packet: bytes) -> TransportUnit | None:
        kind = _BY_CODE.get(packet[5])
        if kind is None:
            raise Malformed(f"0x{packet[5]:02x} is no unit of transport class 0 (ISO 8073, 13)")
        if kind is _DATA:
            return self._data_unit(packet)
        if self._parts:
            raise Malformed(f"{kind.name.lower()} within a message that came in parts (ISO 8073, 13.7)")
        if not is_length_of(kind, packet[HEAD_BYTES], len(packet)):
            raise Malformed(f"{kind.name.lower()} has not the length that it states (ISO 8073, 13.2.1)")
        if kind in _WITH_CLASS:
            _expect_class_0(packet[HEAD_BYTES:])
        return TransportUnit(kind, packet, packet[HEAD_BYTES:])

    def _data_unit(self, packet: bytes) -> TransportUnit | None:
        mark = packet[6]
        if packet[HEAD_BYTES] != _DATA_LENGTH or mark not in {0, END_OF_DATA}:
            raise Malformed(f"a data unit with length {packet[4]} and number 0x{mark:02x} (ISO 8073, 13.7)")
        if not self._parts and (mark or len(packet) == DATA_HEAD_BYTES):
            return TransportUnit(_DATA, packet, packet[DATA_HEAD_BYTES:])
        self._parts.append(packet)
        self._parts_bytes += len(packet)
        if not mark:
            return None
        data, payload = b"".join(self._parts), b"".join(part[DATA_HEAD_BYTES:] for part in self._parts)
        self._parts, self._parts_bytes = [], 0
        return TransportUnit(_DATA, data, payload)


def is_length_of(kind: int, indicator: int, packet_bytes: int) -> bool:
    """Whether a unit with this length indicator fills its packet.

    Data follow their head.  A disconnect of class 0 has nothing behind it (13.5), but some clients send a byte more.
    """
    if kind == _DATA:
        return indicator == _DATA_LENGTH
    end = HEAD_BYTES + 1 + indicator
    return 0 <= packet_bytes - end <= (kind == Tpdu.DISCONNECT_REQUEST)


def _expect_class_0(unit: bytes) -> None:
    if len(unit) < _FIXED_BYTES or unit[_CLASS_AT] & _CLASS_MASK:
        raise Malformed("a connection that is not of transport class 0 (RFC 1006 section 4, ISO 8073 13.3.3)")


def parameters(unit: bytes) -> dict[int, bytes]:
    """The parameters of a unit that holds no data (13.3.4 and others), by their codes.

    Raises `Malformed`.  RDP puts text of its own in this place, so not every request has parameters.
    """
    found: dict[int, bytes] = {}
    at, last = _FIXED.get(unit[1], _FIXED_BYTES), unit[0] + 1
    if last < at:
        raise Malformed(f"a unit of {last} bytes without its fixed part (ISO 8073, 13)")
    while at < last:
        end = at + 2 + unit[at + 1] if at + 1 < last else last + 1
        if end > last or unit[at] in found:
            raise Malformed("parameters of a connection that do not add up (ISO 8073, 13.2.3.3)")
        found[unit[at]] = unit[at + 2 : end]
        at = end
    return found


def carried(data: bytes) -> bytes | None:
    """The first user data of a stream that begins so, as far as it is there; ``None`` where there is none yet.

    Raises `Malformed` where these are no packets with units of class 0.  For telling protocols apart.
    """
    at = 0
    while at < len(data):
        if not b"\x03\0".startswith(data[at : at + 2]):
            raise WrongProtocol("no packet of RFC 1006 (section 6)")
        if at + DATA_HEAD_BYTES > len(data):
            return None
        length = data[at + 2] << 8 | data[at + 3]
        if length < MIN_PACKET_BYTES or data[at + 5] not in _BY_CODE:
            raise Malformed("no packet with a unit of transport class 0 (RFC 1006 section 6, ISO 8073)")
        payload = data[at + DATA_HEAD_BYTES : at + length]
        if data[at + 5] == _DATA and length > DATA_HEAD_BYTES:
            return payload or None
        at += length
    return None


def disconnect(request: bytes) -> bytes:
    """The packet that refuses the connection request `request` (13.5): its sender knows that nobody will answer."""
    unit = bytes((6, Tpdu.DISCONNECT_REQUEST)) + request[4:6] + b"\0\0" + bytes((_REFUSED,))
    return bytes((VERSION, 0)) + (HEAD_BYTES + len(unit)).to_bytes(2, "big") + unit


def packet(payload: bytes) -> bytes:
    """`payload` as one data unit in one packet."""
    length = DATA_HEAD_BYTES + len(payload)
    return bytes((VERSION, 0, length >> 8, length & 0xFF, _DATA_LENGTH, Tpdu.DATA, END_OF_DATA)) + payload
