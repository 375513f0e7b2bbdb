"""What CIP requests mean: classes, objects and values, also those in containers, and what breaks the standard."""

from __future__ import annotations

import math
from struct import pack

import pytest
from enip_messages import (
    MANAGER,
    ROUTER,
    asked,
    closing,
    multiple,
    opening,
    pccc,
    read_tag,
    request,
    sent,
    symbol,
    together,
    write_dint,
)

from penstock.model import Malformed, OperationClass, Target

IS = OperationClass
IDENTITY = b"\x20\x01\x24\x01"


TEXT = request(0x4D, symbol("T"), b"\xa0\2\xce\x0f\1\0" + pack("<I82s2x", 2, b"ok"))


def tag(kind: OperationClass, name: str, first: int = 0, count: int = 1, *values: float | str) -> Target:
    return Target(kind, "tags", first, count, name, values or None)


def thing(kind: OperationClass, name: str, *values: str, memory: bytes | None = None) -> Target:
    return Target(kind, "objects", 0, 1, name, values or None, memory)


def file(kind: OperationClass, name: str, first: int, count: int, *values: float | str) -> Target:
    return Target(kind, "files", first, count, name, values or None)


@pytest.mark.parametrize(
    ("message", "title", "code", "targets"),
    [
        (read_tag("Speed"), "read", "0x4C", [tag(IS.READ, "speed")]),
        (request(0x4C, symbol("Recipe") + b"\x28\x05", b"\3\0"), "read", "0x4C", [tag(IS.READ, "recipe", 5, 3)]),
        (request(0x4C, symbol("A") + b"\x29\0\x2c\1" + symbol("b") + b"\x2a\0\x70\x11\1\0", b"\1\0"), "read", "0x4C",
         [tag(IS.READ, "a[300].b", 70_000, 1)]),
        (request(0x4C, symbol("M") + b"\x28\1\x28\2", b"\4\0"), "read", "0x4C", [tag(IS.READ, "m[1,2]", 0, 4)]),
        (request(0x4C, b"\x63Sp1" + symbol("X"), b"\1\0"), "read", "0x4C", [tag(IS.READ, "sp1.x")]),
        (read_tag("Program:Main"), "read", "0x4C", [tag(IS.READ, "program:main")]),
        (request(0x4C, b"\x20\x6b\x25\0\x23\1\x28\2", b"\1\0"), "read", "0x4C",
         [Target(IS.READ, "objects", 2, 1, "0x6b/291")]),
        (request(0x4C, b"\x20\x6c\x24\7", b"\0\0\0\0\x20\0"), "read", "0x4C",
         [Target(IS.READ, "objects", 0, 32, "0x6c/7")]),
        (request(0x52, symbol("Big"), b"\x64\0\x28\0\0\0"), "read", "0x52", [tag(IS.READ, "big", 0, 100)]),
        (write_dint("Speed", -5), "write", "0x4D", [tag(IS.WRITE, "speed", 0, 1, -5)]),
        (request(0x4D, symbol("R"), b"\xca\0\1\0\0\0\xc0\x3f"), "write", "0x4D", [tag(IS.WRITE, "r", 0, 1, 1.5)]),
        (request(0x4D, symbol("B"), b"\xc1\0\1\0\xff"), "write", "0x4D", [tag(IS.WRITE, "b", 0, 1, 1)]),
        (request(0x4D, symbol("B"), b"\xc1\5\2\0\0\1"), "write", "0x4D", [tag(IS.WRITE, "b", 0, 2, 0, 1)]),
        (request(0x4D, symbol("S"), b"\xc2\0\1\0\xff\0"), "write", "0x4D", [tag(IS.WRITE, "s", 0, 1, -1)]),
        (request(0x4D, symbol("U") + b"\x28\7", b"\xc7\0\2\0\1\0\xff\xff"), "write", "0x4D",
         [tag(IS.WRITE, "u", 7, 2, 1, 65535)]),
        (request(0x4D, symbol("T"), b"\xda\0\1\0\3abc"), "write", "0x4D", [tag(IS.WRITE, "t", 0, 1, "abc")]),
        (request(0x4D, symbol("T"), b"\xd0\0\2\0\1\0a\2\0bc"), "write", "0x4D", [tag(IS.WRITE, "t", 0, 2, "a", "bc")]),
        (request(0x4D, symbol("T"), b"\xa0\2\xce\x0f\1\0" + pack("<I82s2x", 2, b"ok")), "write", "0x4D",
         [tag(IS.WRITE, "t", 0, 1, "ok")]),
        (request(0x4D, symbol("T"), b"\xa0\2\x34\x12\1\0\1\2\3"), "write", "0x4D",
         [tag(IS.WRITE, "t", 0, 1, "0x010203")]),
        (write_dint("Speed", 5) + b"\x09\0" + write_dint("Speed", 5), "write", "0x4D",
         [tag(IS.WRITE, "speed", 0, 1, 5)]),
        (TEXT + b"\x09\0" + TEXT, "write", "0x4D",
         [tag(IS.WRITE, "t", 0, 1, "ok")]),
        (request(0x53, symbol("Big"), b"\xc3\0\x64\0\x28\0\0\0\1\0\2\0"), "write", "0x53",
         [tag(IS.WRITE, "big", 20, 2, 1, 2)]),
        (request(0x53, symbol("Big"), b"\xa0\2\x34\x12\x64\0\x28\0\0\0\1\2"), "write", "0x53",
         [tag(IS.WRITE, "big", 0, 100, "0x0102")]),
        (request(0x4E, symbol("F"), b"\2\0\1\0\xff\xff"), "write", "0x4E", [tag(IS.WRITE, "f")]),
        (request(0x55, b"\x20\x6b\x24\0", b"\2\0\1\0\2\0"), "discovery", "0x55", [thing(IS.DISCOVERY, "0x6b/0")]),
        (request(0x55, symbol("Program:Main") + b"\x20\x6b\x24\0", b"\1\0\1\0"), "discovery", "0x55",
         [thing(IS.DISCOVERY, "program:main/0x6b/0")]),
        (request(0x01, IDENTITY), "discovery", "0x01", [thing(IS.DISCOVERY, "0x1/1")]),
        (request(0x0E, b"\x21\0\0\1\x26\0\x70\x11\1\0\x31\0\3\0"), "read", "0x0E", [thing(IS.READ, "0x100/70000/3")]),
        (request(0x03, b"\x20\x8e\x24\1", b"\2\0\3\0\x10\0"), "read", "0x03",
         [thing(IS.READ, "0x8e/1/3"), thing(IS.READ, "0x8e/1/16")]),
        (request(0x10, b"\x20\4\x24\x64\x30\3", b"\1\2"), "write", "0x10",
         [thing(IS.WRITE, "0x4/100/3", "0x0102", memory=b"\1\2")]),
        (request(0x10, b"\x20\4\x2c\x64\x30\3", b"\1\2"), "write", "0x10",
         [thing(IS.WRITE, "0x4/100/3", "0x0102", memory=b"\1\2")]),
        (request(0x10, b"\x20\xf5\x24\1\x30\5", b"\1"), "config", "0x10",
         [thing(IS.CONFIG, "0xf5/1/5", "0x01", memory=b"\1")]),
        (request(0x04, b"\x20\x66\x24\1", b"\1\0\6\0\1\2"), "write", "0x04",
         [thing(IS.WRITE, "0x66/1/6", "0x0102", memory=b"\1\2")]),
        (request(0x04, b"\x20\x66\x24\1", b"\2\0\6\0\1\7\0\2"), "write", "0x04",
         [thing(IS.WRITE, "0x66/1/6"), thing(IS.WRITE, "0x66/1/?")]),
        (request(0x05, IDENTITY, b"\1"), "execute", "0x05", [thing(IS.EXECUTE, "0x1/1")]),
        (request(0x07, b"\x20\x8e\x24\1"), "execute", "0x07", [thing(IS.EXECUTE, "0x8e/1")]),
        (request(0x4B, b"\x20\x8e\x24\1\x20\x74\x24\1"), "auth", "0x4B/0x74", [thing(IS.AUTH, "0x8e/1/0x74/1")]),
        (request(0x4B, b"\x20\xa1\x24\1", b"x"), "firmware", "0x4B/0xA1", [thing(IS.FIRMWARE, "0xa1/1")]),
        (request(0x50, b"\x20\x6a\x24\1", b"x"), "program_to_device", "0x50/0x6A",
         [thing(IS.PROGRAM_TO_DEVICE, "0x6a/1")]),
        (request(0x4C, b"\x20\x6d\x24\1"), "unknown", "0x4C/0x6D", [thing(IS.UNKNOWN, "0x6d/1")]),
        (request(0x32, symbol("Speed")), "unknown", "0x32/0x00", [tag(IS.UNKNOWN, "speed")]),
        (request(0x4C, b"\x20\x37\x24\1", b"x"), "file_write", "0x4C/0x37", [thing(IS.FILE_WRITE, "0x37/1")]),
        (request(0x51, b"\x20\x44\x24\1", b"\6\0\1\0\x55"), "write", "0x51/0x44(6)",
         [Target(IS.WRITE, "holding_registers", 1, 1, "", (0x55,))]),
        (pccc(0x0F, 0xA2, b"\4\7\x89\0\0"), "read", "0x4B/0x67(0x0F/0xA2)", [file(IS.READ, "n7", 0, 2)]),
        (pccc(0x0F, 0xA2, b"\4\xff\x2c\1\x89\xff\x2d\1\0"), "read", "0x4B/0x67(0x0F/0xA2)",
         [file(IS.READ, "n300", 301, 2)]),
        (pccc(0x0F, 0xA2, b"\2\4\x86\3\2"), "read", "0x4B/0x67(0x0F/0xA2)", [file(IS.READ, "t4", 3, 1)]),
        (pccc(0x0F, 0xAA, b"\4\7\x89\5\0\x2a\0\xff\xff"), "write", "0x4B/0x67(0x0F/0xAA)",
         [file(IS.WRITE, "n7", 5, 2, 42, -1)]),
        (pccc(0x0F, 0xA9, b"\4\x08\x8a\1\0\0\x80\x3f"), "write", "0x4B/0x67(0x0F/0xA9)",
         [file(IS.WRITE, "f8", 1, 1, 1.0)]),
        (pccc(0x0F, 0xAB, b"\2\3\x85\5\0\1\0\1\0"), "write", "0x4B/0x67(0x0F/0xAB)", [file(IS.WRITE, "b3", 5, 1)]),
        (pccc(0x0F, 0xAB, b"\2\7\x89\5\0\xff\xff\7\0"), "write", "0x4B/0x67(0x0F/0xAB)",
         [file(IS.WRITE, "n7", 5, 1, 7)]),
        (pccc(0x0F, 0x68, b"\2\0\3\0\6\7\1\3\0"), "read", "0x4B/0x67(0x0F/0x68)", [file(IS.READ, "7", 3, 3)]),
        (pccc(0x0F, 0x67, b"\0\0\1\0\0$N7:4\0\x99\x09"), "write", "0x4B/0x67(0x0F/0x67)",
         [file(IS.WRITE, "n7", 4, 1)]),
        (pccc(0x0F, 0x67, b"\0\0\1\0\0$T4:0.ACC\0\x99\x09"), "write", "0x4B/0x67(0x0F/0x67)", []),
        (pccc(0x0F, 0x80, b"\6"), "execute", "0x4B/0x67(0x0F/0x80)", []),
        (pccc(0x06, 0x03), "diagnostics", "0x4B/0x67(0x06/0x03)", []),
        (pccc(0x07, 0x04), "program_to_device", "0x4B/0x67(0x07/0x04)", []),
        (pccc(0x08, None, b"\0\0\1"), "unknown", "0x4B/0x67(0x08)", []),
        (pccc(0x0F, 0x88, b"\1\5\xaa"), "unknown", "0x4B/0x67(0x0F/0x88)", []),
        (closing(b"\1\0" + ROUTER), "session", "0x4E/0x06", []),
    ],
)  # fmt: skip
def test_requests_mean_their_class_object_and_values(
    message: bytes, title: str, code: str, targets: list[Target]
) -> None:
    operation = asked(message)
    assert (operation.title, operation.code, [*operation.targets]) == (f"enip.{title}", code, targets)
    assert operation.name


