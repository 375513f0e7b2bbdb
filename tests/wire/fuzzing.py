"""What every decoder and dissector must hold for any bytes, as functions that property tests and fuzzers call.

`fuzz_one(protocol, data)` reads `data` as a conversation and raises `AssertionError` (or whatever the decoder should
not have raised) where the contract of `penstock.wire.decoder` is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from penstock.model import Malformed, Operation, OperationClass, Reason
from penstock.wire import Decoder, Dissector, Frame, Role, Side, WireProtocol

Talk = Sequence[tuple[Side, bytes]]
_ASSET_BIT, _LENGTH_BITS = 0x80, 0x7F
_OTHER = {Side.CLIENT: Side.ASSET, Side.ASSET: Side.CLIENT}


def talk_of(data: bytes) -> list[tuple[Side, bytes]]:
    """Bytes as a conversation: a byte with side (upper bit) and length (0: all the rest), then that many bytes."""
    found, at = [], 0
    while at < len(data):
        side = Side.ASSET if data[at] & _ASSET_BIT else Side.CLIENT
        length = data[at] & _LENGTH_BITS or len(data)
        found.append((side, data[at + 1 : at + 1 + length]))
        at += 1 + length
    return found


def bytes_of(talk: Talk) -> bytes:
    """The other way round, for a corpus: pieces of more than 127 bytes come as several."""
    parts = []
    for side, data in talk:
        for at in range(0, len(data), _LENGTH_BITS):
            piece = data[at : at + _LENGTH_BITS]
            parts.append(bytes((len(piece) | (_ASSET_BIT if side is Side.ASSET else 0),)) + piece)
    return b"".join(parts)


def fuzz_one(protocol: WireProtocol, data: bytes) -> None:
    """Hold everything that reads this protocol to its contract, with one conversation."""
    talk = talk_of(data)
    if protocol.streams is not None:
        hold_stream(protocol.streams, protocol.max_held_bytes, talk)
    if protocol.datagrams is not None:
        hold_datagrams(protocol.datagrams, protocol.max_held_bytes, talk)
    for make in protocol.dissectors.values():
        hold_dissector(make, talk)
    for side in Side:
        assert protocol.fits(data or b"\0", side) in {True, False, None}


def hold_stream(make: Callable[[], Decoder], bound: int, talk: Talk) -> None:
    """Whole and byte by byte a decoder gives the same, holds no more than it may, and raises `Malformed` only."""
    whole = _frames(make(), bound, talk)
    parts = [(side, data[at : at + 1]) for side, data in talk for at in range(len(data))]
    single = _frames(make(), bound, parts)
    assert [frame.data for frame in single] == [frame.data for frame in whole]
    assert [frame.what for frame in single] == [frame.what for frame in whole]
    said = {side: b"".join(data for each, data in talk if each is side) for side in Side}
    for side in Side:
        assert sum(len(frame.data) for frame in whole if frame.side is side) <= len(said[side])


def hold_datagrams(make: Callable[[], Decoder], bound: int, talk: Talk) -> None:
    """A decoder of datagrams gives nothing that did not stand in one of them, or in several that say so themselves."""
    decoder = make()
    for side, data in talk:
        try:
            frames = decoder.feed(side, data)
        except Malformed:
            continue
        assert all(decoder.pending(each) <= bound for each in Side)
        for frame in frames:
            hold_frame(decoder, frame)


def _frames(decoder: Decoder, bound: int, talk: Talk) -> list[Frame]:
    """What a decoder makes of a conversation up to where it ends; each frame is held to its own contract."""
    found: list[Frame] = []
    under_way: dict[tuple[Side, int], Frame] = {}
    for side, data in talk:
        try:
            frames = decoder.feed(side, data)
        except Malformed:
            return found
        assert all(decoder.pending(each) <= bound for each in Side)
        for frame in frames:
            assert frame.side is side
            hold_frame(decoder, frame)
            if frame.role is Role.REQUEST:
                under_way[side, frame.exchange] = frame
            elif frame.role is Role.REPLY:
                request = under_way.get((_OTHER[side], frame.exchange))
                if request is not None:
                    decoder.answer(request, frame)
        found += frames
        if decoder.pending(side):
            try:
                decoder.feed(side, b"")  # as the gate does, to know at once whether more bytes can help
            except Malformed:
                return found
    return found


def hold_frame(decoder: Decoder, frame: Frame) -> None:
    """A frame has bytes and a meaning or none; refusing one that is judged gives bytes, and never raises."""
    assert frame.data
    assert len(frame.recorded) == len(frame.data)
    if frame.role is Role.REQUEST or frame.role is Role.NOTICE:
        with suppress(Malformed):
            hold_operation(frame.operation)
        assert isinstance(decoder.refuse(frame, Reason.NO_CONDUIT), bytes)


def hold_operation(operation: Operation) -> None:
    """What a request means: classes of the closed set, and no target of a class that is not among them."""
    assert operation.classes
    assert all(isinstance(each, OperationClass) for each in operation.classes)
    assert {target.operation_class for target in operation.targets} <= set(operation.classes)
    assert operation.name
    assert operation.code
    for target in operation.targets:
        assert target.count >= 0
        # One object may be an array (OPC UA); of several each has at most one value.
        assert target.values is None or target.count <= 1 or len(target.values) <= target.count


def hold_dissector(make: Callable[[], Dissector], talk: Talk) -> None:
    """A dissector never raises, also behind a gap, and what it shows can be printed."""
    dissector = make()
    for number, (side, data) in enumerate(talk):
        if number % 5 == 4:
            dissector.lost(side)
        for shown in dissector.feed(side, data):
            assert shown.pdu["p"]
            if shown.frame is not None and shown.frame.role in {Role.REQUEST, Role.NOTICE}:
                with suppress(Malformed):
                    hold_operation(shown.frame.operation)
