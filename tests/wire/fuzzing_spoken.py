"""What protocols without a decoder, and the reader of captures, must hold for any bytes: the other fuzz targets.

A `Course` is held to its contract as the gate uses it: whatever passes came so, in order and without a gap, nothing is
raised but `Malformed`, nothing is held beyond a bound, and how the network cuts the bytes changes nothing that passes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import Final

from fuzzing import Talk, fuzz_one, hold_dissector, hold_operation, talk_of

from penstock.model import Malformed, Operation
from penstock.observe import CaptureFileError, Dissection, line_of, packets_of, rows_of
from penstock.wire import FITS_BYTES, KNOWN, NAMED, RECOGNISED, SPOKEN, Side, Spoken, of_carrier
from penstock.wire.recognised import RecognisedProtocol
from penstock.wire.spoken.opening import transport_connect

#: The connect of COTP, and its confirm.
_CONNECTED: Final = (
    (Side.CLIENT, bytes.fromhex("0300001611e00000000100c0010ac1020100c2020101")),
    (Side.ASSET, bytes.fromhex("0300001611d00001000100c0010ac1020100c2020101")),
)
_CANDIDATES: Final = of_carrier(KNOWN, "tcp")
#: What a gate holds of one side of a recognised flow: the longest message that goes on when it is whole.
_MAX_HELD_BYTES: Final = 0xFFFF + 56


def fuzz_recognised(protocol: RecognisedProtocol, data: bytes) -> None:
    """Hold everything that reads a recognised protocol to its contract, with one conversation."""
    talk = talk_of(data)
    for make in protocol.dissectors.values():
        hold_dissector(make, talk)
    for side in Side:
        assert protocol.fits(data or b"\0", side) in {True, False, None}
    for spoken in SPOKEN.values():
        if spoken.protocol is protocol and spoken.course is not None:
            hold_course(spoken, talk)
            if spoken.prelude is transport_connect:  # captures begin behind it
                hold_course(spoken, [*_CONNECTED, *talk])


def hold_course(spoken: Spoken, talk: Talk) -> None:
    """See the head of this file."""
    whole, asked = passed_of(spoken, talk)
    parts = [(side, data[at : at + 1]) for side, data in talk for at in range(len(data))]
    single, asked_singly = passed_of(spoken, parts)
    said = {side: b"".join(data for each, data in talk if each is side) for side in Side}
    for side in Side:
        assert said[side].startswith(single[side])
        assert single[side].startswith(whole[side]), "a segment that is refused takes with it what it begins with"
    assert asked_singly[: len(asked)] == asked or not spoken.classes


def passed_of(spoken: Spoken, talk: Talk) -> tuple[dict[Side, bytes], list[Operation]]:
    """What passes of a conversation up to where it ends, and what it asks for."""
    assert spoken.course is not None
    beginning, course = spoken.beginning(_CANDIDATES), spoken.course()
    passed: dict[Side, bytes] = dict.fromkeys(Side, b"")
    asked: list[Operation] = []
    for side, data in talk:
        try:
            for piece in course.feed(side, beginning.take(side, data)):
                for frame in piece.asked:
                    hold_operation(frame.operation)
                    asked.append(frame.operation)
                passed[side] += piece.data
        except Malformed:
            break
        assert all(beginning.pending(each) <= FITS_BYTES + len(data) for each in Side)
        assert all(course.pending(each) <= _MAX_HELD_BYTES for each in Side)
        assert all(len(text) <= FITS_BYTES for text in course.told.values())
    return passed, asked


#: Conversations that no capture holds from their beginning on: the seeds of `fuzz/seeds.py` beside captures.
WRITTEN: Final[Mapping[str, Talk]] = MappingProxyType(
    {
        "ge_srtp": [
            (Side.CLIENT, bytes(56)),
            (Side.ASSET, b"\x01" + bytes(55)),
            (Side.CLIENT, b"\x02" + bytes(30) + b"\xc0" + bytes(10) + b"\x04\x08" + bytes(12)),
            (Side.ASSET, b"\x03" + bytes(30) + b"\xd4" + bytes(24)),
        ],
        "melsec_slmp": [
            (Side.CLIENT, bytes.fromhex("5000 00 ff ff03 00 0c00 1000 0104 0000 640000 a8 0100")),
            (Side.ASSET, bytes.fromhex("d000 00 ff ff03 00 0400 0000 1234")),
            (Side.CLIENT, b"500000FF03FF000018001004010000D*0000640001"),
        ],
        "smb": [
            (Side.CLIENT, bytes.fromhex("00000040 fe534d42 4000") + bytes(58)),
            (Side.ASSET, bytes.fromhex("00000040 fe534d42 4000") + bytes(10) + b"\x01" + bytes(47)),
            (Side.CLIENT, bytes.fromhex("00000048 fe534d42 4000 0000 00000000 0500") + bytes(58)),
        ],
        "http": [
            (Side.CLIENT, b"POST /a?b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            (Side.ASSET, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ],
        "ftp": [(Side.ASSET, b"220 x\r\n"), (Side.CLIENT, b"AUTH TLS\r\n"), (Side.ASSET, b"234 x\r\n")],
    }
)


def fuzz_capture(data: bytes) -> None:
    """A file that somebody else made is read to its end or to where it breaks, and nothing else happens."""
    reader = Dissection(KNOWN)
    with suppress(CaptureFileError):
        for packet in packets_of(BytesIO(data).read):
            for seen in reader.take(packet):
                assert rows_of(seen, 0) is not None
                json.dumps(line_of(seen, 0))


#: Everything that reads bytes of others, by name.
TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {name: partial(fuzz_one, each) for name, each in NAMED.items()}
    | {each.name: partial(fuzz_recognised, each) for each in RECOGNISED}
    | {"capture": fuzz_capture}
)
