"""I/O: both ends of the flows that are revoked: a client that asks or waits, and a controller that answers.

Each is a program of its own, so that neither waits for the one that measures.  Times are CLOCK_MONOTONIC in
nanoseconds, which all programs of a machine share, also across network namespaces.

usage: revocation_ends.py controller PORT      prints a line for each connection that ends
       revocation_ends.py client               reads a line for each flow: {"mode", "address", "port"}
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from typing import Any

#: Read holding register 0 (Modbus function 3), and its answer.
REQUEST = bytes.fromhex("0000 0000 0006 01 03 0000 0001")
ANSWER_TAIL = bytes.fromhex("0000 0005 01 03 02 0007")
_HEADER = struct.Struct(">H")
ANSWER_BYTES = 11
#: A busy client asks so often, and waits so long for an answer.
PACE_S, TIMEOUT_S = 0.0002, 5.0
#: A request that is answered after the acknowledgement is among the last ones.
KEPT = 4096


def tell(**fields: Any) -> None:
    """One line for whoever measures."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def controller(port: int) -> None:
    """Answer every request on every connection; tell when one ends."""
    listening = socket.create_server(("0.0.0.0", port), backlog=64)
    tell(event="ready")
    while True:
        accepted, _ = listening.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer, args=(accepted,), daemon=True).start()


def _answer(accepted: socket.socket) -> None:
    how = "closed"
    try:
        while request := accepted.recv(256):
            accepted.sendall(request[:2] + ANSWER_TAIL)
    except ConnectionError:
        how = "reset"
    ended_ns = time.monotonic_ns()
    accepted.close()
    tell(event="ended", at_ns=ended_ns, how=how)


def client() -> None:
    """Carry one flow after the other; tell that it is up, and how and when it ended."""
    for line in sys.stdin:
        wanted = json.loads(line)
        try:
            flow = socket.create_connection((wanted["address"], wanted["port"]), TIMEOUT_S)
            flow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            flow.settimeout(TIMEOUT_S)
            _ask(flow, 0)
        except OSError as error:
            tell(event="failed", why=str(error))
            continue
        with flow:
            tell(event="up")
            answered = _busy(flow) if wanted["mode"] == "busy" else _idle(flow)
        tell(event="ended", **answered)


def _busy(flow: socket.socket) -> dict[str, Any]:
    """Ask until the flow ends."""
    sent: deque[int] = deque(maxlen=KEPT)
    number, how, last_ns = 0, "timeout", 0
    try:
        while True:
            number = (number + 1) & 0xFFFF
            sent_ns = time.monotonic_ns()
            _ask(flow, number)
            last_ns = time.monotonic_ns()
            sent.append(sent_ns)
            time.sleep(PACE_S)
    except ConnectionError:
        how = "reset"
    except TimeoutError:
        pass
    ended_ns = time.monotonic_ns()
    return {"at_ns": ended_ns, "how": how, "sent_ns": [*sent], "last_answer_ns": last_ns}


def _idle(flow: socket.socket) -> dict[str, Any]:
    """Ask nothing, and wait for the end."""
    flow.settimeout(30.0)
    how = "closed"
    try:
        if flow.recv(256):
            how = "answered"
    except ConnectionError:
        how = "reset"
    except TimeoutError:
        how = "timeout"
    return {"at_ns": time.monotonic_ns(), "how": how, "sent_ns": [], "last_answer_ns": 0}


def _ask(flow: socket.socket, number: int) -> None:
    """One request and its answer.  Raises `ConnectionError` at the end of the flow."""
    flow.sendall(_HEADER.pack(number) + REQUEST[2:])
    answer = b""
    while len(answer) < ANSWER_BYTES:
        part = flow.recv(ANSWER_BYTES - len(answer))
        if not part:
            raise ConnectionResetError("the connection was closed")
        answer += part
    if answer != _HEADER.pack(number) + ANSWER_TAIL:
        raise SystemExit(f"a wrong answer: {answer.hex()}")


if __name__ == "__main__":
    if sys.argv[1] == "controller":
        controller(int(sys.argv[2]))
    else:
        client()
