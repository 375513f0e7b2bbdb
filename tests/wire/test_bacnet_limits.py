"""What a site document says of objects, properties, priorities and values, held against messages."""

from __future__ import annotations

import pytest
from bacnet_datagrams import EVERYONE, STATION_3_6C, bvll, confirmed, meaning, npdu, unconfirmed
from narrowed import decided

from penstock.model import OperationClass as Is
from penstock.model import Reason
from penstock.wire import UnreadableError
from penstock.wire.bacnet import BACNET
from penstock.wire.bacnet.words import read_objects, read_priorities, read_properties


def write(thing: str = "00800001", prop: str = "55", value: str = "44 41ac0000", priority: str = "49 08") -> bytes:
    """WriteProperty: 21.5 to the present value of analog-value 1 at priority 8."""
    return npdu(confirmed(15, f"0c {thing} 19 {prop} 3e {value} 3f {priority}"))


ALLOWED, OUTSIDE, VALUE, CLASS = (
    Reason.ALLOWED,
    Reason.OBJECT_OUT_OF_RANGE,
    Reason.VALUE_OUT_OF_RANGE,
    Reason.OPERATION_NOT_ALLOWED,
)
SET_POINTS = "{write: {objects: [analog-value:1-5, binary-output:*], properties: present-value, priorities: 8-16}}"
VALUES = "{write: {objects: analog-value:1-5, values: [15-25, relinquish]}}"
READS = "{read: {objects: [analog-value:*, device:10], properties: [present-value, object-list]}}"


@pytest.mark.parametrize(
    ("allow", "datagram", "reason"),
    [
        (SET_POINTS, write(), ALLOWED),
        (SET_POINTS, write(thing="00800005", priority=""), ALLOWED),
        (SET_POINTS, write(thing="013fffff", value="91 01"), ALLOWED),
        (SET_POINTS, write(thing="00800006"), OUTSIDE),
        (SET_POINTS, write(thing="00400001"), OUTSIDE),
        (SET_POINTS, write(prop="51"), OUTSIDE),
        (SET_POINTS, write(priority="49 07"), OUTSIDE),
        (SET_POINTS, write(priority="49 01"), OUTSIDE),
        (SET_POINTS, write(prop="55", priority="49 10"), ALLOWED),
        (SET_POINTS, npdu(confirmed(15, "0c 00800001 19 55 29 01 3e 00 3f 49 08")), ALLOWED),
        (SET_POINTS, npdu(confirmed(15, "0c 02000001 19 1c 3e 71 00 3f")), CLASS),
        (SET_POINTS, npdu(unconfirmed(10, "09 17 19 08 2e 09 0c 00 2f")), OUTSIDE),
        (SET_POINTS, npdu(confirmed(19, "0c 02000001 29 00 3a 00 61")), OUTSIDE),
        ("{write: {objects: 'channel-group:20-30', priorities: 8}}",
         npdu(unconfirmed(10, "09 17 19 08 2e 09 0c 00 2f")), ALLOWED),
        (VALUES, write(), ALLOWED),
        (VALUES, write(value="44 41f00000"), VALUE),
        (VALUES, write(value="44 7fc00000"), VALUE),
        (VALUES, write(value="00"), ALLOWED),
        (VALUES, write(value="74 00 6e756c"), VALUE),
        (VALUES, write(value="0e 44 41ac0000 0f 19 05"), VALUE),
        (VALUES, write(value=""), VALUE),
        ("{write: {objects: binary-output:*, values: [active, inactive]}}",
         write(thing="01000001", value="91 01"), ALLOWED),
        ("{write: {objects: binary-output:*, values: [inactive]}}", write(thing="01000001", value="91 01"), VALUE),
        (READS, npdu(confirmed(12, "0c 0080ffff 19 55")), ALLOWED),
        (READS, npdu(confirmed(12, "0c 0200000a 19 4c 29 03")), ALLOWED),
        (READS, npdu(confirmed(12, "0c 0080ffff 19 51")), OUTSIDE),
        (READS, npdu(confirmed(14, "0c 00800001 1e 09 55 09 08 1f")), OUTSIDE),
        (READS, npdu(confirmed(14, "0c 00800001 1e 09 55 1f 0c 0200000a 1e 09 4c 1f")), ALLOWED),
        (READS, npdu(confirmed(5, "09 12 1c 00800001 29 01 39 00")), OUTSIDE),
        ("read", npdu(confirmed(12, "0c 00800001 19 55"), to=STATION_3_6C), ALLOWED),
        ("{read: {units: 0}}", npdu(confirmed(12, "0c 00800001 19 55"), to=STATION_3_6C), OUTSIDE),
        ("{read: {units: 0}}", npdu(confirmed(12, "0c 00800001 19 55")), ALLOWED),
        ("{read: {units: 3}}", npdu(confirmed(12, "0c 00800001 19 55"), to=STATION_3_6C), ALLOWED),
        ("discovery", npdu(unconfirmed(8)), ALLOWED),
        ("discovery", npdu(unconfirmed(8), to=EVERYONE), CLASS),
        ("discovery", npdu(unconfirmed(8), function=0x09), CLASS),
        ("discovery, config", npdu(unconfirmed(8), function=0x09), ALLOWED),
        ("discovery, {config: {objects: relay:0}}", npdu(unconfirmed(8), function=0x09), ALLOWED),
        ("discovery, {config: {objects: relay:0}}", npdu(unconfirmed(8), to=EVERYONE), OUTSIDE),
        ("discovery, {config: {objects: relay:0}}", npdu(unconfirmed(6, "a4 7e0b1701 b4 0e050000")), OUTSIDE),
        ("read, {config: {objects: relay:*}}", npdu(unconfirmed(8), function=0x09), CLASS),
        ("{config: {objects: relay:0}}", bvll("003c", 5), ALLOWED),
        ("discovery", bvll("003c", 5), CLASS),
        ("{discovery: {objects: device:10-20}}", npdu(unconfirmed(8, "09 0a 19 14")), ALLOWED),
        ("{discovery: {objects: device:10-20}}", npdu(unconfirmed(8)), OUTSIDE),
        ("{file_write: {objects: file:3}}", npdu(confirmed(7, "c4 02800003 0e 31 00 61 05 0f")), ALLOWED),
        ("{file_write: {objects: file:3}}", npdu(confirmed(7, "c4 02800004 0e 31 00 61 05 0f")), OUTSIDE),
        ("{program_to_device: {objects: analog-value:*}}", npdu(confirmed(10, "0e 09 02 0f")), ALLOWED),
        ("{program_to_device: {objects: analog-value:0-9}}", npdu(confirmed(10, "0e 09 02 0f")), OUTSIDE),
        ("{config: {objects: device:7, properties: description}}",
         npdu(confirmed(15, "0c 02000007 19 1c 3e 71 00 3f")), ALLOWED),
        ("read-only engineering", npdu(confirmed(20, "09 02")), ALLOWED),
        ("read-only engineering", npdu(confirmed(20, "09 04")), CLASS),
        ("read-only engineering", npdu(confirmed(17, "19 00")), CLASS),
        ("read-only engineering", bvll("003c", 5), CLASS),
    ],
)  # fmt: skip
def test_a_conduit_decides_by_object_property_priority_value_and_network(
    allow: str, datagram: bytes, reason: Reason
) -> None:
    assert decided("bacnet", 47808, allow, meaning(datagram)) is reason


