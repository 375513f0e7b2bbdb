"""Pure: what a capture says, packet by packet: protocols recognised from their bytes, units, operations and objects.

Stands on `captured_flows` and on the dissectors of `penstock.wire`; `penstock decode` prints what it gives.  It
enforces nothing and stops at nothing.  Bounded: a flow keeps its first bytes until it is known, and so many requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, assert_never
from weakref import WeakKeyDictionary

import msgspec

from penstock.model import Malformed, Operation
from penstock.observe.capture_files import Packet
from penstock.observe.captured_flows import Arrival, Flow, Flows
from penstock.observe.reassembly import Piece
from penstock.wire import (
    FITS_BYTES,
    NO_ANSWER,
    Between,
    Decoder,
    Dissector,
    Frame,
    Known,
    Role,
    Shown,
    Side,
    WireProtocol,
    is_reversed,
    of_carrier,
    recognise,
)

#: Requests of one flow that may wait for their answer, the oldest is forgotten first.
MAX_UNDER_WAY: Final = 256
#: After so many packets that begin like nothing that is known, a flow is nobody's.
MAX_TRIES: Final = 64
#: Two ends whose flows belong together; those that were silent longest are forgotten first.
MAX_BETWEEN: Final = 1024
#: How much of unknown bytes is shown, as in the reference decode.
_HEAD_BYTES: Final = 24
_OTHER: Final = {Side.CLIENT: Side.ASSET, Side.ASSET: Side.CLIENT}


class Unit(msgspec.Struct):
    """One unit: its `pdu` with the reference's keys, its part in the conversation, and what it means, where it has any.

    `operation` is of a request and of the reply to it; the reply's targets have the values that it shows.
    """

    shown: Shown
    operation: Operation | None = None
    why_malformed: str = ""
    status: str = ""


class Seen(msgspec.Struct):
    """One packet that completes units: where it stands in the file, and the units in order."""

    arrival: Arrival
    column: str
    units: Sequence[Unit]


class Dissection:
    """Reads one capture.  `candidates` are the protocols that it may find, in the order in which they are asked."""

    def __init__(self, candidates: Sequence[Known]) -> None:
        ports = frozenset(_port(text) for each in candidates for text in each.ports)
        self._flows = Flows(ports)
        self._candidates = candidates
        self._readers: WeakKeyDictionary[Flow, _Reader] = WeakKeyDictionary()
        self._by_carrier: dict[str, tuple[Known, ...]] = {}
        self._between: dict[tuple[str, frozenset[str]], Between] = {}

    def take(self, packet: Packet) -> Iterator[Seen]:
        """What the packet completes."""
        return self._read(self._flows.take(packet))

    def end(self) -> Iterator[Seen]:
        """What stands behind gaps that nothing has closed, when there are no more packets."""
        return self._read(self._flows.end())

    def _read(self, arrivals: Sequence[Arrival]) -> Iterator[Seen]:
        for arrival in arrivals:
            reader = self._readers.get(arrival.flow)
            if reader is None:
                reader = self._readers[arrival.flow] = self._reader(arrival)
            units = [unit for piece in arrival.pieces for unit in reader.take(arrival.side, piece)]
            if units:
                yield Seen(arrival, units[-1].shown.column or reader.column, units)

    def _reader(self, arrival: Arrival) -> _Reader:
        carrier, ends = arrival.flow.carrier, frozenset((arrival.source, arrival.destination))
        if carrier not in self._by_carrier:
            self._by_carrier[carrier] = of_carrier(self._candidates, carrier)
        return _Reader(carrier, self._by_carrier[carrier], lambda known: self._dissectors(known, ends))

    def _dissectors(self, known: Known, ends: frozenset[str]) -> Mapping[str, Callable[[], Dissector]]:
        """What reads the flows between two ends, with what others of them told where these belong together."""
        make = known.between if isinstance(known, WireProtocol) else None
        if make is None:
            return known.dissectors
        between = self._between.pop((known.name, ends), None) or make()
        self._between[known.name, ends] = between
        if len(self._between) > MAX_BETWEEN:
            del self._between[next(iter(self._between))]
        return between.dissectors


def _port(text: str) -> tuple[str, int]:
    carrier, _, port = text.partition("/")
    return carrier, int(port)


class _Reader:
    """One flow: finds out what it speaks, and reads it."""

    __slots__ = (
        "_begun",
        "_candidates",
        "_carrier",
        "_dissector",
        "_dissectors",
        "_is_certain",
        "_is_turned",
        "_known",
        "_meanings",
        "_replay",
        "_tries",
    )

    def __init__(
        self,
        carrier: str,
        candidates: tuple[Known, ...],
        dissectors: Callable[[Known], Mapping[str, Callable[[], Dissector]]],
    ) -> None:
        self._carrier = carrier
        self._dissectors = dissectors
        self._candidates = candidates
        self._known: Known | None = None
        self._dissector: Dissector | None = None
        self._meanings: _Meanings | None = None
        self._is_certain = False
        self._begun = dict.fromkeys(Side, b"")
        self._replay: list[tuple[Side, bytes]] = []
        self._tries = 0
        self._is_turned = False
        if "/" in carrier and candidates:  # a link names what it carries
            self._choose(candidates[0], is_certain=True)

    @property
    def column(self) -> str:
        """What the protocol column says."""
        return self._carrier.upper() if self._known is None else self._known.column

    def take(self, side: Side, piece: Piece) -> list[Unit]:
        """The units that come with these bytes."""
        if self._is_turned:
            side = _OTHER[side]
        if piece.missing:
            self._lost(side)
        if not self._is_certain:
            side = self._look(side, piece.data)
        if self._dissector is None or self._meanings is None:
            return self._unknown(piece.data)
        units = [self._meanings.unit(shown) for shown in self._dissector.feed(side, piece.data)]
        return units or (self._unknown(piece.data) if self._carrier == "udp" else [])

    def _unknown(self, data: bytes) -> list[Unit]:
        if self._carrier not in {"tcp", "udp"}:
            return []
        pdu = {"p": "data", "len": len(data), "head": data[:_HEAD_BYTES].hex()}
        return [Unit(Shown(pdu, column=self._carrier.upper()))]

    def _lost(self, side: Side) -> None:
        if self._dissector is not None:
            self._dissector.lost(side)
        if not self._is_certain:
            self._forget()

    def _forget(self) -> None:
        """Look anew: what comes next may be the beginning of something."""
        self._begun = dict.fromkeys(Side, b"")
        self._replay = []

    def _look(self, side: Side, data: bytes) -> Side:
        """Find out what the flow speaks with these bytes as well; the side that sent them, as it turns out."""
        if self._tries >= MAX_TRIES:
            return side
        for is_anew in (False, True):
            if is_anew:
                self._forget()
            begun = data if self._carrier == "udp" else (self._begun[side] + data)[:FITS_BYTES]
            self._begun[side] = begun
            found = recognise(self._candidates, self._begun[Side.CLIENT], self._begun[Side.ASSET])
            if found is None and is_reversed(self._candidates, self._begun[Side.CLIENT], self._begun[Side.ASSET]):
                return self._turn(side, data)
            if found is not None:
                is_settled = len(begun) == FITS_BYTES or len(self._replay) >= MAX_TRIES
                self._found(found.protocol, is_certain=found.is_certain or is_settled)
                self._replay.append((side, data))
                return side
        self._known = self._dissector = self._meanings = None
        self._forget()
        self._tries += 1
        return side

    def _turn(self, side: Side, data: bytes) -> Side:
        """The handshake misled, or there was none: who seemed to be the client is the asset."""
        self._is_turned = not self._is_turned
        self._replay = [(_OTHER[each], said) for each, said in self._replay]
        client, asset = self._begun[Side.ASSET], self._begun[Side.CLIENT]
        self._begun = {Side.CLIENT: client, Side.ASSET: asset}
        found = recognise(self._candidates, client, asset)
        assert found is not None
        self._found(found.protocol, is_certain=found.is_certain)
        self._replay.append((_OTHER[side], data))
        return _OTHER[side]

    def _found(self, known: Known, *, is_certain: bool) -> None:
        if known is not self._known:
            self._choose(known, is_certain=is_certain)
            assert self._dissector is not None
            for side, data in self._replay:  # shown already, under the name of another that begins alike
                self._dissector.feed(side, data)
        self._is_certain = is_certain
        if is_certain:
            self._forget()

    def _choose(self, known: Known, *, is_certain: bool) -> None:
        self._known, self._is_certain = known, is_certain
        self._dissector = self._dissectors(known)[self._carrier]()
        self._meanings = _Meanings(known, self._carrier)


class _Meanings:
    """What the units of one flow mean: each reply with the request that it belongs to."""

    __slots__ = ("_decoder", "_under_way")

    def __init__(self, known: Known, carrier: str) -> None:
        make = (known.datagrams if carrier == "udp" else known.streams) if isinstance(known, WireProtocol) else None
        self._decoder: Decoder | None = None if make is None else make()
        self._under_way: dict[tuple[Side, int], Frame] = {}

    def unit(self, shown: Shown) -> Unit:
        """The unit with what it means."""
        frame = shown.frame
        if frame is None:
            return Unit(shown, shown.operation)
        match frame.role:
            case Role.REQUEST | Role.NOTICE:
                return self._asked(shown, frame)
            case Role.REPLY:
                return self._answered(shown, frame)
            case Role.LINK:
                return Unit(shown)
            case _:
                assert_never(frame.role)

    def _asked(self, shown: Shown, frame: Frame) -> Unit:
        if frame.role is Role.REQUEST and frame.exchange != NO_ANSWER:
            self._under_way[frame.side, frame.exchange] = frame
            if len(self._under_way) > MAX_UNDER_WAY:
                del self._under_way[next(iter(self._under_way))]
        try:
            return Unit(shown, frame.operation)
        except Malformed as error:
            return Unit(shown, why_malformed=str(error))

    def _answered(self, shown: Shown, frame: Frame) -> Unit:
        key = _OTHER[frame.side], frame.exchange
        request = self._under_way.get(key)
        if request is None:
            return Unit(shown)
        if frame.is_last:
            del self._under_way[key]
        try:
            operation = request.operation
        except Malformed:
            return Unit(shown)
        if self._decoder is None:
            return Unit(shown, operation)
        answer = self._decoder.answer(request, frame)
        targets = answer.targets or operation.targets
        return Unit(shown, msgspec.structs.replace(operation, targets=targets), status=answer.status)
