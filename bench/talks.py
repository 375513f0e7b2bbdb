"""What a client and a device of each protocol say over one connection: its beginning, then one read over and over.

Pure.  A `Talk` is what `talk.h` reads: both ends count as the protocol counts, and check every byte.  One value is read
in each turn, the ordinary work of a plant.  What follows a session's opening in a client's life (lists of endpoints,
walks through an address space) is left out; `decoders.py` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from struct import pack
from typing import Final

from penstock.wire.dnp3.crc import in_blocks

Exchange = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number in each message of the cycle: `start` in the first, `step` more in each that follows."""

    is_answer: bool
    offset: int
    size: int
    order: str
    start: int
    step: int = 1

    def put(self, data: bytes, turn: int) -> bytes:
        """`data` with the number of this turn of the cycle in it."""
        number = (self.start + self.step * turn) % (1 << 8 * self.size)
        end = self.offset + self.size
        return data[: self.offset] + number.to_bytes(self.size, _ORDERS[self.order]) + data[end:]


_ORDERS: Final = {"le": "little", "be": "big"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """Requests and their answers (empty: none): `once` in the beginning, then `cycle` for ever."""

    once: tuple[Exchange, ...] = ()
    cycle: tuple[Exchange, ...]
    counts: tuple[Count, ...] = field(default=())

    @property
    def text(self) -> str:
        """The talk as `talk.h` reads it."""
        lines = [f"{word} {asked.hex()} {answered.hex() or '-'}" for word, asked, answered in self._lines()]
        for each in self.counts:
            whose = "answer" if each.is_answer else "request"
            lines.append(f"count {whose} {each.offset} {each.size} {each.order} {each.start} {each.step}")
        return "\n".join(lines) + "\n"

    def _lines(self) -> Iterator[tuple[str, bytes, bytes]]:
        for word, exchanges in (("once", self.once), ("cycle", self.cycle)):
            yield from ((word, asked, answered) for asked, answered in exchanges)

    def turns(self, count: int) -> Iterator[Exchange]:
        """The beginning, and `count` turns of the cycle, as both ends say them."""
        yield from self.once
        for turn in range(count):
            asked, answered = self.cycle[turn % len(self.cycle)]
            for each in self.counts:
                if each.is_answer:
                    answered = each.put(answered, turn)
                else:
                    asked = each.put(asked, turn)
            yield asked, answered


def _both(offset: int, size: int, order: str, start: int = 1) -> tuple[Count, Count]:
    """A number that the device gives back as it came."""
    asked = Count(is_answer=False, offset=offset, size=size, order=order, start=start)
    return asked, Count(is_answer=True, offset=offset, size=size, order=order, start=start)


def modbus() -> Talk:
    """Read one holding register (MODBUS Application Protocol V1.1b3, 6.3)."""
    asked = bytes.fromhex("0000 0000 0006 01 03 0010 0001")
    return Talk(cycle=((asked, bytes.fromhex("0000 0000 0005 01 03 02 0010")),), counts=_both(0, 2, "be"))


def s7comm() -> Talk:
    """Connect, negotiate, then read eight bytes of a data block."""
    connect = "03000016 11 e0 0000 0001 00 c0010a c1020100 c2020102"
    confirm = "03000016 11 d0 0001 0001 00 c0010a c1020100 c2020102"
    setup = "03000019 02f080 32 01 0000 0000 0008 0000 f000 0001 0001 01e0"
    agreed = "0300001b 02f080 32 03 0000 0000 0008 0000 0000 f000 0001 0001 01e0"
    read = "0300001f 02f080 32 01 0000 0000 000e 0000 0401 120a10 02 0008 0001 84 000000"
    told = "03000021 02f080 32 03 0000 0000 0002 000c 0000 0401 ff 04 0040 0102030405060708"
    once = (_of(connect, confirm), _of(setup, agreed))
    return Talk(once=once, cycle=(_of(read, told),), counts=_both(11, 2, "be"))


def enip() -> Talk:
    """Register a session, then read a tag by its name, unconnected (CIP Volume 2, 2-4; Logix 5000 Data Access)."""
    register = "6500 0400 00000000 00000000 0000000000000000 00000000 0100 0000"
    registered = "6500 0400 01020304 00000000 0000000000000000 00000000 0100 0000"
    head = "01020304 00000000 0000000000000000 00000000 00000000 0a00 0200 0000 0000 b200"
    read = f"6f00 1c00 {head} 0c00 4c 04 9105 5350454544 00 0100"
    told = f"6f00 1a00 {head} 0a00 cc 00 00 00 c400 01000000"
    return Talk(once=(_of(register, registered),), cycle=(_of(read, told),), counts=_both(12, 4, "le"))


def dnp3() -> Talk:
    """Read four analogue inputs (IEEE 1815, A.13): 64 turns, for there are checksums over the counted bytes."""
    return Talk(cycle=tuple((_dnp3_read(turn), _dnp3_told(turn)) for turn in range(64)))


def _dnp3_read(turn: int) -> bytes:
    return _dnp3_message(b"\xc4" + pack("<HH", 10, 1), turn, b"\x01" + bytes.fromhex("1e01 00 0003"))


def _dnp3_told(turn: int) -> bytes:
    values = b"".join(pack("<Bi", 1, value) for value in range(4))
    return _dnp3_message(b"\x44" + pack("<HH", 1, 10), turn, b"\x81\x00\x00" + bytes.fromhex("1e01 00 0003") + values)


def _dnp3_message(ends: bytes, turn: int, said: bytes) -> bytes:
    """One fragment in one segment in one frame: sequence numbers of 6 and of 4 bits."""
    user = bytes((0xC0 | turn % 64, 0xC0 | turn % 16)) + said
    return in_blocks(b"\x05\x64" + bytes((5 + len(user),)) + ends) + in_blocks(user)


def iec104() -> Talk:
    """Start, then read one measured value (IEC 60870-5-101, 7.4.3): each end counts what it sent and got."""
    read = "680d 0000 0000 66 01 0500 0100 0a0000"
    told = "6812 0000 0000 0d 01 0500 0100 0a0000 0000f041 00"
    counts = [Count(is_answer=False, offset=at, size=2, order="le", start=0, step=2) for at in (2, 4)]
    counts += [Count(is_answer=True, offset=2, size=2, order="le", start=0, step=2)]
    counts += [Count(is_answer=True, offset=4, size=2, order="le", start=2, step=2)]
    start = _of("680407000000", "68040b000000")
    return Talk(once=(start,), cycle=(_of(read, told),), counts=tuple(counts))


def opcua() -> Talk:
    """Hello, a channel of the policy None, then reads of one variable; the opening of the session is left out."""
    policy = _string("http://opcfoundation.org/UA/SecurityPolicy#None")
    secured = policy + b"\xff" * 8 + pack("<II", 1, 1)
    hello = _chunk(b"HELF", pack("<IIIII", 0, 65536, 65536, 0, 0) + _string("opc.tcp://192.168.10.50:4840"))
    acknowledge = _chunk(b"ACKF", pack("<IIIII", 0, 65536, 65536, 0, 0))
    opening = _asked(446, b"\x00\x00") + pack("<IIIiI", 0, 0, 1, -1, 3_600_000)
    opened = _told(449) + pack("<I", 0) + pack("<II8xI", 7, 1, 3_600_000) + b"\xff" * 4
    once = (
        (hello, acknowledge),
        (_chunk(b"OPNF", pack("<I", 0) + secured + opening), _chunk(b"OPNF", pack("<I", 7) + secured + opened)),
    )
    node = b"\x03" + pack("<H", 2) + _string("Line1.Speed")
    item = node + pack("<Ii", 13, -1) + pack("<Hi", 0, -1)
    read = _asked(631, _TOKEN) + pack("<dIi", 0.0, 2, 1) + item
    told = _told(634) + pack("<i", 1) + b"\x01\x0b" + pack("<d", 21.5) + pack("<i", -1)
    head = pack("<IIII", 7, 1, 0, 0)
    cycle = ((_chunk(b"MSGF", head + read), _chunk(b"MSGF", head + told)),)
    return Talk(once=once, cycle=cycle, counts=(*_both(16, 4, "le", 2), *_both(20, 4, "le", 2)))


#: An authentication token as servers give it: a number of four bytes.
_TOKEN: Final = b"\x02" + pack("<HI", 0, 0x0C12_34EB)


def _asked(service: int, token: bytes) -> bytes:
    """The type and the header of a request (OPC 10000-4, 7.33)."""
    return b"\x01\x00" + pack("<H", service) + token + pack("<8xIIiI", 1, 0, -1, 4000) + b"\x00\x00\x00"


def _told(service: int) -> bytes:
    """The type and the header of a response (OPC 10000-4, 7.34)."""
    return b"\x01\x00" + pack("<H", service) + pack("<8xII", 1, 0) + b"\x00" + b"\xff" * 4 + b"\x00\x00\x00"


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + pack("<I", 8 + len(body)) + body


def _string(text: str) -> bytes:
    return pack("<i", len(text)) + text.encode()


def bacnet() -> Talk:
    """Read the present value of an analogue input (ASHRAE 135, 15.5), a datagram each way."""
    read = "810a0011 0104 0005 00 0c 0c00000001 1955"
    told = "810a0017 0100 30 00 0c 0c00000001 1955 3e4441ac00003f"
    asked = Count(is_answer=False, offset=8, size=1, order="le", start=0)
    return Talk(cycle=(_of(read, told),), counts=(asked, Count(is_answer=True, offset=7, size=1, order="le", start=0)))


def _of(asked: str, answered: str) -> Exchange:
    return bytes.fromhex(asked), bytes.fromhex(answered)


#: By protocol, what is said over a connection.
TALKS: Final[Mapping[str, Callable[[], Talk]]] = {
    "modbus": modbus,
    "s7comm": s7comm,
    "enip": enip,
    "dnp3": dnp3,
    "iec104": iec104,
    "opcua": opcua,
}

#: By protocol, what is said in datagrams.
DATAGRAMS: Final[Mapping[str, Callable[[], Talk]]] = {"bacnet": bacnet}
