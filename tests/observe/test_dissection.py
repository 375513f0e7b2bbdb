"""Passive decoding finds out from its bytes what a flow speaks, and shows every unit where it is complete."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from types import MappingProxyType

import pytest
from built_captures import ACK, ASSET, CLIENT, SYN, Wire, ethernet, tcp, udp
from captured import CAPTURES, names, require_captures
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.observe.capture_files import Packet, packets_of
from penstock.observe.decoded import HEADINGS, line_of, rows_of
from penstock.observe.dissection import MAX_BETWEEN, MAX_TRIES, MAX_UNDER_WAY, Dissection, Seen
from penstock.wire import KNOWN, Dissector, Known, Shown, Side
from penstock.wire.modbus import MODBUS

H = bytes.fromhex
READ = H("0001 0000 0006 01 03 0000 0002")
REPLY = H("0001 0000 0007 01 03 04 0005 0007")
WRITE = H("0002 0000 0006 01 06 000a 0037")
REFUSED = H("0002 0000 0003 01 86 02")


class Conversation:
    """A TCP connection whose packets are written one after the other."""

    def __init__(self, client: tuple[str, int] = CLIENT, asset: tuple[str, int] = ASSET) -> None:
        self.wire = Wire()
        self.ends = {Side.CLIENT: client, Side.ASSET: asset}
        self.next = {Side.CLIENT: 100, Side.ASSET: 900}

    def open(self) -> Conversation:
        self.wire.carry(tcp(self.ends[Side.CLIENT], self.ends[Side.ASSET], 99, flags=SYN))
        return self

    def say(self, side: Side, data: bytes, lost: int = 0) -> Conversation:
        other = Side.ASSET if side is Side.CLIENT else Side.CLIENT
        at = self.next[side] + lost
        self.wire.carry(tcp(self.ends[side], self.ends[other], at, data, flags=ACK, ack=self.next[other]))
        self.next[side] = at + len(data)
        return self


def seen(wire: Wire, candidates: Sequence[Known] = KNOWN) -> list[Seen]:
    dissection = Dissection(candidates)
    return [one for packet in wire.packets for one in dissection.take(packet)] + list(dissection.end())


def lines(wire: Wire, candidates: Sequence[Known] = KNOWN) -> list[dict[str, object]]:
    return [line_of(one, 0) for one in seen(wire, candidates)]


def meanings(wire: Wire) -> list[tuple[object, ...]]:
    return [
        (line["frame"], *(pdu.get(key) for key in ("class", "operation", "object")))
        for line in map(dict, lines(wire))
        for pdu in line["pdus"]  # type: ignore[attr-defined]
    ]


def test_a_request_and_its_reply_have_class_operation_and_object_the_reply_with_its_values() -> None:
    talk = Conversation().open().say(Side.CLIENT, READ).say(Side.ASSET, REPLY)
    assert meanings(talk.wire) == [
        (2, "read", "Read Holding Registers", "unit 1: holding_registers 0-1"),
        (3, "read", "Read Holding Registers", "unit 1: holding_registers 0-1 = 5, 7"),
    ]


def test_a_refused_write_says_what_was_to_be_written_and_why_it_was_not() -> None:
    talk = Conversation().open().say(Side.CLIENT, WRITE).say(Side.ASSET, REFUSED)
    assert [row[5:] for one in seen(talk.wire) for row in rows_of(one, 0)] == [
        ("write", "Write Single Register", "unit 1: holding_registers 10 = 55"),
        ("write", "Write Single Register: 2 illegal data address", "unit 1: holding_registers 10 = 55"),
    ]


def test_a_request_that_breaks_its_protocol_says_so() -> None:
    broken = H("0001 0000 0006 01 05 0000 1234")
    ((_, found, operation, place),) = meanings(Conversation().open().say(Side.CLIENT, broken).wire)
    assert (found, operation, place) == ("unknown", "malformed: 0x1234 is no coil value (6.5)", "")


def test_the_port_does_not_matter() -> None:
    talk = Conversation(asset=("10.0.0.2", 8080)).open().say(Side.CLIENT, READ)
    assert [one.column for one in seen(talk.wire)] == ["Modbus/TCP"]
    talk = Conversation().open().say(Side.CLIENT, b"EHLO plant.example\r\n")
    assert lines(talk.wire)[0]["pdus"] == [
        {"p": "data", "len": 20, "head": b"EHLO plant.example\r\n".hex()},
    ]


def test_a_flow_that_begins_in_the_middle_of_a_message_is_known_from_the_next_one_on() -> None:
    talk = Conversation().say(Side.ASSET, REPLY[5:]).say(Side.CLIENT, READ).say(Side.ASSET, REPLY)
    assert [line["protocol"] for line in lines(talk.wire)] == ["TCP", "Modbus/TCP", "Modbus/TCP"]


def test_a_message_in_several_packets_is_shown_with_the_last_of_them() -> None:
    talk = Conversation().open()
    for at in range(len(READ)):
        talk.say(Side.CLIENT, READ[at : at + 1])
    assert [line["frame"] for line in lines(talk.wire)] == [1 + len(READ)]


def test_several_messages_in_one_packet_are_all_shown() -> None:
    (line,) = lines(Conversation().open().say(Side.CLIENT, READ + WRITE).wire)
    assert [pdu["operation"] for pdu in line["pdus"]] == ["Read Holding Registers", "Write Single Register"]  # type: ignore[attr-defined]


def test_bytes_behind_a_gap_are_not_taken_for_the_rest_of_a_message_in_front_of_it() -> None:
    talk = Conversation().open().say(Side.CLIENT, READ).say(Side.CLIENT, WRITE[:9])
    talk.say(Side.CLIENT, READ, lost=3).say(Side.ASSET, REPLY)
    assert [line["frame"] for line in lines(talk.wire)] == [2, 4, 5]


def test_what_stands_behind_a_gap_belongs_to_its_own_packet_not_to_the_one_that_shows_the_gap() -> None:
    talk = Conversation().open().say(Side.CLIENT, READ).say(Side.CLIENT, WRITE, lost=12).say(Side.CLIENT, READ)
    talk.say(Side.ASSET, REPLY)
    assert [(line["frame"], line["pdus"][0]["fc"]) for line in lines(talk.wire)] == [(2, 3), (3, 6), (4, 3), (5, 3)]  # type: ignore[index]


def test_a_write_behind_a_gap_that_nobody_acknowledges_is_shown_when_the_capture_ends() -> None:
    """Only one side was mirrored, as many taps do: nothing ever tells that the gap stays."""
    talk = Conversation().open().say(Side.CLIENT, READ).say(Side.CLIENT, WRITE, lost=12)
    assert [meaning[1] for meaning in meanings(talk.wire)] == ["read", "write"]
    assert [meaning[0] for meaning in meanings(talk.wire)] == [2, 3]


def test_a_write_behind_a_gap_is_shown_when_the_same_ports_open_anew() -> None:
    talk = Conversation().open().say(Side.CLIENT, READ).say(Side.CLIENT, WRITE, lost=12)
    talk.wire.carry(tcp(CLIENT, ASSET, 700_000, flags=SYN))
    talk.next[Side.CLIENT] = 700_001
    talk.say(Side.CLIENT, READ)
    dissection = Dissection(KNOWN)
    found = [
        (one.arrival.number, one.arrival.flow.number) for packet in talk.wire.packets for one in dissection.take(packet)
    ]
    assert found == [(2, 0), (3, 0), (5, 1)]
    assert list(dissection.end()) == []


def test_sides_that_the_handshake_tells_wrong_are_turned_where_only_that_makes_sense() -> None:
    """A connection that is opened from port 502, and speaks as an asset does: the refusal is a reply."""
    talk = Conversation(client=("10.0.0.2", 502), asset=("10.0.0.1", 40000)).open().say(Side.CLIENT, REFUSED)
    (line,) = lines(talk.wire)
    assert line["pdus"][0]["exception_name"] == "Illegal data address"  # type: ignore[index]


def test_modbus_over_udp_is_read_datagram_by_datagram() -> None:
    wire = Wire()
    wire.carry(udp(CLIENT, ASSET, READ))
    wire.carry(udp(ASSET, CLIENT, REPLY))
    wire.carry(udp(CLIENT, ASSET, READ[:9]))
    assert [line["protocol"] for line in lines(wire)] == ["Modbus/TCP", "Modbus/TCP", "UDP"]


#: A Forward Open of CIP that consumes assembly 100, its acceptance, and data of that connection in a datagram.
OPENING = bytes.fromhex(
    "6f0042001100000000000000050000000000000000000000000000000000020000000000b20032005402200624010a0e"
    "000000000100080001000900711900000300000080841e00064880841e00202801042004240a2c642c65"
)
ACCEPTED = bytes.fromhex(
    "6f002e001100000000000000050000000000000000000000000000000000020000000000b2001e00d400000001700000"
    "01000800010009007119000080841e0080841e000000"
)
IMPLICIT = bytes.fromhex("0200028008000170000001000000b1000600000000000000")


def test_data_in_datagrams_mean_what_their_opening_over_tcp_said_between_the_same_ends() -> None:
    """Both ends of the datagrams use one port, and the opening is a standing write."""
    talk = Conversation(asset=("10.0.0.2", 44818)).open().say(Side.CLIENT, OPENING).say(Side.ASSET, ACCEPTED)
    for client, asset in ((CLIENT[0], "10.0.0.2"), ("10.0.0.77", "10.0.0.2")):
        talk.wire.carry(udp((client, 2222), (asset, 2222), IMPLICIT))
    found = [(frame, each) for frame, each, *_ in meanings(talk.wire) if isinstance(each, str)]
    assert found == [(2, "session+write+read"), (3, "session+write+read"), (4, "write"), (5, "unknown")]


def test_ends_whose_flows_belong_together_are_not_kept_for_ever() -> None:
    dissection = Dissection(KNOWN)
    wire = Wire()
    for number in range(MAX_BETWEEN + 5):
        wire.carry(udp((f"10.1.{number >> 8}.{number & 255}", 2222), ("10.0.0.2", 2222), IMPLICIT))
    for packet in wire.packets:
        list(dissection.take(packet))
    assert len(dissection._between) == MAX_BETWEEN


def test_a_packet_with_bytes_that_were_there_before_says_so() -> None:
    talk = Conversation().open().say(Side.CLIENT, READ[:6])
    talk.next[Side.CLIENT] -= 6
    talk.say(Side.CLIENT, READ)
    (line,) = lines(talk.wire)
    assert (line["frame"], line["retx"]) == (3, True)


@dataclass(frozen=True)
class Spoken:
    """A protocol made for a test: a connect of four bytes that several share, then its own mark before each unit."""

    name: str
    mark: bytes
    ports: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        return self.name.upper()

    def fits(self, data: bytes, side: Side) -> bool | None:
        del side
        if not b"CONN".startswith(data[:4]):
            return False
        return None if len(data) <= 4 else data[4:5] == self.mark

    @property
    def dissectors(self) -> MappingProxyType[str, Callable[[], Dissector]]:
        return MappingProxyType({"tcp": lambda: Reader(self), "ether/8892": lambda: Reader(self)})


class Reader:
    """Counts what it was given, so that a test sees whether it got the beginning too."""

    def __init__(self, spoken: Spoken) -> None:
        self.spoken, self.count = spoken, 0

    def feed(self, side: Side, data: bytes) -> list[Shown]:
        self.count += len(data)
        return [Shown({"p": self.spoken.name, "side": side.value, "bytes": self.count})]

    def lost(self, side: Side) -> None:
        self.count = -1000 if side is Side.CLIENT else -2000


def test_protocols_that_begin_alike_are_told_apart_later_and_each_unit_is_shown_in_its_own_packet() -> None:
    one, other = Spoken("one", b"1"), Spoken("other", b"2")
    talk = Conversation().open().say(Side.CLIENT, b"CONN").say(Side.ASSET, b"CONN").say(Side.CLIENT, b"2 ask")
    talk.say(Side.ASSET, b"2 yes")
    found = lines(talk.wire, (one, other))
    assert [(line["frame"], line["protocol"], line["pdus"]) for line in found] == [
        (2, "ONE", [{"p": "one", "side": "client", "bytes": 4}]),
        (3, "ONE", [{"p": "one", "side": "asset", "bytes": 8}]),
        (4, "OTHER", [{"p": "other", "side": "client", "bytes": 13}]),
        (5, "OTHER", [{"p": "other", "side": "asset", "bytes": 18}]),
    ]


def test_what_a_link_names_itself_needs_no_recognition() -> None:
    dissection = Dissection((Spoken("dcp", b"-"),))
    (one,) = dissection.take(Packet(1, 0, 1, ethernet(b"\xfe\xfexyz", 0x8892), 60))
    line = line_of(one, 0)
    assert (line["src"], line["protocol"], line["pdus"][0]["bytes"]) == ("02:00:00:00:00:0a", "DCP", 5)
    assert "stream" not in line
    assert "sport" not in line
    assert list(dissection.take(Packet(2, 0, 1, ethernet(b"arp", 0x0806), 60))) == []


def test_a_flow_that_begins_like_nothing_known_is_not_looked_at_for_ever() -> None:
    asked = 0

    def fits(data: bytes, side: Side) -> bool:
        nonlocal asked
        asked += 1
        return MODBUS.fits(data, side) is True

    class Counting(Spoken):
        def fits(self, data: bytes, side: Side) -> bool | None:
            return fits(data, side)

    talk = Conversation().open()
    for _ in range(MAX_TRIES + 40):
        talk.say(Side.CLIENT, b"no such protocol")
    assert len(lines(talk.wire, (Counting("counting", b"-"),))) == MAX_TRIES + 40
    assert asked <= 6 * MAX_TRIES


def test_requests_that_nobody_answers_are_not_kept_for_ever() -> None:
    dissection = Dissection(KNOWN)
    talk = Conversation().open()
    for number in range(MAX_UNDER_WAY + 50):
        talk.say(Side.CLIENT, number.to_bytes(2, "big") + READ[2:])
    for packet in talk.wire.packets:
        list(dissection.take(packet))
    (reader,) = dissection._readers.values()
    assert reader._meanings is not None
    assert len(reader._meanings._under_way) == MAX_UNDER_WAY


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Side), st.one_of(st.binary(max_size=40), st.sampled_from([READ, REPLY, WRITE, REFUSED]))
        ),
        max_size=10,
    ),
    st.sampled_from(["tcp", "udp"]),
)
def test_nothing_is_raised_for_any_conversation(said: list[tuple[Side, bytes]], carrier: str) -> None:
    talk = Conversation()
    for side, data in said:
        if carrier == "tcp":
            talk.say(side, data)
        else:
            source, destination = (CLIENT, ASSET) if side is Side.CLIENT else (ASSET, CLIENT)
            talk.wire.carry(udp(source, destination, data))
    for one in seen(talk.wire):
        assert line_of(one, 0)["pdus"]
        assert rows_of(one, 0)


@cache
def captured_packets(name: str) -> tuple[Packet, ...]:
    require_captures()
    with (CAPTURES / name).open("rb") as file:
        return tuple(packets_of(file.read))


@settings(max_examples=150)
@given(st.sampled_from(names()), st.randoms(use_true_random=False))
def test_changed_and_missing_packets_of_real_captures_stop_nothing(name: str, chance: Random) -> None:
    """Every third packet has bytes changed behind its Ethernet head, and some are missing."""
    packets = captured_packets(name)
    first = chance.randrange(len(packets))
    dissection = Dissection(KNOWN)
    for packet in packets[first : first + 30]:
        data = bytearray(packet.data)
        for _ in range(chance.choice((0, 0, 1, 4))):
            data[chance.randrange(14, len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() > 0.03:
            for one in dissection.take(packet._replace(data=bytes(data))):
                assert json.dumps(line_of(one, 0))
                assert all(len(row) == len(HEADINGS) for row in rows_of(one, 0))


@pytest.mark.parametrize("name", sorted(each.name for each in KNOWN))
def test_every_protocol_knows_where_it_is_spoken_and_how_it_begins(name: str) -> None:
    (known,) = (each for each in KNOWN if each.name == name)
    assert known.dissectors
    assert known.column
    assert all(text.partition("/")[2].isdigit() for text in known.ports)
    for side in Side:
        assert known.fits(b"\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0" * 4, side) is not True
