"""What DNP3 requests mean, what breaks the standard, and agreement with the taxonomy."""

from __future__ import annotations

import math
from typing import Any

import pytest
from dnp3_messages import CROB, LATCH_ON, fed, meaning, request, targets
from hypothesis import given
from hypothesis import strategies as st
from taxonomy import many, taxonomy

from penstock.model import Malformed, OperationClass, Target
from penstock.wire import Side
from penstock.wire.dnp3.codes import BROADCAST, CODES, GROUPS, LINK_DATA, LINK_SESSION, NAMES
from penstock.wire.dnp3.objects import CONTROL_WORDS, KNOWN, LAYOUTS, TABLES, WORDS
from penstock.wire.dnp3.operations import reported

IS = OperationClass
#: Octet strings and virtual terminals: the variation is the length.
TEXTS = {110, 111, 112, 113}
ALL = 0x1_0000


def target(found: OperationClass, table: str, first: int = 0, count: int = 1, *values: Any, name: str = "") -> Target:
    return Target(found, table, first, count, name, values or None)


def latch(index: int, word: str = "latch_on") -> Target:
    return target(IS.WRITE, "binary_outputs", index, 1, word, name="1x 100/100 ms")


@pytest.mark.parametrize(
    ("app", "title", "code", "expected"),
    [
        ("C0 01 3C02 06 3C01 06", "read", "1", [target(IS.READ, "event_classes", n) for n in (1, 0)]),
        ("C0 01 3C02 07 05", "read", "1", [target(IS.READ, "event_classes", 1)]),
        ("C0 01 1E00 06", "read", "1", [target(IS.READ, "analog_inputs", 0, ALL)]),
        ("C0 01 2000 08 0500", "read", "1", [target(IS.READ, "analog_inputs", 0, ALL)]),
        ("C0 01 0102 00 03 07", "read", "1", [target(IS.READ, "binary_inputs", 3, 5)]),
        ("C0 01 1401 01 0300 E803", "read", "1", [target(IS.READ, "counters", 3, 998)]),
        ("C0 01 1501 02 00000000 01000000", "read", "1", [target(IS.READ, "frozen_counters", 0, 2)]),
        ("C0 01 1E02 17 03 050607", "read", "1", [target(IS.READ, "analog_inputs", 5, 3)]),
        (
            "C0 01 1E02 28 0300 0500 0700 0800",
            "read",
            "1",
            [target(IS.READ, "analog_inputs", 5), target(IS.READ, "analog_inputs", 7, 2)],
        ),
        ("C0 01 0A02 39 01000000 09000100", "read", "1", [target(IS.READ, "binary_outputs", 65545)]),
        ("C0 01 6E00 00 00 03", "read", "1", [target(IS.READ, "octet_strings", 0, 4)]),
        ("C0 01 00FE 00 00 00", "discovery", "1", [target(IS.DISCOVERY, "device_attributes", name="attribute 254")]),
        ("C0 01 3C01 06 00F0 00 00 00", "read+discovery", "1", None),
        ("C0 02 5001 00 07 07 00", "session", "2/80", [target(IS.SESSION, "internal_indications", 7, 1, "off")]),
        ("C0 02 3201 07 01 00A0724E1800", "config", "2/50", [target(IS.CONFIG, "clock", 0, 1, 0x184E72A000)]),
        ("C0 02 3203 07 01 000000000000", "config", "2/50", [target(IS.CONFIG, "clock", 0, 1, 0)]),
        ("C0 02 2202 00 03 04 05000000 FFFFFFFF", "config", "2/34",
         [target(IS.CONFIG, "analog_deadbands", 3, 2, 5, 2**32 - 1)]),
        ("C0 02 0A01 00 02 04 05", "write", "2/10", [target(IS.WRITE, "binary_outputs", 2, 3, "on", "off", "on")]),
        ("C0 02 2801 17 01 07 01 FEFFFFFF", "write", "2/40", [target(IS.WRITE, "analog_outputs", 7, 1, -2)]),
        ("C0 02 6E03 00 01 01 616263", "write", "2/110", [target(IS.WRITE, "octet_strings", 1, 1, "0x616263")]),
        ("C0 02 7002 17 01 04 6869", "write", "2/112", [target(IS.WRITE, "virtual_terminals", 4, 1, "0x6869")]),
        (
            "C0 02 00F6 00 00 00 01 02 4142",
            "config",
            "2/0",
            [target(IS.CONFIG, "device_attributes", 0, 1, "AB", name="attribute 246")],
        ),
        ("C0 02 5701 5B 01 0200 0102", "write", "2/87", [target(IS.WRITE, "data_sets", 0, 1, "0x0102")]),
        ("C0 02 7806 5B 01 0200 0102", "auth", "2/120", [target(IS.AUTH, "authentication")]),
        ("C0 02 3201 07 01 000000000000 5001 00 07 07 00", "config+session", "2/50+80", None),
        (f"C0 03 {CROB}", "write", "3", [latch(5)]),
        (f"C0 05 {CROB}", "write", "5", [latch(5)]),
        (f"C0 06 0C01 17 02 03 {LATCH_ON} 09 {LATCH_ON}", "write", "6", [latch(3), latch(9)]),
        (f"C0 05 0C01 00 03 04 {LATCH_ON} {LATCH_ON}", "write", "5", [latch(3), latch(4)]),
        ("C0 05 0C01 17 01 02 81 02 E8030000 F4010000 00", "write", "5",
         [target(IS.WRITE, "binary_outputs", 2, 1, "trip", name="2x 1000/500 ms")]),
        ("C0 05 2902 28 0200 0300 0A00 00 0400 F6FF 00", "write", "5",
         [target(IS.WRITE, "analog_outputs", 3, 2, 10, -10)]),
        ("C0 05 2901 17 01 03 FFFFFF7F 00", "write", "5", [target(IS.WRITE, "analog_outputs", 3, 1, 2**31 - 1)]),
        ("C0 05 2903 17 01 03 0000C03F 00", "write", "5", [target(IS.WRITE, "analog_outputs", 3, 1, 1.5)]),
        ("C0 05 2904 17 01 03 000000000000F83F 00", "write", "5", [target(IS.WRITE, "analog_outputs", 3, 1, 1.5)]),
        (
            f"C0 03 {CROB} 2902 17 01 07 0100 00",
            "write",
            "3",
            [latch(5), target(IS.WRITE, "analog_outputs", 7, 1, 1)],
        ),
        (f"C0 05 0C02 07 01 {LATCH_ON} 0C03 00 04 0F 0108", "write", "5", [latch(4), latch(15)]),
        ("C0 07 1400 06", "write", "7", [target(IS.WRITE, "counters", 0, ALL)]),
        ("C0 09 1400 00 00 05 1E00 06", "write", "9",
         [target(IS.WRITE, "counters", 0, 6), target(IS.WRITE, "analog_inputs", 0, ALL)]),
        (
            "C0 0B 3202 07 01 010000000000 E8030000 1400 06",
            "write",
            "11",
            [target(IS.WRITE, "clock", 0, 1, 1), target(IS.WRITE, "counters", 0, ALL)],
        ),
        ("C0 0D", "execute", "13", [target(IS.EXECUTE, "device")]),
        ("C0 0E", "execute", "14", [target(IS.EXECUTE, "device")]),
        ("C0 0F", "execute", "15", [target(IS.EXECUTE, "device")]),
        ("C0 10 5A01 5B 01 0300 616263", "execute", "16", [target(IS.EXECUTE, "applications", name="abc")]),
        ("C0 12", "execute", "18", [target(IS.EXECUTE, "applications", name="*")]),
        ("C0 11 5A01 06", "execute", "17", [target(IS.EXECUTE, "applications", name="*")]),
        ("C0 13", "config", "19", [target(IS.CONFIG, "device")]),
        ("C0 14 3C02 06 3C04 06", "config", "20", [target(IS.CONFIG, "event_classes", n) for n in (1, 3)]),
        ("C0 15 3C03 06", "config", "21", [target(IS.CONFIG, "event_classes", 2)]),
        (
            "C0 16 3C02 06 1E00 00 00 05 3C01 06 1400 06",
            "config",
            "22",
            [
                target(IS.CONFIG, "event_classes", 1),
                target(IS.CONFIG, "analog_inputs", 0, 6, name="class 1"),
                target(IS.CONFIG, "event_classes", 0),
                target(IS.CONFIG, "counters", 0, ALL, name="class 0"),
            ],
        ),
        ("C0 17", "diagnostics", "23", [target(IS.DIAGNOSTICS, "clock")]),
        ("C0 18", "config", "24", [target(IS.CONFIG, "clock")]),
        ("C0 20 7802 5B 01 0400 01020304", "auth", "32", [target(IS.AUTH, "authentication")]),
        ("C0 21 7807 5B 01 0400 01020304", "auth", "33", [target(IS.AUTH, "authentication")]),
        (f"C0 05 7803 07 01 010000000100 {CROB} 7809 5B 01 0200 0000", "auth+write", "5", None),
        ("E0 01 3C01 06", "read", "1", None),
    ],
)  # fmt: skip
def test_a_request_names_its_objects_and_its_values(
    app: str, title: str, code: str, expected: list[Target] | None
) -> None:
    operation = meaning(app)
    assert (operation.title, operation.code, operation.unit) == (f"dnp3.{title}", code, 10)
    assert operation.name == NAMES[int(code.split("/", maxsplit=1)[0])]
    if expected is not None:
        assert list(operation.targets) == expected


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("nul", 0x00), ("pulse_on", 0x01), ("pulse_off", 0x02), ("latch_on", 0x03), ("latch_off", 0x04),
        ("close", 0x41), ("trip", 0x81), ("latch_on+close", 0x43), ("latch_off+trip", 0x84), ("pulse_off+trip", 0x82),
        ("latch_on+queue", 0x13), ("trip+clear", 0xA1), ("nul+queue+clear", 0x30),
    ],
)  # fmt: skip
def test_a_control_code_is_a_word(word: str, code: int) -> None:
    (found,) = targets(f"C0 05 0C01 17 01 00 {code:02X} 01 00000000 00000000 00")
    assert (found.operation_class, found.values) == (IS.WRITE, (word,))
    assert word in WORDS


