"""What BACnet messages mean, what breaks the standard, and agreement with the taxonomy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bacnet_datagrams import (
    COLDSTART,
    EVERYONE,
    READ,
    STATION_3_6C,
    WRITE,
    bvll,
    confirmed,
    fed,
    is_malformed,
    meaning,
    npdu,
    unconfirmed,
)
from taxonomy import many, taxonomy

from penstock.model import Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire import Role, Side
from penstock.wire.bacnet import codes
from penstock.wire.bacnet.services import REQUESTS, UNCONFIRMED_REQUESTS


def asked(service: int, parts: str, **more: Any) -> Operation:
    return meaning(npdu(confirmed(service, parts, **more)))


def told(service: int, parts: str) -> Operation:
    return meaning(npdu(unconfirmed(service, parts), control=0))


def only(operation: Operation) -> tuple[Any, ...]:
    (target,) = operation.targets
    return target.operation_class, target.table, target.first, target.count, target.name, target.values


def test_a_read_names_object_and_property() -> None:
    operation = asked(12, READ)
    assert (operation.title, operation.code, operation.name, operation.unit) == (
        "bacnet.read", "confirmed/12", "readProperty", 0,
    )  # fmt: skip
    assert only(operation) == (Is.READ, "analog-value", 1, 1, "present-value", None)
    assert only(asked(12, "0c 0200000a 19 4c 29 03"))[1:5] == ("device", 10, 1, "object-list[3]")
    assert only(asked(12, "0c 02000001 1a 0200"))[4] == "512"
    assert only(asked(12, "0c 22800001 19 55"))[1] == "138"
    assert only(asked(12, "0c 02000001 19 4c 2a 0100"))[4] == "object-list[256]"
    assert only(asked(12, "0c 02000001 1b 400000"))[4] == "max-bvlc-length-accepted"


def test_a_write_names_priority_and_value_as_well() -> None:
    assert only(asked(15, WRITE)) == (Is.WRITE, "analog-value", 1, 1, "present-value@8", (21.5,))
    assert only(asked(15, "0c 01000003 19 55 3e 91 01 3f"))[1:] == ("binary-output", 3, 1, "present-value@16", (1,))
    assert only(asked(15, "0c 00400001 19 57 29 03 3e 00 3f 49 01"))[4:] == ("priority-array[3]@1", ("null",))


@pytest.mark.parametrize("kind", ["02", "04", "04 40", "0e"])
def test_a_write_to_a_setting_is_configuration(kind: str) -> None:
    """Device, program, schedule and network port."""
    word = bytes.fromhex(kind).ljust(4, b"\0").hex()
    operation = asked(15, f"0c {word} 19 1c 3e 73 00 6162 3f")
    assert operation.classes == (Is.CONFIG,)
    assert only(operation)[4:] == ("description@16", ("ab",))


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("00", "null"),
        ("10", False),
        ("11", True),
        ("21 ff", 255),
        ("25 08 ffffffffffffffff", 2**64 - 1),
        ("31 ff", -1),
        ("32 8000", -32768),
        ("44 3f000000", 0.5),
        ("55 08 3fe0000000000000", 0.5),
        ("62 dead", "0xdead"),
        ("74 00 c3a41e", "ä\x1e"),
        ("75 05 04 00e40041", "äA"),
        ("72 05 e4", "ä"),
        ("72 00 e4", "0x00e4"),
        ("72 01 41", "0x0141"),
        ("82 04 f0", "0b1111"),
        ("81 00", "0b"),
        ("91 02", 2),
        ("a4 7e0b1701", "2026-11-23 mon"),
        ("a4 ffff20ff", "*-*-last *"),
        ("a4 7e0dffff", "2026-odd-* *"),
        ("b4 0e05ffff", "14:05:*.*"),
        ("c4 00800001", "analog-value:1"),
    ],
)
def test_values_of_every_primitive_type_are_decoded(encoded: str, value: object) -> None:
    (found,) = only(asked(15, f"0c 00800001 19 55 3e {encoded} 3f"))[5]
    assert (found, type(found)) == (value, type(value))


def test_several_values_and_values_in_groups_stay_in_order() -> None:
    """A group is shown as one; a value with a context tag has no type, so it is bytes."""
    operation = asked(15, "0c 00800001 19 55 3e 21 01 0e 44 3f000000 1a 0102 0f 91 02 3f")
    assert only(operation)[5] == (1, "[0", 0.5, "0x0102", "]", 2)


def test_everything_in_a_write_of_several_properties_counts() -> None:
    """A setting hidden among values makes both classes necessary."""
    operation = asked(
        16, "0c 00800001 1e 09 55 2e 44 41ac0000 2f 39 08 09 1c 2e 71 00 2f 1f 0c 02000001 1e 09 4d 2e 71 00 2f 1f"
    )
    assert operation.classes == (Is.WRITE, Is.CONFIG)
    assert [(t.table, t.name, t.values) for t in operation.targets] == [
        ("analog-value", "present-value@8", (21.5,)),
        ("analog-value", "description@16", ("",)),
        ("device", "object-name@16", ("",)),
    ]


def test_reads_of_several_properties_name_all_of_them() -> None:
    operation = asked(14, "0c 00800001 1e 09 55 19 03 09 08 1f 0c 02000001 1e 09 4d 1f")
    names = [(t.table, t.first, t.name) for t in operation.targets]
    assert names == [("analog-value", 1, "present-value[3]"), ("analog-value", 1, "all"), ("device", 1, "object-name")]


@pytest.mark.parametrize(
    ("service", "parts", "title", "name", "target"),
    [
        (0, "09 01 1c 00000001 29 02 3e 19 05 3f 4a 00 61 5e 19 06 5f", "write", "acknowledgeAlarm",
         ("analog-input", 1, 1, "alarm", (2,))),
        (6, "c4 02800003 0e 31 ff 22 0200 0f", "file_read", "atomicReadFile", ("file", 3, 1, "octets -1+512", None)),
        (6, "c4 02800003 1e 31 02 21 05 1f", "file_read", "atomicReadFile", ("file", 3, 1, "records 2+5", None)),
        (7, "c4 02800003 0e 31 00 63 010203 0f", "file_write", "atomicWriteFile",
         ("file", 3, 1, "octets 0+3", None)),
        (7, "c4 02800003 1e 31 00 21 02 61 01 62 0203 1f", "file_write", "atomicWriteFile",
         ("file", 3, 1, "records 0+2", None)),
        (8, "0c 03c00001 19 66 3e c4 00800001 3f", "config", "addListElement",
         ("notification-class", 1, 1, "recipient-list", ("analog-value:1",))),
        (10, "0e 09 02 0f", "program_to_device", "createObject", ("analog-value", 0, 1 << 22, "", None)),
        (11, "c4 00800001", "program_to_device", "deleteObject", ("analog-value", 1, 1, "", None)),
        (26, "0c 05000002 19 83 3e 21 01 31 0a 3f", "read", "readRange", ("trend-log", 2, 1, "log-buffer", None)),
        (27, "09 12 1a 00 61 29 01 3c 05400001", "write", "lifeSafetyOperation",
         ("life-safety-point", 1, 1, "operation", (1,))),
        (27, "09 12 1a 00 61 29 01", "write", "lifeSafetyOperation", ("life-safety", 0, 1 << 22, "operation", (1,))),
        (28, "09 12 1c 00000001 29 01 39 3c 4e 09 55 4f 5c 3f800000", "read", "subscribeCOVProperty",
         ("analog-input", 1, 1, "present-value", None)),
    ],
)  # fmt: skip
def test_a_service_names_its_object(service: int, parts: str, title: str, name: str, target: tuple[Any, ...]) -> None:
    operation = asked(service, parts)
    assert (operation.title, operation.name) == (f"bacnet.{title}", name)
    assert only(operation)[1:] == target


CHANGED = "09 01 1c 02000001 2c 00000001 39 00 4e 09 55 2e 44 41ac0000 2f 4f"
EVENT = "09 01 1c 02000001 2c 00000001 3e 19 05 3f 49 01 59 64 69 05 89 00 b9 02"
SEVERAL = "09 12 1c 02000004 29 00 4e 0c 0000000a 1e 09 55 2e 44 42820000 2f 1f 4f"


@pytest.mark.parametrize(
    ("apdu", "name", "values"),
    [
        (confirmed(1, CHANGED), "present-value", (21.5,)),
        (confirmed(2, EVENT), "event-state", (2,)),
        (confirmed(31, SEVERAL), "present-value", (65.0,)),
        (unconfirmed(2, CHANGED), "present-value", (21.5,)),
        (unconfirmed(3, EVENT), "event-state", (2,)),
        (unconfirmed(11, SEVERAL), "present-value", (65.0,)),
    ],
)
def test_a_notification_is_the_assets_and_from_a_client_it_is_a_write(
    apdu: bytes, name: str, values: tuple[object, ...]
) -> None:
    """A controller that subscribed to a value acts on what it is told of it."""
    found = only(meaning(npdu(apdu), Side.ASSET))
    assert (found[0], found[1], found[4], found[5]) == (Is.READ, "analog-input", name, values)
    told = only(meaning(npdu(apdu)))
    assert (told[0], told[1], told[4], told[5]) == (
        Is.WRITE,
        "notification",
        f"analog-input:{found[2]} {name}",
        values,
    )
    assert meaning(npdu(confirmed(32, "09 01"))).classes == (Is.WRITE,)
    assert meaning(npdu(unconfirmed(12, "09 01")), Side.ASSET).classes == (Is.READ,)


def test_a_subscription_names_what_its_notifications_show() -> None:
    assert [t.name for t in asked(5, "09 12 1c 00000001 29 01 39 00").targets] == ["present-value", "status-flags"]


def test_an_object_is_created_with_its_first_values() -> None:
    operation = asked(10, "0e 1c 00800001 0f 1e 09 55 2e 44 41ac0000 2f 1f")
    assert [(t.operation_class, t.table, t.first, t.name, t.values) for t in operation.targets] == [
        (Is.PROGRAM_TO_DEVICE, "analog-value", 1, "", None),
        (Is.PROGRAM_TO_DEVICE, "analog-value", 1, "present-value", (21.5,)),
    ]


@pytest.mark.parametrize(
    ("service", "parts", "code", "name", "kind"),
    [
        (17, "09 05 19 01", "confirmed/17/1", "deviceCommunicationControl disable for 5 min", Is.EXECUTE),
        (17, "19 00 2d 05 00 73657363", "confirmed/17/0", "deviceCommunicationControl enable", Is.EXECUTE),
        (17, "19 02", "confirmed/17/2", "deviceCommunicationControl disable-initiation", Is.EXECUTE),
        (17, "19 03", "confirmed/17/3", "deviceCommunicationControl unknown state 3", Is.UNKNOWN),
        (20, "09 00", "confirmed/20/0", "reinitializeDevice coldstart", Is.EXECUTE),
        (20, "09 02 1d 05 00 73657363", "confirmed/20/2", "reinitializeDevice startbackup", Is.PROGRAM_FROM_DEVICE),
        (20, "09 04", "confirmed/20/4", "reinitializeDevice startrestore", Is.PROGRAM_TO_DEVICE),
        (20, "09 07", "confirmed/20/7", "reinitializeDevice activate-changes", Is.CONFIG),
        (20, "09 08", "confirmed/20/8", "reinitializeDevice unknown state 8", Is.UNKNOWN),
        (18, "09 07 1a 0101", "confirmed/18", "confirmedPrivateTransfer vendor 7 service 257", Is.VENDOR),
        (99, "dead", "confirmed/99", "unknown service confirmed/99", Is.UNKNOWN),
    ],
)
def test_the_state_that_a_service_asks_for_decides(service: int, parts: str, code: str, name: str, kind: Is) -> None:
    operation = asked(service, parts)
    assert (operation.code, operation.name, operation.classes) == (code, name, (kind,))
    assert "sesc" not in repr(operation)


def test_what_a_vendor_puts_into_a_private_transfer_needs_no_tags() -> None:
    """As real controllers send it; but it must stand between its own two tags."""
    assert asked(18, "09 07 1a 0101 2e ffff7f18 2f").classes == (Is.VENDOR,)
    for parts in ("09 07 1a 0101 2e ffff", "09 07 1a 0101 ff 2f", "09 07", "09 07 1a 0101 2f"):
        assert is_malformed(fed(npdu(confirmed(18, parts))))


@pytest.mark.parametrize(
    ("service", "parts", "title", "target"),
    [
        (0, "c4 02000001 22 05c4 91 03 21 07", "discovery", ("device", 1, 1, "", None)),
        (1, "c4 02000001 c4 00800001 73 00 6162", "discovery", ("analog-value", 1, 1, "", None)),
        (6, "a4 7e0b1701 b4 0e050000", "config", ("clock", 0, 1, "", ("2026-11-23 mon 14:05:00.00",))),
        (7, "2c 00800001", "discovery", ("analog-value", 1, 1, "", None)),
        (7, "09 01 19 05 3b 00 6162", "discovery", ("object", 0, 1, "ab", None)),
        (8, "", "discovery", ("device", 0, 1 << 22, "", None)),
        (8, "09 05 1a 0100", "discovery", ("device", 5, 252, "", None)),
        (10, "09 17 19 08 2e 09 0c 44 3f000000 2f", "write", ("channel-group", 23, 1, "channel-12@8", (0.5,))),
        (14, "21 07 72 00 61 72 00 62 c4 02000009", "config", ("device", 9, 1, "", None)),
    ],
)  # fmt: skip
def test_an_unconfirmed_service_names_its_object(service: int, parts: str, title: str, target: tuple[Any, ...]) -> None:
    operation = told(service, parts)
    assert (operation.title, operation.code) == (f"bacnet.{title}", f"unconfirmed/{service}")
    assert only(operation)[1:] == target


def test_each_channel_of_a_group_is_a_target_with_its_own_priority() -> None:
    operation = told(10, "09 17 19 08 2e 09 0c 44 3f000000 09 0d 19 02 00 2f 39 01")
    assert [(t.name, t.values) for t in operation.targets] == [("channel-12@8", (0.5,)), ("channel-13@2", ("null",))]


def test_a_message_for_a_device_behind_the_asset_has_its_network_as_unit() -> None:
    """So that a conduit can limit it; without a destination the unit is 0, the asset itself."""
    operation = meaning(npdu(confirmed(15, WRITE), to=STATION_3_6C))
    assert (operation.unit, operation.classes) == (3, (Is.WRITE,))
    assert operation.name == "writeProperty (station 6c)"
    assert meaning(npdu(confirmed(15, WRITE))).unit == 0
    assert meaning(npdu(unconfirmed(0, "c4 02000001 21 32 91 03 21 07"), by=STATION_3_6C), Side.ASSET).unit == 3


@pytest.mark.parametrize(
    ("datagram", "network", "relay"),
    [
        (npdu(unconfirmed(8), function=0x0B), 0, "broadcast"),
        (npdu(unconfirmed(8), function=0x09), 0, "broadcast"),
        (npdu(unconfirmed(8), to=EVERYONE), 0xFFFF, "broadcast"),
        (npdu(unconfirmed(8), to=bytes.fromhex("0003 00")), 3, "broadcast"),
        (npdu(unconfirmed(8), by=STATION_3_6C), 0, "station"),
        (npdu(unconfirmed(8), to=STATION_3_6C, by=bytes.fromhex("0005 01 09")), 3, "station"),
        (bvll(bytes.fromhex("0a000001bac0 0100") + unconfirmed(8), 0x04), 0, "forwarded"),
    ],
)
def test_what_makes_the_asset_act_for_others_is_configuration_as_well(
    datagram: bytes, network: int, relay: str
) -> None:
    """A broadcast, one to be distributed, a forwarded one, and one in the name of another station."""
    operation = meaning(datagram)
    assert operation.classes == (Is.DISCOVERY, Is.CONFIG)
    assert operation.targets[-1] == Target(Is.CONFIG, "relay", network, 1, relay)
    assert meaning(datagram, Side.ASSET).classes == (Is.DISCOVERY,)


@pytest.mark.parametrize(
    ("function", "content", "kind", "name"),
    [
        (0x05, "003c", Is.CONFIG, "Register-Foreign-Device for 60 s"),
        (0x02, "", Is.DIAGNOSTICS, "Read-Broadcast-Distribution-Table"),
        (0x06, "", Is.DIAGNOSTICS, "Read-Foreign-Device-Table"),
        (0x01, "0a000001bac0ffffffff", Is.CONFIG, "Write-Broadcast-Distribution-Table"),
        (0x08, "0a000001bac0", Is.CONFIG, "Delete-Foreign-Device-Table-Entry"),
        (0x0C, "0102", Is.VENDOR, "Secured-BVLL"),
        (0x0D, "0102", Is.UNKNOWN, "unknown function bvlc/13"),
    ],
)
def test_functions_of_the_link_are_judged_as_well(function: int, content: str, kind: Is, name: str) -> None:
    frame = fed(bvll(content, function))
    classes = (Is.SESSION, kind) if function == 0x05 else (kind,)
    assert (frame.role, frame.operation.classes, frame.operation.name) == (Role.REQUEST, classes, name)
    if function in {0x01, 0x08}:
        assert "10.0.0.1:47808" in repr(frame.operation.targets)


@pytest.mark.parametrize(
    ("message", "content", "kind"),
    [(0, "", Is.DISCOVERY), (0, "0005", Is.DISCOVERY), (6, "01 0005 01 02 1122", Is.CONFIG), (8, "0005 3c", Is.EXECUTE),
     (9, "0005", Is.EXECUTE), (0x12, "", Is.DISCOVERY), (0x0A, "00", Is.UNKNOWN), (0x85, "0007 01", Is.UNKNOWN)],
)  # fmt: skip
def test_network_messages_are_judged_as_well(message: int, content: str, kind: Is) -> None:
    operation = meaning(bvll(bytes((1, 0x80, message)) + bytes.fromhex(content)))
    assert (operation.classes, operation.code) == ((kind,), f"network/{message}")


@pytest.mark.parametrize(
    ("message", "content"),
    [(0, "00"), (0, "00050006"), (1, ""), (1, "000500"), (3, "0100"), (6, ""), (6, "01 0005 01"), (6, "00 00"),
     (6, "01 0005 01 02 11"), (8, "0005"), (9, "000500"), (0x12, "00"), (0x13, "0005")],
)  # fmt: skip
def test_a_network_message_of_another_length_is_malformed(message: int, content: str) -> None:
    assert is_malformed(fed(bvll(bytes((1, 0x80, message)) + bytes.fromhex(content))))


@pytest.mark.parametrize(
    ("service", "parts"),
    [
        (12, ""), (12, "0c 00800001"), (12, "0c 00800001 19"), (12, READ + " 00"), (12, READ + " 29 03 00"),
        (12, "0b 008001 19 55"), (12, "19 55 0c 00800001"), (12, READ + " 28"), (12, READ + " 2d 02 0003"),
        (15, "0c 00800001 19 55"), (15, "0c 00800001 19 55 3e 44 41ac0000"), (15, WRITE + " 00"),
        (15, "0c 00800001 19 55 3e 44 41ac00 3f"), (15, "0c 00800001 19 55 3e 44 41ac0000 2f"),
        (15, "0c 00800001 19 55 3e 44 41ac0000 3f 49 00"), (15, "0c 00800001 19 55 3e 44 41ac0000 3f 49 11"),
        (15, "0c 00800001 19 55 3e d0 3f"), (15, "0c 00800001 19 55 3e 12 3f"), (15, "0c 00800001 19 55 3e 20 3f"),
        (15, "0c 00800001 19 55 3e 82 09 00 3f"), (15, "0c 00800001 19 55 3e 46 3f"),
        (15, "0c 00800001 19 55 3e 65 04 00000000 3f"), (15, "0c 00800001 19 55 3e 25 05 0000000001 3f"),
        (15, "0c 00800001 19 55 3e " + 17 * "0e" + 17 * "0f" + " 3f"),
        (14, ""), (14, "0c 00800001 1e 1f"), (14, "0c 00800001 1e 09 55"), (14, "0c 00800001"),
        (16, ""), (16, "0c 00800001 1e 1f"), (16, "0c 00800001 1e 09 55 1f"),
        (16, "0c 00800001 1e 09 55 2e 44 41ac0000 2f"),
        (6, "c4 02800003 0e 31 00 22 0200"), (7, "c4 02800003 1e 31 00 21 03 61 01 1f"), (3, "00"), (29, "19 01"),
        (17, ""), (17, "0a ffff"), (17, "0b 010000 19 01"), (20, ""), (20, "19 01"), (10, "0e 0f"), (11, "0c 00800001"),
        (27, "09 12 1a 00 61"), (5, "09 12"), (13, "0e"), (24, "f9"), (33, "1f"),
    ],
)  # fmt: skip
def test_a_confirmed_request_that_breaks_the_standard_is_malformed(service: int, parts: str) -> None:
    assert is_malformed(fed(npdu(confirmed(service, parts))))


@pytest.mark.parametrize("flags", [0x01, 0x04, 0x05])
def test_flags_that_mean_nothing_in_a_whole_request_are_malformed(flags: int) -> None:
    """The reserved bit, and "more segments" of what has no segments."""
    assert is_malformed(fed(npdu(confirmed(12, READ, flags=flags))))


@pytest.mark.parametrize(
    ("service", "parts"),
    [(0, "c4 02000001 21 32 91 03"), (8, "09 05"), (8, "09 05 19 04"), (8, "0b 400000 1b 400000"), (6, "a4 7e0b1701"),
     (10, "09 17 19 08 2e 2f"), (10, "09 00 19 08 2e 09 0c 00 2f"), (10, "09 17 19 11 2e 09 0c 00 2f"), (7, "")],
)  # fmt: skip
def test_an_unconfirmed_request_that_breaks_the_standard_is_malformed(service: int, parts: str) -> None:
    assert is_malformed(fed(npdu(unconfirmed(service, parts), control=0)))


def test_a_message_type_that_the_standard_does_not_define_is_unknown() -> None:
    assert meaning(npdu(b"\x80\x00")).classes == (Is.UNKNOWN,)
    assert meaning(npdu(unconfirmed(99))).classes == (Is.UNKNOWN,)
    assert is_malformed(fed(npdu(b"\x11\x08")))


def classes_of(entries: list[dict[str, Any]], key: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    for entry in entries:
        for number in many(entry[key]):
            yield number, () if entry.get("carries") else tuple(many(entry["class"]))


@pytest.mark.parametrize(
    ("table", "section", "key"),
    [
        (codes.FUNCTIONS, "bvlc", "function"),
        (codes.MESSAGES, "npdu", "message"),
        (codes.UNCONFIRMED, "unconfirmed", "service"),
        (codes.STATES, "states", "code"),
        (codes.CONFIRMED, "confirmed", "service"),
    ],
)
def test_the_tables_of_codes_are_the_taxonomy(table: codes.Meanings, section: str, key: str) -> None:
    """Code for code and class for class as in the project's taxonomy, neither more nor less."""
    entries = taxonomy("bacnet_ip")["confirmed" if section == "states" else section]
    refined = [entry for entry in entries if "sub" in entry]
    if section == "states":
        entries = refined[0]["sub"]
    elif refined:
        (reinitialize,) = refined
        assert reinitialize["service"] == codes.REINITIALIZE_DEVICE
        entries = [*(entry for entry in entries if entry not in refined), {"service": 20, "class": "execute"}]
    ours = {number: tuple(str(each) for each in classes) for number, (_, classes) in table.items()}
    assert ours == dict(classes_of(entries, key))


def test_every_service_has_rules() -> None:
    assert REQUESTS.keys() == codes.CONFIRMED.keys()
    assert UNCONFIRMED_REQUESTS.keys() == codes.UNCONFIRMED.keys()


def test_a_restart_is_what_it_is_also_from_an_asset() -> None:
    assert meaning(npdu(confirmed(20, COLDSTART)), Side.ASSET).classes == (Is.EXECUTE,)
