"""I/O: one Modbus/TCP connection that is kept open, for what mbpoll (one connection a call) cannot show."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from penstock.lab.machine import Machine
from penstock.lab.netns import Node, Socket
from penstock.model import PenstockError

UNIT = 1
_READ_HOLDING, _WRITE_SINGLE = 3, 6
_EXCEPTION_BIT = 0x80
_HEADER_BYTES = 7


class Refused(PenstockError):
    """The answer was a Modbus exception; `code` is its number (Application Protocol V1.1b3, section 7)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}")
        self.code = code


class Conversation:
    """A client that talks on one connection, from a node."""

    def __init__(self, node: Node | Machine, address: str, port: int, timeout_s: float = 3.0) -> None:
        self._socket: Socket = node.connect(address, port, timeout_s)
        self._transaction = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def read(self, register: int) -> int:
        """One holding register.  Raises `Refused`, or `OSError` when the connection has ended."""
        answer = self._ask(bytes((_READ_HOLDING,)) + register.to_bytes(2, "big") + b"\0\1")
        return int.from_bytes(answer[2:4], "big")

    def write(self, register: int, value: int) -> None:
        """Write one holding register.  Raises as `read` does."""
        self._ask(bytes((_WRITE_SINGLE,)) + register.to_bytes(2, "big") + value.to_bytes(2, "big"))

    def poll_until_cut(self, register: int, within_s: float) -> float | None:
        """Read again and again; the monotonic time of the end of the connection, ``None`` if it did not end."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                self.read(register)
            except OSError:
                return time.monotonic()
        return None

    def _ask(self, pdu: bytes) -> bytes:
        self._transaction = (self._transaction + 1) & 0xFFFF
        head = self._transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes((UNIT,))
        self._socket.sendall(head + pdu)
        answer = self._exactly(_HEADER_BYTES)
        body = self._exactly(int.from_bytes(answer[4:6], "big") - 1)
        if body[0] & _EXCEPTION_BIT:
            raise Refused(body[1])
        return body

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            more = self._socket.recv(count - len(content))
            if not more:
                raise ConnectionResetError("the connection ended")
            content += more
        return content
