"""PROFINET DCP: who is on the link, and what name and address it shall have.

Pure.  IEC 61158-6-10 (DCP frame 4.3, options 4.3.1.4).  It is a protocol of the link: it crosses no router and no gate,
so it is read in captures and never judged.  It must never raise: what ends too early has no more blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

from penstock.model import Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import Pdu, asking, named, shown_text

_GET, _SET, _IDENTIFY, _HELLO = 3, 4, 5, 6
#: (services, name, classes): the taxonomy.  Set is refined by its control option.
CODES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    ((3, 5, 6), "Get, Identify, Hello", (Is.DISCOVERY,)),
    ((4,), "Set", (Is.CONFIG,)),
)
MEANINGS: Final = {code: classes for codes, _, classes in CODES for code in codes}
SERVICES: Final = {
    0: "reserved",
    1: "Manufacturer specific",
    2: "Manufacturer specific",
    3: "Get",
    4: "Set",
    5: "Identify",
    6: "Hello",
}
_TYPES: Final = {0: "Request", 1: "Response Success", 5: "Response - Request not supported"}
_IP, _DEVICE, _CONTROL = 1, 2, 5
OPTIONS: Final = {
    0: "Reserved",
    1: "IP",
    2: "Device properties",
    3: "DHCP",
    4: "Reserved",
    5: "Control",
    6: "Device Initiative",
    7: "TSN Domain",
    **dict.fromkeys(range(128, 255), "Manufacturer specific"),
    255: "All Selector",
}
_SUB_IP: Final = {0: "Reserved", 1: "MAC address", 2: "IP parameter", 3: "Full IP suite"}
_SUB_DEVICE: Final = {
    0: "Reserved",
    1: "Manufacturer specific (Type of Station)",
    2: "Name of Station",
    3: "Device ID",
    4: "Device Role",
    5: "Device Options",
    6: "Alias Name",
    7: "Device Instance",
    8: "OEM Device ID",
    10: "RSI Properties",
}
_SUB_CONTROL: Final = {
    0: "Reserved",
    1: "Start Transaction",
    2: "End Transaction",
    3: "Signal",
    4: "Response",
    5: "Reset Factory Settings",
    6: "Reset to Factory",
}
_SUBS: Final = {_IP: ("sub_ip", _SUB_IP), _DEVICE: ("sub_device", _SUB_DEVICE), _CONTROL: ("sub_control", _SUB_CONTROL)}
#: Set of the control option: 3 lets a lamp blink, 5 and 6 reset to factory settings.
_CONTROL_CLASSES: Final = {3: Is.DISCOVERY, 5: Is.EXECUTE, 6: Is.EXECUTE}
_STATION, _OPTION_LIST, _CONTROL_RESPONSE = 2, 5, 4
_FRAMES: Final = frozenset({0xFEFC, 0xFEFD, 0xFEFE, 0xFEFF})
_HEAD_BYTES: Final = 12
_COLUMN: Final = "PN-DCP"
_ADDRESS_BYTES: Final = 4
#: The words of a target, by option and suboption.
_OBJECTS: Final = {(1, 2): "ip", (1, 3): "ip", (2, 2): "station", (5, 3): "signal", (5, 5): "reset", (5, 6): "reset"}


def show_frame(data: bytes, side: Side) -> Sequence[Shown]:
    """One frame of PROFINET on the link; cyclic data has nothing but its number."""
    if len(data) < 2:  # noqa: PLR2004 - the frame's number
        return ()
    number = data[0] << 8 | data[1]
    pdu: Pdu = {"p": "pn_rt", "frame_id": number}
    if number not in _FRAMES or len(data) < _HEAD_BYTES:
        return [Shown(pdu, column="PN-RT" if number not in _FRAMES else _COLUMN)]
    service, kind = data[2], data[3]
    named(pdu, "service", service, SERVICES)
    named(pdu, "stype", kind, _TYPES)
    pdu["xid"] = int.from_bytes(data[4:8], "big")
    end = min(_HEAD_BYTES + (data[10] << 8 | data[11]), len(data))
    targets: list[Target] = []
    if service == _GET and kind == 0:
        for at in range(_HEAD_BYTES, end - 1, 2):
            _option(pdu, data[at], data[at + 1])
    else:
        _blocks(pdu, data[:end], targets)
    asked = asking(data, side, _operation(service, targets)) if kind == 0 else None
    return [Shown(pdu, asked, _COLUMN)]


def _option(pdu: Pdu, option: int, sub: int) -> None:
    pdu.setdefault("option", []).append(option)
    pdu.setdefault("option_name", []).append(OPTIONS.get(option, "Unknown"))
    _suboption(pdu, option, sub)


def _suboption(pdu: Pdu, option: int, sub: int) -> None:
    if option in _SUBS:
        key, names = _SUBS[option]
        pdu.setdefault(key, []).append(sub)
        pdu.setdefault(key + "_name", []).append(names.get(sub, "Unknown"))


def _blocks(pdu: Pdu, data: bytes, targets: list[Target]) -> None:
    """Blocks of option, suboption and length; all but those of an Identify request have two bytes in front."""
    has_qualifier = not (data[2] == _IDENTIFY and data[3] == 0)
    at = _HEAD_BYTES
    while at + 4 <= len(data):
        option, sub, size = data[at], data[at + 1], data[at + 2] << 8 | data[at + 3]
        content = data[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
        _option(pdu, option, sub)
        if option == _CONTROL and sub == _CONTROL_RESPONSE:
            if len(content) > 1:
                _suboption(pdu, content[0], content[1])
            continue
        content = content[2:] if has_qualifier else content
        text = _content(pdu, option, sub, content)
        meant = _CONTROL_CLASSES.get(sub, Is.CONFIG) if option == _CONTROL else Is.CONFIG
        targets.append(Target(meant, _OBJECTS.get((option, sub), f"{option}/{sub}"), name=text))


def _content(pdu: Pdu, option: int, sub: int, content: bytes) -> str:
    """What a block says, where it is a name or an address."""
    if option == _IP and sub in {2, 3} and len(content) >= _ADDRESS_BYTES:
        address = str(IPv4Address(content[:_ADDRESS_BYTES]))
        pdu.setdefault("set_ip", []).append(address)
        return address
    if option == _DEVICE and sub == _STATION:
        pdu.setdefault("station", []).append(shown_text(content))
        return shown_text(content)
    if option == _DEVICE and sub == _OPTION_LIST:
        for at in range(0, len(content) - 1, 2):
            _option(pdu, content[at], content[at + 1])
    return ""


def _operation(service: int, targets: list[Target]) -> Operation:
    name = f"DCP {SERVICES.get(service, f'unknown {service}')}"
    if service != _SET:
        return Operation("profinet", MEANINGS.get(service, (Is.UNKNOWN,)), f"dcp/{service}", name)
    classes = tuple(dict.fromkeys(target.operation_class for target in targets)) or (Is.CONFIG,)
    return Operation("profinet", classes, f"dcp/{service}", name, None, tuple(targets))
