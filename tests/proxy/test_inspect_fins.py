"""FINS/TCP from its node addresses to a refusal: inspection of a protocol that is one file."""

from __future__ import annotations

from pathlib import Path

from proxying import T0, Inspected

from penstock.wire.fins import FinsDecoder

H = bytes.fromhex
ADDRESSES = b"FINS" + H("0000000c 00000000 00000000 00000000")
GIVEN = b"FINS" + H("00000010 00000001 00000000 00000010 00000005")


def over_tcp(text: str) -> bytes:
    data = H(text)
    return b"FINS" + (8 + len(data)).to_bytes(4, "big") + H("00000002 00000000") + data


READ = over_tcp("80 00 02 00 05 00 00 10 00 07 0101 82 0064 00 0001")
READ_REPLY = over_tcp("c0 00 02 00 10 00 00 05 00 07 0101 0000 002a")
STOP = over_tcp("80 00 02 00 05 00 00 10 00 08 0402")


def test_a_refused_stop_is_an_end_code_and_reading_goes_on(tmp_path: Path) -> None:
    flow = Inspected(tmp_path, decoder=FinsDecoder())
    assert flow.client(ADDRESSES, T0).to_asset == ADDRESSES
    assert flow.asset(GIVEN, T0).to_client == GIVEN
    refused = flow.client(STOP, T0)
    assert (refused.to_asset, refused.ending) == (b"", None)
    assert refused.to_client == over_tcp("c0 00 02 00 10 00 00 05 00 08 0402 3001")
    assert flow.client(READ, T0 + 1).to_asset == READ
    assert flow.asset(READ_REPLY, T0 + 31).to_client == READ_REPLY
    assert [operation.code for operation in flow.judged] == ["0402", "0101"]


def test_an_answer_to_nothing_ends_the_flow(tmp_path: Path) -> None:
    assert Inspected(tmp_path, decoder=FinsDecoder()).asset(READ_REPLY, T0).ending is not None


def test_a_lie_about_the_length_ends_the_flow(tmp_path: Path) -> None:
    lying = Inspected(tmp_path, decoder=FinsDecoder()).client(READ[:7] + b"\x07" + READ[8:], T0)
    assert lying.to_asset == b""
    assert lying.ending is not None
