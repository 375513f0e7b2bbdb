"""Operations out of copies: in order or not, with gaps, broken, and at their times."""

from __future__ import annotations

import itertools
import struct
from dataclasses import replace
from pathlib import Path
from socket import inet_aton

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watched import ASSET, CLIENT, T0, Watched, answer, grant, packet, refusal, request, returned, rows_of, sent

from penstock.bus.histogram import bucket_of
from penstock.model import Operation, OperationClass, RecordKind
from penstock.observe import reading as module
from penstock.observe.packets import UserDatagram, datagram_of, length_of, segment_of
from penstock.observe.reading import Reading
from penstock.observe.reassembly import WINDOW_BYTES, Stream
from penstock.wire import NAMED, NO_ANSWER, Frame, Role, Shown, Side

SYN, FIN, RST = 2, 1, 4


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_request_and_its_answer_are_an_operation_with_its_latency(watched: Watched) -> None:
    watched.take(sent(999, b"", SYN), T0)
    watched.take(sent(1000, request(1)), T0 + 100)
    watched.take(returned(5000, answer(1)), T0 + 2600)
    watched.take(sent(1012, request(2)), T0 + 10_000)
    watched.take(returned(5013, refusal(2)), T0 + 11_000)
    assert watched.rows() == [("3", 100, 2500, 0), ("3", 10_000, 1000, 1)]
    (measured,) = watched.reading.measured(T0)
    assert (measured.conduit, measured.path, measured.own) == ("SCADA polls the filters", "kernel", {})
    assert measured.total == {bucket_of(2500): 1, bucket_of(1000): 1}
    assert list(watched.reading.measured(T0)) == []


def test_the_flow_says_that_it_was_only_observed(watched: Watched) -> None:
    watched.take(sent(1000, request(1)))
    watched.take(returned(5000, answer(1), FIN | 0x18))
    watched.take(sent(1012, b"", FIN | 0x10))
    records = watched.records()
    opened, closed = records[0], records[-1]
    assert (opened.kind, opened.grant, opened.detail["path"]) == (RecordKind.FLOW_OPENED, 12, "kernel")
    assert opened.detail["source"] == f"{CLIENT}:40001"
    assert (closed.kind, closed.detail["ending"], closed.detail["requests"]) == (RecordKind.FLOW_CLOSED, "closed", 1)
    assert (closed.detail["gap_bytes"], closed.detail["broken_bytes"]) == (0, 0)
    assert len(watched.reading) == 0


def test_segments_that_come_twice_or_in_the_wrong_order_change_nothing(watched: Watched) -> None:
    data = request(1) + request(2) + request(3)
    watched.take(sent(999, b"", SYN))
    watched.take(sent(1020, data[20:]))
    watched.take(sent(1000, data[:15]))
    watched.take(sent(1000, data[:15]))
    watched.take(sent(1010, data[10:25]))
    assert [row[0] for row in watched.rows()] == ["3", "3", "3"]


def test_reading_goes_on_behind_a_gap_and_says_how_many_bytes_are_missing(watched: Watched) -> None:
    watched.take(sent(1000, request(1) + request(2)[:5]))
    watched.take(sent(1024, request(3)), T0 + 10)
    watched.reading.tick(T0 + 10_000_000)
    watched.take(sent(1036, request(4)), T0 + 10_000_100)
    watched.reading.end_all("test", T0 + 10_000_200)
    records = watched.records()
    assert records[-1].detail["gap_bytes"] == 7
    assert records[-1].detail["requests"] == 3


def test_bytes_that_are_not_the_protocols_are_counted_and_the_next_message_is_read(watched: Watched) -> None:
    watched.take(sent(1000, b"GET / HTTP/1.1\r\n\r\n"))
    watched.take(sent(1018, request(1)))
    watched.reading.end_all("test", T0)
    records = watched.records()
    assert records[-1].detail["broken_bytes"] == 18
    assert records[-1].detail["requests"] == 1


def test_a_request_that_nobody_answers_is_told_as_such(watched: Watched) -> None:
    watched.take(sent(1000, request(1)))
    watched.reading.tick(T0 + 6_000_000)
    assert watched.rows() == [("3", 0, -1, 2)]
    assert list(watched.reading.measured(T0)) == []