def test_a_word_stands_for_one_control_code_only() -> None:
    """Else a limit to one word would let another control through."""
    words = [word for word in CONTROL_WORDS if word is not None]
    assert len(set(words)) == len(words) == 5 * 3 * 4


@pytest.mark.parametrize("code", [0x05, 0x0F, 0xC1, 0xC0, 0x46])
def test_a_reserved_control_code_is_unknown(code: int) -> None:
    (found,) = targets(f"C0 05 0C01 17 01 00 {code:02X} 01 00000000 00000000 00")
    assert (found.operation_class, found.values) == (IS.UNKNOWN, (f"0x{code:02x}",))


def _file(name: bytes, mode: int, *, at: int = 26, size: int | None = None) -> str:
    fields = at.to_bytes(2, "little") + (len(name) if size is None else size).to_bytes(2, "little")
    spot = fields + bytes(16) + mode.to_bytes(2, "little") + bytes(4) + name
    return f"4603 5B 01 {len(spot).to_bytes(2, 'little').hex()} {spot.hex()}"


def _descriptor(name: bytes) -> str:
    spot = (20).to_bytes(2, "little") + len(name).to_bytes(2, "little") + bytes(16) + name
    return f"4607 5B 01 {len(spot).to_bytes(2, 'little').hex()} {spot.hex()}"


