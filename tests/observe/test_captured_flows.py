"""The flows of a capture: every byte once and in order, whatever the network and the capturing did to the packets."""

from __future__ import annotations

import itertools
import random

import pytest
from built_captures import ACK, ASSET, CLIENT, FIN, PUSH, RST, SYN, End, Wire, ethernet, ipv4, tcp, udp
from hypothesis import given
from hypothesis import strategies as st

from penstock.observe import captured_flows
from penstock.observe.capture_files import Packet
from penstock.observe.captured_flows import Arrival, Flows
from penstock.wire import Side

SERVICES = frozenset({("tcp", 502), ("udp", 47808)})
START = 2**32 - 20  # the numbers wrap
TEXT = bytes(range(100))


def arrivals(wire: Wire, flows: Flows | None = None) -> list[Arrival]:
    reader = flows or Flows(SERVICES)
    return [arrival for packet in wire.packets for arrival in reader.take(packet)]


def said(found: list[Arrival], side: Side = Side.CLIENT) -> bytes:
    return b"".join(piece.data for arrival in found if arrival.side is side for piece in arrival.pieces)


def missing(found: list[Arrival]) -> list[int]:
    return [piece.missing for arrival in found for piece in arrival.pieces if piece.missing]


def handshake(wire: Wire, client: End = CLIENT, asset: End = ASSET, start: int = START) -> None:
    wire.carry(tcp(client, asset, start, flags=SYN))
    wire.carry(tcp(asset, client, 900, flags=SYN | ACK, ack=start + 1))
    wire.carry(tcp(client, asset, start + 1, ack=901))


def segment(wire: Wire, first: int, end: int, flags: int = ACK) -> Packet:
    return wire.carry(tcp(CLIENT, ASSET, START + 1 + first, TEXT[first:end], flags=flags))


def test_payload_comes_with_the_packet_that_brought_it_and_its_ends() -> None:
    wire = Wire()
    handshake(wire)
    segment(wire, 0, 30)
    wire.carry(tcp(ASSET, CLIENT, 901, b"reply", ack=START + 31))
    asked, answered = arrivals(wire)
    assert (asked.number, asked.side, asked.flow.number) == (4, Side.CLIENT, 0)
    assert (asked.source, asked.source_port, asked.destination, asked.port) == ("10.0.0.1", 40000, "10.0.0.2", 502)
    assert (answered.number, answered.side, said([answered], Side.ASSET)) == (5, Side.ASSET, b"reply")
    assert answered.flow is asked.flow


@given(st.randoms(use_true_random=False), st.lists(st.integers(1, 99), max_size=8, unique=True))
def test_segments_in_any_order_repeated_and_overlapping_give_every_byte_once(
    chance: random.Random, cuts: list[int]
) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    pieces = list(itertools.pairwise(edges))
    pieces += [(max(0, first - 5), end) for first, end in pieces if chance.random() < 0.5]
    chance.shuffle(pieces)
    wire = Wire()
    handshake(wire)
    for first, end in pieces:
        segment(wire, first, end)
    found = arrivals(wire)
    assert said(found) == TEXT
    assert missing(found) == []


def test_a_segment_that_fills_a_hole_brings_what_waited_behind_it() -> None:
    wire = Wire()
    handshake(wire)
    segment(wire, 10, 20)
    segment(wire, 0, 10)
    (one,) = arrivals(wire)
    assert (one.number, said([one])) == (5, TEXT[:20])


def test_what_was_acknowledged_and_never_captured_is_a_gap_at_once() -> None:
    wire = Wire()
    handshake(wire)
    segment(wire, 10, 20)
    assert arrivals(wire) == []
    wire.carry(tcp(ASSET, CLIENT, 901, ack=START + 21))
    (one,) = arrivals(wire)
    assert (
        (one.number, one.side, one.source, missing([one]), said([one]))
        == (
            4,  # the packet that brought the bytes, not the one that told of the gap
            Side.CLIENT,
            "10.0.0.1",
            [10],
            TEXT[10:20],
        )
    )


def test_what_was_acknowledged_before_its_next_segment_is_a_gap_as_well() -> None:
    wire = Wire()
    handshake(wire)
    wire.carry(tcp(ASSET, CLIENT, 901, ack=START + 11))
    segment(wire, 10, 20)
    assert missing(arrivals(wire)) == [10]


def test_what_is_acknowledged_in_part_may_still_come() -> None:
    wire = Wire()
    handshake(wire)
    segment(wire, 10, 20)
    wire.carry(tcp(ASSET, CLIENT, 901, ack=START + 6))
    segment(wire, 0, 10)
    found = arrivals(wire)
    assert (missing(found), said(found)) == ([], TEXT[:20])


def test_a_retransmission_brings_nothing_and_one_with_more_brings_the_rest() -> None:
    wire = Wire()
    handshake(wire)
    segment(wire, 0, 30)
    segment(wire, 0, 30)
    segment(wire, 20, 50)
    first, more = arrivals(wire)
    assert (first.is_again, more.is_again) == (False, True)
    assert (more.number, said([more])) == (6, TEXT[30:50])


def test_a_keep_alive_is_no_data_wherever_it_stands() -> None:
    wire = Wire()
    wire.carry(tcp(CLIENT, ASSET, START, b"\0"))
    segment(wire, 0, 30)
    wire.carry(tcp(CLIENT, ASSET, START + 30, b"\0"))
    segment(wire, 30, 40)
    found = arrivals(wire)
    assert (said(found), missing(found)) == (TEXT[:40], [])


def test_a_typed_byte_that_opens_a_capture_is_data() -> None:
    wire = Wire()
    segment(wire, 0, 1, ACK | PUSH)
    assert said(arrivals(wire)) == TEXT[:1]


