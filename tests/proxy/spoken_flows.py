"""One flow of a recognised protocol between bytes, with a policy that allows some classes, and real first messages."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from captured import CapturedFlow, flows
from proxying import GRANT, T0

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import Decision, Grant, Operation, OperationClass, Reason, Record
from penstock.proxy.recognised import RecognisedDatagrams, RecognisedRelay
from penstock.proxy.relay import Effect
from penstock.wire import SPOKEN, Side

H = bytes.fromhex
#: The connect of COTP and its confirm as IEC 61850 and S7 send them.
CONNECT: Final = H("0300001611e00000000100c0010ac1020100c2020101")
CONFIRM: Final = H("0300001611d00001000100c0010ac1020100c2020101")
#: Captures that hold a protocol from its connection on, and which flow of them.
WHOLE: Final = (
    ("http", "http-get.pcap", 0),
    ("http", "http-post-multipart.pcap", 0),
    ("ftp", "ftp-retr.pcap", 0),
    ("telnet", "telnet-login.pcap", 0),
    ("ssh", "ssh-session.pcap", 0),
    ("tls", "tls-ecdhe.pcap", 0),
    ("vnc", "vnc-auth.pcap", 1),
    ("mms", "mms-read.pcap", 0),
    ("mms", "mms-write.pcap", 0),
    ("mms", "mms-long.pcap", 0),
    ("rdp", "rdp-x509.pcap", 0),
)
GE_START: Final = bytes(56)
GE_STARTED: Final = b"\x01" + bytes(55)


def smb_message(command: int, body: bytes, flags: int = 0) -> bytes:
    """One message of SMB 2 behind its session head."""
    head = H("fe534d42 4000 0000 00000000") + command.to_bytes(2, "little") + H("1f00") + flags.to_bytes(4, "little")
    message = head + bytes(64 - len(head)) + body
    return len(message).to_bytes(4, "big") + message


def ge_request(service: int, text: bytes = b"") -> bytes:
    """A mailbox message of GE-SRTP."""
    message = bytearray(56)
    message[0], message[31], message[50 if text else 42] = 2, 0x80 if text else 0xC0, service
    message[4:6] = len(text).to_bytes(2, "little")
    return bytes(message) + text


def slmp_request(command: int, body: bytes = b"") -> bytes:
    """A 3E frame."""
    content = b"\x10\0" + command.to_bytes(2, "little") + b"\0\0" + body
    return H("5000 00 ff ff03 00") + len(content).to_bytes(2, "little") + content


def tpkt(payload: bytes) -> bytes:
    """One data unit of COTP in one packet."""
    return b"\x03\0" + (len(payload) + 7).to_bytes(2, "big") + b"\x02\xf0\x80" + payload


def ber(tag: int, *parts: bytes) -> bytes:
    """One element."""
    content = b"".join(parts)
    return bytes((tag, 0x82, len(content) >> 8, len(content) & 0xFF)) + content


def mms_value(service: bytes, tag: int = 0xA0) -> bytes:
    """A message of MMS as a presentation value."""
    return ber(0x30, b"\x02\x01\x03", ber(0xA0, ber(tag, b"\x02\x01\x07", service)))


def mms_message(*values: bytes) -> bytes:
    """A packet with a presentation unit of these values."""
    return tpkt(b"\x01\x00\x01\x00" + ber(0x61, *values))


SMB_NEGOTIATE: Final = smb_message(0, H("2400 0200") + bytes(32) + H("02021003"))
SMB_NEGOTIATED: Final = smb_message(0, H("4100 0000 1003") + bytes(58), flags=1)
ITEM: Final = ber(0xA1, ber(0x1A, b"LD1"), ber(0x1A, b"GGIO1$ST$Ind1"))
MMS_READ: Final = mms_value(ber(0xA4, ber(0xA1, ber(0xA0, ber(0x30, ber(0xA0, ITEM))))))
MMS_WRITE: Final = mms_value(ber(0xA5, ber(0xA0, ber(0x30, ber(0xA0, ITEM))), ber(0xA0, b"\x83\x01\xff")))
S7_PLUS_READ: Final = tpkt(H("7201000c 31 0000 054c 0000 0001 000000 72010000"))
S7_PLUS_WRITE: Final = tpkt(H("7201000c 31 0000 0542 0000 0001 000000 72010000"))


@cache
def captured(name: str, number: int) -> CapturedFlow:
    """One TCP flow of a capture, the client's side first."""
    return [flow for flow in flows(name) if flow.carrier == "tcp" and flow.packets][number]


