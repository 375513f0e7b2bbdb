"""Decoding equals tshark's decoding of real captures, however the network cut the bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from modbus_captures import NAMES, Half, halves

from penstock.model import Malformed
from penstock.wire import Frame, ModbusDecoder, Side, WrongProtocol

COUNTED = {1: "bits", 2: "bits", 3: "words", 4: "words", 15: "bits", 16: "words"}


def decode(half: Half, pieces: Iterator[bytes]) -> list[Frame]:
    decoder = ModbusDecoder()
    return [frame for piece in pieces for frame in decoder.feed(half.side, piece)]


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def at_random(data: bytes, seed: int) -> Iterator[bytes]:
    cuts = sorted(random.Random(seed).sample(range(len(data)), min(len(data) - 1, 40)))
    return (data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))


def assert_same(frame: Frame, expected: dict[str, Any]) -> None:
    """Header and PDU, field by field; a field that this test does not know is an error, not a pass."""
    left = {k: v for k, v in expected.items() if not k.endswith("_name") and k != "p"}
    data, pdu = frame.data, frame.what[1:]
    assert int.from_bytes(data[0:2], "big") == left.pop("tid") == frame.exchange >> 16
    assert int.from_bytes(data[2:4], "big") == left.pop("pid")
    assert len(data) - 6 == left.pop("len")
    assert frame.what[0] == left.pop("unit") == frame.exchange >> 8 & 0xFF
    code = left.pop("fc")
    assert pdu[0] & 0x7F == code == frame.exchange & 0x7F
    assert frame.is_refusal is ("exception" in left)
    if frame.is_refusal:
        assert pdu[1] == left.pop("exception")
    elif frame.side is Side.ASSET:
        assert_same_reply(pdu, code, left)
    else:
        assert_same_request(frame, code, left)
    assert not left, "tshark decoded more than was compared"


def assert_same_reply(pdu: bytes, code: int, left: dict[str, Any]) -> None:
    places = {"addr": 1, "words": 3, "bits": 3, "diag": 1, "and_mask": 3, "or_mask": 5}
    if code == 24:
        places["words"] = 3
    for key, place in places.items():
        if key in left:
            assert int.from_bytes(pdu[place : place + 2], "big") == left.pop(key)
    for key, place in {"bytes": 1, "mei": 1, "dev_id_code": 2}.items():
        if key in left:
            assert pdu[place] == left.pop(key)
    if "object_id" in left:
        numbers, at = [], 7
        while at < len(pdu):
            numbers.append(pdu[at])
            at += 2 + pdu[at + 1]
        assert numbers == left.pop("object_id")


def assert_same_request(frame: Frame, code: int, left: dict[str, Any]) -> None:
    pdu = frame.what[1:]
    if is_broken(frame):
        with pytest.raises(Malformed):
            _ = frame.operation
        for key in ("bytes", "mei", "dev_id_code", "object_id"):
            left.pop(key, None)
        return
    operation = frame.operation
    assert operation.unit == frame.what[0]
    sub = left.pop("diag", left.pop("mei", None))
    assert operation.code.split("/")[:2] == [str(code), *([] if sub is None else [str(sub)])] or code == 90
    if "addr" in left:
        assert operation.targets[0].first == left.pop("addr")
        assert operation.targets[0].count == left.pop(COUNTED.get(code, ""), 1)
    if "bytes" in left:
        written = operation.targets[-1]
        assert written.values is not None
        assert left.pop("bytes") == ((written.count + 7) // 8 if code == 15 else 2 * written.count)
    if code == 22:
        assert pdu[3:7] == left.pop("and_mask").to_bytes(2, "big") + left.pop("or_mask").to_bytes(2, "big")
        assert operation.targets[0].values is None
    if code == 23:
        read, write = operation.targets
        assert (read.first, read.count) == (left.pop("read_addr"), left.pop("read_words"))
        assert (write.first, write.count) == (left.pop("write_addr"), left.pop("write_words"))
    if code == 43:
        assert (pdu[2], [pdu[3]]) == (left.pop("dev_id_code"), left.pop("object_id"))


def is_broken(frame: Frame) -> bool:
    pdu = frame.what[1:]
    return pdu in (b"\x14\x00", b"\x15\x00") or (pdu[:2] == b"\x2b\x0e" and len(pdu) == 5)


@pytest.mark.parametrize("name", NAMES)
def test_every_capture_decodes_as_tshark_decodes_it_however_it_is_cut(name: str) -> None:
    """Whole, byte by byte, cut at random, and with the beginning of a next frame behind it."""
    compared = 0
    for half in halves(name):
        if not half.is_modbus:
            continue
        ways = [iter([half.data]), byte_by_byte(half.data), iter([half.data + half.data[:7]])]
        ways += [at_random(half.data, seed) for seed in range(5)]
        for pieces in ways:
            frames = decode(half, pieces)
            assert b"".join(frame.data for frame in frames) == half.data
            assert len(frames) == len(half.pdus)
            for frame, expected in zip(frames, half.pdus, strict=True):
                assert_same(frame, expected)
        compared += len(half.pdus)
    assert (
        compared
        == {
            "modbus-all-functions": 48,
            "modbus-coils-poll": 32,
            "modbus-diagnostics": 39,
            "modbus-poll-registers": 701,
            "modbus-port502-mixed": 12,
            "modbus-umas-fc90": 180,
        }[name]
    )


def test_other_protocols_on_port_502_are_known_at_once() -> None:
    """The mixed capture holds TLS, DCE/RPC and HTTP on port 502: at most three bytes tell."""
    foreign = [half for half in halves("modbus-port502-mixed") if not half.is_modbus]
    assert len(foreign) >= 4
    for half in foreign:
        with pytest.raises(WrongProtocol):
            ModbusDecoder().feed(half.side, half.data)
        with pytest.raises(WrongProtocol):
            decode(half, byte_by_byte(half.data[:4]))


def test_replies_of_the_captures_belong_to_their_requests() -> None:
    """Every reply has the exchange of a request of the same connection."""
    by_name = {half.name: half for half in halves("modbus-all-functions") if half.is_modbus}
    asked = [f for h in by_name.values() if h.side is Side.CLIENT for f in decode(h, iter([h.data]))]
    replies = [f for h in by_name.values() if h.side is Side.ASSET for f in decode(h, iter([h.data]))]
    assert [frame.exchange for frame in asked] == [frame.exchange for frame in replies]
