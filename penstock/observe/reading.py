"""Pure: what copied packets say, read passively: operations into the journal, times into histograms.

Stands behind `reassembly`, on the dissectors of `penstock.wire`, which start anywhere and stop at nothing.  It
observes what the kernel let through and enforces nothing: a broken message is counted and reading goes on.  It must
never take bytes behind a gap for the rest of a message in front of it, nor put a secret on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

import msgspec

from penstock.bus import FlowJournal, Journal, Outcome
from penstock.bus.histogram import Histogram
from penstock.model import Grant, LatencyMeasured, Malformed, Operation, OperationClass, Record, RecordKind
from penstock.observe.packets import FIN, RST, SYN, Segment, UserDatagram
from penstock.observe.reassembly import Piece, Stream
from penstock.wire import NAMED, NO_ANSWER, Dissector, Frame, Role, Shown, Side

#: How a conduit's messages go when only copies of them are seen.
KERNEL: Final = "kernel"
#: Connections that are read at a time, requests of one that may wait for their answer, and meanings of one.
MAX_CONVERSATIONS: Final = 4096
MAX_UNDER_WAY: Final = 256
MAX_MEANINGS: Final = 1024
#: A client that waits longer for an answer has given up long ago; and a connection that is silent so long is over.
ANSWER_US: Final = 5_000_000
SILENT_US: Final = 3_600_000_000
_INDEX_MASK: Final = 0xFF_FFFF
#: A request that breaks its protocol inside.
MALFORMED: Final = Operation(protocol="", classes=(OperationClass.UNKNOWN,), code="malformed", name="Malformed request")
_OTHER: Final = {Side.CLIENT: Side.ASSET, Side.ASSET: Side.CLIENT}

_Ends = tuple[int, bytes, int, bytes, int]


@dataclass(slots=True)
class Missed:
    """What could not be decoded: bytes that were never seen, bytes that were not understood, requests untold."""

    gap_bytes: int = 0
    broken_bytes: int = 0
    requests: int = 0


@dataclass(slots=True)
class _Asked:
    ordinal: int
    at_us: int
    heard_us: int = 0
    """When a part of the answer came of which more follows."""


@dataclass(slots=True)
class Conversation:
    """One TCP connection, or one exchange of datagrams, of a copied grant."""

    grant: Grant
    flow: FlowJournal
    dissector: Dissector
    max_held_bytes: int
    latency: Histogram
    seen_us: int
    missed: Missed = field(default_factory=Missed)
    requests: int = 0
    _streams: dict[Side, Stream] = field(default_factory=lambda: {Side.CLIENT: Stream(), Side.ASSET: Stream()})
    _unexplained: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    """Bytes of each side of which nothing came yet: the beginning of a message, or of none."""
    _under_way: dict[tuple[Side, int], list[_Asked]] = field(default_factory=dict)
    _tags: dict[tuple[Side, bytes], int] = field(default_factory=dict)
    _indexes: int = 0
    _ended: set[Side] = field(default_factory=set)

    def take(self, side: Side, segment: Segment, at_us: int) -> bool:
        """Read one segment; whether the connection is over."""
        self.seen_us = at_us
        stream = self._streams[side]
        if segment.flags & SYN:
            stream.begin(segment.sequence)
        for piece in stream.take(segment.sequence, segment.data):
            self._read(side, piece, at_us)
        if segment.flags & FIN:
            self._ended.add(side)
        return bool(segment.flags & RST) or len(self._ended) == len(Side)

    def take_datagram(self, side: Side, data: bytes, at_us: int) -> None:
        """Read one datagram; nothing of it is kept for the next."""
        self.seen_us = at_us
        self._read(side, Piece(0, data), at_us)
        self._give_up(side)

    def tick(self, now_us: int) -> None:
        """Requests that nobody answered, and segments that never came."""
        for key, asked in list(self._under_way.items()):
            while asked and now_us - max(asked[0].at_us, asked[0].heard_us) >= ANSWER_US:
                self.flow.answered(asked.pop(0).ordinal, Outcome.UNANSWERED, 0)
            if not asked:
                del self._under_way[key]
        if now_us - self.seen_us >= ANSWER_US:
            self._give_up_waiting(now_us)

    def close(self, why: str, now_us: int) -> None:
        """Write the end: what came of it, and what could not be read."""
        self._give_up_waiting(now_us)
        for side in Side:
            self._give_up(side)
        for asked in self._under_way.values():
            for one in asked:
                self.flow.answered(one.ordinal, Outcome.UNANSWERED, 0)
        self._under_way.clear()
        grant = self.grant
        self.flow.closed(
            Record(
                kind=RecordKind.FLOW_CLOSED,
                at_us=self.seen_us,
                grant=grant.number,
                subject=grant.subject.name,
                asset=grant.asset,
                protocol=grant.protocol,
                detail={
                    "flow": self.flow.number,
                    "source": self.flow.source,
                    "path": KERNEL,
                    "is_observed": True,
                    "ending": why,
                    "requests": self.requests,
                    "gap_bytes": self.missed.gap_bytes,
                    "broken_bytes": self.missed.broken_bytes,
                    "untold_requests": self.missed.requests,
                },
            )
        )

    def _give_up_waiting(self, now_us: int) -> None:
        for side, stream in self._streams.items():
            while stream.is_waiting:
                for piece in stream.skip():
                    self._read(side, piece, now_us)

    def _read(self, side: Side, piece: Piece, at_us: int) -> None:
        if piece.missing:
            self.missed.gap_bytes += piece.missing
            self._give_up(side)
            self.dissector.lost(side)
        shown = self.dissector.feed(side, piece.data)
        self._explain(side, len(piece.data), shown)
        for each in shown:
            if each.frame is not None:
                self._take_frame(each.frame, at_us)

    def _explain(self, side: Side, count: int, shown: Sequence[Shown]) -> None:
        """Count what was not understood: no message is longer than what a decoder may hold of it."""
        left = self._unexplained[side] + count
        for each in shown:  # a unit without a frame does not say how long it was: it explains all
            left -= left if each.frame is None else len(each.frame.data)
        self._unexplained[side] = max(0, min(left, self.max_held_bytes))
        self.missed.broken_bytes += max(0, left - self.max_held_bytes)

    def _give_up(self, side: Side) -> None:
        self.missed.broken_bytes += self._unexplained[side]
        self._unexplained[side] = 0

    def _take_frame(self, frame: Frame, at_us: int) -> None:
        match frame.role:
            case Role.REQUEST | Role.NOTICE:
                self._asked(frame, at_us)
            case Role.REPLY:
                self._answered(frame, at_us)
            case Role.LINK:
                pass
            case _:
                assert_never(frame.role)

    def _asked(self, frame: Frame, at_us: int) -> None:
        ordinal, self.requests = self.requests, self.requests + 1
        tag = self._tags.get((frame.side, frame.what)) or self._define(frame)
        if tag is None or not self.flow.judged(tag, ordinal, at_us):
            self.missed.requests += 1
        elif frame.exchange == NO_ANSWER:
            self.flow.answered(ordinal, Outcome.SENT, 0)
        elif sum(map(len, self._under_way.values())) < MAX_UNDER_WAY:
            self._under_way.setdefault((frame.side, frame.exchange), []).append(_Asked(ordinal, at_us))
        else:
            self.flow.answered(ordinal, Outcome.UNANSWERED, 0)

    def _define(self, frame: Frame) -> int | None:
        try:
            operation = frame.operation
        except Malformed:  # well framed, and it went to the other side all the same
            operation = msgspec.structs.replace(MALFORMED, protocol=self.grant.protocol)
        conduit = self.grant.conduits[0] if self.grant.conduits else None
        index, self._indexes = self._indexes & _INDEX_MASK, self._indexes + 1
        tag = self.flow.define(index, operation, conduit, frame.recorded)
        if tag is not None:
            self._tags[frame.side, frame.what] = tag
            if len(self._tags) > MAX_MEANINGS:
                del self._tags[next(iter(self._tags))]
        return tag

    def _answered(self, frame: Frame, at_us: int) -> None:
        key = _OTHER[frame.side], frame.exchange
        waiting = self._under_way.get(key)
        if not waiting:
            return
        if not frame.is_last:
            waiting[0].heard_us = at_us
            return
        asked = waiting.pop(0)
        if not waiting:
            del self._under_way[key]
        took_us = max(0, at_us - asked.at_us)
        self.flow.answered(asked.ordinal, Outcome.EXCEPTION if frame.is_refusal else Outcome.ANSWERED, took_us)
        if frame.side is Side.ASSET:
            self.latency.add(took_us)


class Reading:
    """All the connections of copied grants whose protocol is known."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._conversations: dict[_Ends, Conversation] = {}
        self._latency: dict[str, Histogram] = {}

    def __len__(self) -> int:
        return len(self._conversations)

    @staticmethod
    def can_read(grant: Grant) -> bool:
        """Whether this grant's packets can be decoded."""
        protocol = NAMED.get(grant.protocol)
        return protocol is not None and grant.transport in protocol.dissectors

    def take(self, grant: Grant, segment: Segment, at_us: int) -> None:
        """Read one segment of a connection under a grant."""
        side, ends = _ends(grant, segment)
        found = self._conversations.get(ends)
        is_fresh = side is Side.CLIENT and segment.flags & SYN
        if found is not None and is_fresh and found.requests:  # the same ports once more
            self._end(ends, found, "its ports were used again", at_us)
            found = None
        if found is None:
            if not segment.data and not is_fresh:
                return  # the rest of one that is over
            found = self._open(ends, grant, at_us)
        if found.take(side, segment, at_us):
            self._end(ends, found, "closed", at_us)

    def take_datagram(self, grant: Grant, datagram: UserDatagram, at_us: int) -> None:
        """Read one datagram under a grant."""
        side, ends = _ends(grant, datagram)
        found = self._conversations.get(ends) or self._open(ends, grant, at_us)
        found.take_datagram(side, datagram.data, at_us)

    def tick(self, now_us: int) -> None:
        """To be called some times a second."""
        for ends, conversation in list(self._conversations.items()):
            conversation.tick(now_us)
            if now_us - conversation.seen_us >= SILENT_US:
                self._end(ends, conversation, "silent", now_us)

    def end(self, number: int, now_us: int) -> None:
        """A grant has ended, and its connections with it."""
        for ends in [ends for ends in self._conversations if ends[0] == number]:
            self._end(ends, self._conversations[ends], "the grant ended", now_us)

    def end_all(self, why: str, now_us: int) -> None:
        """Nothing more will be read."""
        for ends, conversation in list(self._conversations.items()):
            self._end(ends, conversation, why, now_us)

    def measured(self, now_us: int) -> Iterator[LatencyMeasured]:
        """Times from request to answer since the last call, for each conduit that had any."""
        for conduit, histogram in self._latency.items():
            total = histogram.take()
            if total:
                yield LatencyMeasured(conduit=conduit, path=KERNEL, total=total, own={}, at_us=now_us)

    def _open(self, ends: _Ends, grant: Grant, at_us: int) -> Conversation:
        if len(self._conversations) >= MAX_CONVERSATIONS:
            oldest = min(self._conversations, key=lambda known: self._conversations[known].seen_us)
            self._end(oldest, self._conversations[oldest], "too many at a time", at_us)
        protocol = NAMED[grant.protocol]
        source = f"{'.'.join(map(str, ends[1]))}:{ends[2]}"
        flow = self._journal.open_flow(grant, source, at_us, path=KERNEL, observed="copies, not enforced")
        conduit = grant.conduits[0] if grant.conduits else ""
        latency = self._latency.setdefault(conduit, Histogram())
        dissector = protocol.dissectors[grant.transport]()
        opened = Conversation(grant, flow, dissector, protocol.max_held_bytes, latency, at_us)
        self._conversations[ends] = opened
        return opened

    def _end(self, ends: _Ends, conversation: Conversation, why: str, now_us: int) -> None:
        del self._conversations[ends]
        conversation.close(why, now_us)


def _ends(grant: Grant, packet: Segment | UserDatagram) -> tuple[Side, _Ends]:
    """Which side sent a packet, and between whom it goes: the client first."""
    client, asset = (packet.source, packet.source_port), (packet.destination, packet.port)
    if packet.destination == _packed(grant.underlay) and _is_of(grant, packet.port):
        return Side.CLIENT, (grant.number, *client, *asset)
    return Side.ASSET, (grant.number, *asset, *client)


def _packed(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def _is_of(grant: Grant, port: int) -> bool:
    return grant.port <= port <= (grant.last_port or grant.port)
