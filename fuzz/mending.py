"""What a changed conversation needs so that its decoder looks behind the first check: numbers, check sums, lengths.

Without it nearly every change of a fuzzer ends at that check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fuzzing import bytes_of, talk_of

from penstock.wire import Side

_IEC104_START: Final = 0x68
_DNP3_START: Final = b"\x05\x64"
_DNP3_BLOCK: Final = 16
_ENIP_HEAD: Final = 24
#: The packet's head, the unit's and the PDU's; the kind of PDU whose data have a head of their own, and that head.
_S7_HEAD: Final = 17
_S7_USERDATA: Final = 7
_S7_DATA_HEAD: Final = 4
#: Command, where the length of its data item stands, and where the item begins.
_ENIP_ITEMS: Final = ((0x6F, 38, 40), (0x70, 42, 44))
#: Head of each message, the end of the numbers in MSG and CLO, and what stands in front of them in a clear OPN: the
#: policy None, no certificate, no thumbprint.
_OPCUA_KINDS: Final = (b"HEL", b"ACK", b"ERR", b"RHE", b"OPN", b"CLO", b"MSG")
_OPCUA_HEAD: Final = 8
_OPCUA_NUMBERS_END: Final = 24
_OPCUA_CLEAR: Final = b"#None" + b"\xff" * 8
#: IEEE 1815, 9.2.4.1: x^16 + x^13 + x^12 + x^11 + x^10 + x^8 + x^6 + x^5 + x^2 + 1, lowest bit first, complemented.
_DNP3_POLYNOMIAL: Final = 0xA6BC


def iec104(data: bytes) -> bytes:
    """Numbers every I format of a conversation anew, and acknowledges nothing that was not sent."""
    numbers = dict.fromkeys(Side, 0)
    other = {Side.CLIENT: Side.ASSET, Side.ASSET: Side.CLIENT}
    talk = []
    for side, piece in talk_of(data):
        mended, at = bytearray(piece), 0
        while at + 6 <= len(mended) and mended[at] == _IEC104_START:
            if not mended[at + 2] & 1:
                mended[at + 2 : at + 4] = (numbers[side] << 1).to_bytes(2, "little")
                numbers[side] += 1
            if mended[at + 2] & 3 != 3:  # noqa: PLR2004 - the U format has no numbers
                mended[at + 4 : at + 6] = (numbers[other[side]] << 1).to_bytes(2, "little")
            at += 2 + mended[at + 1]
        talk.append((side, bytes(mended)))
    return bytes_of(talk)


def dnp3(data: bytes) -> bytes:
    """Makes the check sums of every link frame right (IEEE 1815, 9.2.4)."""
    talk = []
    for side, piece in talk_of(data):
        mended, at = bytearray(piece), 0
        while (at := mended.find(_DNP3_START, at)) >= 0 and at + 10 <= len(mended):
            _sum(mended, at, 8)
            left, at = mended[at + 2] - 5, at + 10
            while left > 0 and at < len(mended):
                size = min(left, _DNP3_BLOCK)
                _sum(mended, at, size)
                left, at = left - size, at + size + 2
        talk.append((side, bytes(mended)))
    return bytes_of(talk)


def bacnet(data: bytes) -> bytes:
    """Makes type and length of every datagram right (ASHRAE 135, J.2)."""
    talk = []
    for side, piece in talk_of(data):
        talk.append((side, b"\x81" + piece[1:2] + len(piece).to_bytes(2, "big") + piece[4:] if piece[4:] else piece))
    return bytes_of(talk)


def _sum(frame: bytearray, start: int, size: int) -> None:
    end = start + size
    if end + 2 > len(frame):
        return
    check = 0
    for octet in frame[start:end]:
        check ^= octet
        for _ in range(8):
            check = check >> 1 ^ (_DNP3_POLYNOMIAL if check & 1 else 0)
    frame[end : end + 2] = (check ^ 0xFFFF).to_bytes(2, "little")


def enip(data: bytes) -> bytes:
    """Makes the lengths of every piece right that begins as EtherNet/IP (CIP Volume 2, 2-3 and 2-6)."""
    talk = []
    for side, piece in talk_of(data):
        mended = bytearray(piece)
        size = len(mended)
        if size > _ENIP_HEAD and mended[1] == 0:
            mended[2:4] = (size - _ENIP_HEAD).to_bytes(2, "little")
            for command, at, end in _ENIP_ITEMS:
                if mended[0] == command and size > end:
                    mended[at : at + 2] = (size - at - 2).to_bytes(2, "little")
        talk.append((side, bytes(mended)))
    return bytes_of(talk)


def s7comm(data: bytes) -> bytes:
    """Makes the lengths of every piece right that begins as one S7 message in one packet (RFC 1006, 6)."""
    talk = []
    for side, piece in talk_of(data):
        mended = bytearray(piece)
        head = _S7_HEAD + 2 * (piece[8:9] in {b"\2", b"\3"})
        if mended[:2] == b"\3\0" and mended[4:8] == b"\x02\xf0\x80\x32" and len(mended) >= head:
            size = min(mended[13] << 8 | mended[14], len(mended) - head)
            written = len(mended) - head - size
            mended[2:4], mended[13:15] = len(mended).to_bytes(2, "big"), size.to_bytes(2, "big")
            mended[15:17] = written.to_bytes(2, "big")
            if mended[8] == _S7_USERDATA and written >= _S7_DATA_HEAD:
                mended[head + size + 2 : head + size + 4] = (written - _S7_DATA_HEAD).to_bytes(2, "big")
        talk.append((side, bytes(mended)))
    return bytes_of(talk)


def opcua(data: bytes) -> bytes:
    """Makes sizes, channel, sequence numbers and request ids right in what each side says (OPC 10000-6, 6.7.2).

    The answers belong to the requests in their order.
    """
    talk = talk_of(data)
    said = {side: bytearray(b"".join(piece for each, piece in talk if each is side)) for side in Side}
    channel = bytes(said[Side.ASSET][at + 8 : at + 12]) if (at := said[Side.ASSET].find(b"OPNF")) >= 0 else bytes(4)
    for stream in said.values():
        _number_opcua(stream, channel)
    mended = []
    for side, piece in talk:
        mended.append((side, bytes(said[side][: len(piece)])))
        del said[side][: len(piece)]
    return bytes_of(mended)


def _number_opcua(stream: bytearray, channel: bytes) -> None:
    at, number = 0, 0
    while at + _OPCUA_HEAD <= len(stream) and stream[at : at + 3] in _OPCUA_KINDS:
        kind, size = bytes(stream[at : at + 3]), int.from_bytes(stream[at + 4 : at + 8], "little")
        size = size if _OPCUA_HEAD <= size <= len(stream) - at else len(stream) - at
        stream[at + 4 : at + 8] = size.to_bytes(4, "little")
        if kind in {b"MSG", b"CLO"} and size >= _OPCUA_NUMBERS_END:
            number += 1
            stream[at + 8 : at + 12] = channel
            stream[at + 16 : at + _OPCUA_NUMBERS_END] = number.to_bytes(4, "little") * 2
        elif kind == b"OPN" and (policy := stream.find(_OPCUA_CLEAR, at, at + size)) >= 0:
            number += 1
            start = policy + len(_OPCUA_CLEAR)
            stream[start : start + 4] = number.to_bytes(4, "little")
        at += size


#: By protocol; the others have none of these.
MENDED: Final[dict[str, Callable[[bytes], bytes]]] = {
    "iec104": iec104,
    "dnp3": dnp3,
    "enip": enip,
    "bacnet": bacnet,
    "s7comm": s7comm,
    "opcua": opcua,
}