@pytest.mark.parametrize(
    ("app", "title", "code", "name"),
    [
        ("C0 19 " + _file(b"logs/a.txt", 1), "file_read", "25/1", "logs/a.txt"),
        ("C0 19 " + _file(b"logs/a.txt", 2), "file_write", "25/2", "logs/a.txt"),
        ("C0 19 " + _file(b"logs/a.txt", 3), "file_write", "25/3", "logs/a.txt"),
        ("C0 19 " + _file(b"a", 0), "unknown", "25/0", "a"),
        ("C0 19 " + _file(b"a", 4), "unknown", "25/4", "a"),
        ("C0 1B " + _file("ä.txt".encode(), 0), "file_write", "27", "ä.txt"),
        ("C0 1C " + _descriptor(b"a b.xml"), "file_read", "28", "a b.xml"),
        ("C0 1F 4608 5B 01 0300 616263", "program_to_device", "31", "abc"),
    ],
)
def test_a_file_operation_names_its_file(app: str, title: str, code: str, name: str) -> None:
    operation = meaning(app)
    assert (operation.title, operation.code) == (f"dnp3.{title}", code)
    assert [(found.table, found.name) for found in operation.targets] == [("files", name)]


PASSWORD = "0C00 0400 1000 0600 00000000" + b"usersecret".hex()