def test_what_is_not_a_number_is_a_value_that_no_range_holds() -> None:
    (written,) = asked(request(0x4D, symbol("R"), b"\xca\0\1\0\0\0\xc0\x7f")).targets
    (value,) = written.values or ()
    assert isinstance(value, float)
    assert math.isnan(value)


def test_a_packet_of_requests_is_all_of_them_at_once() -> None:
    """Classes and targets of everything inside, in order, and the names of the parts."""
    operation = asked(multiple(read_tag("A"), write_dint("B", 7), read_tag("C"), request(0x07, b"\x20\x8e\x24\1")))
    assert operation.classes == (IS.READ, IS.WRITE, IS.EXECUTE)
    assert operation.code == "0x0A(0x4C ×2, 0x4D, 0x07)"  # noqa: RUF001
    assert operation.name == "Multiple Service Packet: Read Tag ×2, Write Tag, program mode"  # noqa: RUF001
    assert [each.name for each in operation.targets] == ["a", "b", "c", "0x8e/1"]
    assert operation.targets[1].values == (7,)


def test_a_request_that_is_sent_on_is_what_it_carries_with_the_slot_as_unit() -> None:
    operation = asked(sent(write_dint("B", 7), b"\x01\x03"))
    assert (operation.classes, operation.unit) == ((IS.WRITE,), 3)
    assert operation.code == "0x52(0x4D)"
    assert operation.name == "Unconnected Send: Write Tag"
    assert operation.targets == (tag(IS.WRITE, "b", 0, 1, 7),)


