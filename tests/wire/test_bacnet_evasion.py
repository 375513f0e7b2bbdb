"""A forbidden write, hidden in every way that the protocol offers: a conduit that allows reading never lets it pass."""

from __future__ import annotations

import itertools

import pytest
from bacnet_datagrams import (
    EVERYONE,
    READ,
    STATION_3_6C,
    WRITE,
    answer_segment,
    bvll,
    confirmed,
    npdu,
    octets,
    segment,
    unconfirmed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Malformed, Operation, Reason
from penstock.model import OperationClass as Is
from penstock.wire import NO_ANSWER, Role, Side
from penstock.wire.bacnet import BacnetDecoder

CLIENT, ASSET = Side.CLIENT, Side.ASSET
ALLOWED = {Is.READ, Is.DISCOVERY, Is.SESSION}
#: The asset itself and what stands before it, and nothing that other devices would hear.
UNITS = {0}


def may(operation: Operation) -> bool:
    """A conduit with `read`, `discovery` and `units: 0`."""
    return ALLOWED.issuperset(operation.classes) and operation.unit in UNITS


class Gate:
    """The decoder between a client and a device, with what passes of either; a flow that ended passes nothing."""

    def __init__(self) -> None:
        self.decoder = BacnetDecoder()
        self.passed: dict[Side, list[bytes]] = {CLIENT: [], ASSET: []}
        self.back: list[bytes] = []
        self.asked: dict[Side, set[int]] = {CLIENT: set(), ASSET: set()}
        self.is_over = False

    def say(self, data: bytes, side: Side = CLIENT) -> bool:
        """Whether this datagram came through."""
        before = len(self.passed[side])
        if not self.is_over:
            try:
                frames = self.decoder.feed(side, data)
            except Malformed:
                self.is_over = True
                return False
            for frame in frames:
                self._judge(frame, side)
        return len(self.passed[side]) > before

    def _judge(self, frame: object, side: Side) -> None:
        other = ASSET if side is CLIENT else CLIENT
        assert hasattr(frame, "role")
        if frame.role is Role.REPLY:
            self.is_over = frame.exchange not in self.asked[other]  # type: ignore[attr-defined]
        elif frame.role is not Role.LINK:
            try:
                is_allowed = may(frame.operation)  # type: ignore[attr-defined]
            except Malformed:
                is_allowed = False
            if not is_allowed:
                self.back.append(self.decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED))  # type: ignore[arg-type]
                return
            if frame.exchange != NO_ANSWER:  # type: ignore[attr-defined]
                self.asked[side].add(frame.exchange)  # type: ignore[attr-defined]
        if not self.is_over:
            self.passed[side].append(self.decoder.forward(frame))  # type: ignore[arg-type]


class Device:
    """What a device does with segments, as 5.4.5 has it, and more forgiving: it takes them in any order, first come."""

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self._parts: dict[int, dict[int, tuple[bytes, bool]]] = {}

    def hear(self, data: bytes) -> None:
        apdu = data[6:]
        if not apdu[0] & 0x08:
            self.done.append(apdu)
            return
        invoke, number, is_last = apdu[2], apdu[3], not apdu[0] & 4
        parts = self._parts.setdefault(invoke, {})
        parts.setdefault(number, (apdu[6:], is_last))
        last = next((each for each, (_, ends) in parts.items() if ends), None)
        if last is not None and all(each in parts for each in range(last + 1)):
            whole = b"".join(parts[each][0] for each in range(last + 1))
            self.done.append(bytes((2, 5, invoke, apdu[5])) + whole)
            del self._parts[invoke]


