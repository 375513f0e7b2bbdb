"""What messages of IEC 104 ask for and tell, object by object; what contradicts the standard is malformed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taxonomy import many, taxonomy

from penstock.model import Malformed, Operation, Target, Value
from penstock.model import OperationClass as Is
from penstock.wire import Frame, Iec104Decoder, Role, Side, UnreadableError
from penstock.wire.iec104 import IEC104, codes

TIME = bytes.fromhex("7b2b 1e 0f 17 0b 1a")  # 2026-11-23T15:30:11.131


def apdu(asdu: bytes) -> bytes:
    return bytes((0x68, len(asdu) + 4, 0, 0, 0, 0)) + asdu


def asdu(
    kind: int, element: bytes = b"", *, address: int = 100, cause: int = 6, unit: int = 3, count: int = 1
) -> bytes:
    """One ASDU with one object."""
    return bytes((kind, count, cause, 7)) + struct.pack("<H", unit) + address.to_bytes(3, "little") + element


def frame(message: bytes, side: Side = Side.CLIENT) -> Frame:
    (found,) = Iec104Decoder().feed(side, apdu(message))
    return found


def asked(message: bytes) -> Operation:
    return frame(message).operation


def told(message: bytes) -> Operation:
    return frame(message, Side.ASSET).operation


def target(kind: Is, table: str, first: int = 100, count: int = 1, name: str = "", *values: Value) -> Target:
    return Target(kind, table, first, count, name, values or None)


def written(table: str, value: Value) -> Target:
    return target(Is.WRITE, table, 100, 1, "", value)


def named(kind: Is, table: str, name: str, first: int = 0) -> Target:
    return Target(kind, table, first, 1, name)


@pytest.mark.parametrize(
    ("message", "code", "name", "classes", "found"),
    [
        (asdu(45, b"\x01"), "45/6", "single command: execute", [Is.WRITE], written("C_SC_NA_1", "on")),
        (asdu(45, b"\x80"), "45/6", "single command: select", [Is.WRITE], written("C_SC_NA_1", "off")),
        (asdu(45, b"\x0d", cause=8), "45/8", "single command: execute, deactivate", [Is.WRITE],
         written("C_SC_NA_1", "on")),
        (asdu(46, b"\x02"), "46/6", "double command: execute", [Is.WRITE], written("C_DC_NA_1", "on")),
        (asdu(46, b"\x81"), "46/6", "double command: select", [Is.WRITE], written("C_DC_NA_1", "off")),
        (asdu(47, b"\x01"), "47/6", "step command: execute", [Is.WRITE], written("C_RC_NA_1", "lower")),
        (asdu(47, b"\x82"), "47/6", "step command: select", [Is.WRITE], written("C_RC_NA_1", "higher")),
        (asdu(48, b"\x00\xc0\x00"), "48/6", "set point, normalised: execute", [Is.WRITE],
         written("C_SE_NA_1", -0.5)),
        (asdu(49, b"\xfe\xff\x80"), "49/6", "set point, scaled: select", [Is.WRITE],
         written("C_SE_NB_1", -2)),
        (asdu(50, struct.pack("<fB", 3.5, 0)), "50/6", "set point, float: execute", [Is.WRITE],
         written("C_SE_NC_1", 3.5)),
        (asdu(50, b"\x00\x00\xc0\x7f\x00"), "50/6", "set point, float: execute", [Is.WRITE],
         written("C_SE_NC_1", "0x7fc00000")),
        (asdu(51, b"\x01\x00\x00\x80"), "51/6", "bitstring command: execute", [Is.WRITE],
         written("C_BO_NA_1", 0x80000001)),
        (asdu(58, b"\x81" + TIME), "58/6", "single command with time tag: select", [Is.WRITE],
         written("C_SC_TA_1", "on")),
        (asdu(63, struct.pack("<fB", -1.25, 0x80) + TIME), "63/6", "set point, float, with time tag: select",
         [Is.WRITE],
         written("C_SE_TC_1", -1.25)),
        (asdu(64, b"\x05\x00\x00\x00" + TIME), "64/6", "bitstring command with time tag: execute", [Is.WRITE],
         written("C_BO_TA_1", 5)),
        (asdu(100, b"\x14", address=0), "100/6", "interrogation: station", [Is.READ],
         named(Is.READ, "C_IC_NA_1", "station")),
        (asdu(100, b"\x24", address=0), "100/6", "interrogation: group 16", [Is.READ],
         named(Is.READ, "C_IC_NA_1", "group 16")),
        (asdu(100, b"\x14", address=0, cause=8, unit=0xFFFF), "100/8", "interrogation: station, deactivate", [Is.READ],
         named(Is.READ, "C_IC_NA_1", "station")),
        (asdu(101, b"\x05", address=0), "101/6", "counter interrogation: all counters", [Is.READ],
         named(Is.READ, "C_CI_NA_1", "all counters")),
        (asdu(101, b"\x45", address=0), "101/6", "counter interrogation: all counters, freeze", [Is.WRITE],
         named(Is.WRITE, "C_CI_NA_1", "all counters, freeze")),
        (asdu(101, b"\xc2", address=0), "101/6", "counter interrogation: counter group 2, reset", [Is.WRITE],
         named(Is.WRITE, "C_CI_NA_1", "counter group 2, reset")),
        (asdu(102, cause=5), "102/5", "read", [Is.READ], target(Is.READ, "C_RD_NA_1")),
        (asdu(103, TIME, address=0), "103/6", "clock synchronisation", [Is.CONFIG],
         target(Is.CONFIG, "C_CS_NA_1", 0, 1, "", "2026-11-23T15:30:11.131")),
        (asdu(105, b"\x01", address=0), "105/6", "reset process: general reset", [Is.EXECUTE],
         target(Is.EXECUTE, "C_RP_NA_1", 0, 1, "", 1)),
        (asdu(107, b"\xaa\x55" + TIME, address=0), "107/6", "test with time tag", [Is.DIAGNOSTICS],
         target(Is.DIAGNOSTICS, "C_TS_TA_1", 0)),
        (asdu(110, b"\x00\x40\x01"), "110/6", "parameter of a measured value, normalised: threshold", [Is.CONFIG],
         target(Is.CONFIG, "P_ME_NA_1", 100, 1, "", 0.5)),
        (asdu(112, struct.pack("<fB", 2.5, 4)), "112/6", "parameter of a measured value, float: high limit",
         [Is.CONFIG],
         target(Is.CONFIG, "P_ME_NC_1", 100, 1, "", 2.5)),
        (asdu(113, b"\x03"), "113/6", "parameter activation", [Is.CONFIG],
         target(Is.CONFIG, "P_AC_NA_1", 100, 1, "", 3)),
        (asdu(120, b"\x01\x00\x10\x00\x00\x00", cause=13), "120/13", "file ready", [Is.FILE_WRITE],
         target(Is.FILE_WRITE, "F_FR_NA_1", 100, 1, "file 1")),
        (asdu(122, b"\x01\x00\x00\x01", cause=13), "122/13", "call or select a file or section: select file",
         [Is.FILE_READ],
         target(Is.FILE_READ, "F_SC_NA_1", 100, 1, "file 1")),
        (asdu(122, b"\x01\x00\x02\x06", cause=13), "122/13", "call or select a file or section: call section",
         [Is.FILE_READ], target(Is.FILE_READ, "F_SC_NA_1", 100, 1, "file 1 section 2")),
        (asdu(122, b"\x01\x00\x00\x04", cause=13), "122/13", "call or select a file or section: delete file",
         [Is.FILE_WRITE], target(Is.FILE_WRITE, "F_SC_NA_1", 100, 1, "file 1")),
        (asdu(125, b"\x01\x00\x02\x03abc", cause=13), "125/13", "segment", [Is.FILE_WRITE],
         target(Is.FILE_WRITE, "F_SG_NA_1", 100, 1, "file 1 section 2")),
        (asdu(124, b"\x01\x00\x00\x01", cause=13), "124/13", "acknowledge file or section", [Is.FILE_READ],
         target(Is.FILE_READ, "F_AF_NA_1", 100, 1, "file 1")),
        (asdu(127, b"\x01\x00" + TIME + TIME, cause=13), "127/13", "query log", [Is.FILE_READ],
         target(Is.FILE_READ, "F_SC_NB_1", 100, 1, "file 1")),
        (asdu(81, b"\0" * 20, cause=14), "81/14", "authentication challenge", [Is.AUTH],
         target(Is.AUTH, "S_CH_NA_1", 0)),
    ],
)  # fmt: skip
def test_what_a_client_asks_for_is_the_standards(
    message: bytes, code: str, name: str, classes: list[Is], found: Target
) -> None:
    operation = asked(message)
    assert (operation.code, operation.name, list(operation.classes)) == (code, name, classes)
    assert operation.targets == (found,)
    assert operation.unit == int.from_bytes(message[4:6], "little")


@pytest.mark.parametrize(
    ("message", "first"),
    [
        (asdu(45, b"\x11"), Is.WRITE),  # reserved qualifier of command
        (asdu(45, b"\x7d"), Is.WRITE),  # a vendor's qualifier
        (asdu(50, b"\0\0\0\0\x01"), Is.WRITE),  # reserved qualifier of set point
        (asdu(100, b"\x13", address=0), Is.READ),
        (asdu(100, b"\x00", address=0), Is.READ),
        (asdu(100, b"\x25", address=0), Is.READ),
        (asdu(101, b"\x06", address=0), Is.READ),
        (asdu(101, b"\x46", address=0), Is.WRITE),
        (asdu(105, b"\x03", address=0), Is.EXECUTE),
        (asdu(110, b"\0\0\x05"), Is.CONFIG),
        (asdu(113, b"\x04"), Is.CONFIG),
        (asdu(122, b"\x01\x00\x00\x08", cause=13), Is.FILE_READ),
        (asdu(120, b"\x01\x00\x10\x00\x00\x00", cause=6), Is.FILE_WRITE),
        (asdu(81, b"\0" * 20, cause=6), Is.AUTH),
        *((asdu(45, b"\x01", cause=cause), Is.WRITE) for cause in (0, 1, 3, 5, 7, 9, 10, 13, 20, 44, 47, 48, 63)),
        *((asdu(102, cause=cause), Is.READ) for cause in (3, 6, 20)),
    ],
)
def test_a_qualifier_or_a_cause_that_the_standard_does_not_have_makes_it_unknown_as_well(
    message: bytes, first: Is
) -> None:
    """A command is a command whatever its cause says; a station that does not look at it would carry it out."""
    assert asked(message).classes == (first, Is.UNKNOWN)


@pytest.mark.parametrize(
    "kind", [17, 22, 42, 52, 65, 71, 88, 99, 104, 106, 108, 114, 119, 128, 255, 1, 13, 30, 40, 41, 70]
)
def test_a_type_that_nobody_asks_with_is_unknown(kind: int) -> None:
    """Reserved ones, vendors' own, those that -104 left out, and what only a station tells."""
    operation = asked(asdu(kind, bytes(codes.TYPES.get(kind, ("", "", 1))[2] or 0), address=0))
    assert operation.classes == (Is.UNKNOWN,)
    assert operation.code == f"{kind}/6"


