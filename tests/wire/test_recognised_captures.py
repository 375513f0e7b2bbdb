"""The recognised protocols show captures as tshark does, and each client's message as an operation."""

from __future__ import annotations

from typing import Any

import pytest
from captured import CapturedFlow, byte_by_byte, compare, dissect, expected_pdus, flows_of, whole
from recognised_captures import CAPTURED, Captured

from penstock.model import OperationClass as Is
from penstock.wire import Shown, Side

every = pytest.mark.parametrize("captured", CAPTURED, ids=lambda each: f"{each.protocol}-{each.name}")


@every
def test_every_capture_is_shown_as_tshark_shows_it(captured: Captured) -> None:
    make = captured.known.dissectors[captured.carrier]
    wanted = sum(
        len(expected_pdus(captured.name, frame, captured.kinds))
        for flow in flows_of(captured.name, captured.kinds)
        for frame in flow.frames
    )
    file = f"recognised_{captured.protocol}"
    compared = compare(captured.name, make, file, captured.kinds, is_cut=not captured.is_by_packet)
    assert wanted > 0
    assert abs(compared - wanted) <= 1


def said(shown: dict[int, list[Shown]]) -> dict[str, Any]:
    """All that was shown, without the packets' borders."""
    found: dict[str, Any] = {}
    for pdu in (each.pdu for every in shown.values() for each in every):
        for key, value in pdu.items():
            if key == "data":
                found[key] = found.get(key, "") + "".join(value).replace(" ", "")
            elif key != "p":
                found.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    return found


@pytest.mark.parametrize(
    "captured", [each for each in CAPTURED if each.is_by_packet], ids=lambda each: f"{each.protocol}-{each.name}"
)
def test_where_a_unit_is_a_packet_other_cuts_show_the_same_codes_in_the_same_order(captured: Captured) -> None:
    make = captured.known.dissectors[captured.carrier]
    for flow in flows_of(captured.name, captured.kinds):
        assert said(dissect(flow, make, byte_by_byte)) == said(dissect(flow, make, whole)) != {}


def operations(captured: Captured) -> list[tuple[str, tuple[Is, ...], str]]:
    make = captured.known.dissectors[captured.carrier]
    found = []
    for flow in flows_of(captured.name, captured.kinds):
        for every_shown in dissect(flow, make).values():
            for shown in every_shown:
                if shown.frame is not None:
                    operation = shown.frame.operation
                    assert operation.protocol == captured.protocol
                    objects = " ".join(f"{target.table}:{target.name or target.first}" for target in operation.targets)
                    found.append((operation.code, operation.classes, objects))
    return found


def asked(flow: CapturedFlow) -> int:
    return sum(packet.side is Side.CLIENT for packet in flow.packets)


@every
def test_every_packet_of_a_client_has_an_operation_or_belongs_to_one(captured: Captured) -> None:
    """Not those of an encrypted session behind the first, and not the second half of a message."""
    encrypted = {"ssh", "tls"}
    found = operations(captured)
    packets = sum(asked(flow) for flow in flows_of(captured.name, captured.kinds))
    assert found or captured.name == "profinet-dcp-set-ip.pcap"
    if captured.protocol not in encrypted and captured.name != "mms-long.pcap":  # there both ask, in halves of messages
        assert abs(len(found) - packets) <= packets // 4 + 1
    assert all(code and classes for code, classes, _ in found)


def named(protocol: str, name: str) -> Captured:
    return next(each for each in CAPTURED if (each.protocol, each.name) == (protocol, name))


def test_what_the_captures_ask_for() -> None:
    ftp = operations(named("ftp", "ftp-retr.pcap"))
    assert ("RETR", (Is.FILE_READ,), "path:/README") in ftp
    assert ("PASS", (Is.AUTH,), "") in ftp
    assert operations(named("http", "http-post-multipart.pcap")) == [("POST", (Is.WRITE,), "path:/")]
    assert ("9", (Is.FILE_WRITE,), "") in operations(named("smb", "smb2-read-write.pcap"))
    assert ("5", (Is.FILE_READ,), "path:pythonfile") in operations(named("smb", "smb2-read-write.pcap"))
    assert ("encrypted", (Is.EXECUTE, Is.FILE_READ, Is.FILE_WRITE, Is.VENDOR), "") in operations(
        named("ssh", "ssh-session.pcap")
    )
    assert ("channels", (Is.EXECUTE, Is.FILE_READ, Is.FILE_WRITE, Is.VENDOR)) in [
        each[:2] for each in operations(named("rdp", "rdp-x509.pcap"))
    ]
    assert ("connect", (Is.SESSION,), "user:JOHN-PC") in operations(named("rdp", "rdp-x509.pcap"))
    assert ("5", (Is.WRITE,), "variable:KIRKLAND/CITEC_TS0") in operations(named("mms", "mms-long.pcap"))
    assert {code for code, _, _ in operations(named("s7comm_plus", "s7-plus-mixed.pcap"))} == {
        "0x04F2",
        "0x0542",
        "0x054C",
    }
    assert ("text", (Is.EXECUTE,), "") in operations(named("telnet", "telnet-login.pcap"))
    assert ("dcp/4", (Is.CONFIG,), "ip:192.168.0.10") in operations(named("profinet", "profinet-dcp-set-ip.pcap"))
    profinet = operations(named("profinet", "profinet-io-cm.pcapng"))
    assert ("3", (Is.CONFIG,), "record:0/0/0x0001 record:0/1/0x0001 record:0/1/0x0001") in profinet
    assert ("2", (Is.READ,), "record:0/0/0x0000") in profinet
    assert {"melsoft", "melsoft/0x0121", "melsoft/0x185F"} <= {
        code for code, _, _ in operations(named("melsec_slmp", "melsec-melsoft-udp.pcap"))
    }


def test_no_password_of_a_capture_is_on_record() -> None:
    secrets = {"ftp": b"chrome@example.com", "telnet": b"user\r\n"}
    names = {"ftp": "ftp-retr.pcap", "telnet": "telnet-login.pcap"}
    for protocol, secret in secrets.items():
        captured = named(protocol, names[protocol])
        (flow,) = flows_of(captured.name, captured.kinds)
        frames = [s.frame for one in dissect(flow, captured.known.dissectors["tcp"]).values() for s in one if s.frame]
        assert any(secret in frame.data for frame in frames)
        assert not any(secret in frame.recorded for frame in frames)
