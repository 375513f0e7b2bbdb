"""What a message of a recognised protocol asks for: its class by the taxonomy, its code, and its object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recognised_captures import BY_NAME
from taxonomy import many, taxonomy

from penstock.model import Operation
from penstock.model import OperationClass as Is
from penstock.wire import Side
from penstock.wire.recognised import ftp, ge_srtp, http, mms_codes, profinet, profinet_dcp, s7comm_plus, slmp, smb, vnc

TABLES = [
    ("ftp", "operations", "verb", ftp.CODES),
    ("http", "operations", "method", http.CODES),
    ("ge_srtp", "operations", "service", ge_srtp.CODES),
    ("melsec_slmp", "operations", "command", slmp.CODES),
    ("profinet", "operations", "opnum", profinet.CODES),
    ("profinet", "dcp", "service", profinet_dcp.CODES),
    ("smb", "operations", "command", smb.CODES),
    ("mms", "operations", "service", mms_codes.CODES),
    ("s7comm_plus", "operations", "function", s7comm_plus.CODES),
    ("vnc", "operations", "client_message", vnc.CODES),
]


@pytest.mark.parametrize(
    ("protocol", "table", "key", "codes"), TABLES, ids=lambda each: each if isinstance(each, str) else ""
)
def test_every_code_of_the_taxonomy_has_its_class_and_no_other_has_one(
    protocol: str, table: str, key: str, codes: Any
) -> None:
    rows = taxonomy(protocol)[table]
    wanted = {code: set(many(row["class"])) for row in rows if key in row for code in many(row[key])}
    ours = {code: {str(each) for each in classes} for numbers, _, classes in codes for code in numbers}
    assert ours == wanted


def asked(protocol: str, *messages: bytes, carrier: str = "tcp", side: Side = Side.CLIENT) -> list[Operation]:
    dissector = BY_NAME[protocol].dissectors[carrier]()
    shown = [each for message in messages for each in dissector.feed(side, message)]
    return [each.frame.operation for each in shown if each.frame is not None]


def told(operation: Operation) -> tuple[str, tuple[Is, ...], list[str]]:
    objects = [f"{each.table} {each.name or f'{each.first}+{each.count}'}" for each in operation.targets]
    return operation.code, operation.classes, objects


def smb2(command: int, body: bytes) -> bytes:
    head = b"\xfeSMB" + (64).to_bytes(2, "little") + bytes(6) + command.to_bytes(2, "little") + bytes(50)
    return (len(head) + len(body)).to_bytes(4, "big") + head + body


def create(access: int, disposition: int, name: str, options: int = 0) -> bytes:
    text = name.encode("utf-16-le")
    body = bytes(24) + access.to_bytes(4, "little") + bytes(8) + disposition.to_bytes(4, "little")
    body += options.to_bytes(4, "little") + (64 + 56).to_bytes(2, "little") + len(text).to_bytes(2, "little") + bytes(8)
    return smb2(5, body + text)


def srtp(service: int, segment: int = 0, first: int = 0, count: int = 0, text: bytes = b"") -> bytes:
    kind, where = (0x80, 50) if text else (0xC0, 42)
    message = bytearray(56)
    message[0], message[2], message[31], message[where], message[where + 1] = 2, 9, kind, service, segment
    message[4:6] = len(text).to_bytes(2, "little")
    message[where + 2 : where + 6] = first.to_bytes(2, "little") + count.to_bytes(2, "little")
    return bytes(message) + text


def slmp3(command: int, body: bytes = b"", sub: int = 0) -> bytes:
    content = b"\x10\0" + command.to_bytes(2, "little") + sub.to_bytes(2, "little") + body
    return bytes.fromhex("5000 00 ff ff03 00") + len(content).to_bytes(2, "little") + content


def tpkt(payload: str) -> bytes:
    data = bytes.fromhex(payload)
    return b"\x03\0" + (len(data) + 7).to_bytes(2, "big") + b"\x02\xf0\x80" + data


def ber(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes((tag, 0x82, len(content) >> 8, len(content) & 0xFF)) + content


def mms(service: bytes) -> bytes:
    request = ber(0xA0, b"\x02\x01\x07", service)
    presented = ber(0x61, ber(0x30, b"\x02\x01\x03", ber(0xA0, request)))
    return tpkt((b"\x01\x00\x01\x00" + presented).hex())


def domain(name: str, item: str) -> bytes:
    return ber(0xA1, ber(0x1A, name.encode()), ber(0x1A, item.encode()))


def mms_write(*items: bytes) -> bytes:
    return mms(ber(0xA5, ber(0xA0, *(ber(0x30, ber(0xA0, item)) for item in items)), ber(0xA0, b"\x83\x01\xff")))


OPERATE = domain("LD1", "GGIO1$CO$SPCSO1$Oper")
SETTING = domain("LD1", "LLN0$SP$Limit")
READ_SETTING = ber(0xA4, b"\x80\x01\0", ber(0xA1, ber(0xA1, SETTING)))
LONG_WRITE = slmp3(0x1401, bytes.fromhex("64000000 a800 0200 01000200"), sub=2)
MESSAGES = [
    ("ftp", b"stor a b\r\n", ("STOR", (Is.FILE_WRITE,), ["path a b"])),
    ("ftp", b"DELE a\0b\r\n", ("DELE", (Is.FILE_WRITE,), ["path a\\x0b"])),
    ("ftp", b"\0DELE a\r\n", ("\\X0DELE", (Is.UNKNOWN,), [])),
    ("ftp", b"LIST\r\n", ("LIST", (Is.FILE_READ,), [])),
    ("ftp", b"XYZZ 1\r\n", ("XYZZ", (Is.UNKNOWN,), [])),
    ("http", b"DELETE /a?b HTTP/1.1\r\nHost: h\r\n\r\n", ("DELETE", (Is.WRITE,), ["path /a"])),
    ("http", b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", ("CONNECT", (Is.VENDOR,), ["path h:1"])),
    ("http", b"BREW /pot HTTP/1.1\r\n\r\n", ("BREW", (Is.UNKNOWN,), ["path /pot"])),
    (
        "http",
        b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
        ("GET", (Is.WRITE,), ["path /ws"]),
    ),
    ("smb", create(0x00120089, 1, "a\\b.txt"), ("5", (Is.FILE_READ,), ["path a\\b.txt"])),
    ("smb", create(0x00120116, 1, "w"), ("5", (Is.FILE_WRITE,), ["path w"])),
    ("smb", create(0x00120089, 5, "o"), ("5", (Is.FILE_WRITE,), ["path o"])),
    ("smb", create(0x00120089, 1, "d", 0x1000), ("5", (Is.FILE_WRITE,), ["path d"])),
    ("smb", smb2(11, bytes(4) + (0x0011C017).to_bytes(4, "little") + bytes(60)), ("11/0x0011C017", (Is.VENDOR,), [])),
    ("smb", smb2(0x55, bytes(8)), ("85", (Is.UNKNOWN,), [])),
    ("smb", b"\0\0\0\x40\xfdSMB" + bytes(60), ("SMB", (Is.UNKNOWN,), [])),
    ("ge_srtp", srtp(0x04, 0x08, 99, 10), ("0x04", (Is.READ,), ["R 99+10"])),
    ("ge_srtp", srtp(0x07, 0x48, 3, 2, b"\1\2"), ("0x07", (Is.WRITE,), ["Q 3+2"])),
    ("ge_srtp", srtp(0x23, 1), ("0x23", (Is.EXECUTE,), [])),
    ("ge_srtp", srtp(0x99), ("0x99", (Is.UNKNOWN,), [])),
    ("melsec_slmp", slmp3(0x0401, bytes.fromhex("640000 a8 0a00")), ("0x0401", (Is.READ,), ["D 100+10"])),
    ("melsec_slmp", LONG_WRITE, ("0x1401", (Is.WRITE,), ["D 100+2"])),
    ("melsec_slmp", slmp3(0x1002), ("0x1002", (Is.EXECUTE,), [])),
    ("melsec_slmp", slmp3(0x7777), ("0x7777", (Is.UNKNOWN,), [])),
    ("melsec_slmp", b"500000FF03FF00000C001010010000", ("0x1001", (Is.EXECUTE,), [])),
    ("mms", mms_write(OPERATE), ("5", (Is.WRITE,), ["variable LD1/GGIO1$CO$SPCSO1$Oper"])),
    ("mms", mms_write(SETTING), ("5", (Is.CONFIG,), ["variable LD1/LLN0$SP$Limit"])),
    (
        "mms",
        mms_write(OPERATE, SETTING),
        ("5", (Is.WRITE, Is.CONFIG), ["variable LD1/GGIO1$CO$SPCSO1$Oper", "variable LD1/LLN0$SP$Limit"]),
    ),
    ("mms", mms_write(b"\x80\x02mu"), ("5", (Is.WRITE,), ["variable mu"])),
    ("mms", mms(READ_SETTING), ("4", (Is.READ,), ["variable LD1/LLN0$SP$Limit"])),
    ("mms", mms(ber(0xA6, ber(0xA0, SETTING))), ("6", (Is.DIAGNOSTICS,), ["variable LD1/LLN0$SP$Limit"])),
    ("mms", mms(ber(0xAC, SETTING)), ("12", (Is.DIAGNOSTICS,), ["variable LD1/LLN0$SP$Limit"])),
    (
        "mms",
        mms(ber(0xAB, SETTING, ber(0xA0, ber(0x30, ber(0xA0, OPERATE))))),
        ("11", (Is.CONFIG,), ["variable LD1/LLN0$SP$Limit", "variable LD1/GGIO1$CO$SPCSO1$Oper"]),
    ),
    ("mms", mms(b"\xbf\x28\x00"), ("40", (Is.EXECUTE,), [])),
    ("mms", mms(b"\xbf\x4c\x00"), ("76", (Is.FILE_WRITE,), [])),
    ("mms", mms(b"\xbf\x81\x00\x00"), ("128", (Is.UNKNOWN,), [])),
    ("mms", mms(b""), ("none", (Is.UNKNOWN,), [])),
    ("s7comm_plus", tpkt("7201000c 31 0000 0542 0000 0001 00000000"), ("0x0542", (Is.WRITE,), [])),
    ("s7comm_plus", tpkt("7203002c 20" + "ab" * 32 + "31 0000 056b 0000 0001"), ("0x056B", (Is.EXECUTE,), [])),
    ("s7comm_plus", tpkt("72020008 31 0000 0999 0000"), ("0x0999", (Is.UNKNOWN,), [])),
    (
        "rdp",
        bytes.fromhex("03000013 0ee0 0000 0000 00 01 00 0800 03000000"),
        ("connect", (Is.SESSION,), []),
    ),
    ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n", ("SSH-2.0", (Is.SESSION,), ["software SSH-2.0-OpenSSH_9.2p1"])),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "message", "wanted"), MESSAGES)
def test_a_message_is_an_operation(protocol: str, message: bytes, wanted: object) -> None:
    (operation,) = asked(protocol, message)
    assert told(operation) == wanted
    assert operation.protocol == protocol


def hello(version: int, name: str, supported: bytes = b"") -> bytes:
    server = b"\0" + len(name).to_bytes(2, "big") + name.encode()
    extensions = b"\0\0" + (len(server) + 2).to_bytes(2, "big") + len(server).to_bytes(2, "big") + server
    if supported:
        extensions += b"\0\x2b" + (len(supported) + 1).to_bytes(2, "big") + bytes([len(supported)]) + supported
    body = version.to_bytes(2, "big") + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


def test_a_hello_of_tls_tells_the_server_and_the_best_version_that_the_client_offers() -> None:
    assert [told(each) for each in asked("tls", hello(0x0303, "plc.example"))] == [
        ("1", (Is.SESSION,), ["server plc.example", "version TLS 1.2"])
    ]
    (newer,) = asked("tls", hello(0x0303, "plc.example", b"\x7a\x7a\x03\x04\x03\x03"))
    assert told(newer)[2] == ["server plc.example", "version TLS 1.3"]


def test_messages_of_a_controller_and_keep_alives_of_s7comm_plus_ask_for_nothing() -> None:
    notification, keep_alive = tpkt("7201000c 33 0000 0542 0000 0001 00000000"), tpkt("72fe0000")
    assert asked("s7comm_plus", notification, keep_alive, tpkt("7201"), tpkt("7203002c 20abab")) == []


def test_rdp_that_goes_on_in_tls_is_read_as_tls() -> None:
    connect = bytes.fromhex("03000013 0ee0 0000 0000 00 01 00 0800 01000000")
    operations = asked("rdp", connect, hello(0x0303, "host.example"), b"\x17\3\3\0\4abcd")
    assert [each.title for each in operations] == ["rdp.session", "tls.session", "tls.unknown"]


def test_encrypted_data_of_a_client_is_one_unknown_operation() -> None:
    record = b"\x17\3\3\0\4abcd"
    assert [told(each) for each in asked("tls", record, record + record)] == [("23", (Is.UNKNOWN,), [])]


def vnc_talk() -> list[tuple[Side, bytes]]:
    server, client = Side.ASSET, Side.CLIENT
    start = b"\x04\0\x03\0" + bytes(16) + b"\0\0\0\x02ab"
    return [
        (server, b"RFB 003.008\n"),
        (client, b"RFB 003.008\n"),
        (server, b"\1\2"),
        (client, b"\2"),
        (server, bytes(16)),
        (client, bytes(range(16))),
        (server, bytes(4)),
        (client, b"\1"),
        (server, start),
        (client, b"\3" + bytes(9) + b"\4\1\0\0\0\0\0a" + b"\5\0\0\1\0\1" + b"\6\0\0\0\0\0\0\3abc" + b"\xfa\0\1\2"),
    ]


def test_a_session_of_vnc_is_read_and_keys_and_clipboard_are_not_on_record() -> None:
    dissector = BY_NAME["vnc"].dissectors["tcp"]()
    frames = [each.frame for side, data in vnc_talk() for each in dissector.feed(side, data) if each.frame is not None]
    assert [frame.operation.code for frame in frames][-5:] == ["3", "4", "5", "6", "250"]
    classes = [frame.operation.classes[0] for frame in frames]
    assert classes[-5:] == [Is.READ, Is.EXECUTE, Is.EXECUTE, Is.FILE_WRITE, Is.UNKNOWN]
    assert classes[:4] == [Is.SESSION, Is.AUTH, Is.AUTH, Is.SESSION]
    assert [frame.recorded for frame in frames][-4:-1] == [b"\4*******", b"\5\0\0\1\0\1", b"\6**********"]
    assert frames[2].recorded == b"*" * 16


def test_credentials_of_http_and_ftp_are_not_on_record() -> None:
    http_ask = b"GET / HTTP/1.1\r\nAuthorization: Basic c2VjcmV0\r\nCookie: a=secret\r\nHost: h\r\n\r\n"
    for protocol, message in (("http", http_ask), ("ftp", b"PASS secret\r\n"), ("ftp", b"acct secret\r\n")):
        dissector = BY_NAME[protocol].dissectors["tcp"]()
        (shown,) = dissector.feed(Side.CLIENT, message)
        assert shown.frame is not None
        assert b"c2VjcmV0" not in shown.frame.recorded
        assert b"secret" not in shown.frame.recorded
        assert len(shown.frame.recorded) == len(message)


VECTORS = json.loads((Path(__file__).parent / "recognised_vectors.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=[each["about"] for each in VECTORS])
def test_what_no_capture_holds_is_shown_as_tshark_shows_it(vector: dict[str, Any]) -> None:
    """Each is a conversation written for this test, with what tshark 4.0.17 made of it by way of the oracle."""
    dissector = BY_NAME[vector["protocol"]].dissectors[vector["carrier"]]()
    for side, data, wanted in vector["packets"]:
        shown = dissector.feed(Side(side), bytes.fromhex(data))
        assert [each.pdu for each in shown] == wanted, data