@pytest.mark.parametrize(
    "message",
    [
        b"\x2d", b"\x2d\x01\x06\x00\x03", asdu(45)[:8], asdu(45), asdu(45, b"\x01\x01"), asdu(45, b"\x01", count=0),
        asdu(45, b"\x01", count=2), asdu(45, b"\x01\x64\0\0\x01", count=2), asdu(45, b"\x01", count=0x81),
        asdu(45, b"\x03"), asdu(45, b"\x02"), asdu(46, b"\x00"), asdu(46, b"\x03"), asdu(47, b"\x00"),
        asdu(47, b"\x83"),
        asdu(45, b"\x01", cause=0x46), asdu(45, b"\x01", unit=0), asdu(45, b"\x01", unit=0xFFFF),
        asdu(110, b"\0\0\1", unit=0xFFFF), asdu(122, b"\x01\x00\x00\x01", unit=0xFFFF, cause=13),
        asdu(100, b"\x14", address=1), asdu(103, TIME, address=1), asdu(105, b"\x01", address=9), asdu(100, address=0),
        asdu(58, b"\x81" + TIME[:6]), asdu(63, b"\0" * 11), asdu(63, b"\0" * 13), asdu(102, b"\0", cause=5),
        asdu(103, b"\xff\xff" + TIME[2:], address=0), asdu(103, TIME[:4] + b"\0" + TIME[5:], address=0),
        asdu(103, TIME[:3] + b"\x18" + TIME[4:], address=0), asdu(103, TIME[:2] + b"\x3c" + TIME[3:], address=0),
        asdu(103, TIME[:5] + b"\x0d\x1a", address=0), asdu(103, TIME[:6] + b"\x64", address=0),
        asdu(125, b"\x01\x00\x02\x04abc", cause=13), asdu(125, b"\x01\x00\x02\x02abc", cause=13),
        asdu(125, b"\x01", cause=13),
        asdu(120, b"\0" * 5, cause=13), asdu(120, b"\0" * 7, cause=13), asdu(122, b"\0" * 4, count=2, cause=13),
        asdu(126, b"\0" * 13, count=0x80, cause=5), asdu(126, b"\0" * 13, count=0x82, cause=5),
    ],
)  # fmt: skip
def test_a_message_that_contradicts_itself_or_the_standard_is_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        asked(message)