def test_no_password_goes_on_record() -> None:
    app = f"C0 1D 4602 5B 01 1600 {PASSWORD}"
    (frame,) = fed(Side.CLIENT, request(app))
    assert (frame.operation.title, frame.operation.targets[0].name) == ("dnp3.auth", "user")
    assert frame.data[-12:-2] == b"usersecret"
    assert frame.recorded == frame.data[:-8] + b"*" * 8


def test_a_password_that_cannot_be_told_takes_the_whole_message_off_the_record() -> None:
    (frame,) = fed(Side.CLIENT, request("C0 1D 4602 5B 01 0600 736563726574"))
    assert b"secret" in frame.data
    assert b"secret" not in frame.recorded


@pytest.mark.parametrize(
    "app",
    [
        "C0 22", "C0 55 3C01 06", "C0 80",  # functions that are not defined
        "C0 01 3C01 0A", "C0 01 3C01 0B 01", "C0 01 3C01 86", "C0 01 3C01 0C", "C0 01 3C01 16",  # qualifiers
        "C0 01 1E02 03 00 05", "C0 01 1E02 04 0000 0500", "C0 01 1E02 05 00000000 05000000",  # virtual addresses
        "C0 01 1E02 10 00 05", "C0 01 1E02 47 01 05", "C0 01 1E02 70 01", "C0 01 1E02 1B 01 05",
        "C0 01 6300 06", "C0 01 1E63 06", "C0 01 3C05 06", "C0 01 3C00 06", "C0 01 0C04 06",  # objects
        "C0 02 6301 17 01 01 00", "C0 02 1E01 17 01 01 0000000000", "C0 02 3209 07 01 00", "C0 02 3C01 06",
        "C0 02 3201 06", "C0 02 5001 00 04 04 00", "C0 02 5001 00 07 07 01", "C0 02 5001 00 06 07 00",
        "C0 02 0C02 07 01 0301640000006400000000", "C0 02 2801 07 01 0100000000", "C0 02 2201 07 01 0100",
        "C0 05 0C01 07 01 0301640000006400000000", "C0 05 2901 07 01 0000000000", "C0 05 1E02 17 01 01 000000",
        "C0 05 0C07 17 01 01", "C0 05 3C01 06", "C0 05 0C01 06", "C0 03 2905 17 01 01 00",
        "C0 07 0100 06", "C0 07 1463 06", "C0 14 1E00 06", "C0 14 3C05 06", "C0 16 3C01 06 6300 06",
        "C0 0F 1E00 06", "C0 13 1E00 06", "C0 10 1E00 06", "C0 19 4605 5B 01 0800 0000000000000000",
        "C0 1A " + _file(b"a", 1), "C0 20 3C01 06", "C0 02 4605 07 01 00", "C0 02 4603 5B 01 0100 00",
    ],
)  # fmt: skip
def test_what_the_standard_does_not_define_is_unknown(app: str) -> None:
    assert IS.UNKNOWN in meaning(app).classes


@pytest.mark.parametrize("behind", [f"6301 17 01 01 00 {CROB}", f"0C63 28 0100 0500 00 {CROB}"])
def test_behind_an_object_of_unknown_length_nothing_is_guessed(behind: str) -> None:
    """The octets there may be anything, so the message is unknown as a whole, and allowed by no other class."""
    operation = meaning(f"C0 05 {CROB} {behind}")
    assert operation.classes == (IS.WRITE, IS.UNKNOWN)
    assert len(operation.targets) == 2


