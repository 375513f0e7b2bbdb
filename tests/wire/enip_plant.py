"""A small Logix controller, and a gate in front of it, behind what a client takes for a socket: no network is used."""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import pairwise
from struct import pack, unpack_from
from types import SimpleNamespace

from enip_messages import encapsulated, reply, together

from penstock.model import Malformed, Operation, Reason
from penstock.wire import Role, Side
from penstock.wire.enip import EnipDecoder

DINT, STRING_TYPE = 0xC4, 0xCE
IDENTITY = pack("<HHHBBHIB", 1, 14, 54, 32, 11, 0x3060, 0x1234, 7) + b"1756-L8"


class Controller:
    """Tags of type DINT by name and by number, a PLC-5 style data file, connections, and an identity."""

    def __init__(self, **tags: list[int]) -> None:
        self.tags = tags
        self.numbers = dict(enumerate(tags, 1))
        self.file = [0] * 16

    def answer(self, data: bytes) -> bytes:
        """What it says to one encapsulated message."""
        command, context = data[0], unpack_from("<Q", data, 12)[0]
        if command == 0x65:
            return encapsulated(command, b"\1\0\0\0", context=context)
        if command == 0x63:
            item = pack("<HhHI8xHHHBBHIB", 1, 2, 0xAF12, 0x0100007F, 1, 14, 54, 32, 11, 0x3060, 0x1234, 7)
            body = item + b"1756-L8\3"
            return encapsulated(command, pack("<HHH", 1, 0x0C, len(body)) + body, context=context)
        if command == 0x6F:
            found = self.cip(data[40:])
            head = bytes(6) + pack("<HHHHH", 2, 0, 0, 0xB2, len(found))
            return encapsulated(command, head + found, context=context)
        if command == 0x70:
            found = self.cip(data[46:])
            head = (
                bytes(6) + pack("<HHHI", 2, 0xA1, 4, self.originator) + pack("<HH", 0xB1, 2 + len(found)) + data[44:46]
            )
            return encapsulated(command, head + found, context=context)
        return b""

    def cip(self, message: bytes) -> bytes:
        """What it says to one CIP request."""
        service, end = message[0], 2 + 2 * message[1]
        path, data = message[2:end], message[end:]
        if path == b"\x20\x06\x24\x01":
            return self.manage(service, data)
        if service == 0x0A:
            offsets = [*unpack_from(f"<{unpack_from('<H', data)[0]}H", data, 2), len(data)]
            parts = [data[a:b] for a, b in pairwise(offsets)]
            return reply(0x0A, together(*map(self.cip, parts)))
        if service == 0x01:
            return reply(0x01, IDENTITY if path[1] == 1 else b"\4\0Main")
        if service == 0x55:
            return reply(0x55, b"".join(self.listed(number, data) for number in self.numbers))
        if path == b"\x20\x67\x24\x01":
            return self.pccc(data)
        return self.tag(service, path, data)

    def manage(self, service: int, data: bytes) -> bytes:
        if service == 0x52:
            return self.cip(data[4 : 4 + unpack_from("<H", data, 2)[0]])
        if service == 0x4E:
            return reply(0x4E, data[2:10] + b"\0\0")
        self.originator = unpack_from("<I", data, 6)[0]
        return reply(service, pack("<I", 0x7001) + data[6:18] + pack("<IIBB", 2_000_000, 2_000_000, 0, 0))

    def listed(self, number: int, asked: bytes) -> bytes:
        name, attributes = self.numbers[number].encode(), unpack_from(f"<{asked[0]}H", asked, 2)
        sizes = {1: pack("<H", len(name)) + name, 2: pack("<H", DINT), 8: bytes(12), 10: b"\0"}
        return pack("<I", number) + b"".join(sizes.get(each, bytes(4)) for each in attributes)

    def tag(self, service: int, path: bytes, data: bytes) -> bytes:
        if path[0] == 0x91:
            name, rest = path[2 : 2 + path[1]].decode(), path[2 + path[1] + path[1] % 2 :]
        else:
            number = path[3] if path[2] == 0x24 else unpack_from("<H", path, 4)[0]
            name, rest = self.numbers[number], path[4 if path[2] == 0x24 else 6 :]
        values = self.tags.get(name)
        first = rest[1] if rest else 0
        if values is None:
            return reply(service, status=5)
        if service in (0x4C, 0x52):
            count = unpack_from("<H", data)[0]
            return reply(service, pack(f"<H{count}i", DINT, *values[first : first + count]))
        if service == 0x4D:
            count = unpack_from("<H", data, 2)[0]
            values[first : first + count] = unpack_from(f"<{count}i", data, 4)
            return reply(service)
        return reply(service, status=8)

    def pccc(self, data: bytes) -> bytes:
        requester, command, number, function = data[:7], data[7], data[9:11], data[11]
        size, element = data[12], data[15]
        head = requester + bytes((command | 0x40, 0)) + number
        if function == 0xA2:
            return reply(0x4B, head + pack(f"<{size // 2}h", *self.file[element : element + size // 2]))
        self.file[element] = unpack_from("<h", data, 19)[0]
        return reply(0x4B, head)


class Gate:
    """What stands between a client and the controller: judges by `is_allowed`, and remembers what was asked."""

    def __init__(self, controller: Controller, is_allowed: Callable[[Operation], bool]) -> None:
        self.controller, self.is_allowed = controller, is_allowed
        self.asked: list[Operation] = []
        self.refused: list[Operation] = []

    def library(self) -> SimpleNamespace:
        """What a client finds as `socket`: connections lead here."""
        names = {name: getattr(socket, name) for name in dir(socket) if name.isupper()}
        return SimpleNamespace(
            **names,
            socket=lambda *_: Wire(self),
            error=OSError,
            timeout=TimeoutError,
            gethostbyname=lambda host: host,
            getaddrinfo=lambda host, port: [(0, 0, 0, "", (host, port))],
        )


class Wire:
    """One connection through the gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.decoder, self.waiting = gate, EnipDecoder(), b""

    def connect(self, _address: object) -> None:
        self.decoder, self.waiting = EnipDecoder(), b""

    def settimeout(self, _seconds: float) -> None: ...

    def setsockopt(self, *_options: int) -> None: ...

    def close(self) -> None: ...

    def send(self, data: bytes) -> int:
        for frame in self.decoder.feed(Side.CLIENT, data):
            assert frame.role is Role.REQUEST
            try:
                operation = frame.operation
            except Malformed:
                self.waiting += self.decoder.refuse(frame, Reason.MALFORMED)
                continue
            self.gate.asked.append(operation)
            if self.gate.is_allowed(operation):
                answer = self.gate.controller.answer(self.decoder.forward(frame))
                for answering in self.decoder.feed(Side.ASSET, answer):
                    assert answering.exchange == frame.exchange
                    assert self.decoder.answer(frame, answering).status != "unreadable"
                    self.waiting += self.decoder.forward(answering)
            else:
                self.gate.refused.append(operation)
                self.waiting += self.decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
        return len(data)

    def recv(self, size: int) -> bytes:
        taken, self.waiting = self.waiting[:size], self.waiting[size:]
        if not taken:
            raise TimeoutError("nobody answers")
        return taken
