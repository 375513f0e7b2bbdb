"""Every service against the first bytes of every protocol: its own pass, all others are refused with the reason."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from captured import flows, names
from proxying import SECOND, T0, Inspected
from spoken_flows import BEGINNINGS, CONFIRM, CONNECT, SpokenFlow, captured

from penstock.model import Reason
from penstock.wire import DECODERS, FITS_BYTES, KNOWN, SPOKEN, Side, of_carrier, recognise
from penstock.wire.tpkt import packet

OVER_TCP = [word for word, each in SPOKEN.items() if each.course is not None]
SERVICES = sorted({*DECODERS, *OVER_TCP})
#: Protocols that stand on TPKT and COTP: the connect of three of them is the same.
ON_COTP = {"mms", "s7comm", "s7comm_plus"}
#: The empty message that begins a connection of GE-SRTP is two of EtherNet/IP that say nothing (NOP) and part of one.
NOTHING_SAID = {("enip", "ge_srtp")}


def protocol_of(service: str) -> str:
    """As it is called on the wire."""
    return SPOKEN[service].protocol.name if service in SPOKEN else service


@cache
def firsts() -> dict[str, list[bytes]]:
    """By protocol, what clients of real conversations said first over TCP, and what our own begin with."""
    found: dict[str, set[bytes]] = {}
    for name in names():
        for flow in flows(name):
            known = recognise(of_carrier(KNOWN, "tcp"), flow.said(Side.CLIENT), flow.said(Side.ASSET))
            said = next((packet.data for packet in flow.packets if packet.side is Side.CLIENT), b"")
            if flow.carrier == "tcp" and known is not None and known.is_certain and len(said) > len(b"\3\0\0\0"):
                found.setdefault(known.protocol.name, set()).add(said[:FITS_BYTES])
    for word, beginning in BEGINNINGS.items():
        mine = found.setdefault(protocol_of(word), set())
        mine.add(next(data for side, data in beginning if side is Side.CLIENT))
    return {name: sorted(beginnings) for name, beginnings in found.items()}


def flow_of(service: str, folder: Path) -> SpokenFlow | Inspected:
    """A new flow of this service."""
    folder.mkdir(exist_ok=True)
    return SpokenFlow(folder, service) if service in SPOKEN else Inspected(folder, decoder=DECODERS[service]())


def is_connect(data: bytes) -> bool:
    """Whether it is the connect of COTP, in which nothing tells who goes on behind it."""
    return data[:2] == b"\3\0" and data[5] == 0xE0 and b"Cookie" not in data


def test_there_are_first_bytes_of_every_protocol_over_tcp() -> None:
    assert {protocol_of(each) for each in SERVICES} - {"fins"} <= set(firsts())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_refuses_what_another_protocol_begins_with(tmp_path: Path, service: str) -> None:
    own, compared = protocol_of(service), 0
    for name, beginnings in firsts().items():
        for data in beginnings:
            if name == own or (own in ON_COTP and is_connect(data)) or (own, name) in NOTHING_SAID:
                continue
            flow = flow_of(service, tmp_path / f"{compared}")
            effect = flow.client(data, T0)
            assert effect.to_asset == b"", (name, data[:40])
            if service in SPOKEN:
                assert effect.ending is not None, (name, data[:40])
                assert effect.ending.reason is Reason.WRONG_PROTOCOL, (name, data[:40], effect.ending)
            else:  # fewer bytes than a head of its own are waited for
                relay = flow.inspection if isinstance(flow, Inspected) else flow.relay
                ending = effect.ending or relay.tick(T0 + 5 * SECOND)
                assert ending is not None, (name, data[:40])
                assert ending.reason in {Reason.WRONG_PROTOCOL, Reason.MALFORMED}
            compared += 1
    assert compared > len(firsts()) // 2


@pytest.mark.parametrize("service", sorted(set(DECODERS) - {"enip"}))  # its head has 24 bytes, which are waited for
def test_an_enforced_service_calls_what_it_can_tell_another_protocol_s(tmp_path: Path, service: str) -> None:
    """Text, and TLS: what a stray client brings."""
    for number, data in enumerate((*firsts()["http"], *firsts()["tls"], *firsts()["ssh"])):
        ending = flow_of(service, tmp_path / f"{number}").client(data, T0).ending
        assert ending is not None
        assert ending.reason is Reason.WRONG_PROTOCOL, data[:40]


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"fins"}))
def test_a_service_takes_what_it_declares(tmp_path: Path, service: str) -> None:
    taken = 0
    for number, data in enumerate(firsts()[protocol_of(service)]):
        effect = flow_of(service, tmp_path / f"{number}").client(data, T0)
        taken += effect.ending is None and (service not in SPOKEN or effect.to_asset == data)
    assert taken >= 1


#: What the client says behind the connect, of real conversations.
BEHIND = {
    "mms": captured("mms-read.pcap", 0).packets[2].data,
    "s7comm": packet(bytes.fromhex("32010000000000080000f0000001000101e0")),
    "s7comm_plus": next(each.data for each in captured("s7-plus-mixed.pcap", 0).packets if each.side is Side.CLIENT),
    "rdp": captured("rdp-x509.pcap", 0).packets[2].data,
}
COTP_SERVICES = [each for each in SERVICES if protocol_of(each) in BEHIND]


@pytest.mark.parametrize("service", COTP_SERVICES)
@pytest.mark.parametrize("name", BEHIND)
def test_behind_the_same_connect_the_first_data_tell(tmp_path: Path, service: str, name: str) -> None:
    flow = flow_of(service, tmp_path)
    connect, confirm = CONNECT, CONFIRM
    if service == "rdp":
        connect, confirm = (each.data for each in captured("rdp-x509.pcap", 0).packets[:2])
    assert flow.client(connect, T0).to_asset == connect
    assert flow.asset(confirm, T0).to_client == confirm
    effect = flow.client(BEHIND[name], T0)
    if name == protocol_of(service):
        assert (effect.to_asset, effect.ending) == (BEHIND[name], None)
    else:
        assert effect.to_asset == b""
        assert effect.ending is not None
        assert effect.ending.reason is Reason.WRONG_PROTOCOL


@pytest.mark.parametrize("word", OVER_TCP)
def test_an_asset_that_speaks_something_else_is_not_heard(tmp_path: Path, word: str) -> None:
    client = next(data for side, data in BEGINNINGS[word] if side is Side.CLIENT)
    answers = (b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-x\r\n", bytes.fromhex("160303004a02000046"), b"\x68\x04\x0b\0\0\0")
    for number, answer in enumerate(answers):
        if SPOKEN[word].opens(answer, Side.ASSET):
            continue
        flow = flow_of(word, tmp_path / f"{number}")
        assert flow.client(client, T0).ending is None
        effect = flow.asset(answer, T0)
        assert effect.to_client == b""
        assert effect.ending is not None
        assert effect.ending.reason is Reason.WRONG_PROTOCOL