def test_what_stands_in_a_reset_is_no_data() -> None:
    wire = Wire()
    handshake(wire)
    segment(wire, 0, 30, RST | ACK)
    assert arrivals(wire) == []


def test_the_same_ports_again_are_another_flow_and_a_repeated_syn_is_not() -> None:
    wire = Wire()
    handshake(wire)
    wire.carry(tcp(CLIENT, ASSET, START, flags=SYN))
    segment(wire, 0, 30)
    handshake(wire, start=77)
    wire.carry(tcp(CLIENT, ASSET, 78, b"again"))
    first, second = arrivals(wire)
    assert (first.flow.number, said([first])) == (0, TEXT[:30])
    assert (second.flow.number, said([second])) == (1, b"again")


def test_streams_are_numbered_by_their_first_packet_also_without_data_and_udp_for_itself() -> None:
    wire = Wire()
    handshake(wire, client=("10.0.0.9", 1))
    wire.carry(udp(CLIENT, ("10.0.0.2", 47808), b"one"))
    wire.carry(udp(("10.0.0.2", 47808), CLIENT, b"two"))
    wire.carry(udp(CLIENT, ("10.0.0.3", 47808), b"three"))
    handshake(wire)
    segment(wire, 0, 5)
    found = arrivals(wire)
    assert [(arrival.flow.carrier, arrival.flow.number) for arrival in found] == [
        ("udp", 0),
        ("udp", 0),
        ("udp", 1),
        ("tcp", 1),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [((502, 40000), Side.ASSET), ((40000, 502), Side.CLIENT), ((9000, 700), Side.CLIENT), ((700, 9000), Side.ASSET)],
)
def test_without_a_handshake_the_asset_is_where_assets_listen_else_at_the_lower_port(
    first: tuple[int, int], second: Side
) -> None:
    wire = Wire()
    wire.carry(tcp(("10.0.0.1", first[0]), ("10.0.0.2", first[1]), 5, b"data"))
    (one,) = arrivals(wire)
    assert one.side is second


def test_who_sends_the_syn_is_the_client_whatever_the_ports_are() -> None:
    wire = Wire()
    handshake(wire, client=("10.0.0.1", 502), asset=("10.0.0.2", 40000), start=1)
    wire.carry(tcp(("10.0.0.1", 502), ("10.0.0.2", 40000), 2, b"data"))
    (one,) = arrivals(wire)
    assert one.side is Side.CLIENT
    wire = Wire()
    wire.carry(tcp(("10.0.0.2", 40000), ("10.0.0.1", 502), 2, flags=SYN | ACK, ack=9))
    wire.carry(tcp(("10.0.0.2", 40000), ("10.0.0.1", 502), 3, b"data"))
    (one,) = arrivals(wire)
    assert one.side is Side.ASSET


def test_both_ends_on_one_port_are_told_apart_by_their_address() -> None:
    wire = Wire()
    ends = ("10.0.0.1", 47808), ("10.0.0.2", 47808)
    wire.carry(udp(*ends, b"who"))
    wire.carry(udp(ends[1], ends[0], b"me"))
    assert [arrival.side for arrival in arrivals(wire)] == [Side.CLIENT, Side.ASSET]


def test_an_end_that_talks_to_itself_over_tcp_is_left_out() -> None:
    wire = Wire()
    wire.carry(tcp(ASSET, ASSET, 1, b"data"))
    assert arrivals(wire) == []


def test_a_link_protocol_is_a_flow_without_a_number() -> None:
    (one,) = Flows().take(Packet(1, 0, 1, ethernet(b"\xfe\xfeDCP", 0x8892), 60))
    assert (one.flow.carrier, one.flow.number, one.source_port, one.port) == ("ether/8892", None, None, None)
    assert (one.source, one.destination) == ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
    assert [piece.data for piece in one.pieces] == [b"\xfe\xfeDCP"]


def test_the_longest_silent_flow_is_forgotten_and_the_numbers_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_flows, "MAX_FLOWS", 3)
    flows = Flows()
    numbers = []
    for at in (1, 2, 3, 1, 4, 1, 2):
        wire = Wire()
        wire.carry(udp(("10.0.0.1", 40000 + at), ASSET, b"x"))
        numbers += [arrival.flow.number for arrival in arrivals(wire, flows)]
    assert numbers == [0, 1, 2, 0, 3, 0, 4]
    assert len(flows._flows) == 3


def test_all_flows_together_hold_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_flows, "MAX_WAITING_BYTES", 5000)
    flows = Flows()
    for port in range(1000, 1100):
        wire = Wire()
        client = ("10.0.0.1", port)
        handshake(wire, client=client, start=0)
        for at in range(4):
            wire.carry(tcp(client, ASSET, 100 + 300 * at, bytes(200)))
        arrivals(wire, flows)
        held = sum(stream.waiting_bytes for flow in flows._flows.values() for stream in flow.streams.values())
        assert held == flows._waiting_bytes <= 5000 + 200


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_nothing_is_raised_for_any_packet(bodies: list[bytes], is_tcp: bool) -> None:  # noqa: FBT001 - drawn
    flows = Flows()
    for number, body in enumerate(bodies):
        packet = ipv4("10.0.0.1", "10.0.0.2", 6 if is_tcp else 17, body)
        for arrival in flows.take(Packet(number, 0, 101, packet, len(packet))):
            assert all(piece.data in body for piece in arrival.pieces)


def test_a_fin_with_data_brings_them() -> None:
    wire = Wire()
    handshake(wire)
    segment(wire, 0, 30, FIN | ACK)
    assert said(arrivals(wire)) == TEXT[:30]
