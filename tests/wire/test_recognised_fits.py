"""A protocol is told from its bytes: each as itself, nothing else as it, and random bytes as nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from captured import CapturedFlow, flows, flows_of, names
from hypothesis import given
from hypothesis import strategies as st
from recognised_captures import BY_NAME, CAPTURED, Captured

from penstock.wire import FITS_BYTES, KNOWN, RECOGNISED, Known, Side, of_carrier, recognise

TOLD = [each for each in CAPTURED if each.carrier in {"tcp", "udp"}]
told = pytest.mark.parametrize("captured", TOLD, ids=lambda each: f"{each.protocol}-{each.name}")
#: Protocols whose messages are told in the middle of a flow as well.
IN_THE_MIDDLE = {"mms", "s7comm_plus", "smb", "tls", "melsec_slmp", "profinet"}
#: A server that answers nonsense to a client's TLS.
NONSENSE = {("modbus-port502-mixed.pcap", 3, Side.ASSET)}


def beginnings(flow: CapturedFlow) -> Iterator[tuple[Side, bytes]]:
    """What each side sent first: its first packet, and over TCP all of it."""
    for side in Side:
        sent = [packet.data for packet in flow.packets if packet.side is side]
        if sent and (flow.capture, flow.number, side) not in NONSENSE:
            yield side, sent[0]
            yield side, (flow.said(side) if flow.carrier == "tcp" else sent[0])[:FITS_BYTES]


@told
def test_the_first_bytes_of_either_side_tell_the_protocol_and_no_other(captured: Captured) -> None:
    compared = 0
    for flow in flows_of(captured.name, captured.kinds):
        if captured.name == "modbus-port502-mixed.pcap" and not is_of(flow, captured.known):
            continue
        for side, data in beginnings(flow):
            answers = {each.name: each.fits(data, side) for each in of_carrier(KNOWN, captured.carrier)}
            told_as = {name for name, fit in answers.items() if fit}
            assert told_as == {captured.protocol} or (is_shared(data) and not told_as)
            assert answers[captured.protocol] is not False
            compared += 1
    assert compared


def is_shared(data: bytes) -> bool:
    """Whether these are no more than the head of a packet of TPKT, or the connect of COTP, which say too little."""
    return data[:2] == b"\x03\0" and (
        len(data) < 7 or (data[5] in {0xE0, 0xD0} and len(data) == data[2] << 8 | data[3])
    )


def is_of(flow: CapturedFlow, known: Known) -> bool:
    found = recognise(of_carrier(KNOWN, flow.carrier), flow.said(Side.CLIENT), flow.said(Side.ASSET))
    return found is not None and found.protocol is known


@told
def test_no_prefix_of_them_is_denied(captured: Captured) -> None:
    for flow in flows_of(captured.name, captured.kinds)[:6]:
        for side, data in beginnings(flow) if is_of(flow, captured.known) else ():
            for end in range(1, min(len(data), 120)):
                assert captured.known.fits(data[:end], side) is not False, data[:end]


@told
def test_messages_in_the_middle_are_told_where_the_protocol_allows_it(captured: Captured) -> None:
    if captured.protocol not in IN_THE_MIDDLE or captured.name == "mms-long.pcap":  # its packets are halves of messages
        return
    for flow in flows_of(captured.name, captured.kinds):
        answers = [captured.known.fits(packet.data, packet.side) for packet in flow.packets]
        if is_of(flow, captured.known):
            assert sum(answer is True for answer in answers) >= len(answers) // 2


@pytest.mark.parametrize("name", names())
def test_no_flow_of_another_protocol_is_taken_for_a_recognised_one(name: str) -> None:
    ours = {each.name for each in RECOGNISED}
    here = {each.protocol for each in CAPTURED if each.name == name} | OTHERS.get(name, set())
    for flow in flows(name):
        if flow.carrier in {"tcp", "udp"} and flow.packets:
            found = recognise(of_carrier(KNOWN, flow.carrier), flow.said(Side.CLIENT), flow.said(Side.ASSET))
            assert found is None or found.protocol.name not in ours - here, flow.number


#: A scanner asks for RDP on a port where tshark does not look for it.
OTHERS = {"modbus-port502-mixed.pcap": {"rdp"}}

VECTORS = {
    ("ge_srtp", Side.CLIENT): [
        "00" * 56,
        "0200 05" + "00" * 22 + "00" * 6 + "c0" + "00" * 8 + "0101 07 08" + "00" * 12,
    ],
    ("ge_srtp", Side.ASSET): ["01" + "00" * 55, "0300 05" + "00" * 28 + "d4" + "00" * 24],
    ("melsec_slmp", Side.CLIENT): [
        "5000 00 ff ff03 00 0c00 1000 0104 0000 640000 a8 0100",
        "5400 3412 0000 00 ff ff03 00 0600 1000 0210 0100",
        b"500000FF03FF000018001004010000D*0000640001".hex(),
    ],
    ("melsec_slmp", Side.ASSET): [
        "d000 00 ff ff03 00 0400 0000 1234",
        "d400 3412 0000 00 ff ff03 00 0200 0000",
        b"D00000FF03FF0000080000ABCD".hex(),
    ],
    ("http", Side.CLIENT): [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".hex(), b"PROPFIND /x HTTP/1.1\r\n".hex()],
    ("http", Side.ASSET): ["00 0012 04 00 00000000 0003 00000064 0004 00100000 0001 00001000"],
    ("smb", Side.CLIENT): ["00000023 ff534d42 72" + "00" * 30, "00000060 fd534d42" + "00" * 92],
    ("telnet", Side.ASSET): ["fffd18 fffd20 0d0a6c6f67696e3a20"],
    ("mms", Side.CLIENT): ["0300 001b 02f080 01000100 610e 300c 020103 a007 a005 020101 8200"],
    ("s7comm_plus", Side.CLIENT): ["0300 0013 02f080 7201 0008 31 0000 04f2 0000 01"],
    ("rdp", Side.CLIENT): [
        "0300 0013 0e e0 0000 0000 00 01 00 0800 03000000",
        "0300 0027 22 e0 0000 0000 00 436f6f6b69653a206d737473686173683d6f70657261746f72 0d0a 0000",
        "0300 000b 02f080 7f65 0101",
    ],
    ("rdp", Side.ASSET): ["0300 0013 0e d0 0000 1234 00 03 00 0800 02000000"],
    ("ftp", Side.ASSET): [b"220-Welcome\r\n220 ready\r\n".hex()],
}


@pytest.mark.parametrize(("name", "side"), VECTORS, ids=[f"{name}-{side.value}" for name, side in VECTORS])
def test_what_no_capture_holds_is_told_as_well(name: str, side: Side) -> None:
    for text in VECTORS[name, side]:
        data = bytes.fromhex(text)
        assert [each.name for each in KNOWN if each.fits(data, side)] == [name]
        for end in range(1, len(data)):
            assert BY_NAME[name].fits(data[:end], side) is not False, data[:end]


@pytest.mark.parametrize(
    ("name", "side", "data"),
    [
        ("ftp", Side.ASSET, b"220 mail.plant.example ESMTP Postfix\r\n"),
        ("ftp", Side.ASSET, b"220 \x01\x02\r\n"),
        ("ftp", Side.CLIENT, b"EHLO x\r\n"),
        ("http", Side.CLIENT, b"GET / RTSP/1.0\r\n"),
        ("http", Side.CLIENT, b"get / HTTP/1.1\r\n"),
        ("http", Side.ASSET, b"RTSP/1.0 200 OK\r\n"),
        ("http", Side.CLIENT, b"\x16\x03\x01"),
        ("ssh", Side.CLIENT, b"SSH-1.5-old\r\n"),
        ("ssh", Side.CLIENT, b"hello\r\nSSH-2.0-x\r\n"),
        ("vnc", Side.CLIENT, b"RFB 3.8\n"),
        ("tls", Side.CLIENT, b"\x16\x03\x01\xff\xff"),
        ("tls", Side.CLIENT, b"\x16\x03\x09\x00\x40"),
        ("tls", Side.CLIENT, b"\x14\x03\x03\x00\x02\x01\x01"),
        ("smb", Side.CLIENT, b"\x00\x00\x00\x80\x01SMB"),
        ("telnet", Side.CLIENT, b"\xff\xfd\x90"),
        ("telnet", Side.CLIENT, b"\xff\xd8\xff\xe0"),
        ("telnet", Side.CLIENT, b"ls\r\n"),
        ("telnet", Side.ASSET, b"\xff\xfd\x18\xff\xfd\x20\xff\x10\x10"),
        ("melsec_slmp", Side.ASSET, bytes.fromhex("5000 00 ff ff03 00 0c00 1000 0104 0000")),
        ("melsec_slmp", Side.CLIENT, bytes.fromhex("5000 00 ff ff03 00 0c00 1000 ffff 0000")),
        ("melsec_slmp", Side.CLIENT, bytes.fromhex("5000 00 ff ff7f 00 0c00 1000 0104 0000")),
        ("ge_srtp", Side.CLIENT, bytes(55) + b"\x01"),
        ("ge_srtp", Side.CLIENT, bytes(60) + b"\x01"),
        ("profinet", Side.CLIENT, b"\x04\x00" + bytes(78)),
        ("rdp", Side.CLIENT, bytes.fromhex("0300001611e00000000100c0010ac1020100c2020101")),
        ("rdp", Side.ASSET, bytes.fromhex("03000013 0ee0 0000 0000 00 01 00 0800 03000000")),
        ("mms", Side.CLIENT, bytes.fromhex("0300001902f08032010000000000080000f0000001000101e0")),
        ("mms", Side.CLIENT, bytes.fromhex("0300000c02f080 01000200 61")),
        ("s7comm_plus", Side.CLIENT, bytes.fromhex("0300000c02f080 7205000831")),
    ],
)
def test_what_only_looks_like_it_is_not(name: str, side: Side, data: bytes) -> None:
    assert BY_NAME[name].fits(data, side) is False


def test_lines_in_front_of_a_servers_banner_are_seen_through() -> None:
    assert BY_NAME["ssh"].fits(b"Authorised use only\r\nSSH-2.0-x\r\n", Side.ASSET) is True
    assert BY_NAME["ssh"].fits(b"Authorised use only\r\nSSH-2.0-x\r\n", Side.CLIENT) is False


def test_random_bytes_are_nothing() -> None:
    source = random.Random(5)
    for _ in range(4000):
        data = source.randbytes(source.choice((8, 24, 64, 256)))
        for side in Side:
            assert [each.name for each in KNOWN if each.fits(data, side)] == []


@given(st.binary(min_size=1, max_size=400), st.sampled_from(Side), st.sampled_from(RECOGNISED))
def test_no_bytes_are_too_strange_to_be_told_or_denied(data: bytes, side: Side, known: Known) -> None:
    assert known.fits(data, side) in {True, False, None}


@given(st.data(), st.sampled_from(TOLD), st.binary(max_size=8))
def test_bytes_that_are_changed_are_told_or_denied(data: st.DataObject, captured: Captured, change: bytes) -> None:
    flow = data.draw(st.sampled_from(flows_of(captured.name, captured.kinds)))
    packet = data.draw(st.sampled_from(flow.packets))
    at = data.draw(st.integers(0, len(packet.data)))
    changed = packet.data[:at] + change + packet.data[at + len(change) :]
    for each in RECOGNISED if changed else ():
        assert each.fits(changed, packet.side) in {True, False, None}