def test_ports_that_are_used_again_are_another_flow(watched: Watched) -> None:
    for start in (1000, 9000):
        watched.take(sent(start - 1, b"", SYN))
        watched.take(sent(start, request(1)))
        watched.take(returned(start, answer(1)))
    watched.reading.end_all("test", T0)
    kinds = [record.kind for record in watched.records()]
    assert kinds.count(RecordKind.FLOW_OPENED) == kinds.count(RecordKind.FLOW_CLOSED) == 2


def test_a_reset_ends_a_flow_and_its_stragglers_open_none(watched: Watched) -> None:
    watched.take(sent(1000, request(1)))
    watched.take(returned(5000, b"", RST))
    watched.take(sent(1012, b"", 0x10))
    assert len(watched.reading) == 0


def test_the_end_of_a_grant_ends_its_flows_and_no_others(watched: Watched) -> None:
    watched.take(sent(1000, request(1)))
    watched.take(sent(1000, request(1), port=40002), of=grant(13))
    watched.reading.end(12, T0)
    assert len(watched.reading) == 1


def test_only_so_many_connections_are_read_at_a_time(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONVERSATIONS", 3)
    for number in range(10):
        watched.take(sent(1000, request(1), port=40000 + number), T0 + number)
    assert len(watched.reading) == 3


def test_what_has_no_decoder_is_not_read() -> None:
    assert Reading.can_read(grant())
    assert not Reading.can_read(grant(protocol="tcp/5432"))
    assert Reading.can_read(grant(transport="udp"))
    assert not Reading.can_read(grant(protocol="iec104", transport="udp"))


@settings(max_examples=200, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=400),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    start=st.sampled_from([0, 1000, 2**32 - 100]),
    choice=st.randoms(use_true_random=False),
)
def test_any_order_of_any_pieces_gives_the_same_bytes(data: bytes, cuts: list[int], start: int, choice: object) -> None:
    """Also over the wrap of the sequence numbers, with pieces that overlap and that come twice."""
    stream = Stream()
    stream.begin((start - 1) % 2**32)
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    pieces = [(first, data[first : last + 3]) for first, last in itertools.pairwise(edges)]
    pieces += pieces[:3]
    choice.shuffle(pieces)  # type: ignore[attr-defined]
    read = b""
    for offset, piece in pieces:
        for found in stream.take((start + offset) % 2**32, piece):
            assert found.missing == 0
            read += found.data
    assert read == data
    assert not stream.is_waiting


@settings(max_examples=100, deadline=None)
@given(
    pieces=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=9000)), max_size=60),
)
def test_whatever_numbers_come_memory_stays_bounded_and_time_goes_on(pieces: list[tuple[int, bytes]]) -> None:
    stream = Stream()
    for sequence, data in pieces:
        for found in stream.take(sequence, data):
            assert found.missing >= 0
            assert found.data
        assert stream.waiting_bytes <= WINDOW_BYTES
    while stream.is_waiting:
        assert stream.skip()
    assert stream.waiting_bytes == 0


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=80))
def test_what_is_no_segment_is_left_out(data: bytes) -> None:
    """Any bytes: a segment with fields inside of the packet, or none."""
    found = segment_of(data)
    assert length_of(data) >= len(data)
    if found is not None:
        assert found.data in data


def test_the_fields_of_a_segment_are_those_of_the_packet() -> None:
    """Options are skipped, trailing bytes of the link are not taken for payload; fragments are left out."""
    whole = packet(CLIENT, 40001, ASSET, 502, 7, 0x18, b"read")
    assert segment_of(whole) == sent(7, b"read")
    assert segment_of(whole + b"padding") == sent(7, b"read")
    assert segment_of(whole[:-1]) is None
    assert segment_of(whole[:6] + b"\x20\x00" + whole[8:]) is None


def datagram(data: bytes, *, is_reply: bool = False) -> UserDatagram:
    client, asset = (inet_aton(CLIENT), 40001), (inet_aton(ASSET), 502)
    return UserDatagram(*asset, *client, data) if is_reply else UserDatagram(*client, *asset, data)


