"""A simulated SCADA poller: ``python -m penstock.lab.scada ADDRESS``, one closed-loop Modbus/TCP client.

Stands where a SCADA server or historian stands: it reads holding registers at a fixed period on one connection, waits
a short time for each answer, and dials again when the connection is gone.  It prints one JSON line for each poll, so
that it is a witness of what the plant felt while something was done to the gate.  Plain sockets: no library retries.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.lab.layout import MODBUS_PORT

#: MBAP header: transaction, protocol (0), length, unit (Modbus Messaging on TCP/IP V1.0b, section 3.1.3).
_HEADER = struct.Struct(">HHHB")
_REQUEST = struct.Struct(">BHH")
_READ_HOLDING = 3
_EXCEPTION_BIT = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is polled, and how: the register range, and how long an answer or a connection may take."""

    address: str
    port: int = MODBUS_PORT
    unit: int = 1
    first: int = 0
    count: int = 4
    timeout_s: float = 0.3


class PollFailed(Exception):
    """One poll that was not answered as it should be; the text is for the line."""


class Poller:
    """One connection that is dialled when it is needed, and dropped when it fails."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: socket.socket | None = None
        self._transaction = 0

    @property
    def is_connected(self) -> bool:
        """Whether the next poll goes out on the present connection."""
        return self._connection is not None

    def poll(self) -> list[int]:
        """The registers.  Raises `PollFailed`; the connection is then closed, unless the answer was an exception."""
        try:
            connection = self._connection or self._dial()
            connection.sendall(self._request())
            return self._values(connection)
        except TimeoutError as error:
            self.close()
            raise PollFailed("no answer in time") from error
        except OSError as error:
            self.close()
            raise PollFailed(error.strerror or str(error)) from error

    def close(self) -> None:
        """Drop the connection; the next poll dials again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _dial(self) -> socket.socket:
        self._connection = socket.create_connection((self._target.address, self._target.port), self._target.timeout_s)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _request(self) -> bytes:
        self._transaction = (self._transaction + 1) & 0xFFFF
        body = _REQUEST.pack(_READ_HOLDING, self._target.first, self._target.count)
        return _HEADER.pack(self._transaction, 0, len(body) + 1, self._target.unit) + body

    def _values(self, connection: socket.socket) -> list[int]:
        transaction, _, length, _ = _HEADER.unpack(_exactly(connection, _HEADER.size))
        body = _exactly(connection, length - 1)
        if transaction != self._transaction or len(body) < 2:
            raise ConnectionError("the answer belongs to another request")
        if body[0] & _EXCEPTION_BIT:
            raise PollFailed(f"exception {body[1]}")
        return list(struct.unpack(f">{self._target.count}H", body[2 : 2 + 2 * self._target.count]))


def poll_once(poller: Poller, name: str, clock: Callable[[], float]) -> dict[str, object]:
    """One poll as the line that is printed; `at` is seconds since the Unix epoch, at its start."""
    line: dict[str, object] = {"at": time.time(), "target": name}
    began = clock()
    try:
        line |= {"ok": True, "values": poller.poll()}
    except PollFailed as failure:
        line |= {"ok": False, "error": str(failure)}
    return line | {"latency_us": round((clock() - began) * 1e6)}


def main(argv: Sequence[str] | None = None) -> int:
    """Poll until killed, or as often as asked for."""
    parser = argparse.ArgumentParser(prog="python -m penstock.lab.scada", description="a simulated SCADA poller")
    parser.add_argument("address")
    parser.add_argument("--name", help="what the lines call the target; its address when left out")
    parser.add_argument("--port", type=int, default=MODBUS_PORT)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--period-ms", type=int, default=1000)
    parser.add_argument("--timeout-ms", type=int, default=300)
    parser.add_argument("--polls", type=int, help="end after so many")
    arguments = parser.parse_args(argv)
    target = Target(
        address=arguments.address,
        port=arguments.port,
        first=arguments.first,
        count=arguments.count,
        timeout_s=arguments.timeout_ms / 1000,
    )
    try:
        _run(Poller(target), arguments.name or target.address, arguments.period_ms / 1000, arguments.polls)
    except KeyboardInterrupt:
        return 0
    return 0


def _run(poller: Poller, name: str, period_s: float, polls: int | None) -> None:
    due, done = time.monotonic(), 0
    while polls is None or done < polls:
        # One write a line: pollers of one source share a file.
        os.write(sys.stdout.fileno(), json.dumps(poll_once(poller, name, time.monotonic)).encode() + b"\n")
        done += 1
        # A late poll is not made up for: the next one is due a period after now.
        due = max(due + period_s, time.monotonic())
        if polls is None or done < polls:
            time.sleep(due - time.monotonic() if due > time.monotonic() else 0)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise ConnectionError("the connection was closed")
        found += part
    return found


if __name__ == "__main__":
    sys.exit(main())
