"""I/O: a numbered stream of datagrams and a steady TCP conversation, to see what a change of the gate costs them.

Stands beside the plant; serves tests and benchmarks.  Every datagram carries its number and comes back from an echo, so
that a lost one is known; the kernel counts what TCP had to send again (``TCP_INFO`` in linux/tcp.h).
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

_NUMBER = struct.Struct("!Q")
#: Offset of tcpi_total_retrans in struct tcp_info.
_TOTAL_RETRANSMISSIONS = 100
#: How long the last answers may take.
_LAST_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuity:
    """What became of a stream: datagrams sent and lost, requests answered, segments sent again, longest silences."""

    sent: int
    lost: int
    answered: int
    sent_again: int
    longest_udp_gap_s: float
    longest_tcp_gap_s: float


@dataclass(slots=True)
class Stream:
    """Talks over two connected sockets, each to an echo, from `begin` to `end`."""

    udp: socket.socket
    tcp: socket.socket
    every_s: float = 0.001
    _sent: int = 0
    _back: dict[int, float] = field(default_factory=dict)
    _answers_s: list[float] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _why: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Start talking."""
        self.udp.settimeout(0.2)
        self.tcp.settimeout(10)
        self._threads += [threading.Thread(target=each) for each in (self._send, self._receive, self._converse)]
        for thread in self._threads:
            thread.start()

    def end(self) -> Continuity:
        """Stop, wait for the last answers, and tell.  Raises `ConnectionError` where the conversation was cut."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        if self._why:
            raise ConnectionError(self._why[0])
        info = self.tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANSMISSIONS + 4)
        return Continuity(
            sent=self._sent,
            lost=self._sent - len(self._back),
            answered=len(self._answers_s),
            sent_again=struct.unpack_from("=I", info, _TOTAL_RETRANSMISSIONS)[0],
            longest_udp_gap_s=_longest(sorted(self._back.values())),
            longest_tcp_gap_s=_longest(self._answers_s),
        )

    def _send(self) -> None:
        while not self._is_over.is_set():
            self.udp.send(_NUMBER.pack(self._sent))
            self._sent += 1
            time.sleep(self.every_s)

    def _receive(self) -> None:
        over_s: float | None = None
        while over_s is None or (len(self._back) < self._sent and time.monotonic() < over_s):
            if over_s is None and self._is_over.is_set():
                over_s = time.monotonic() + _LAST_S
            try:
                self._back[_NUMBER.unpack(self.udp.recv(64))[0]] = time.monotonic()
            except TimeoutError:
                continue
            except OSError as error:
                self._why.append(f"datagrams: {error}")
                return

    def _converse(self) -> None:
        while not self._is_over.is_set():
            request = _NUMBER.pack(len(self._answers_s))
            try:
                self.tcp.sendall(request)
                if self.tcp.recv(64) != request:
                    self._why.append("the conversation was cut, or answered wrongly")
                    return
            except OSError as error:
                self._why.append(f"conversation: {error}")
                return
            self._answers_s.append(time.monotonic())
            time.sleep(self.every_s)


def watched(stream: Stream, do: Callable[[], None]) -> Continuity:
    """What a stream suffers while something is done to the gate."""
    stream.begin()
    try:
        do()
    finally:
        suffered = stream.end()
    return suffered


def _longest(times_s: list[float]) -> float:
    return max((later - sooner for sooner, later in pairwise(times_s)), default=0.0)
