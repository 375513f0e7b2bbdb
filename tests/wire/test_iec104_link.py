"""Two ends of a link never notice that the gate keeps frames back and adds its own.

Each `End` is a reference model of IEC 60870-5-104, 5.1 and 9.6: it fails on a number that is not the next, on an
acknowledgement of what it never sent or had acknowledged before, and it stops at k frames without acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Malformed, Reason
from penstock.wire import Frame, Iec104Decoder, KeepsWaiting, Role, Side
from penstock.wire.iec104.link import LAST_NUMBER, MAX_MARKS, MAX_OWN, Way

K, W = 12, 8
TESTFR_ACT, TESTFR_CON = bytes.fromhex("680443000000"), bytes.fromhex("680483000000")
FORBIDDEN, HELD_AND_PASSED, HELD_AND_REFUSED = 1, 2, 3


def i_frame(number: int, expected: int, asdu: bytes) -> bytes:
    control = (number << 1).to_bytes(2, "little") + (expected << 1).to_bytes(2, "little")
    return bytes((0x68, len(asdu) + 4)) + control + asdu


def s_frame(expected: int) -> bytes:
    return b"\x68\x04\x01\x00" + (expected << 1).to_bytes(2, "little")


def command(address: int, cause: int = 6) -> bytes:
    """A single command."""
    return bytes((45, 1, cause, 0, 3, 0)) + address.to_bytes(3, "little") + b"\x01"


def spontaneous(address: int) -> bytes:
    """A single point that changed."""
    return bytes((1, 1, 3, 0, 3, 0)) + address.to_bytes(3, "little") + b"\x01"


@dataclass
class End:
    """One end of the link."""

    next_to_send: int
    next_to_receive: int
    acknowledged: int = field(init=False)
    waiting: int = 0
    received: list[bytes] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.acknowledged = self.next_to_send

    @property
    def has_room(self) -> bool:
        return (self.next_to_send - self.acknowledged & LAST_NUMBER) < K

    def send(self, asdu: bytes) -> bytes:
        assert self.has_room
        frame = i_frame(self.next_to_send, self.next_to_receive, asdu)
        self.next_to_send = self.next_to_send + 1 & LAST_NUMBER
        self.sent += 1
        self.waiting = 0
        return frame

    def acknowledge(self) -> bytes:
        self.waiting = 0
        return s_frame(self.next_to_receive)

    def receive(self, frame: bytes) -> bytes:
        """Take one frame; gives what it sends because of it."""
        if frame[2] & 3 == 3:
            return TESTFR_CON if frame == TESTFR_ACT else b""
        expected = int.from_bytes(frame[4:6], "little") >> 1
        in_flight = self.next_to_send - self.acknowledged & LAST_NUMBER
        assert (expected - self.acknowledged & LAST_NUMBER) <= in_flight, "acknowledges what was never sent"
        self.acknowledged = expected
        if frame[2] & 1:
            return b""
        assert int.from_bytes(frame[2:4], "little") >> 1 == self.next_to_receive, "a gap in the numbers"
        self.next_to_receive = self.next_to_receive + 1 & LAST_NUMBER
        self.received.append(frame[6:])
        self.waiting += 1
        return self.acknowledge() if self.waiting >= W else b""


class Gate:
    """The decoder between two pipes, and a policy by object address: forbidden, held, or passed at once."""

    def __init__(self) -> None:
        self.decoder = Iec104Decoder()
        self.to_client, self.to_asset = bytearray(), bytearray()
        self.held: deque[Frame] = deque()
        self.has_refused = False

    def take(self, side: Side, data: bytes) -> None:
        for frame in self.decoder.feed(side, data):
            if frame.role is Role.LINK:
                self.out(side, self.decoder.forward(frame))
            elif side is Side.CLIENT and (self.held or self.policy(frame) in {HELD_AND_PASSED, HELD_AND_REFUSED}):
                self.held.append(frame)
                self.to_client += self.decoder.keep_waiting(frame)
            else:
                self.judge(frame)
        self.owe()

    def release(self) -> None:
        """The approver has decided on the oldest; what waits behind it up to the next one goes on."""
        if self.held:
            self.judge(self.held.popleft())
        while self.held and self.policy(self.held[0]) not in {HELD_AND_PASSED, HELD_AND_REFUSED}:
            self.judge(self.held.popleft())
        self.owe()

    def judge(self, frame: Frame) -> None:
        if self.policy(frame) in {FORBIDDEN, HELD_AND_REFUSED}:
            self.has_refused = True
            pipe = self.to_client if frame.side is Side.CLIENT else self.to_asset
            pipe += self.decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
        else:
            self.out(frame.side, self.decoder.forward(frame))

    def out(self, side: Side, data: bytes) -> None:
        if side is Side.CLIENT:
            self.to_asset += data
        else:
            self.to_client += data

    def owe(self) -> None:
        if self.has_refused:
            self.to_client += self.decoder.due(Side.CLIENT)
            self.to_asset += self.decoder.due(Side.ASSET)

    @staticmethod
    def policy(frame: Frame) -> int:
        return frame.data[12] % 5


class Link:
    """Client, gate and asset, and the bytes between them."""

    def __init__(self, first_of_client: int, first_of_asset: int) -> None:
        self.client = End(first_of_client, first_of_asset)
        self.asset = End(first_of_asset, first_of_client)
        self.gate = Gate()
        self.from_client, self.from_asset = bytearray(), bytearray()
        self.asked: list[int] = []
        self.told: list[int] = []

    def step(self, action: str, number: int) -> None:
        """One thing happens; what cannot happen now does not."""
        happens: dict[str, Callable[[], None]] = {
            "command": lambda: self._ask(number),
            "tell": lambda: self._tell(number),
            "client acknowledges": lambda: self.from_client.extend(self.client.acknowledge()),
            "asset acknowledges": lambda: self.from_asset.extend(self.asset.acknowledge()),
            "test": lambda: self.from_client.extend(TESTFR_ACT),
            "client to gate": lambda: self._to_gate(Side.CLIENT, self.from_client, number),
            "asset to gate": lambda: self._to_gate(Side.ASSET, self.from_asset, number),
            "gate to client": lambda: self._deliver(self.gate.to_client, self.client, self.from_client),
            "gate to asset": lambda: self._deliver(self.gate.to_asset, self.asset, self.from_asset),
            "release": self.gate.release,
        }
        happens[action]()

    def _ask(self, number: int) -> None:
        if self.client.has_room:
            self.asked.append(number)
            self.from_client += self.client.send(command(number))

    def _tell(self, number: int) -> None:
        if self.asset.has_room:
            self.told.append(number)
            self.from_asset += self.asset.send(spontaneous(number))

    def settle(self) -> None:
        """Everything arrives, is decided, and both ends acknowledge what they have (as t2 makes them)."""
        for _ in range(4):
            while self.gate.held:
                self.gate.release()
            while self.from_client or self.from_asset or self.gate.to_client or self.gate.to_asset:
                self._to_gate(Side.CLIENT, self.from_client, 10**6)
                self._to_gate(Side.ASSET, self.from_asset, 10**6)
                self._deliver(self.gate.to_client, self.client, self.from_client)
                self._deliver(self.gate.to_asset, self.asset, self.from_asset)
            for end, pipe in ((self.client, self.from_client), (self.asset, self.from_asset)):
                if end.waiting:
                    pipe.extend(end.acknowledge())

    def _to_gate(self, side: Side, pipe: bytearray, count: int) -> None:
        data = bytes(pipe[: max(count, 1)])
        del pipe[: len(data)]
        self.gate.take(side, data)

    @staticmethod
    def _deliver(pipe: bytearray, end: End, answers: bytearray) -> None:
        if pipe:
            length = 2 + pipe[1]
            frame = bytes(pipe[:length])
            del pipe[:length]
            answers += end.receive(frame)


ACTIONS = (
    "command", "command", "tell", "tell", "client acknowledges", "asset acknowledges", "test", "client to gate",
    "asset to gate", "gate to client", "gate to asset", "release",
)  # fmt: skip
steps = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 40)), max_size=120)
first = st.sampled_from((0, 0, 1, 77, LAST_NUMBER - 3, LAST_NUMBER))


@settings(max_examples=250, deadline=None)
@given(steps, first, first)
def test_each_end_sees_consecutive_numbers_and_acknowledgements_of_what_it_sent(
    done: list[tuple[str, int]], first_of_client: int, first_of_asset: int
) -> None:
    link = Link(first_of_client, first_of_asset)
    for action, number in done:
        link.step(action, number)
        assert link.gate.decoder._down.own <= MAX_OWN
    link.settle()
    passed = [number for number in link.asked if number % 5 in {0, HELD_AND_PASSED, 4}]
    assert link.asset.received == [command(number) for number in passed]
    told = [asdu for asdu in link.client.received if asdu[0] == 1]
    assert told == [spontaneous(number) for number in link.told if number % 5 in {0, HELD_AND_PASSED, 4}]
    refused = [asdu for asdu in link.client.received if asdu[0] == 45]
    assert refused == [command(number, 0x47) for number in link.asked if number % 5 in {FORBIDDEN, HELD_AND_REFUSED}]
    assert link.client.acknowledged == link.client.next_to_send, "the client waits for an acknowledgement for ever"
    assert link.asset.acknowledged == link.asset.next_to_send, "the asset waits for an acknowledgement for ever"


@settings(max_examples=100, deadline=None)
@given(steps, first, first)
def test_where_nothing_was_refused_every_byte_passes_as_it_came(
    done: list[tuple[str, int]], first_of_client: int, first_of_asset: int
) -> None:
    link = Link(first_of_client, first_of_asset)
    sent = {Side.CLIENT: bytearray(), Side.ASSET: bytearray()}
    passed = {Side.CLIENT: bytearray(), Side.ASSET: bytearray()}
    take, out = link.gate.take, link.gate.out

    def spy_take(side: Side, data: bytes) -> None:
        sent[side] += data
        take(side, data)

    def spy_out(side: Side, data: bytes) -> None:
        passed[side] += data
        out(side, data)

    link.gate.take, link.gate.out = spy_take, spy_out  # type: ignore[method-assign]
    for action, number in done:
        link.step(action, number * 5)
    link.settle()
    assert passed == sent
    assert link.gate.decoder.due(Side.CLIENT) == b"" or not link.gate.has_refused


def test_a_held_command_is_acknowledged_at_once_and_never_again() -> None:
    """The client would close the link after t1 = 15 s, and an approver takes longer."""
    decoder = Iec104Decoder()
    assert isinstance(decoder, KeepsWaiting)
    first, held = decoder.feed(Side.CLIENT, i_frame(0, 0, command(5)) + i_frame(1, 0, command(2)))
    assert decoder.forward(first) == first.data
    assert decoder.keep_waiting(held) == s_frame(2)
    (acknowledged,) = decoder.feed(Side.ASSET, s_frame(1))
    assert decoder.forward(acknowledged) == s_frame(2), "the asset has it not, and the client must not hear less"
    assert decoder.forward(held) == held.data
    (confirmed,) = decoder.feed(Side.ASSET, i_frame(0, 2, command(2, 7)))
    assert decoder.forward(confirmed) == confirmed.data


def test_an_acknowledgement_in_a_refused_command_reaches_the_asset() -> None:
    """Otherwise the asset would close the link after t1: the client believes that it has acknowledged."""
    decoder = Iec104Decoder()
    (told,) = decoder.feed(Side.ASSET, i_frame(0, 0, spontaneous(5)))
    decoder.forward(told)
    (asked,) = decoder.feed(Side.CLIENT, i_frame(0, 1, command(1)))
    assert decoder.refuse(asked, Reason.OPERATION_NOT_ALLOWED) == i_frame(1, 1, command(1, 0x47))
    assert decoder.due(Side.ASSET) == s_frame(1)
    assert decoder.due(Side.ASSET) == b""
    assert decoder.due(Side.CLIENT) == b""


def test_a_message_of_the_asset_that_is_kept_back_is_acknowledged_when_all_before_it_was() -> None:
    decoder = Iec104Decoder()
    seen, hidden = decoder.feed(Side.ASSET, i_frame(0, 0, spontaneous(5)) + i_frame(1, 0, spontaneous(6)))
    assert decoder.forward(seen) == seen.data
    assert decoder.refuse(hidden, Reason.OBJECT_OUT_OF_RANGE) == b""
    (acknowledgement,) = decoder.feed(Side.CLIENT, s_frame(1))
    assert decoder.forward(acknowledgement) == s_frame(2)
    (hidden,) = decoder.feed(Side.ASSET, i_frame(2, 0, spontaneous(6)))
    assert decoder.refuse(hidden, Reason.OBJECT_OUT_OF_RANGE) == s_frame(3)
    (seen,) = decoder.feed(Side.ASSET, i_frame(3, 0, spontaneous(5)))
    assert decoder.forward(seen) == i_frame(1, 0, spontaneous(5))


def test_only_the_control_octets_are_rewritten() -> None:
    decoder = Iec104Decoder()
    (refused,) = decoder.feed(Side.CLIENT, i_frame(0, 0, command(1)))
    decoder.refuse(refused, Reason.OPERATION_NOT_ALLOWED)
    for address in range(40):
        (frame,) = decoder.feed(Side.CLIENT, i_frame(1 + address, 1, command(address)))
        forwarded = decoder.forward(frame)
        assert forwarded == i_frame(address, 0, command(address))
        assert (forwarded[:2], forwarded[6:]) == (frame.data[:2], frame.data[6:])


def test_the_gate_says_at_most_k_frames_that_the_client_does_not_acknowledge() -> None:
    """What it cannot confirm negatively any more it acknowledges, so that the client does not stall."""
    decoder = Iec104Decoder()
    answers = []
    for number in range(20):
        (asked,) = decoder.feed(Side.CLIENT, i_frame(number, 0, command(1)))
        answers.append(decoder.refuse(asked, Reason.OPERATION_NOT_ALLOWED))
    assert [len(answer) for answer in answers] == [16] * K + [6] * (20 - K)
    assert answers[-1] == s_frame(20)
    (acknowledgement,) = decoder.feed(Side.CLIENT, s_frame(3))
    assert decoder.forward(acknowledgement) == s_frame(0)
    (asked,) = decoder.feed(Side.CLIENT, i_frame(20, 3, command(1)))
    assert decoder.refuse(asked, Reason.OPERATION_NOT_ALLOWED) == i_frame(K, 21, command(1, 0x47))


@pytest.mark.parametrize("number", [0, 2, LAST_NUMBER])
def test_a_number_twice_or_too_early_ends_the_flow(number: int) -> None:
    """A station would drop the link; one that does not might carry out a command twice."""
    decoder = Iec104Decoder()
    decoder.feed(Side.CLIENT, i_frame(0, 0, command(1)))
    for _ in range(2):
        with pytest.raises(Malformed):
            decoder.feed(Side.CLIENT, i_frame(number, 0, command(1)))
    assert decoder.pending(Side.CLIENT) > 0


@pytest.mark.parametrize("expected", [2, 500, 0x3FFF])
def test_an_acknowledgement_of_what_was_never_sent_ends_the_flow(expected: int) -> None:
    """It says no more to its receiver than the one before, and behind it nothing is taken any more."""
    decoder = Iec104Decoder()
    (asked,) = decoder.feed(Side.CLIENT, i_frame(0, 0, command(5)))
    decoder.forward(asked)
    (acknowledgement,) = decoder.feed(Side.ASSET, s_frame(1))
    decoder.forward(acknowledgement)
    (false,) = decoder.feed(Side.ASSET, s_frame(expected))
    assert decoder.forward(false) == s_frame(1)
    for side in Side:
        with pytest.raises(Malformed):
            decoder.feed(side, TESTFR_ACT)


def test_an_acknowledgement_that_goes_back_ends_the_flow() -> None:
    decoder = Iec104Decoder()
    for number in range(3):
        (asked,) = decoder.feed(Side.CLIENT, i_frame(number, 0, command(1)))
        decoder.forward(asked)
    decoder.feed(Side.ASSET, s_frame(2))
    with pytest.raises(Malformed):
        decoder.feed(Side.ASSET, s_frame(1))


def test_a_side_that_acknowledges_nothing_fills_no_memory() -> None:
    """An asset that goes on beyond every window, with a client that never acknowledges, ends the flow."""
    decoder = Iec104Decoder()

    def tell_for_ever() -> None:
        for number in range(LAST_NUMBER):
            (frame,) = decoder.feed(Side.ASSET, i_frame(number, 0, spontaneous(5 + number % 2)))
            if number % 2:
                decoder.refuse(frame, Reason.OBJECT_OUT_OF_RANGE)
            else:
                decoder.forward(frame)

    with pytest.raises(Malformed):
        tell_for_ever()
    assert len(decoder._down.marks) <= MAX_MARKS + 1


def test_what_is_kept_back_in_a_row_is_remembered_as_one() -> None:
    """However much an asset tells that nobody may have, behind one message that waits for its acknowledgement."""
    decoder = Iec104Decoder()
    for number in range(3000):
        (frame,) = decoder.feed(Side.ASSET, i_frame(number, 0, spontaneous(5 if not number else 6)))
        if number:
            assert decoder.refuse(frame, Reason.OBJECT_OUT_OF_RANGE) == b""
        else:
            decoder.forward(frame)
    assert len(decoder._down.marks) == 1
    (acknowledgement,) = decoder.feed(Side.CLIENT, s_frame(1))
    assert decoder.forward(acknowledgement) == s_frame(3000)


def test_a_way_counts_round_the_end_of_its_numbers() -> None:
    """The number behind 32,767 is 0, for frames, shifts and acknowledgements alike."""
    way = Way()
    way.acknowledge(LAST_NUMBER - 1)
    assert way.carry(LAST_NUMBER - 1) == LAST_NUMBER - 1
    way.drop(LAST_NUMBER)
    assert way.carry(0) == LAST_NUMBER
    assert way.add() == 0
    assert way.carry(1) == 1
    way.acknowledge(LAST_NUMBER)
    assert way.tell() == 0
    way.acknowledge(2)
    assert (way.tell(), way.own, len(way.marks)) == (2, 0, 0)