class SpokenFlow:
    """One flow whose client may do what is of these classes; no classes: everything."""

    kind: type[RecognisedRelay | RecognisedDatagrams] = RecognisedRelay

    def __init__(self, folder: Path, word: str, classes: Collection[OperationClass] = (), grant: Grant = GRANT) -> None:
        path = folder / "worker-1.ring"
        self.journal = Journal(RingWriter(path, 1 << 15), T0)
        self.reader = JournalReader(path)
        self.reader.read(T0)
        self.classes = frozenset(classes) or frozenset(OperationClass)
        self.judged: list[Operation] = []
        grant = replace(grant, protocol=word, service=word)
        self.flow = self.journal.open_flow(grant, "192.168.10.12:40001", T0)
        self.relay = self.kind(grant, SPOKEN[word], self._judge, self.journal, self.flow)
        self.client, self.asset = self.relay.from_client, self.relay.from_asset

    def _judge(self, operation: Operation, _now_us: int) -> Decision:
        self.judged.append(operation)
        is_allowed = self.classes.issuperset(operation.classes)
        reason = Reason.ALLOWED if is_allowed else Reason.OPERATION_NOT_ALLOWED
        return Decision(is_allowed=is_allowed, reason=reason, revision=3, conduit="reads")

    def take(self, side: Side, data: bytes, now_us: int = T0) -> Effect:
        """Bytes of either side."""
        return (self.client if side is Side.CLIENT else self.asset)(data, now_us)

    def play(self, flow: CapturedFlow, size: int | None = None) -> dict[Side, bytes]:
        """A captured conversation in pieces of this size; what arrived at either side's other end."""
        arrived = dict.fromkeys(Side, b"")
        for packet in flow.packets:
            step = size or len(packet.data)
            for at in range(0, len(packet.data), step):
                effect = self.take(packet.side, packet.data[at : at + step])
                assert effect.ending is None, (packet.frame, effect.ending)
                arrived[packet.side] += effect.to_asset if packet.side is Side.CLIENT else effect.to_client
        return arrived

    def records(self, kind: str) -> list[Record]:
        """The records of one kind that control can read now."""
        now_us = T0 + 60_000_000
        return [r for r in self.reader.read(now_us) + self.reader.read(now_us + 10_000_000) if r.kind == kind]

    def all_records(self) -> list[Record]:
        """Everything that control can read now."""
        now_us = T0 + 60_000_000
        return self.reader.read(now_us) + self.reader.read(now_us + 10_000_000)


def begun(folder: Path, word: str, classes: Collection[OperationClass] = ()) -> SpokenFlow:
    """A flow whose connection stands: the beginning of both sides went through."""
    flow = SpokenFlow(folder, word, classes)
    for side, data in BEGINNINGS[word]:
        effect = flow.take(side, data)
        assert effect.ending is None
        assert (effect.to_asset or effect.to_client) == data
    return flow


def _first(name: str, number: int, count: int) -> list[tuple[Side, bytes]]:
    return [(packet.side, packet.data) for packet in captured(name, number).packets[:count]]


C, A = Side.CLIENT, Side.ASSET
#: What both sides say until a connection stands.
BEGINNINGS: Final[dict[str, list[tuple[Side, bytes]]]] = {
    "mms": _first("mms-read.pcap", 0, 4),
    "s7comm-plus": [(C, CONNECT), (A, CONFIRM), (C, S7_PLUS_READ), (A, tpkt(H("72010004 32 0000 00 72010000")))],
    "ge-srtp": [(C, GE_START), (A, GE_STARTED)],
    "slmp": [(C, slmp_request(0x0101)), (A, H("d000 00 ff ff03 00 0400 0000 1234"))],
    "ssh": [(A, b"SSH-2.0-OpenSSH_9.2\r\n"), (C, b"SSH-2.0-PuTTY_Release_0.80\r\n")],
    "rdp": _first("rdp-x509.pcap", 0, 4),
    "vnc": [(A, b"RFB 003.008\n"), (C, b"RFB 003.008\n")],
    "http": [(C, b"GET / HTTP/1.1\r\nHost: hmi\r\n\r\n"), (A, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
    "tls": _first("tls-ecdhe.pcap", 0, 2),
    "https": _first("tls-ecdhe.pcap", 0, 2),
    "smb": [(C, SMB_NEGOTIATE), (A, SMB_NEGOTIATED)],
    "ftp": [(A, b"220 ready\r\n"), (C, b"USER ada\r\n")],
    "telnet": [(A, H("fffd18 fffd20")), (C, H("fffb18 fffc20"))],
}
BEGINNINGS["melsec"] = BEGINNINGS["slmp"]
