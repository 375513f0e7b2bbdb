"""Courses of recognised protocols: any bytes pass as they came or end the flow, in linear time, in all pieces."""

from __future__ import annotations

import time

import pytest
from captured import flows_of
from fuzzing import Talk
from fuzzing_spoken import WRITTEN, hold_course, passed_of
from hypothesis import given
from hypothesis import strategies as st
from recognised_captures import CAPTURED

from penstock.model import Malformed
from penstock.wire import SPOKEN, Side, WrongProtocol
from penstock.wire.spoken.course import Walker, Whole

OVER_TCP = sorted(word for word, each in SPOKEN.items() if each.course is not None)
TALKS: dict[str, list[Talk]] = {each.protocol.name: [] for each in SPOKEN.values()}
for each in CAPTURED:
    if each.carrier == "tcp" and each.protocol in TALKS:
        for flow in flows_of(each.name, each.kinds)[:3]:
            TALKS[each.protocol].append([(packet.side, packet.data[:2000]) for packet in flow.packets[:12]])
for name, talk in WRITTEN.items():
    TALKS[name].append(talk)


@given(st.data(), st.sampled_from(OVER_TCP))
def test_a_conversation_that_is_changed_passes_as_it_came_or_ends(data: st.DataObject, word: str) -> None:
    talk = [*data.draw(st.sampled_from(TALKS[SPOKEN[word].protocol.name]))]
    for _ in range(data.draw(st.integers(0, 3))):
        number = data.draw(st.integers(0, len(talk) - 1))
        side, said = talk[number]
        at = data.draw(st.integers(0, len(said)))
        change = data.draw(st.binary(max_size=6))
        talk[number] = side, said[:at] + change + said[at + data.draw(st.integers(0, 6)) :]
    hold_course(SPOKEN[word], talk)


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=200)), max_size=5), st.sampled_from(OVER_TCP))
def test_any_bytes_pass_as_they_came_or_end_the_flow(talk: Talk, word: str) -> None:
    hold_course(SPOKEN[word], talk)


#: What keeps a course busiest: one byte a time of something that is never whole, or very many small messages.
LONG = {
    "http": b"GET / HTTP/1.1\r\nHost: " + b"a" * 60_000,
    "ftp": b"USER " + b"a" * 3000 + b"\r\n" + b"NOOP\r\n" * 3000,
    "slmp": bytes.fromhex("5000 00 ff ff03 00 ff3f 1000 0104") + bytes(16_000),
    "telnet": b"\xff\xfb\x18" + b"\xff\xfa\x18" + b"a" * 60_000,
    "ssh": b"SSH-2.0-x\r\n" + b"\0\0\x80\0\x08\x14" + bytes(32_000),
}


@pytest.mark.parametrize("word", LONG)
def test_a_course_takes_linear_time_however_the_bytes_are_cut(word: str) -> None:
    def took_s(size: int) -> float:
        data = LONG[word][:size]
        began = time.process_time()
        passed_of(SPOKEN[word], [(Side.CLIENT, data[at : at + 1]) for at in range(len(data))])
        return time.process_time() - began

    size = len(LONG[word])
    least = min(took_s(size // 4) for _ in range(3))
    assert min(took_s(size) for _ in range(3)) < 12 * least + 0.02, "four times the bytes, and some noise"


def length_of(stream: bytes, start: int) -> int:
    """Messages of a length byte, which counts itself; 0 is none."""
    if stream[start] == 0:
        raise Malformed("none")
    return stream[start]


@given(st.lists(st.binary(max_size=20), max_size=20), st.lists(st.integers(1, 9), min_size=1))
def test_messages_are_found_wherever_the_bytes_are_cut(bodies: list[bytes], sizes: list[int]) -> None:
    messages = [bytes((len(body) + 1,)) + body for body in bodies]
    stream = b"".join(messages)
    walker, whole = Walker(length_of, 1, kept_bytes=5), Whole(length_of, 30)
    kept: list[bytes] = []
    taken: list[bytes] = []
    at, turn = 0, 0
    while at < len(stream):
        piece = stream[at : at + sizes[turn % len(sizes)]]
        kept += walker.walk(piece)
        taken += whole.take(piece)
        at, turn = at + len(piece), turn + 1
    assert taken == messages
    assert kept == [message[:5] for message in messages]
    assert len(whole) == 0


def test_where_no_message_begins_the_bytes_are_another_protocol_s() -> None:
    with pytest.raises(WrongProtocol):
        Walker(length_of, 1).walk(b"\2a\0")
    with pytest.raises(WrongProtocol):
        list(Whole(length_of, 30).take(b"\2a\0"))
    with pytest.raises(WrongProtocol):
        list(Whole(length_of, 5).take(b"\x06abcde"))