def test_containers_in_containers_are_opened() -> None:
    operation = asked(sent(multiple(read_tag("A"), pccc(0x0F, 0x80, b"\6"))))
    assert operation.classes == (IS.READ, IS.EXECUTE)
    assert operation.unit == 0


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (b"\x12\x0810.0.0.5", "2/10.0.0.5"),
        (b"\x01\x00\x12\x0810.0.0.5", "1/0/2/10.0.0.5"),
        (b"\x01\x00\x02\x07", "1/0/2/7"),
        (b"\x0f\x11\x00\x05", "17/5"),
        (b"\x02\x07", "2/7"),
    ],
)
def test_a_route_out_of_the_rack_must_be_allowed_by_itself(route: bytes, text: str) -> None:
    """Behind it is another device, which no conduit to this asset speaks of: class `vendor`, like any tunnel."""
    operation = asked(sent(read_tag("A"), route))
    assert operation.classes == (IS.READ, IS.VENDOR)
    assert operation.unit is None
    assert operation.targets == (tag(IS.READ, "a"), Target(IS.VENDOR, "routes", 0, 1, text))


def test_an_opening_out_of_the_rack_must_be_allowed_as_well() -> None:
    operation = asked(opening(b"\x01\x00\x12\x0810.0.0.5" + ROUTER))
    assert operation.classes == (IS.SESSION, IS.VENDOR)
    assert operation.targets == (Target(IS.VENDOR, "routes", 0, 1, "1/0/2/10.0.0.5"),)