@pytest.mark.parametrize(
    ("text", "table", "first", "last"),
    [
        ("analog-value:1-5", "analog-value", 1, 5),
        ("binary-output:*", "binary-output", 0, (1 << 22) - 1),
        ("device:4194303", "device", 4194303, 4194303),
        ("130:7", "130", 7, 7),
        ("2:7", "analog-value", 7, 7),
        ("channel-group:4294967295", "channel-group", 4294967295, 4294967295),
        ("relay:*", "relay", 0, 65535),
    ],
)
def test_objects_are_types_and_instances(text: str, table: str, first: int, last: int) -> None:
    (span,) = read_objects(text)
    assert (span.table, span.first, span.last, span.name, span.axis) == (table, first, last, None, "object")


@pytest.mark.parametrize(
    ("read", "text", "why"),
    [
        (read_objects, "analog-value", "has no instance"),
        (read_objects, "analog-values:1", "names no type"),
        (read_objects, "1024:1", "names no type"),
        (read_objects, "analog-value:4194304", "no range of instances"),
        (read_objects, "analog-value:5-1", "no range of instances"),
        (read_objects, "analog-value:", "no range of instances"),
        (read_objects, ":1", "names no type"),
        (read_objects, "*:1", "names no type"),
        (read_properties, "present_value", "is no property"),
        (read_properties, "presentvalue", "names no property"),
        (read_properties, "4194304", "names no property"),
        (read_properties, "present-value[x]", "is no property"),
        (read_properties, "present-*", "is no property"),
        (read_properties, "", "is no property"),
        (read_priorities, "0", "no range of priorities"),
        (read_priorities, "8-17", "no range of priorities"),
        (read_priorities, "high", "no range of priorities"),
    ],
)
def test_words_that_name_nothing_are_an_error_with_a_hint(read: object, text: str, why: str) -> None:
    assert callable(read)
    with pytest.raises(UnreadableError, match=why) as error:
        read(text)
    assert error.value.hint


def test_properties_are_named_or_numbered_with_or_without_an_element() -> None:
    assert [span.name for span in read_properties("priority-array[3]")] == ["priority-array[3]", "priority-array[3]@*"]
    assert {span.name for span in read_properties("85")} == {"present-value", "present-value@*", "present-value[*"}
    assert {span.name for span in read_properties("512")} == {"512", "512@*", "512[*"}


def test_every_limit_has_an_example_that_it_reads() -> None:
    for limit in BACNET.limits:
        key, _, text = limit.example.partition(":")
        assert key == limit.key
        assert all(limit.read(each.strip()) for each in text.strip().strip("[]").split(","))
        assert Is.EXECUTE not in limit.classes