@pytest.mark.parametrize(
    "app",
    [
        "C0 01", "C0 02", "C0 05", "C0 07", "C0 14", "C0 16", "C0 19",  # without objects
        "C0 01 3C", "C0 01 3C02", "C0 01 3C02 07", "C0 01 1E02 01 0000", "C0 01 3C02 06 3C",  # cut off
        "C0 01 1E02 17 02 05", "C0 01 1E02 28 0200 0500 07", "C0 01 1E02 28 FFFF 0500", "C0 01 1E02 39 FFFFFFFF 00",
        "C0 01 1E02 00 05 04", "C0 01 1E02 01 0500 0400", "C0 01 1E02 02 01000000 00000000",  # backwards
        "C0 01 3C02 07 00", "C0 05 0C01 17 00", "C0 05 0C01 28 0000", "C0 01 4605 5B 00",  # none
        f"C0 05 0C01 28 0200 0500 {LATCH_ON}", "C0 05 0C01 17 01 01 41", "C0 05 2901 17 01 01 00",
        f"C0 05 {CROB} 00", "C0 02 3201 07 01 0001", "C0 02 3201 07 FF 000102030405", "C0 02 6EFF 00 00 00 61",
        "C0 02 0A01 01 0000 FFFF 00", "C0 02 2202 02 00000000 FFFFFFFF 00",
        "C0 02 00F6 00 00 00 01", "C0 02 00F6 00 00 00 01 05 41", "C0 02 00F6 00 00 01 01 00",
        "C0 02 4605 5B 01 0C00 00000000", "C0 02 4605 5B 01 0100 00", "C0 02 4605 5B 01",
        "C0 0D 3C01 06", "C0 17 00", "C0 18 3201 07 01 000000000000",
        "C0 16 1E00 06", "C0 05 0C03 00 00 07 FF", f"C0 05 0C02 07 01 {LATCH_ON}",
        f"C0 05 0C02 07 01 {LATCH_ON} {CROB}",
        f"C0 05 0C02 07 01 {LATCH_ON} 0C03 00 00 07 00",
        "C0 19 " + _file(b"a", 1, at=25), "C0 19 " + _file(b"ab", 1, size=1), "C0 19 " + _file(b"ab", 1, size=3),
        "C0 19 " + _file(b"a\0b", 1), "C0 19 " + _file(b"logs/../config", 1), "C0 1B " + _file(b"..\\boot", 0),
        "C0 19 4603 5B 01 0300 000000", "C0 19 " + _file(b"a", 1) + _file(b"b", 1),
        "C0 19 4603 5B 02" + _file(b"a", 1)[10:] + _file(b"b", 1)[10:],
        f"C0 1D 4602 5B 01 1600 {PASSWORD.replace('0C00', '0D00', 1)}",
        "40 01 3C01 06", "80 01 3C01 06", "00 01 3C01 06", "D0 01 3C01 06", "F0 05 3C01 06",  # in parts, or unsolicited
    ],
)  # fmt: skip
def test_a_well_framed_request_that_breaks_the_standard_is_malformed(app: str) -> None:
    with pytest.raises(Malformed):
        meaning(app)


def test_the_self_address_is_malformed_for_it_hides_who_is_asked() -> None:
    (frame,) = fed(Side.CLIENT, request("C0 01 3C01 06", to=0xFFFC))
    with pytest.raises(Malformed):
        _ = frame.operation


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(-(2**15), 2**15 - 1)), min_size=1, max_size=40))
def test_every_point_of_a_control_is_named_with_its_value(points: list[tuple[int, int]]) -> None:
    blocks = b"".join(i.to_bytes(2, "little") + v.to_bytes(2, "little", signed=True) + b"\0" for i, v in points)
    found = targets(bytes.fromhex("C005 2902 28") + len(points).to_bytes(2, "little") + blocks)
    named = [(each.first + i, value) for each in found for i, value in enumerate(each.values or ())]
    assert named == points
    assert all(each.count == len(each.values or ()) for each in found)