def test_a_type_0_is_no_message_at_all() -> None:
    with pytest.raises(Malformed):
        frame(asdu(0, b"\x01"))


def test_what_an_asset_tells_are_runs_of_objects() -> None:
    """One target for each run of addresses, in a sequence or one by one."""
    one_by_one = bytes((1, 4, 20, 0, 3, 0)) + b"".join(a.to_bytes(3, "little") + b"\x01" for a in (5, 6, 9, 70000))
    assert told(one_by_one).targets == (
        target(Is.READ, "M_SP_NA_1", 5, 2),
        target(Is.READ, "M_SP_NA_1", 9),
        target(Is.READ, "M_SP_NA_1", 70000),
    )
    sequence = asdu(13, b"\0" * 15, count=0x83, cause=3)
    assert told(sequence).targets == (target(Is.READ, "M_ME_NC_1", 100, 3),)
    assert (told(sequence).title, told(sequence).code, told(sequence).unit) == ("iec104.read", "13/3", 3)


@pytest.mark.parametrize(
    "message",
    [
        asdu(1, b"\x01\x02", cause=3), asdu(1, cause=3), asdu(1, b"\x01", cause=3, count=0),
        asdu(1, b"\x01", cause=3, count=2),
        asdu(13, b"\0" * 14, count=0x83, cause=3), asdu(13, b"\0" * 16, count=0x83, cause=3), asdu(1, cause=3)[:6],
        asdu(1, b"\x01\x01", count=0x82, cause=3, address=0xFFFFFF), asdu(45, b"\x01", cause=7)[:7],
    ],
)  # fmt: skip
def test_what_an_asset_tells_must_be_as_long_as_its_objects(message: bytes) -> None:
    with pytest.raises(Malformed):
        told(message)