WRITES = octets("0c 00800001 1e 09 55 2e 44 41ac0000 2f 39 08 1f")
READS = octets("0c 00800001 1e 09 55 09 4d 1f")
HIDDEN = {
    "plain": npdu(confirmed(15, WRITE)),
    "no reply expected": npdu(confirmed(15, WRITE), control=0),
    "urgent": npdu(confirmed(15, WRITE), control=7),
    "several": npdu(confirmed(16, WRITES)),
    "second of several": npdu(confirmed(16, WRITES + WRITES)),
    "as broadcast": npdu(confirmed(15, WRITE), function=0x0B),
    "distributed": npdu(confirmed(15, WRITE), function=0x09),
    "forwarded": bvll(b"\x0a\0\0\1\xba\xc0\1\4" + confirmed(15, WRITE), 4),
    "read forwarded": bvll(b"\x0a\0\0\1\xba\xc0\1\4" + confirmed(12, READ), 4),
    "secured": bvll(b"\1\4" + confirmed(15, WRITE), 0x0C),
    "unknown function": bvll(b"\1\4" + confirmed(15, WRITE), 0x0D),
    "to a network": npdu(confirmed(12, READ), to=STATION_3_6C),
    "to everyone": npdu(confirmed(12, READ), to=EVERYONE),
    "by another": npdu(confirmed(12, READ), by=STATION_3_6C),
    "search for others": npdu(unconfirmed(8), function=0x09),
    "one segment": npdu(segment(15, octets(WRITE), 0, more=False)),
    "created with a value": npdu(confirmed(10, "0e 1c 00800001 0f 1e 09 55 2e 44 41ac0000 2f 1f")),
    "list element": npdu(confirmed(8, "0c 03c00001 19 66 3e 00 3f")),
    "group": npdu(unconfirmed(10, "09 17 19 08 2e 09 0c 44 41ac0000 2f")),
    "clock": npdu(unconfirmed(6, "a4 7e0b1701 b4 0e050000")),
    "you are": npdu(unconfirmed(14, "21 07 72 00 61 72 00 62 c4 02000009")),
    "private": npdu(confirmed(18, "09 07 19 01 2e" + WRITE + "2f")),
    "private, unconfirmed": npdu(unconfirmed(4, "09 07 19 01")),
    "unknown service": npdu(confirmed(40, WRITE)),
    "unknown type": npdu(b"\x80" + confirmed(15, WRITE)[1:]),
    "restart": npdu(confirmed(20, "09 00")),
    "unknown state": npdu(confirmed(20, "09 63")),
    "silence": npdu(confirmed(17, "19 01")),
    "enable": npdu(confirmed(17, "19 00")),
    "registration": bvll("003c", 5),
    "table": bvll("0a000001bac0ffffffff", 1),
    "routing table": bvll("0180 06 01 0005 01 00"),
    "connection": bvll("0180 08 0005 3c"),
    "read with a write behind it": npdu(confirmed(12, READ + " " + WRITE)),
    "reads with a write behind them": npdu(confirmed(14, READS + octets(WRITE))),
    "read in a longer tag": npdu(confirmed(12, "0d 04 00800001 19 55")),
    "read in an extended tag": npdu(confirmed(12, "fc 00 00800001 19 55")),
    "read with flags": npdu(confirmed(12, READ, flags=4)),
    "read with a reserved bit": npdu(confirmed(12, READ, flags=1)),
    "search with a reserved bit": npdu(b"\x14\x08"),
    "two in a datagram": npdu(confirmed(12, READ)) + npdu(confirmed(15, WRITE)),
    "length beyond the datagram": npdu(confirmed(12, READ))[:-1],
    "length short of the datagram": npdu(confirmed(12, READ)) + b"\0",
    "reserved network bits": bvll(b"\1\x44" + confirmed(12, READ)),
    "network version": bvll(b"\2\4" + confirmed(12, READ)),
    "address beyond the datagram": bvll(b"\1\x24\0\3\xff" + confirmed(12, READ)),
    "notice of a client": npdu(unconfirmed(5, "0c 02000001 29 00 3a 00 61")),
    "value of another's object": npdu(confirmed(1, "09 01 1c 02000001 2c 00000001 39 00 4e 4f")),
    "event of another's object": npdu(
        unconfirmed(3, "09 01 1c 02000001 2c 00000001 3e 19 05 3f 49 01 59 64 69 05 89 00 b9 02")
    ),
    "acknowledged alarm": npdu(confirmed(0, "09 01 1c 00000001 29 02 3e 19 05 3f 4a 00 61 5e 19 06 5f")),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_not_allowed_does_not_pass(name: str) -> None:
    assert not Gate().say(HIDDEN[name])


def test_what_is_allowed_passes() -> None:
    gate = Gate()
    for datagram in (npdu(confirmed(12, READ)), npdu(confirmed(14, READS)), npdu(unconfirmed(8)), bvll("0180 00")):
        assert gate.say(datagram)


@pytest.mark.parametrize("service", [16, 14])
def test_segments_pass_as_a_whole_or_never_become_whole(service: int) -> None:
    """In every order, with every segment sent three times."""
    content = WRITES if service == 16 else READS
    pieces = [content[:4], content[4:9], content[9:]]
    for order in itertools.permutations(range(3)):
        gate, device = Gate(), Device()
        for number in (*order, *order, *order):
            gate.say(npdu(segment(service, pieces[number], number, more=number < 2)))
        for data in gate.passed[CLIENT]:
            device.hear(data)
        assert bool(device.done) is (service == 14)


def test_the_service_of_segments_cannot_be_changed_on_the_way() -> None:
    """A read by its first segments, a write by its last, or the other way round."""
    for first, last in ((14, 16), (16, 14)):
        gate, device = Gate(), Device()
        gate.say(npdu(segment(first, WRITES[:9], 0, more=True)))
        gate.say(npdu(segment(last, WRITES[9:], 1, more=False)))
        for data in gate.passed[CLIENT]:
            device.hear(data)
        assert not device.done


SPOKEN = st.sampled_from(
    [
        *(npdu(segment(16, WRITES[at : at + 9], at // 9, more=at < 18)) for at in (0, 9, 18)),
        *(npdu(segment(14, READS[at : at + 4], at // 4, more=at < 8)) for at in (0, 4, 8)),
        npdu(segment(14, WRITES[:9], 0, more=True)),
        npdu(segment(14, WRITES[18:], 2, more=False)),
        npdu(confirmed(12, READ)),
        npdu(confirmed(15, WRITE)),
        npdu("70 07 00", control=0),
        npdu("71 07 00", control=0),
        npdu("40 07 00 04", control=0),
        npdu(confirmed(16, WRITES)),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(SPOKEN, max_size=14), st.lists(st.booleans(), min_size=14, max_size=14))
def test_no_order_of_segments_aborts_and_requests_makes_a_device_write(said: list[bytes], lost: list[bool]) -> None:
    """Also where some of what passed is lost on the way to the device, and it never heard of an abort."""
    gate, device = Gate(), Device()
    for data, is_lost in zip(said, lost, strict=False):
        before = len(gate.passed[CLIENT])
        gate.say(data)
        for passed in gate.passed[CLIENT][before:]:
            if not is_lost and passed[6] >> 4 == 0:
                device.hear(passed)
    assert not any(apdu[3] in {15, 16} for apdu in device.done)


def test_a_reply_that_nobody_asked_for_ends_the_flow() -> None:
    for answer in ("20 07 0f", "30 07 0c 00", "50 07 0f 9102 9128", "60 07 00", "71 07 00"):
        for side in Side:
            gate = Gate()
            assert not gate.say(npdu(answer, control=0), side)
            assert gate.is_over


def test_a_reply_to_another_service_or_from_another_device_ends_the_flow() -> None:
    for answer in (npdu("20 07 0f", control=0), npdu("30 07 0c 00", control=0, by=STATION_3_6C)):
        gate = Gate()
        gate.say(npdu(confirmed(12, READ)))
        assert not gate.say(answer, ASSET)
        assert gate.is_over


def test_what_an_asset_asks_is_judged_as_well() -> None:
    """A device that was taken over must not write through the gate to the client."""
    gate = Gate()
    assert not gate.say(npdu(confirmed(15, WRITE)), ASSET)
    assert not gate.say(npdu(unconfirmed(6, "a4 7e0b1701 b4 0e050000")), ASSET)
    assert gate.say(npdu(confirmed(1, "09 01 1c 02000001 2c 00000001 39 00 4e 4f")), ASSET) is True
    assert gate.say(npdu(unconfirmed(0, "c4 02000001 21 32 91 03 21 07")), ASSET)


def test_the_middle_of_an_answer_without_its_request_ends_the_flow() -> None:
    gate = Gate()
    assert not gate.say(npdu(answer_segment(14, b"\0", 3, more=True), control=0), ASSET)
    assert gate.is_over