@given(st.integers(0, 65535), st.lists(st.booleans(), min_size=1, max_size=60))
def test_packed_bits_are_read_from_the_lowest_on(first: int, bits: list[bool]) -> None:
    last = first + len(bits) - 1
    packed = sum(bit << i for i, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")
    ends = first.to_bytes(4, "little") + last.to_bytes(4, "little")
    (found,) = reported(b"\x0a\x01\x02" + ends + packed, 0)
    assert found == target(IS.READ, "binary_outputs", first, len(bits), *("on" if bit else "off" for bit in bits))


@pytest.mark.parametrize("key", sorted(key for key in LAYOUTS if key >> 8 not in TEXTS or key & 0xFF in {1, 255}))
def test_two_objects_of_every_variation_are_as_long_as_the_walk_takes_them(key: int) -> None:
    """What follows them is found again: so a length that is wrong would show."""
    layout = LAYOUTS[key]
    head = bytes((key >> 8, key & 0xFF))
    objects = bytes(1) if layout.bits else bytes(2 * layout.size)
    found = reported(head + b"\x00\x03\x04" + objects + bytes.fromhex("0102 00 0909 81"), 0)
    assert [(each.first, each.count) for each in found] == [(3, 2), (9, 1)]
    assert found[-1] == target(IS.READ, "binary_inputs", 9, 1, "on")
    assert found[0].values is not None
    assert len(found[0].values) == 2
    assert key in KNOWN
    assert key >> 8 in TABLES


@pytest.mark.parametrize(
    ("objects", "table", "value"),
    [
        ("0302 00 0101 C0", "double_bit_inputs", "indeterminate"),
        ("0401 17 01 01 40", "double_bit_inputs", "off"),
        ("0202 17 01 01 80 000000000000", "binary_inputs", "on"),
        ("1406 00 0101 FFFF", "counters", 65535),
        ("1605 17 01 01 01 FFFFFFFF 000000000000", "counters", 2**32 - 1),
        ("1509 00 0101 05000000", "frozen_counters", 5),
        ("1E04 00 0101 FFFF", "analog_inputs", -1),
        ("2008 17 01 01 01 000000000000F0BF 000000000000", "analog_inputs", -1.0),
        ("1F05 00 0101 FEFFFFFF", "frozen_analog_inputs", -2),
        ("2A07 17 01 01 01 0000003F 000000000000", "analog_outputs", 0.5),
        ("2B02 17 01 01 00 0A00", "analog_outputs", 10),
        ("00FC 00 0000 01 04 41434D45", "device_attributes", "ACME"),
        ("00FC 00 0000 01 00", "device_attributes", ""),
        ("00F1 00 0000 02 02 0008", "device_attributes", 2048),
        ("00CB 00 0000 03 02 FEFF", "device_attributes", -2),
        ("00CC 00 0000 04 04 0000C03F", "device_attributes", 1.5),
        ("00CC 00 0000 04 03 0000C0", "device_attributes", "0x04030000c0"),
        ("00C4 00 0000 05 01 FF", "device_attributes", "0x0501ff"),
        ("00FF 00 0000 FE 02 FC01", "device_attributes", "0xfe02fc01"),
    ],
)
def test_a_value_is_read_as_its_variation_says(objects: str, table: str, value: Any) -> None:
    (found,) = reported(bytes.fromhex(objects), 0)
    assert (found.table, found.values) == (table, (value,))


def test_a_value_that_is_no_number_meets_no_limit() -> None:
    (found,) = targets("C0 05 2903 17 01 03 0000C07F 00")
    (value,) = found.values or ()
    assert isinstance(value, float)
    assert math.isnan(value)


def test_the_tables_of_codes_are_the_taxonomy() -> None:
    """Code for code and class for class as in the project's taxonomy, neither more nor less."""
    theirs = taxonomy("dnp3")
    assert [(codes, name, str(found)) for codes, name, found in CODES] == [
        (tuple(many(each["fc"])), each["name"], each["class"]) for each in theirs["operations"]
    ]
    assert [(groups, name, str(found)) for groups, name, found in GROUPS] == [
        (tuple(many(each["group"])), each["name"], each["class"]) for each in theirs["groups"]
    ]
    session, carrying = theirs["link"]
    assert set(session["function"]) == LINK_SESSION
    assert set(carrying["function"]) == LINK_DATA
    assert set(theirs["broadcast"]) == BROADCAST


def test_every_function_has_the_class_of_the_taxonomy_when_it_is_decoded() -> None:
    samples = {
        1: "3C01 06", 2: "0A01 00 0000 01", 3: CROB, 4: CROB, 5: CROB, 6: CROB,
        7: "1400 06", 8: "1400 06", 9: "1400 06", 10: "1400 06",
        11: "3202 07 01 00000000000000000000 1400 06", 12: "3202 07 01 00000000000000000000 1400 06",
        20: "3C02 06", 21: "3C02 06", 22: "3C02 06 1400 06", 25: _file(b"a", 1), 26: "4604 5B 01 0D00" + "00" * 13,
        27: _file(b"a", 0), 28: _descriptor(b"a"), 29: f"4602 5B 01 1600 {PASSWORD}", 30: "4604 5B 01 0D00" + "00" * 13,
        31: "4608 5B 01 0100 61", 32: "7802 5B 01 0100 00", 33: "7802 5B 01 0100 00",
    }  # fmt: skip
    wanted = {fc: each["class"] for each in taxonomy("dnp3")["operations"] for fc in many(each["fc"]) if 0 < fc < 128}
    for code, found in wanted.items():
        select = [request(f"CF 03 {CROB}")] if code == 4 else []
        frame = fed(Side.CLIENT, *select, request(f"C0 {code:02X} {samples.get(code, '')}"))[-1]
        assert frame.operation.classes == (found,), code