def test_what_an_asset_sends_in_a_file_transfer_is_the_other_half_of_what_the_client_does() -> None:
    """Segments that it sends are read, a file that it calls is written."""
    assert told(asdu(125, b"\x01\x00\x02\x03abc", cause=13)).classes == (Is.FILE_READ,)
    assert told(asdu(126, b"\x01\x00\x10\x00\x00\x00" + TIME, cause=5)).classes == (Is.FILE_READ,)
    assert told(asdu(126, (b"\x01\x00\x10\x00\x00\x00" + TIME) * 2, cause=5, count=0x82)).classes == (Is.FILE_READ,)
    assert told(asdu(122, b"\x01\x00\x00\x02", cause=13)).classes == (Is.FILE_WRITE,)
    assert told(asdu(124, b"\x01\x00\x00\x01", cause=13)).classes == (Is.FILE_WRITE,)


def test_an_asset_that_tells_with_a_cause_of_an_answer_tells_something_unknown() -> None:
    assert told(asdu(1, b"\x01", cause=7)).classes == (Is.READ, Is.UNKNOWN)
    assert told(asdu(1, b"\x01", cause=60)).classes == (Is.READ, Is.UNKNOWN)
    assert told(asdu(45, b"\x01", cause=6)).classes == (Is.UNKNOWN,)
    assert told(asdu(130, b"\x01", cause=3)).classes == (Is.UNKNOWN,)


def aggressive(inner: bytes, segment: int = 0xC1) -> bytes:
    return bytes((83, 1, 14, 0, 3, 0, segment)) + inner + bytes(4 + 2 + 8)