def test_tag_names_compare_without_case_but_only_where_that_is_certain() -> None:
    """ASCII letters only: how an asset compares others is not known."""
    assert asked(read_tag("SPEED")).targets == asked(read_tag("speed")).targets
    assert asked(read_tag("GRÖSSE")).targets[0].name == "grÖsse"


@pytest.mark.parametrize(
    "path",
    [
        b"\x20\x8e\x24\x01\x30\x03",
        b"\x21\0\x8e\0\x24\x01\x30\x03",
        b"\x20\x8e\x25\0\x01\0\x31\0\x03\0",
        b"\x21\0\x8e\0\x26\0\1\0\0\0\x30\x03",
    ],
)
def test_one_object_has_one_spelling_whatever_the_sizes_of_its_segments(path: bytes) -> None:
    assert asked(request(0x0E, path)).targets == (thing(IS.READ, "0x8e/1/3"),)


@pytest.mark.parametrize(
    "path",
    [
        b"\x01\x00" + symbol("Speed"),  # a port in a request
        symbol("Speed") + b"\x80\x01\1\2",  # data in a request
        b"\x3c\x01" + symbol("Speed"),  # an extended logical segment
        b"\xa0\x00" + symbol("Speed"),  # a constructed data type
        b"\xe0\x00" + symbol("Speed"),  # reserved
        b"\x24\x01",  # an instance of nothing
        b"",
    ],
)
def test_a_path_that_the_gate_cannot_follow_is_unknown(path: bytes) -> None:
    assert asked(request(0x4C, path, b"\1\0")).classes == (IS.UNKNOWN,)


STOP = request(0x07, b"\x20\x8e\x24\1")
LATE = together(read_tag("A"), read_tag("B"))


