"""What S7comm requests mean, what breaks the protocol, and agreement with the taxonomy."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s7comm_messages import (
    ack,
    any_item,
    job,
    meaning,
    named_classes,
    octets,
    one,
    read_var,
    tis,
    userdata,
    write_var,
)
from taxonomy import many, taxonomy

from penstock.model import Malformed, OperationClass, Target
from penstock.wire import Role, S7Decoder, Side
from penstock.wire.s7comm.codes import FUNCTIONS, PI_SERVICES, USERDATA_CODES, Origin

IS = OperationClass
DB, M, IN, Q, P, DI, RECORD, T, C = 0x84, 0x83, 0x81, 0x82, 0x80, 0x85, 0x01, 0x1D, 0x1C


def places(operation: Any) -> list[tuple[str, int, int]]:
    return [(target.table, target.first, target.count) for target in operation.targets]


@pytest.mark.parametrize(
    ("item", "place"),
    [
        (any_item(1, 1, 10, DB, 33), ("DB10", 33, 1)),
        (any_item(2, 4, 10, DB, 32), ("DB10", 32, 32)),
        (any_item(3, 4, 10, DB, 32), ("DB10", 32, 32)),
        (any_item(4, 2, 10, DB, 32), ("DB10", 32, 32)),
        (any_item(8, 1, 10, DB, 32), ("DB10", 32, 32)),
        (any_item(15, 1, 10, DB, 32), ("DB10", 32, 64)),
        (any_item(2, 1, 0, M, 8), ("M", 8, 8)),
        (any_item(2, 1, 0, IN, 8), ("I", 8, 8)),
        (any_item(2, 1, 0, Q, 8), ("Q", 8, 8)),
        (any_item(2, 1, 0, P, 8), ("P", 8, 8)),
        (any_item(2, 1, 4, DI, 8), ("DI4", 8, 8)),
        (any_item(29, 3, 0, T, 5), ("T", 5, 3)),
        (any_item(28, 3, 0, C, 5), ("C", 5, 3)),
    ],
)
def test_an_item_names_its_memory_in_bits_and_timers_and_counters_one_by_one(
    item: bytes, place: tuple[str, int, int]
) -> None:
    operation = meaning(read_var(item))
    assert (operation.title, places(operation)) == ("s7comm.read", [place])


@pytest.mark.parametrize(
    ("size", "stated", "data", "values"),
    [
        (2, (4, 16), b"\x12\x34", (0x12, 0x34)),
        (3, (9, 2), b"OK", (0x4F, 0x4B)),
        (4, (4, 32), b"\x00\x37\xff\xff", (55, 65535)),
        (5, (5, 32), b"\x00\x37\xff\xff", (55, -1)),
        (6, (4, 32), b"\x80\0\0\0", (2**31,)),
        (7, (6, 4), b"\x80\0\0\0", (-(2**31),)),
        (8, (7, 8), pack(">ff", 1.5, -2.0), (1.5, -2.0)),
        (10, (9, 4), b"\0\0\0\x07", (7,)),
        (15, (9, 8), bytes(range(8)), ("0x0001020304050607",)),
    ],
)
def test_what_is_written_has_the_values_of_its_type_and_its_memory(
    size: int, stated: tuple[int, int], data: bytes, values: tuple[Any, ...]
) -> None:
    count = len(values)
    (target,) = meaning(write_var([any_item(size, count, 10, DB, 64)], [(*stated, data)])).targets
    assert target == Target(IS.WRITE, "DB10", 64, 8 * len(data), "", values, data)


def test_what_is_no_number_is_written_as_its_bytes() -> None:
    """So that records of it can be read by everybody, and no limit of numbers is met by it."""
    data = pack(">ff", float("nan"), 1.5) + b"\xff\x80\0\0"
    (target,) = meaning(write_var([any_item(8, 3, 10, DB, 0)], [(7, 12, data)])).targets
    assert target.values == ("0x7fc00000", 1.5, "0xff800000")


def test_a_bit_a_timer_and_a_counter_are_written_by_value() -> None:
    items = [any_item(1, 1, 10, DB, 33), any_item(29, 1, 0, T, 5), any_item(28, 2, 0, C, 7)]
    operation = meaning(write_var(items, [(3, 1, b"\1"), (9, 2, b"\x21\0"), (9, 4, b"\0\1\0\2")]))
    assert [target.values for target in operation.targets] == [(1,), (0x2100,), (1, 2)]
    assert places(operation) == [("DB10", 33, 1), ("T", 5, 1), ("C", 7, 2)]


def test_several_items_are_one_operation_with_all_of_their_objects() -> None:
    items = [any_item(2, 1, 10, DB, 0), any_item(2, 3, 0, Q, 16), any_item(8, 1, 0, M, 0)]
    assert places(meaning(read_var(*items))) == [("DB10", 0, 8), ("Q", 16, 24), ("M", 0, 32)]
    written = meaning(write_var(items, [(4, 8, b"a"), (4, 24, b"bcd"), (7, 4, b"\x3f\x80\0\0")]))
    assert [target.values for target in written.targets] == [(97,), (98, 99, 100), (1.0,)]


def test_areas_of_data_blocks_in_one_item_are_as_many_objects() -> None:
    several = bytes.fromhex("12 0c b0 02 10 000a 0004 02 000b 0000")
    assert places(meaning(read_var(several))) == [("DB10", 32, 128), ("DB11", 0, 16)]
    then = bytes.fromhex("12 07 b0 01 10 000a 0004 00") + any_item(2, 1, 0, Q, 8)
    assert places(meaning(job(b"\x04\x02" + then))) == [("DB10", 32, 128), ("Q", 8, 8)]


def test_a_symbol_has_a_name_and_no_address() -> None:
    """Which memory it is only the project knows, so no range of addresses can mean it."""
    symbol = bytes.fromhex("12 12 b2 ff 8a0e 000a 12345678 2000000a 4000000b")
    (target,) = meaning(read_var(symbol)).targets
    assert (target.table, target.name) == ("symbol", "DB10/12345678/2000000a.4000000b")
    (target,) = meaning(write_var([symbol], [(4, 16, b"\x12\x34")])).targets
    assert (target.operation_class, target.values) == (IS.WRITE, ("0x1234",))


@pytest.mark.parametrize(
    "item",
    [
        any_item(2, 1, 0, 0x99, 0),
        any_item(0x77, 1, 10, DB, 0),
        any_item(2, 1, 0, T, 0),
        any_item(29, 1, 10, DB, 0),
        any_item(30, 1, 0, 0x1E, 0),
        bytes.fromhex("12 0613 00 00000001"),
        bytes.fromhex("12 0a b2 ff 8a0e 000a 1234 5678"),
        bytes.fromhex("12 08 b0 01 10 000a 0004 00"),
    ],
    ids=["area", "type", "type of timers", "timer in a block", "200 family", "R_ID", "short symbol", "areas"],
)
def test_what_cannot_be_read_is_unknown_beside_what_it_is(item: bytes) -> None:
    asked = meaning(read_var(item))
    assert named_classes(asked) == "read+unknown"
    assert [target.table for target in asked.targets] == ["unknown"]
    written = meaning(write_var([item], [(4, 16, b"\x12\x34")]))
    assert named_classes(written) == "write+unknown"


def test_a_write_to_a_record_is_a_vendor_s_affair_as_well() -> None:
    """Records set up modules, and load firmware into some."""
    operation = meaning(write_var([any_item(2, 1, 0, RECORD, 0)], [(4, 8, b"x")]))
    assert set(operation.classes) == {IS.WRITE, IS.VENDOR}


BYTE = any_item(2, 1, 10, DB, 0)


@pytest.mark.parametrize(
    "message",
    [
        job("04"),
        job(b"\x04\2" + BYTE),
        job(b"\x04\1" + BYTE + BYTE),
        job(b"\x04\1" + BYTE + b"\0"),
        job(b"\x04\1" + BYTE, "00"),
        job(b"\x04\1" + b"\x11" + BYTE[1:]),
        job(b"\x04\1" + BYTE[:1] + b"\x0b" + BYTE[2:]),
        job(b"\x04\2" + BYTE[:1] + b"\0" + BYTE),
        read_var(any_item(2, 0, 10, DB, 0)),
        read_var(any_item(1, 2, 10, DB, 0)),
        read_var(any_item(2, 1, 10, DB, 3)),
        read_var(any_item(2, 2, 10, DB, 0xFFFFF8)),
        read_var(any_item(29, 2, 0, T, 0xFFFFFF)),
        write_var([BYTE], []),
        write_var([BYTE], [(4, 8, b"a"), (4, 8, b"b")]),
        write_var([BYTE], [(4, 16, b"ab")]),
        write_var([BYTE], [(4, 8, b"abc")]),
        write_var([BYTE], [(4, 9, b"ab")]),
        write_var([BYTE], [(4, 64, b"a")]),
        write_var([BYTE], [(3, 1, b"\1")]),
        write_var([BYTE], [(8, 1, b"a")]),
        write_var([any_item(1, 1, 10, DB, 0)], [(4, 8, b"\1")]),
        write_var([any_item(1, 1, 10, DB, 0)], [(3, 1, b"\2")]),
        write_var([any_item(1, 1, 10, DB, 0)], [(3, 2, b"\1\1")]),
        write_var([bytes.fromhex("12 0c b0 02 10 000a 0004 02 000b 0000")], [(4, 8, b"a")]),
        job(b"\x05\1" + BYTE, "05 04 0008 61"),
        job("29 0000000000 0a 50"),
        job("29 0000000000 01 50 51"),
        job("28 000000000000fd 00ff 05 5f494e5345"),
        job("28 000000000000fd 0000 05 5f494e5345 00"),
        job("28 000000000000fd 0000 05 5f494e5345", "00"),
        job(b"\x28\0\0\0\0\0\0\xfd\0\x0a\2\0000A00001P\x05_INSE"),
        job(b"\x28\0\0\0\0\0\0\xfd\0\0\x05_INSE"),
        job("1d 00 0000 00000000 09 5f"),
        job("1d 00 0000 00000000 00"),
        job("1d 00 0000 00000000 01 5f 00"),
        job("1e 00 0000 0000"),
        job("1e 00 0000 00000001 00"),
        userdata(0x44, 1, octets("0011")),
        userdata(0x44, 1, b"\xff\x09\0\x04\0\x11"),
        userdata(0x44, 1, b"\xff\x09"),
        userdata(0x47, 2, octets("0019")),
        userdata(0x42, 1, octets("0001")),
        userdata(0x42, 1, octets(b"\0\2\1\5" + BYTE)),
        userdata(0x41, 8, octets("0014 0002 0000")),
        userdata(0x41, 8, tis("0001 02010000 0004 00090001 41 00")),
        userdata(0x41, 8, tis("0001 02010000 0004 00090002 4142 00")),
        userdata(0x41, 8, tis("0001 02010000 0004")),
        userdata(0x41, 8, tis("0002 02010000 0004 00090002 4142")),
        userdata(0x41, 8, tis("0001 00080000 0004 00090001 01 00")),
        userdata(0x41, 8, tis("0001 00010000 0004 00090001 02 00")),
        userdata(0x41, 8, tis("0000")),
        userdata(0x41, 2, tis("0001 02010000 0004 00")),
        userdata(0x41, 14, tis("08")),
        userdata(0x41, 14, tis("0802 00")),
    ],
)
def test_what_contradicts_itself_inside_is_malformed(message: bytes) -> None:
    frame = one(message)
    assert frame.role is Role.REQUEST
    with pytest.raises(Malformed):
        _ = frame.operation


def name(block: str) -> bytes:
    return b"\x09_" + block.encode()


@pytest.mark.parametrize(
    ("message", "side", "title", "place"),
    [
        (job(b"\x1a\0\1\0\0\0\0\0" + name("0A00001P") + b"\x0d1000500000400"), Side.CLIENT, "to", ("DB", 1, 1)),
        (job(b"\x1b\0\0\0\0\0\0\0" + name("0C00009P")), Side.ASSET, "to", ("FC", 9, 1)),
        (job(b"\x1c\0\0\0\0\0\0\0" + name("0800001P")), Side.ASSET, "to", ("OB", 1, 1)),
        (job(b"\x1d\0\0\0\0\0\0\0" + name("0B00000A")), Side.CLIENT, "from", ("SDB", 0, 1)),
        (job(b"\x1d\0\0\0\0\0\0\0\x09$0E00012A"), Side.CLIENT, "from", ("FB", 12, 1)),
        (job(b"\x1d\0\0\0\0\0\0\0\x09_0X00012A"), Side.CLIENT, "from", ("file", 0, 1)),
        (job(b"\x1d\0\0\0\0\0\0\0\x09_0A0 012A"), Side.CLIENT, "from", ("file", 0, 1)),
        (job(b"\x1d\0\0\0\0\0\0\0\x09_0A99999A"), Side.CLIENT, "from", ("file", 0, 1)),
        (job(b"\x1d\0\0\0\0\0\0\0\x05/a/b0"), Side.CLIENT, "from", ("file", 0, 1)),
        (job(b"\x28\0\0\0\0\0\0\xfd\0\x0a\1\x000A00001P\x05_INSE"), Side.CLIENT, "to", ("DB", 1, 1)),
        (job(b"\x28\0\0\0\0\0\0\xfd\0\x0a\1\x000800001B\x05_DELE"), Side.CLIENT, "to", ("OB", 1, 1)),
    ],
)
def test_transfers_name_their_blocks(message: bytes, side: Side, title: str, place: tuple[str, int, int]) -> None:
    operation = meaning(message, side)
    wanted = {"to": "s7comm.program_to_device", "from": "s7comm.program_from_device"}[title]
    assert (operation.title, places(operation)) == (wanted, [place])


def test_an_upload_goes_on_under_the_number_that_the_controller_gave_it() -> None:
    decoder = S7Decoder()
    started = job(b"\x1d\0\0\0\0\0\0\0" + name("0C00009A"), ref=3)
    one(started, decoder=decoder)
    one(ack("1d 00 0100 0000002a 07 30303030313030", ref=3), Side.ASSET, decoder)
    for function in ("1e", "1f"):
        operation = meaning(job(f"{function} 00 0000 0000002a"), decoder=decoder)
        assert places(operation) == [("FC", 9, 1)]
    other = meaning(job("1e 00 0000 0000002b"), decoder=decoder)
    assert (other.title, other.targets) == ("s7comm.program_from_device", ())


def test_a_refused_upload_leaves_no_name_behind() -> None:
    decoder = S7Decoder()
    one(job(b"\x1d\0\0\0\0\0\0\0" + name("0C00009A"), ref=3), decoder=decoder)
    one(ack("1d 00 0100 0000002a 07 30303030313030", ref=3, error=0xD241), Side.ASSET, decoder)
    assert meaning(job("1e 00 0000 0000002a"), decoder=decoder).targets == ()


@pytest.mark.parametrize(
    ("message", "side", "classes", "shown"),
    [
        (userdata(0x44, 1, octets("00110000")), Side.CLIENT, "discovery", "0x0011/0x0000"),
        (userdata(0x44, 1, octets("011c0001")), Side.CLIENT, "discovery", "0x011c/0x0001"),
        (userdata(0x44, 1, octets("04240000")), Side.CLIENT, "diagnostics", "0x0424/0x0000"),
        (userdata(0x43, 1), Side.CLIENT, "diagnostics", None),
        (userdata(0x43, 2, octets(b"0C")), Side.CLIENT, "diagnostics", ("FC", 0, 65536)),
        (userdata(0x43, 3, octets(b"0A00001P")), Side.CLIENT, "diagnostics", ("DB", 1, 1)),
        (userdata(0x45, 1, octets(b"12345678")), Side.CLIENT, "auth", None),
        (userdata(0x45, 2), Side.CLIENT, "unknown", None),
        (userdata(0x46, 1, octets("1206 1300 00000007 0002 abcd")), Side.CLIENT, "write", ("r_id", 7, 1)),
        (userdata(0x46, 1, octets("1206 1300 00000007 0002 abcd")), Side.ASSET, "write", ("r_id", 7, 1)),
        (userdata(0x47, 1), Side.CLIENT, "read", None),
        (userdata(0x47, 2, octets("0019 16 02 08 23 08 10 12 32")), Side.CLIENT, "config", ("clock", 0, 1)),
        (userdata(0x7F, 1, octets(b"/a")), Side.CLIENT, "program_to_device", None),
        (userdata(0x7F, 6, octets(b"/a")), Side.CLIENT, "program_from_device", None),
        (userdata(0x4F, 2, octets(b"/a")), Side.CLIENT, "program_to_device", None),
        (userdata(0x60, 1, octets(b"/a")), Side.CLIENT, "unknown", None),
        (userdata(0x40, 1), Side.CLIENT, "unknown", None),
        (userdata(0x44, 17), Side.CLIENT, "unknown", None),
        (userdata(0x04, 17, octets("00")), Side.ASSET, "read", None),
        (userdata(0x00, 0), Side.ASSET, "diagnostics", None),
        (userdata(0x01, 8), Side.CLIENT, "unknown", None),
        (userdata(0x44, 1, octets("00110000")), Side.ASSET, "unknown", None),
        (userdata(0x49, 1), Side.CLIENT, "unknown", None),
        (userdata(0x41, 99), Side.CLIENT, "unknown", None),
        (job("00"), Side.CLIENT, "vendor", None),
        (job("99"), Side.CLIENT, "unknown", None),
        (job(b"\x1b\0\0\0\0\0\0\0" + name("0A00001P")), Side.CLIENT, "unknown", ("DB", 1, 1)),
        (job("29 0000000000 09" + b"P_PROGRAM".hex()), Side.ASSET, "unknown", None),
        (read_var(BYTE), Side.ASSET, "unknown", None),
    ],
)
def test_groups_functions_and_who_asks_decide_the_class(
    message: bytes, side: Side, classes: str, shown: str | tuple[str, int, int] | None
) -> None:
    operation = meaning(message, side)
    assert named_classes(operation) == classes
    if isinstance(shown, str):
        assert operation.targets[0].name == shown
    else:
        assert places(operation) == ([] if shown is None else [shown])


def test_a_clock_is_set_to_a_time_that_can_be_read() -> None:
    (target,) = meaning(userdata(0x47, 2, octets("0019 16 02 08 23 08 10 12 32"))).targets
    assert target.values == ("2016-02-08T23:08:10.123",)


@pytest.mark.parametrize(
    ("service", "argument", "classes"),
    [
        ("P_PROGRAM", b"", "execute"),
        ("P_PROGRAM", b"C ", "execute"),
        ("_MODU", b"EP", "program_to_device"),
        ("_GARB", b"", "config"),
        ("_N_LOGIN_", b"\x06SECRET", "auth"),
        ("_N_SELECT", b"\x05P01/A", "execute"),
        ("_XXXX", b"", "unknown"),
        ("_INSE ", b"", "unknown"),
        ("_inse", b"", "unknown"),
    ],
)
def test_a_program_invocation_is_what_its_service_is(service: str, argument: bytes, classes: str) -> None:
    message = b"\x28\0\0\0\0\0\0\xfd" + pack(">H", len(argument)) + argument + bytes((len(service),)) + service.encode()
    frame = one(job(message))
    assert named_classes(frame.operation) == classes
    assert frame.operation.code == f"0x28/{service}"


@pytest.mark.parametrize(
    "message",
    [
        userdata(0x45, 1, octets(b"SECRET78")),
        userdata(0x45, 9, octets(b"SECRET78")),
        job(b"\x28\0\0\0\0\0\0\xfd\0\7\6SECRET\x09_N_LOGIN_"),
        job(b"\x28\0\0\0\0\0\0\xfd\0\7\6SECRET\x0a_N_LOGIN_x"),
    ],
)
def test_a_password_does_not_go_on_record(message: bytes) -> None:
    frame = one(message)
    assert b"SECRET" not in frame.recorded
    assert (len(frame.recorded), frame.recorded[:17]) == (len(message), message[:17])
    assert "SECRET" not in repr(frame.operation)
    assert one(read_var(BYTE)).recorded == read_var(BYTE)


def test_an_answer_shows_what_was_read_and_which_item_failed() -> None:
    decoder = S7Decoder()
    items = [any_item(4, 1, 10, DB, 0), any_item(1, 1, 0, M, 3), any_item(2, 1, 0, Q, 0)]
    asked = one(read_var(*items))
    shown = decoder.answer(asked, one(ack("0403", "ff040010 0037 ff030001 01 00 0a000000"), Side.ASSET))
    assert shown.status == "0x0a object does not exist"
    assert [target.values for target in shown.targets] == [(55,), (1,), None]
    for wrong in ("ff040010 0037", "ff040008 37 00 ff030001 01 00 0a000000", ""):
        assert decoder.answer(asked, one(ack("0403", wrong), Side.ASSET)).status == "unreadable"
    assert decoder.answer(asked, one(ack("0403", error=0x8104), Side.ASSET)).status.startswith("0x8104 service")


def test_an_answer_to_userdata_shows_its_error() -> None:
    asked = one(userdata(0x43, 3, octets(b"0A00001P")))
    refused = one(userdata(0x83, 3, error=0xD209), Side.ASSET)
    assert S7Decoder().answer(asked, refused).status == "0xd209 block not found"
    assert S7Decoder().answer(asked, one(userdata(0x83, 3), Side.ASSET)).status == ""


def test_the_tables_say_what_the_taxonomy_says_code_by_code() -> None:
    document = taxonomy("s7comm")
    jobs = {each["function"]: each for each in document["job"]}
    ours = {code: (found.value, origin.value) for code, _, found, origin in FUNCTIONS}
    assert ours == {code: (each["class"], each.get("from", "client")) for code, each in jobs.items() if "class" in each}
    services = {name: found.value for names, _, found in PI_SERVICES for name in names}
    assert services == {name: each["class"] for each in jobs[0x28]["sub"] for name in many(each["code"])}
    groups = {
        (group, sub): (found.value, Origin(origin).value)
        for group, subs, found, origin in USERDATA_CODES
        for sub in subs or (None,)
    }
    expected = {
        (group["group"], sub): (each["class"], each.get("from", "client"))
        for group in document["userdata"]
        for each in group.get("sub", [group])
        for sub in many(each.get("code"))
    }
    assert groups == expected


@given(
    st.sampled_from([(2, 8), (4, 16), (6, 32), (8, 32)]),
    st.integers(1, 40),
    st.integers(0, 65535),
    st.sampled_from([DB, M, IN, Q]),
    st.integers(0, 0xFFFF),
)
def test_any_range_of_memory_is_named_as_it_was_asked_for(
    size: tuple[int, int], count: int, block: int, area: int, byte: int
) -> None:
    (target,) = meaning(read_var(any_item(size[0], count, block, area, 8 * byte))).targets
    assert (target.first, target.count) == (8 * byte, size[1] * count)
