"""The fuzzer finds what it is there for, its seeds are real conversations, and what it once found stays mended."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from captured import require_captures
from fuzzing import bytes_of, fuzz_one, talk_of
from fuzzing_spoken import TARGETS
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import Malformed
from penstock.wire import NAMED, Frame, ModbusDecoder, Side

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))
from mending import MENDED
from seeds import CAPTURES, parts, write_seeds

FOUND = json.loads((Path(__file__).parent / "fuzz_found.json").read_text())["found"]
READ = bytes.fromhex("0001 0000 0006 01 03 0000 0002")


@pytest.mark.parametrize("found", FOUND, ids=[f"{each['protocol']}, {each['what']}" for each in FOUND])
def test_what_was_found_once_is_mended(found: dict[str, str]) -> None:
    TARGETS[found["protocol"]](bytes.fromhex(found["data"]))


talks = st.lists(st.tuples(st.sampled_from(Side), st.binary(min_size=1, max_size=127)), max_size=6)


@given(talks)
def test_a_conversation_is_bytes_and_back(talk: list[tuple[Side, bytes]]) -> None:
    assert talk_of(bytes_of(talk)) == talk


class Careless(ModbusDecoder):
    """Raises what it may not."""

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        if data[7:8] == b"\x03":
            raise IndexError
        return super().feed(side, data)


class Hoarding(ModbusDecoder):
    """Holds more than it says."""

    def pending(self, side: Side) -> int:
        return 999 * super().pending(side)


class Impatient(ModbusDecoder):
    """Takes what the network brought for a whole message."""

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        if len(data) < len(READ):
            raise Malformed("half a message")
        return super().feed(side, data)


@pytest.mark.parametrize("kind", [Careless, Hoarding, Impatient])
def test_a_decoder_that_breaks_its_contract_does_not_pass(kind: type[ModbusDecoder]) -> None:
    conversation = bytes_of([(Side.CLIENT, READ), (Side.CLIENT, READ[:5])])
    fuzz_one(NAMED["modbus"], conversation)
    with pytest.raises((AssertionError, IndexError)):
        fuzz_one(replace(NAMED["modbus"], streams=kind, datagrams=None), conversation)


@pytest.mark.parametrize("name", TARGETS)
def test_there_are_seeds_for_every_target(name: str, tmp_path: Path) -> None:
    require_captures()
    count = write_seeds(name, tmp_path, 2048)
    assert count == len(list(tmp_path.iterdir())) > 0
    for seed in tmp_path.iterdir():
        TARGETS[name](seed.read_bytes())


@given(talks)
def test_a_mended_conversation_has_the_same_sides_and_lengths(talk: list[tuple[Side, bytes]]) -> None:
    for mend in MENDED.values():
        assert [(side, len(data)) for side, data in talk_of(mend(bytes_of(talk)))] == [
            (side, len(data)) for side, data in talk
        ]


def test_mended_frames_get_behind_the_first_check() -> None:
    """Numbers of IEC 104, check sums of DNP3 and lengths of S7comm, all of them wrong before."""
    command = bytes.fromhex("680e 2400 4200 2d010600030001000001")
    link = bytes.fromhex("0564 0bc4 0a00 0100 0000 c0c3 013c0206 0000")
    job = bytes.fromhex("0300 0030 02f080 3201 0000 0007 0013 0000 0401120a10020004000a84000020")
    cases = (("iec104", [command] * 3), ("dnp3", [link]), ("s7comm", [job] * 2))
    for name, broken in ((name, [(Side.CLIENT, data) for data in pieces]) for name, pieces in cases):
        make = NAMED[name].streams if name in NAMED else None
        if make is None:
            continue
        with pytest.raises(Malformed):
            take_all(make(), broken)
        assert len(take_all(make(), talk_of(MENDED[name](bytes_of(broken))))) == len(broken)


def test_a_mended_talk_of_opc_ua_counts_as_its_ends_do() -> None:
    """Sizes, numbers and the channel, all of them wrong before; four open the channel, then a request."""
    require_captures()
    talk = next(part for part in parts(CAPTURES / "opcua-translate-read.pcap", NAMED["opcua"]))
    broken = [(side, data[:4] + b"\0\0" + data[6:16] + b"\x55" + data[17:]) for side, data in talk[4:]]
    with pytest.raises(Malformed):
        take_all(NAMED["opcua"].streams(), talk[:4] + broken)  # type: ignore[misc]
    frames = take_all(NAMED["opcua"].streams(), talk_of(MENDED["opcua"](bytes_of(talk[:4] + broken[:1]))))  # type: ignore[misc]
    assert [frame.data[:3] for frame in frames] == [b"HEL", b"ACK", b"OPN", b"OPN", b"MSG"]


def take_all(decoder: object, talk: Sequence[tuple[Side, bytes]]) -> list[Frame]:
    return [frame for side, data in talk for frame in decoder.feed(side, data)]  # type: ignore[attr-defined]
