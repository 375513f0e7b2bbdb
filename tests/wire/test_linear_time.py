"""Twice the bytes take at most some more than twice the steps, for every protocol; a step is a line that was run.

Lines are counted, not seconds, so that the machine's load does not matter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from test_every_protocol import known_flows

from penstock.model import Malformed
from penstock.wire import PROTOCOLS, Decoder, Dissector, Frame, ModbusDecoder, Role, Side, WireProtocol

#: What may come on top of twice the steps: the second half of a conversation holds other messages than the first.
SLACK = 1.6
#: What does not grow: making tables at first use, refusing a broken rest.
CONSTANT = 2_000
every = pytest.mark.parametrize("protocol", PROTOCOLS, ids=[each.name for each in PROTOCOLS])
Talk = list[tuple[Side, bytes]]


def steps(do: Callable[[], object]) -> int:
    """How many lines of `penstock.wire` are run."""
    count = 0

    def line(_frame: FrameType, event: str, _value: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def call(frame: FrameType, _event: str, _value: Any) -> Any:
        code = frame.f_code
        return line if "penstock/wire" in code.co_filename or code.co_qualname.startswith("Rereading") else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        do()
    finally:
        sys.settrace(before)
    return count


def decode(make: Callable[[], Decoder], talk: Talk, before: Sequence[tuple[Side, bytes]] = ()) -> None:
    """Feed a new decoder with a conversation behind another, and ask what every request means."""
    decoder = make()
    for side, data in (*before, *talk):
        try:
            for frame in decoder.feed(side, data):
                if frame.role in {Role.REQUEST, Role.NOTICE}:
                    _ = frame.operation
        except Malformed:
            return


def dissect(make: Callable[[], Dissector], talk: Talk) -> None:
    dissector = make()
    for side, data in talk:
        dissector.feed(side, data)


def assert_linear(do: Callable[[Talk], None], talk: Talk) -> None:
    """Of conversations that are twice as long each time."""
    do(talk)
    begun = steps(lambda: do([]))
    half, whole = steps(lambda: do(talk[: len(talk) // 2])) - begun, steps(lambda: do(talk)) - begun
    assert whole <= 2 * SLACK * half + CONSTANT


def streams_of(protocol: WireProtocol) -> list[Talk]:
    """The captured conversations of this protocol over TCP, the longest first."""
    found = [
        [(packet.side, packet.data) for packet in flow.packets]
        for known, flow in known_flows()
        if known is protocol and flow.carrier == "tcp"
    ]
    return sorted([*found, *written(protocol)], key=lambda talk: -sum(len(data) for _, data in talk))


def written(protocol: WireProtocol) -> list[Talk]:
    """The conversation over TCP that was written for the tests, where there is one (no capture has FINS over TCP)."""
    path = Path(__file__).parent / f"{protocol.name}_vectors.json"
    said = json.loads(path.read_text()).get("tcp") if path.is_file() else None
    return [[(Side(side), bytes.fromhex(data)) for side, data, *_ in said]] if said else []


@every
def test_garbage_of_any_length_is_given_up_in_steps_that_grow_no_faster(protocol: WireProtocol) -> None:
    makes: list[Callable[[Talk], None]] = [partial(dissect, make) for make in protocol.dissectors.values()]
    if protocol.streams is not None:
        makes.append(partial(decode, protocol.streams))
    for pattern in (b"\0", b"\xff", b"\x68\x04", b"\x05\x64\x05", b"\x03\x00", b"MSGF", bytes(range(256))):
        talk: Talk = [(Side.CLIENT, (pattern * 64)[:64])] * 128
        for make in makes:
            assert_linear(make, talk)


@every
def test_the_longest_message_byte_by_byte_is_not_read_again_with_every_byte(protocol: WireProtocol) -> None:
    if protocol.streams is None:
        return
    talks = streams_of(protocol)
    assert talks
    for talk in talks[:3]:
        at, (side, data) = max(enumerate(talk), key=lambda each: len(each[1][1]))
        parts: Talk = [(side, data[i : i + 1]) for i in range(len(data))]
        assert_linear(partial(decode, protocol.streams, before=talk[:at]), parts)


@every
def test_a_message_that_promises_more_than_comes_is_not_read_again_with_every_byte(protocol: WireProtocol) -> None:
    """The beginning of every captured message, and then nothing but zeros, a byte at a time."""
    if protocol.streams is None:
        return
    heads = {data[:size] for talk in streams_of(protocol) for _, data in talk[:6] for size in (4, 8, 12, 24)}
    for head in sorted(heads)[:24]:
        for side in Side:
            assert_linear(partial(decode, protocol.streams), [(side, head), *[(side, b"\0")] * 400])


class Rereading(ModbusDecoder):
    """Looks at all that it ever saw with every byte."""

    seen = 0

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        self.seen += len(data)
        for _ in range(self.seen):
            side.value  # noqa: B018 - a step
        return ()


def test_a_decoder_that_reads_again_what_it_saw_is_found() -> None:
    with pytest.raises(AssertionError):
        assert_linear(partial(decode, Rereading), [(Side.CLIENT, b"\0")] * 400)
