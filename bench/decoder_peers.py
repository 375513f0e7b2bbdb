"""The libraries beside which `decoders.py` measures: each decodes the same captured payloads, one by one.

A payload that a library refuses counts as decoded: it has looked at it.  Libraries are imported only when they are
asked for; those under the GPL run in a process of their own.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

RUNS = 5
#: What a captured payload is: whether the client sent it, and its bytes.
Payloads = list[tuple[bool, bytes]]
Decode = Callable[[bool, bytes], object]


class Peer(NamedTuple):
    """A library: its package, and what gives the microseconds for a payload."""

    package: str
    measure: Callable[[Payloads], float]


def _in_process(prepare: Callable[[], Decode]) -> Callable[[Payloads], float]:
    def measure(payloads: Payloads) -> float:
        decode = prepare()
        return min(_once(decode, payloads) for _ in range(RUNS)) / len(payloads) * 1e6

    return measure


def _once(decode: Decode, payloads: Payloads) -> float:
    start = time.process_time()
    for is_asked, payload in payloads:
        with contextlib.suppress(Exception):
            decode(is_asked, payload)
    return time.process_time() - start


def _pymodbus() -> Decode:
    from pymodbus.framer import FramerSocket
    from pymodbus.pdu import DecodePDU

    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    asked, answered = FramerSocket(DecodePDU(is_server=True)), FramerSocket(DecodePDU(is_server=False))
    return lambda is_asked, data: (asked if is_asked else answered).handleFrame(data, 0, 0)


def _asyncua() -> Decode:
    from asyncua import ua
    from asyncua.common.utils import Buffer
    from asyncua.ua import ua_binary

    suffix = "_Encoding_DefaultBinary"
    kinds = {
        getattr(ua.ObjectIds, name): getattr(ua, name.removesuffix(suffix), None)
        for name in dir(ua.ObjectIds)
        if name.endswith(("Request" + suffix, "Response" + suffix))
    }

    def decode(_: bool, data: bytes) -> object:  # noqa: FBT001 - as every decoder here is called
        buffer = Buffer(data)
        header = ua_binary.header_from_binary(buffer)
        if header.MessageType != ua.MessageType.SecureMessage:
            return header
        buffer.skip(12)  # token, sequence number, request number
        kind = kinds[ua_binary.nodeid_from_binary(buffer.copy()).Identifier]
        return ua_binary.struct_from_binary(kind, buffer)

    return decode


def _bacpypes3() -> Decode:
    from bacpypes3.apdu import APDU
    from bacpypes3.npdu import NPDU
    from bacpypes3.pdu import PDU

    def decode(_: bool, data: bytes) -> object:  # noqa: FBT001 - as every decoder here is called
        return APDU.decode(NPDU.decode(PDU(data[4:])))

    return decode


#: What a process of its own runs for scapy: payloads in hexadecimal on stdin, microseconds for one on stdout.
_SCAPY: Final = """
import importlib, sys, time
module, name = sys.argv[1:3]
layer = getattr(importlib.import_module(module), name)
payloads = [bytes.fromhex(line) for line in sys.stdin]
def once():
    start = time.process_time()
    for payload in payloads:
        try:
            layer(payload)
        except Exception:
            pass
    return time.process_time() - start
print(min(once() for _ in range(3)) / len(payloads) * 1e6)
"""


def _scapy(module: str, layer: str) -> Peer:
    def measure(payloads: Payloads) -> float:
        told = subprocess.run(
            [sys.executable, "-c", _SCAPY, module, layer],
            input="\n".join(payload.hex() for _, payload in payloads[:500]),
            capture_output=True,
            text=True,
            check=True,
        )
        return float(told.stdout)

    return Peer("scapy", measure)


PEERS: Final[Mapping[str, tuple[Peer, ...]]] = {
    "modbus": (
        Peer("pymodbus", _in_process(_pymodbus)),
        _scapy("scapy.contrib.modbus", "ModbusADURequest"),
    ),
    "enip": (_scapy("scapy.contrib.enipTCP", "ENIPTCP"),),
    "iec104": (_scapy("scapy.contrib.scada.iec104", "IEC104_APDU"),),
    "opcua": (Peer("asyncua", _in_process(_asyncua)),),
    "bacnet": (Peer("bacpypes3", _in_process(_bacpypes3)),),
}
