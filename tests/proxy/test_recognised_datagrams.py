"""Recognised protocols over UDP: a datagram that is something else is kept back alone, with the reason on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from captured import CapturedFlow, flows
from proxying import GRANT, SECOND, T0
from spoken_flows import SpokenFlow, slmp_request

from penstock.model import OperationClass as Is
from penstock.model import Reason
from penstock.proxy.recognised import RecognisedDatagrams
from penstock.wire import SPOKEN, Side


def datagrams(name: str) -> list[CapturedFlow]:
    return [flow for flow in flows(name) if flow.carrier == "udp" and flow.packets]


class Datagrams(SpokenFlow):
    """A flow over UDP."""

    kind = RecognisedDatagrams


@pytest.mark.parametrize(("word", "name"), [("profinet", "profinet-io-cm.pcapng"), ("slmp", "melsec-melsoft-udp.pcap")])
def test_real_datagrams_arrive_as_they_came_and_are_on_record(tmp_path: Path, word: str, name: str) -> None:
    passed = 0
    for number, conversation in enumerate(datagrams(name)):
        if not SPOKEN[word].protocol.fits(conversation.packets[0].data, conversation.packets[0].side):
            continue
        (folder := tmp_path / f"{number}").mkdir()
        flow = Datagrams(folder, word)
        for packet in conversation.packets:
            effect = flow.take(packet.side, packet.data)
            assert (effect.to_asset + effect.to_client, effect.ending) == (packet.data, None)
        assert flow.relay.refused == 0
        told = sum(len(record.detail["rows"]) for record in flow.records("operations"))
        assert told == flow.relay.frames
        passed += flow.relay.frames
    assert passed


def test_a_profinet_write_is_what_it_is(tmp_path: Path) -> None:
    flow = Datagrams(tmp_path, "profinet")
    for conversation in datagrams("profinet-io-cm.pcapng"):
        for packet in conversation.packets:
            flow.take(packet.side, packet.data)
    names = {each.name for each in flow.judged}
    assert {"Connect", "Write", "Control"} <= names
    assert {each.protocol for each in flow.judged} == {"profinet"}


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", bytes.fromhex("810a 0011 0104 0005"), b"\x04\0" + bytes(90)]
)
@pytest.mark.parametrize("side", Side)
def test_other_datagrams_are_kept_back_and_the_flow_goes_on(tmp_path: Path, data: bytes, side: Side) -> None:
    flow = Datagrams(tmp_path, "profinet")
    effect = flow.take(side, data)
    assert (effect.to_asset, effect.to_client, effect.ending) == (b"", b"", None)
    (record,) = flow.records("operation.refused")
    assert (record.reason, record.detail["why"]) == (
        "wrong_protocol",
        f"a datagram of the {side.value} that is no profinet",
    )
    good = datagrams("profinet-io-cm.pcapng")[0].packets[0]
    assert flow.take(good.side, good.data).ending is None


def test_a_class_that_is_not_named_is_kept_back_and_the_flow_goes_on(tmp_path: Path) -> None:
    flow = Datagrams(tmp_path, "slmp", [Is.READ, Is.SESSION])
    read, stop = slmp_request(0x0401, bytes.fromhex("640000 a8 0a00")), slmp_request(0x1002, b"\1\0")
    assert flow.client(stop, T0).to_asset == b""
    assert flow.client(read + read, T0).to_asset == b"", "two frames in one datagram are none"
    assert flow.client(read, T0).to_asset == read
    assert [each.reason for each in flow.records("operation.refused")] == ["operation_not_allowed", "wrong_protocol"]


def test_the_grant_s_end_ends_it(tmp_path: Path) -> None:
    flow = Datagrams(tmp_path, "slmp")
    flow.relay.renew(replace(GRANT, protocol="slmp", expires_at_us=T0 + SECOND))
    assert flow.relay.tick(T0 + SECOND - 1) is None
    for ending in (flow.relay.tick(T0 + SECOND), flow.client(slmp_request(0x0401), T0 + SECOND).ending):
        assert ending is not None
        assert ending.reason is Reason.GRANT_EXPIRED


def test_no_command_of_melsoft_goes_on_behind_its_connect(tmp_path: Path) -> None:
    flow = Datagrams(tmp_path, "slmp", [Is.READ, Is.SESSION])
    connect = bytes.fromhex("5a000001")
    command = next(
        packet.data
        for each in datagrams("melsec-melsoft-udp.pcap")
        for packet in each.packets
        if packet.data[:1] == b"\x57"
    )
    assert flow.client(connect + command, T0).to_asset == b""
    assert flow.client(connect, T0).to_asset == connect
    assert [each.reason for each in flow.records("operation.refused")] == ["wrong_protocol"]
