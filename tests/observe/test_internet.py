"""IP packets are put together as they were sent, in whatever order the fragments came, or not at all."""

from __future__ import annotations

import struct

from built_captures import address, ipv4
from hypothesis import given
from hypothesis import strategies as st

from penstock.observe.internet import MAX_FRAGMENTS, MAX_WAITING, Datagram, Internet
from penstock.observe.links import IPV4, IPV6

BODY = bytes(range(200)) * 2
MORE = 0x2000


def fragment(at: int, end: int, ident: int = 1, body: bytes = BODY) -> bytes:
    flags = at // 8 | (MORE if end < len(body) else 0)
    return ipv4("10.0.0.1", "10.0.0.2", 17, body[at:end], flags=flags, ident=ident)


def take(packets: list[bytes], kind: int = IPV4) -> list[Datagram]:
    internet = Internet()
    return [found for packet in packets if (found := internet.take(kind, packet)) is not None]


WHOLE = Datagram(address("10.0.0.1"), address("10.0.0.2"), 17, BODY, False)


def test_a_packet_in_one_piece_is_what_it_says_without_the_padding_behind_it() -> None:
    assert take([ipv4("10.0.0.1", "10.0.0.2", 17, BODY) + b"padding"]) == [WHOLE]


def test_a_packet_of_which_the_capture_kept_the_beginning_is_cut() -> None:
    (found,) = take([ipv4("10.0.0.1", "10.0.0.2", 17, BODY)[:100]])
    assert found.is_cut
    assert found.data == BODY[:80]


def test_a_packet_whose_length_the_network_card_writes_reaches_to_its_end() -> None:
    packet = bytearray(ipv4("10.0.0.1", "10.0.0.2", 17, BODY))
    packet[2:4] = b"\0\0"
    assert take([bytes(packet)]) == [WHOLE]


@given(st.permutations([(0, 80), (80, 160), (160, 320), (320, 400)]), st.integers(0, 3))
def test_fragments_in_any_order_and_one_of_them_twice_give_the_datagram_once(
    order: list[tuple[int, int]], twice: int
) -> None:
    packets = [fragment(*piece) for piece in order]
    packets.insert(twice, packets[twice])
    assert take(packets) == [WHOLE]


def test_fragments_that_overlap_give_nothing() -> None:
    """Two systems may put them together differently (RFC 5722), so none of them is believed."""
    assert take([fragment(0, 160), fragment(80, 240), fragment(160, 400)]) == []
    assert take([fragment(0, 160), fragment(0, 160, body=bytes(400)), fragment(160, 400)]) == []


def test_two_ends_that_differ_give_nothing() -> None:
    assert take([fragment(320, 400), fragment(80, 160, body=BODY[:160]), fragment(0, 80), fragment(80, 320)]) == []


def test_a_fragment_behind_the_last_one_gives_nothing() -> None:
    assert take([fragment(160, 240), fragment(80, 160, body=BODY[:160]), fragment(0, 80)]) == []
    assert take([fragment(80, 160, body=BODY[:160]), fragment(160, 240), fragment(0, 80)]) == []


def test_fragments_of_different_datagrams_do_not_mix() -> None:
    assert take([fragment(0, 80, 1), fragment(80, 400, 2), fragment(80, 400, 1), fragment(0, 80, 2)]) == [WHOLE, WHOLE]


def test_no_more_wait_than_the_bound_and_the_oldest_goes_first() -> None:
    internet = Internet()
    for ident in range(MAX_WAITING + 1):
        assert internet.take(IPV4, fragment(0, 80, ident)) is None
    assert internet.take(IPV4, fragment(80, 400, 0)) is None
    assert internet.take(IPV4, fragment(80, 400, MAX_WAITING)) == WHOLE
    assert len(internet._waiting) == MAX_WAITING - 1


def test_no_more_fragments_of_one_datagram_are_kept_than_the_bound() -> None:
    body = bytes(8 * (MAX_FRAGMENTS + 2))
    pieces = [fragment(at, at + 8, body=body) for at in range(0, len(body), 8)]
    assert take(pieces) == []
    assert take([*pieces[: MAX_FRAGMENTS - 1], fragment(8 * (MAX_FRAGMENTS - 1), len(body), body=body)]) != []


def ipv6(kind: int, data: bytes) -> bytes:
    return (
        struct.pack("!IHBB", 6 << 28, len(data), kind, 64)
        + b"\x20"
        + bytes(14)
        + b"\1"
        + b"\x20"
        + bytes(14)
        + b"\2"
        + data
    )


def test_extension_headers_of_ipv6_are_stepped_over() -> None:
    hop, routing = bytes((43, 0)) + bytes(6), bytes((51, 1)) + bytes(14)
    authentication = bytes((60, 2)) + bytes(14)
    options = bytes((44, 0)) + bytes(6)
    atomic = bytes((6, 0, 0, 0, 0, 0, 0, 9))
    (found,) = take([ipv6(0, hop + routing + authentication + options + atomic + b"segment")], IPV6)
    assert (found.protocol, found.data, found.is_cut) == (6, b"segment", False)


def test_fragments_of_ipv6_are_put_together() -> None:
    first = bytes((17, 0)) + struct.pack("!HI", 0 | 1, 7) + BODY[:80]
    last = bytes((17, 0)) + struct.pack("!HI", 80, 7) + BODY[80:]
    for order in ([first, last], [last, first]):
        (found,) = take([ipv6(44, part) for part in order], IPV6)
        assert (found.protocol, found.data) == (17, BODY)


@given(st.sampled_from([IPV4, IPV6, 0x8892]), st.lists(st.binary(max_size=90), max_size=6))
def test_nothing_is_raised_for_any_bytes(kind: int, packets: list[bytes]) -> None:
    for found in take(packets, kind):
        assert any(found.data in packet for packet in packets)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12), st.booleans()), max_size=20))
def test_what_comes_out_of_fragments_stood_in_them(cuts: list[tuple[int, int, bool]]) -> None:
    packets = []
    for start, size, is_last in cuts:
        data = BODY[start * 8 : (start + size) * 8]
        packets.append(ipv4("10.0.0.1", "10.0.0.2", 17, data, flags=start | (0 if is_last else MORE)))
    for found in take(packets):
        assert found.data == BODY[: len(found.data)]