def test_a_command_inside_an_authenticated_request_is_judged_as_that_command() -> None:
    """IEC 60870-5-7 carries the command whole; a conduit that allows authentication does not allow that."""
    operation = asked(aggressive(asdu(50, struct.pack("<fB", 9.5, 0))))
    assert operation.classes == (Is.AUTH, Is.WRITE)
    assert operation.targets[1] == written("C_SE_NC_1", 9.5)
    assert operation.name.endswith("set point, float: execute")


@pytest.mark.parametrize(
    "message",
    [
        aggressive(asdu(45, b"\x01"), segment=0x41), aggressive(asdu(45, b"\x01"), segment=0x81),
        aggressive(asdu(200, b"\x01")), aggressive(asdu(1, b"\x01")), aggressive(b""), aggressive(b"")[:7],
        aggressive(asdu(45, b"\x01"))[:-6],
    ],
)  # fmt: skip
def test_what_cannot_be_seen_inside_an_authenticated_request_is_unknown(message: bytes) -> None:
    assert asked(message).classes == (Is.AUTH, Is.UNKNOWN)


def test_the_table_of_codes_is_the_taxonomy() -> None:
    """Type for type and class for class as in the project's taxonomy, neither more nor less."""
    expected = {
        (kind, each["name"], each["class"])
        for each in taxonomy("iec104")["operations"]
        for kind in many(each["type_id"])
    }
    ours = {(kind, name, str(only)) for kinds, name, (only,) in codes.CLASSES for kind in kinds}
    assert ours == expected
    assert set(codes.CLASS_OF) <= set(codes.TYPES)
    causes = taxonomy("iec104")["causes"]
    assert (causes["activation"], causes["activation_con"], causes["activation_term"]) == (
        codes.ACTIVATION, codes.ACTIVATION_CON, codes.TERMINATION,
    )  # fmt: skip
    assert set(causes.values()) <= set(codes.CAUSES)


LIMITS = {limit.key: limit for limit in IEC104.limits}


def test_a_site_document_names_addresses_and_types() -> None:
    (span,) = LIMITS["ioa"].read("100-110")
    assert (span.table, span.first, span.last, span.axis) == ("", 100, 110, "object")
    (by_number,), (by_name,) = LIMITS["types"].read("45"), LIMITS["types"].read("c_sc_na_1")
    assert by_number == by_name
    assert (by_name.table, by_name.axis) == ("C_SC_NA_1", "type")
    assert {span.table for span in LIMITS["types"].read("C_SE_*")} == {
        "C_SE_NA_1", "C_SE_NB_1", "C_SE_NC_1", "C_SE_TA_1", "C_SE_TB_1", "C_SE_TC_1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text"),
    [("ioa", "10-5"), ("ioa", "x"), ("ioa", "-1"), ("ioa", "16777216"), ("types", "C_XX"), ("types", "200"),
     ("types", "Q*"), ("types", ""), ("types", "0")],
)  # fmt: skip
def test_words_that_name_nothing_are_errors_with_a_hint(key: str, text: str) -> None:
    with pytest.raises(UnreadableError) as error:
        LIMITS[key].read(text)
    assert error.value.hint


@given(st.sampled_from(Side), st.binary(min_size=1, max_size=249))
def test_whatever_an_asdu_is_it_has_a_meaning_or_is_malformed(side: Side, message: bytes) -> None:
    try:
        found = frame(message, side)
        operation = found.operation
    except Malformed:
        return
    assert operation.protocol == "iec104"
    assert operation.classes
    assert found.role in Role


@given(
    st.sampled_from(sorted(codes.TYPES)),
    st.binary(min_size=1, max_size=40),
    st.sampled_from((3, 5, 6, 7, 8, 13, 14, 20)),
)
def test_what_a_known_type_asks_for_has_the_class_of_the_taxonomy_or_is_unknown(
    kind: int, element: bytes, cause: int
) -> None:
    size = codes.TYPES[kind][2]
    message = asdu(kind, (element * 20)[: 6 if size is None else size], cause=cause)
    try:
        operation = asked(message)
    except Malformed:
        return
    expected = codes.CLASS_OF.get(kind, (Is.UNKNOWN,))[0]
    refined = {(101, Is.WRITE), (122, Is.FILE_WRITE), (124, Is.FILE_READ)}
    assert operation.classes[0] in {expected, Is.UNKNOWN} or (kind, operation.classes[0]) in refined
    assert operation.targets