def test_datagrams_are_read_one_by_one_and_halves_are_not_joined(watched: Watched) -> None:
    of = grant(transport="udp")
    for at_us, data in enumerate((request(1), request(2)[:5], request(2)[5:], request(3))):
        watched.reading.take_datagram(of, datagram(data), T0 + 10 * at_us)
    watched.reading.take_datagram(of, datagram(answer(3), is_reply=True), T0 + 1030)
    watched.reading.end_all("test", T0 + 2000)
    records = watched.records()
    assert [row for record in records if record.kind == "operations" for row in rows_of(record)] == [
        ("3", 0, -1, 2),
        ("3", 30, 1000, 0),
    ]
    assert (records[-1].detail["requests"], records[-1].detail["broken_bytes"]) == (2, 12)


class Told(Frame):
    """A frame made for a test; its first byte is a password."""

    @property
    def operation(self) -> Operation:
        return Operation("told", (OperationClass.AUTH,), "1", "Tell")

    @property
    def recorded(self) -> bytes:
        return b"*" + self.data[1:]


class Telling:
    """A dissector to which each piece is one unit, of the role that the test says: ``role, exchange, is_last``."""

    def feed(self, side: Side, data: bytes) -> list[Shown]:
        role = {b"Q": Role.REQUEST, b"R": Role.REPLY, b"P": Role.REPLY, b"N": Role.NOTICE, b"L": Role.LINK}[data[1:2]]
        exchange = NO_ANSWER if role is Role.NOTICE else data[2]
        return [Shown({"p": "told"}, Told(data, side, data[2:], exchange, False, role, data[1:2] != b"P"))]

    def lost(self, side: Side) -> None:
        raise AssertionError(side)


@pytest.fixture
def telling(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Watched:
    protocol = replace(NAMED["modbus"], name="told", dissectors={"tcp": Telling})
    monkeypatch.setattr(module, "NAMED", {"told": protocol})
    watched.grant = grant(protocol="told")
    return watched


def test_what_keeps_a_connection_going_is_no_operation_and_a_notice_waits_for_no_answer(telling: Watched) -> None:
    telling.take(sent(1000, b"xL0"), T0)
    telling.take(returned(5000, b"xN0"), T0 + 10)
    telling.reading.end_all("test", T0 + 20)
    records = telling.records()
    assert [row for record in records if record.kind == "operations" for row in rows_of(record)] == [("1", 10, -1, 3)]
    assert records[-1].detail["requests"] == 1


def test_an_asset_that_asks_is_answered_by_the_client_under_the_same_number(telling: Watched) -> None:
    telling.take(sent(1000, b"xQ7"), T0)
    telling.take(returned(5000, b"xQ7"), T0 + 100)
    telling.take(sent(1003, b"xR7"), T0 + 300)
    telling.take(returned(5003, b"xR7"), T0 + 1000)
    assert telling.rows() == [("1", 0, 1000, 0), ("1", 100, 200, 0)]
    (measured,) = telling.reading.measured(T0)
    assert measured.total == {bucket_of(1000): 1}, "how long an asset takes, not how long a client does"


def test_an_answer_in_parts_is_there_with_its_last_part(telling: Watched) -> None:
    telling.take(sent(1000, b"xQ7"), T0)
    telling.take(returned(5000, b"xP7"), T0 + 4_000_000)
    telling.reading.tick(T0 + 8_000_000)
    telling.take(returned(5003, b"xR7"), T0 + 8_500_000)
    assert telling.rows() == [("1", 0, 8_500_000, 0)]


def test_no_secret_is_put_on_record(telling: Watched) -> None:
    telling.take(sent(1000, b"sQ7"), T0)
    telling.reading.end_all("test", T0)
    texts = [str(record.detail) for record in telling.records()]
    assert any(b"*Q7".hex() in text for text in texts)
    assert not any(b"sQ7".hex() in text for text in texts)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=80))
def test_what_is_no_datagram_is_left_out(data: bytes) -> None:
    found = datagram_of(data)
    assert found is None or found.data in data


def test_the_fields_of_a_datagram_are_those_of_the_packet() -> None:
    body = struct.pack("!HHHH", 40001, 502, 12, 0) + b"read"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 32, 7, 0x4000, 64, 17, 0, inet_aton(CLIENT), inet_aton(ASSET))
    assert datagram_of(head + body) == datagram(b"read")
    assert datagram_of(head + body + b"padding") == datagram(b"read")
    assert datagram_of(head + body[:-1]) is None
    assert datagram_of(head + body[:4] + b"\0\x0d" + body[6:]) is None
    assert datagram_of(head[:6] + b"\x20\x00" + head[8:] + body) is None
    assert segment_of(head + body) is None
