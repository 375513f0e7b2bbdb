"""A talk of each judged protocol with a request that is held: bytes as its own clients send them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from asyncua import ua
from bacnet_datagrams import READ as BACNET_READ
from bacnet_datagrams import WRITE as BACNET_WRITE
from bacnet_datagrams import confirmed, npdu
from dnp3_messages import CROB
from dnp3_messages import request as dnp3
from enip_messages import read_tag, rr_data, write_dint
from opcua_talk import ACKNOWLEDGE, CHANNEL, encoded, hello, open_request, open_response, opening, reading, writing
from opcua_talk import chunk as opcua_chunk
from test_inspect_fins import ADDRESSES, GIVEN, over_tcp
from test_inspect_iec104 import COMMAND, INTERROGATION, STARTDT_ACT, STARTDT_CON, i_frame
from test_inspect_s7comm import CONFIRM, CONNECT, SETUP, SETUP_REPLY
from test_inspect_s7comm import message as s7

from penstock.wire import (
    Decoder,
    Dnp3Decoder,
    Iec104Decoder,
    ModbusDecoder,
    OpcUaDecoder,
    S7Decoder,
    Side,
)
from penstock.wire.bacnet import BacnetDecoder
from penstock.wire.enip import EnipDecoder
from penstock.wire.fins import FinsDecoder

C, A = Side.CLIENT, Side.ASSET


@dataclass(frozen=True, kw_only=True)
class HeldTalk:
    """How a protocol begins (`opening`), and its requests by their place in the talk, which counts from 0.

    `read` is free, `write` is held.  `bare` is what of messages of one side must be the same whatever a refusal did to
    the numbers of the link.
    """

    decoder: Callable[[], Decoder]
    read: Callable[[int], bytes]
    write: Callable[[int], bytes]
    opening: tuple[tuple[Side, bytes], ...] = ()
    bare: Callable[[bytes], bytes] = field(default=lambda data: data)
    is_datagrams: bool = False


def modbus(number: int, pdu: str) -> bytes:
    data = bytes.fromhex(pdu)
    return number.to_bytes(2, "big") + b"\0\0" + (len(data) + 1).to_bytes(2, "big") + b"\1" + data


def without_numbers(data: bytes) -> bytes:
    """IEC 104: behind the four control octets of every I frame; S frames say nothing."""
    found = b""
    while data:
        end = 2 + data[1]
        if not data[2] & 1:
            found += data[6:end]
        data = data[end:]
    return found


def without_sequence(data: bytes) -> bytes:
    """OPC UA: without the sequence number of each chunk."""
    found = b""
    while data:
        end = int.from_bytes(data[4:8], "little")
        found += data[:16] + data[20:end]
        data = data[end:]
    return found


@cache  # its header says when it was made
def opcua_read(number: int) -> bytes:
    return opcua_chunk(encoded(reading("ns=2;s=Level"), handle=number + 1), number + 2, number + 50)


@cache
def opcua_write(number: int) -> bytes:
    value = ua.Variant(number, ua.VariantType.Int16)
    return opcua_chunk(encoded(writing(("ns=2;s=Speed", value)), handle=number + 1), number + 2, number + 50)


TALKS: Final = {
    "modbus": HeldTalk(
        decoder=ModbusDecoder,
        read=lambda n: modbus(n + 1, "03 0000 0002"),
        write=lambda n: modbus(n + 1, f"06 0001 {n:04x}"),
    ),
    "s7comm": HeldTalk(
        decoder=S7Decoder,
        opening=((C, CONNECT), (A, CONFIRM), (C, SETUP), (A, SETUP_REPLY)),
        read=lambda n: s7(1, "0401120a10020004000a84000020", ref=n + 20),
        write=lambda n: s7(1, "0501120a10020001000a84000000", f"00040008{n % 256:02x}", ref=n + 20),
    ),
    "enip": HeldTalk(
        decoder=EnipDecoder,
        read=lambda n: rr_data(read_tag("Level"), context=n + 1),
        write=lambda n: rr_data(write_dint("Speed", n), context=n + 1),
    ),
    "dnp3": HeldTalk(
        decoder=Dnp3Decoder,
        read=lambda n: dnp3(f"C{n % 16:X} 01 3C02 06", transport=0xC0 | n % 64),
        write=lambda n: dnp3(f"C{n % 16:X} 05 {CROB}", transport=0xC0 | n % 64),
    ),
    "iec104": HeldTalk(
        decoder=Iec104Decoder,
        opening=((C, STARTDT_ACT), (A, STARTDT_CON)),
        read=lambda n: i_frame(n, 0, INTERROGATION),
        write=lambda n: i_frame(n, 0, COMMAND),
        bare=without_numbers,
    ),
    "opcua": HeldTalk(
        decoder=OpcUaDecoder,
        opening=(
            (C, hello()),
            (A, ACKNOWLEDGE),
            (C, opening(open_request(), 1, "None", 0)),
            (A, opening(open_response(), 1, "None", CHANNEL)),
        ),
        read=opcua_read,
        write=opcua_write,
        bare=without_sequence,
    ),
    "bacnet": HeldTalk(
        decoder=BacnetDecoder,
        read=lambda n: npdu(confirmed(12, BACNET_READ, invoke=n % 256)),
        write=lambda n: npdu(confirmed(15, BACNET_WRITE, invoke=n % 256)),
        is_datagrams=True,
    ),
    "fins": HeldTalk(
        decoder=FinsDecoder,
        opening=((C, ADDRESSES), (A, GIVEN)),
        read=lambda n: over_tcp(f"80 00 02 00 05 00 00 10 00 {n % 256:02x} 0101 82 0064 00 0001"),
        write=lambda n: over_tcp(f"80 00 02 00 05 00 00 10 00 {n % 256:02x} 0102 82 0064 00 0001 {n % 65536:04x}"),
    ),
}
