"""Held requests of each judged protocol: the exact bytes go on, the answer is the protocol's own, order is kept."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from held_talks import TALKS, HeldTalk
from holding import HOLD_S, Holding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opcua_talk import CHANNEL, open_request, opening
from proxying import GRANT, SECOND, T0
from test_inspect_iec104 import COMMAND, COMMAND_CONFIRMED, POINT, i_frame, s_frame

from penstock.proxy.held import PACE_US
from penstock.wire import PROTOCOLS, CountsFrames, Decoder, KeepsWaiting, Side

every = pytest.mark.parametrize("name", TALKS)


def begun(folder: Path, name: str) -> Holding:
    talk = TALKS[name]
    transport = "udp" if talk.is_datagrams else "tcp"
    grant = replace(GRANT, protocol=name, transport=transport, expires_at_us=None)
    flow = Holding(folder, talk.decoder(), grant)
    for side, data in talk.opening:
        effect = flow.client(data, T0) if side is Side.CLIENT else flow.asset(data, T0)
        assert (effect.to_asset if side is Side.CLIENT else effect.to_client) == data
    return flow


def test_every_judged_protocol_is_tried() -> None:
    assert set(TALKS) == {each.name for each in PROTOCOLS}


def replayed(talk: HeldTalk) -> Decoder:
    """A decoder that has seen the opening."""
    decoder = talk.decoder()
    for side, data in talk.opening:
        decoder.feed(side, data)
    return decoder


def recorded(talk: HeldTalk, sent: bytes) -> bytes:
    """What of this message may go on record."""
    decoder = replayed(talk)
    decoder.feed(Side.CLIENT, talk.read(0))
    (frame,) = decoder.feed(Side.CLIENT, sent)
    return frame.recorded


@every
def test_an_approved_request_arrives_as_it_was_sent_and_the_later_one_behind_it(name: str, tmp_path: Path) -> None:
    talk, flow = TALKS[name], begun(tmp_path, name)
    sent = [talk.read(0), talk.write(1), talk.read(2)]
    assert flow.client(sent[0], T0).to_asset == sent[0]
    for data in sent[1:]:
        effect = flow.client(data, T0 + SECOND)
        assert (talk.bare(effect.to_asset), effect.ending) == (b"", None)
    (told,) = flow.held()
    assert told.data == recorded(talk, sent[1]).hex()
    assert told.targets or told.operation.endswith("execute"), "the approver sees what it touches"
    effect = flow.approve(now_us=T0 + 2 * SECOND)
    assert effect.to_asset == sent[1] + sent[2]
    assert effect.to_client == b""
    assert flow.ended() == [(1, "forwarded", "")]


@every
@pytest.mark.parametrize("is_late", [False, True])
def test_a_refused_request_never_arrives_and_is_answered_in_the_protocols_words(
    name: str, tmp_path: Path, *, is_late: bool
) -> None:
    talk, flow = TALKS[name], begun(tmp_path, name)
    flow.client(talk.write(0), T0)
    flow.client(talk.read(1), T0 + SECOND)
    now_us = T0 + (HOLD_S if is_late else 2) * SECOND
    found = flow.inspection.lapse(now_us) if is_late else flow.decide(is_approved=False, now_us=now_us)
    assert found is not None
    effect, _ = flow.settled(found, now_us)
    assert effect.ending is None
    assert talk.bare(effect.to_asset) == talk.bare(talk.read(1))
    # a second decoder that saw the request takes what the client hears for the refusal of it
    other = replayed(talk)
    (asked,) = other.feed(Side.CLIENT, talk.write(0))
    replies = [frame for frame in other.feed(Side.ASSET, effect.to_client) if frame.exchange == asked.exchange]
    assert [frame.is_refusal for frame in replies] == [True]
    assert [record.reason for record in flow.records("operation.refused")] == [
        "hold_timed_out" if is_late else "hold_refused"
    ]


#: Longer than what waited behind takes to go on.
LONG_S = 900
STEPS = ("read", "write", "two", "approve", "refuse", "wait")


@every
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_whatever_is_asked_and_decided_in_whatever_order_nothing_overtakes(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Against a model that knows nothing of protocols: a queue in which a write at the head waits for its decision."""
    talk, flow = TALKS[name], begun(tmp_path_factory.mktemp("flow"), name)
    model, now_us, sent, arrived = Model(talk), T0, 0, b""
    flow.hold_s = LONG_S
    for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=24)):
        match step:
            case "read" | "write":
                message = model.ask(sent, is_write=step == "write", now_us=now_us)
                effect, sent = flow.client(message, now_us), sent + 1
            case "two":
                messages = [model.ask(sent + each, is_write=bool(each), now_us=now_us) for each in range(2)]
                if talk.is_datagrams:
                    first, effect = (flow.client(each, now_us) for each in messages)
                    arrived += first.to_asset
                else:
                    effect = flow.client(b"".join(messages), now_us)
                sent += 2
            case "wait":
                now_us += LONG_S * SECOND
                model.lapse(now_us)
                found = flow.inspection.lapse(now_us)
                effect = found if found is not None else flow.client(b"", now_us)
            case _:
                found = flow.decide(is_approved=step == "approve", hold=model.hold, now_us=now_us)
                assert (found is not None) is model.decide(is_approved=step == "approve", now_us=now_us)
                effect = found if found is not None else flow.client(b"", now_us)
        assert effect.ending is None
        assert whole(talk, model).startswith(talk.bare(arrived + effect.to_asset))
        effect, now_us = flow.settled(effect, now_us)
        arrived += effect.to_asset
        assert talk.bare(arrived) == whole(talk, model)
        assert flow.inspection.is_holding is model.is_holding
    assert len(flow.held()) >= model.hold
    assert all(told.hold <= model.hold for told in flow.held())