@pytest.mark.parametrize(
    "message",
    [
        b"\x4c", b"\x4c\x05\x91\x01", b"\x4c\xff" + symbol("Speed"),  # no path, or less than is announced
        read_tag("Speed", 0), read_tag("Speed") + b"\0", read_tag("Speed")[:-1],
        request(0x4C, b"\x91\x00", b"\1\0"), request(0x4C, b"\x91\x01a\x01", b"\1\0"),
        request(0x4C, b"\x91\x05Spe", b"\1\0"), request(0x4C, symbol("Sp\0ed"), b"\1\0"),
        request(0x4C, b"\x91\x02\xff\xfe", b"\1\0"), request(0x4C, b"\x21\7\x6b\0\x24\1", b"\1\0"),
        request(0x4C, b"\x23\0\1\0\x24\1", b"\1\0"), request(0x4C, b"\x22\0\1\0\0\0", b"\1\0"),
        request(0x4D, symbol("S")), request(0x4D, symbol("S"), b"\xc4\0\1\0"),
        request(0x4D, symbol("S"), b"\xc4\0\2\0\0\0\0\0"), request(0x4D, symbol("S"), b"\xc4\0\1\0" + bytes(5)),
        request(0x4D, symbol("S"), b"\xc4\0\0\0"), request(0x4D, symbol("S"), b"\xa0\2\1"),
        request(0x4D, symbol("S"), b"\xda\0\1\0\5abc"), request(0x4D, symbol("S"), b"\xda\0\2\0\3abc"),
        request(0x4D, symbol("S"), b"\xc2\0\1\0\1\1"),
        write_dint("Speed", 5) + b"\x09\0" + write_dint("Speed", 6), write_dint("Speed", 5) + b"\x09\0" + STOP,
        write_dint("Speed", 5) + b"\x09\0" + write_dint("Other", 5), write_dint("Speed", 5) + write_dint("Speed", 5),
        write_dint("Speed", 5) + b"\x09\0" + write_dint("Speed", 5) + b"\0", write_dint("Speed", 5) + b"\x09\0\x4d",
        request(0x52, symbol("S"), b"\1\0"), request(0x52, symbol("S"), b"\0\0\0\0\0\0"),
        request(0x53, symbol("S"), b"\xc4\0\1\0\0\0\0\0"), request(0x53, symbol("S"), b"\xc4\0\1\0\1\0\0\0\0\0\0\0"),
        request(0x53, symbol("S"), b"\xc4\0\1\0\4\0\0\0\0\0\0\0"),
        request(0x4E, symbol("S"), b"\2\0\1\0"), request(0x4E, symbol("S"), b"\3\0\1\0\0\1\0\0"),
        request(0x01, IDENTITY, b"x"), request(0x0E, IDENTITY, b"x"), request(0x03, IDENTITY, b"\2\0\1\0"),
        request(0x04, IDENTITY, b"\1\0\1"), request(0x03, IDENTITY),
        request(0x0A, ROUTER, b"\0\0"), request(0x0A, ROUTER, b"\1\0"),
        request(0x0A, ROUTER, LATE[:4] + b"\6\0" + LATE[6:]),
        request(0x0A, ROUTER, b"\2\0\6\0\6\0" + LATE[6:]), request(0x0A, ROUTER, b"\1\0\5\0" + read_tag("A")),
        request(0x0A, ROUTER, b"\2\0\6\0\xff\0" + LATE[6:]),
        sent(read_tag("A"))[:-2], sent(read_tag("A")) + b"\0\0", request(0x52, MANAGER, b"\x0a\x0e\0\0\0\0"),
        sent(sent(sent(sent(read_tag("A"))))), multiple(sent(read_tag("A")), sent(read_tag("B"), b"\1\2")),
        pccc(0x0F, None), pccc(0x0F, 0xA2, b"\4\7\x89\0"), pccc(0x0F, 0xA2, b"\4\7\x89\0\0\0"),
        pccc(0x0F, 0xAA, b"\4\7\x89\0\0\1\0"), pccc(0x0F, 0xAB, b"\2\7\x89\0\0\xff\xff\1"), pccc(0x4F, 0xA2),
        pccc(0x0F, 0x68, b"\0\0\1\0"), pccc(0x0F, 0x67, b"\0\0\1\0\0$N7:0"), request(0x4B, b"\x20\x67\x24\1", b"\1"),
        request(0x51, b"\x20\x44\x24\1"), request(0x51, b"\x20\x44\x24\1", b"\3\0\0\0\0"),
        opening(ROUTER) + b"\0\0", opening(ROUTER)[:-1], opening(ROUTER, trigger=0xA4), closing(ROUTER)[:-2],
        request(0x54, MANAGER, b"\1"), request(0x4E, MANAGER, b"\1"),
        b"\xcc" + read_tag("Speed")[1:],  # a reply
    ],
)  # fmt: skip
def test_a_well_framed_request_that_breaks_the_standard_is_malformed(message: bytes) -> None:
    """Lengths, counts, offsets, pads and nesting: what contradicts itself is not judged."""
    with pytest.raises(Malformed):
        asked(message)