def whole(talk: HeldTalk, model: Model) -> bytes:
    """All that must have arrived once what waited has gone on."""
    return b"".join(map(talk.bare, model.sent()))


class Model:
    """What must happen: a queue whose head, where it is a write, waits until it is decided."""

    def __init__(self, talk: HeldTalk) -> None:
        self.talk = talk
        self.hold, self.until_us, self.is_holding = 0, 0, False
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._sent: list[bytes] = []

    def sent(self) -> list[bytes]:
        return list(self._sent)

    def ask(self, number: int, *, is_write: bool, now_us: int) -> bytes:
        message = self.talk.write(number) if is_write else self.talk.read(number)
        self._queue.append((message, is_write))
        self._advance(now_us)
        return message

    def decide(self, *, is_approved: bool, now_us: int) -> bool:
        if not self.is_holding or now_us >= self.until_us:
            return False
        message, _ = self._queue.popleft()
        if is_approved:
            self._sent.append(message)
        self.is_holding = False
        self._advance(now_us)
        return True

    def lapse(self, now_us: int) -> None:
        if self.is_holding and now_us >= self.until_us:
            self._queue.popleft()
            self.is_holding = False
            self._advance(now_us)

    def _advance(self, now_us: int) -> None:
        while self._queue and not self.is_holding:
            if self._queue[0][1]:
                self.is_holding, self.hold, self.until_us = True, self.hold + 1, now_us + LONG_S * SECOND
            else:
                self._sent.append(self._queue.popleft()[0])


def test_iec_104_acknowledges_what_waits_to_its_sender_and_to_the_station_what_that_acknowledged(
    tmp_path: Path,
) -> None:
    flow = begun(tmp_path, "iec104")
    assert isinstance(flow.decoder, KeepsWaiting)
    flow.asset(i_frame(0, 0, POINT), T0)
    held = flow.client(i_frame(0, 1, COMMAND), T0)
    assert held.to_client == s_frame(1), "or it would close the link after t1"
    assert held.to_asset == s_frame(1), "so would the station, whose point only the held command acknowledges"
    queued = flow.client(i_frame(1, 1, COMMAND), T0)
    assert (queued.to_client, queued.to_asset) == (s_frame(2), b"")
    test, back = bytes.fromhex("680443000000"), bytes.fromhex("680483000000")
    assert flow.client(test, T0).to_asset == test, "tests of the link go on"
    assert flow.asset(back, T0).to_client == back
    assert flow.asset(i_frame(1, 0, POINT), T0).to_client == i_frame(1, 2, POINT)
    assert flow.client(s_frame(2), T0).to_asset == s_frame(2)
    assert flow.refuse().to_client == i_frame(2, 2, COMMAND.replace("0106", "0147", 1))
    approved = flow.approve(2)
    assert approved.to_asset == i_frame(0, 2, COMMAND), "the first one that arrives has the first number"
    assert flow.asset(i_frame(2, 1, COMMAND.replace("0106", "0107", 1)), T0).to_client == i_frame(
        3, 2, COMMAND.replace("0106", "0107", 1)
    )


def test_a_link_that_counts_goes_on_after_many_holds(tmp_path: Path) -> None:
    """As the station sees it: numbers without a gap; as the client sees it, too."""
    flow, station = begun(tmp_path, "iec104"), 0
    for number in range(40):
        flow.client(i_frame(number, number, COMMAND), T0)
        effect = flow.approve(number + 1) if number % 3 else flow.refuse(number + 1)
        if number % 3:
            assert effect.to_asset[2:4] == (station << 1).to_bytes(2, "little")
            station += 1
            said = flow.asset(i_frame(station - 1, station, COMMAND_CONFIRMED), T0)
            answer = said.to_client
            assert said.ending is None
        else:
            answer = effect.to_client
        assert answer[2:4] == (number << 1).to_bytes(2, "little")


def test_a_channel_that_is_renewed_meanwhile_waits_for_its_turn(tmp_path: Path) -> None:
    """Its opening has the next sequence number: before the held request it would end the channel at the server."""
    flow, talk = begun(tmp_path, "opcua"), TALKS["opcua"]
    assert isinstance(flow.decoder, CountsFrames)
    flow.client(talk.write(0), T0)
    renewal = opening(open_request(renew=True), 3, "None", CHANNEL)
    assert flow.client(renewal, T0).to_asset == b""
    assert flow.approve().to_asset == talk.write(0) + renewal


def test_over_udp_each_message_goes_on_as_a_datagram_of_its_own(tmp_path: Path) -> None:
    talk, flow = TALKS["bacnet"], begun(tmp_path, "bacnet")
    for number, data in enumerate((talk.write(0), talk.read(1), talk.read(2))):
        assert flow.client(data, T0 + number).to_asset == b""
    effects = [flow.decide(is_approved=False, now_us=T0 + 10)]
    effects += [flow.inspection.lapse(T0 + 11 + each * PACE_US) for each in range(2)]
    assert [(e.to_asset, bool(e.to_client)) for e in effects if e is not None] == [
        (b"", True),
        (talk.read(1), False),
        (talk.read(2), False),
    ]


@pytest.mark.parametrize("name", ["iec104", "opcua"])
def test_where_messages_are_numbered_too_many_of_them_end_the_flow(name: str, tmp_path: Path) -> None:
    """None of them could be refused out of its turn."""
    talk, flow = TALKS[name], begun(tmp_path, name)
    flow.client(talk.write(0), T0)
    for number in range(64):
        assert flow.client(talk.read(1 + number), T0).ending is None
    effect = flow.client(talk.read(65), T0)
    assert effect.to_asset == b""
    assert effect.ending is not None
    assert effect.ending.reason == "too_many_in_flight"
