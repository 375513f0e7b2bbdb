"""Each of the protocols: a write after a read stands on record with what was there before, and with its result."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from asyncua import ua
from bacnet_datagrams import ANALOG_VALUE_1, confirmed, npdu
from enip_messages import read_tag, reply, rr_data, write_dint
from opcua_talk import ACKNOWLEDGE, Talk, encoded, hello, open_request, open_response, opening, reading, writing
from proxying import GRANT, SECOND, T0
from s7comm_messages import ack, any_item, read_var, write_var
from telling import Telling

from penstock.wire import Dnp3Decoder, Iec104Decoder, ModbusDecoder, OpcUaDecoder, S7Decoder, Side
from penstock.wire.bacnet import BacnetDecoder
from penstock.wire.dnp3.link import link_frame
from penstock.wire.enip import EnipDecoder
from penstock.wire.fins import FinsDecoder


def modbus(number: int, rest: str) -> bytes:
    body = bytes.fromhex(rest)
    return pack(">HHH", number, 0, len(body)) + body


def test_modbus(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "modbus", ModbusDecoder())
    flow.exchange(modbus(1, "01 03 0000 0014"), modbus(1, "01 03 28" + "00fa" * 20))
    flow.exchange(modbus(2, "01 06 000a 012c"), modbus(2, "01 06 000a 012c"))
    flow.exchange(modbus(3, "01 10 0009 0003 06 0001 0002 0003"), modbus(3, "01 90 02"))
    flow.exchange(modbus(4, "01 06 000a 0005"), modbus(4, "01 06 000a 0005"))
    first, second, third = [one for one in flow.told() if one["name"] == "modbus.write"]
    assert first["old"] == [{"target": 0, "first": 10, "values": [250], "old_seen_us": 1_000_000}]
    assert (first["latency_us"], first["outcome"].name) == (4200, "ANSWERED")
    assert "status" not in first
    assert second["status"] == "2 illegal data address"
    assert [(each["first"], each["values"]) for each in second["old"]] == [(9, [250]), (10, [300]), (11, [250])]
    assert second["old"][1]["old_seen_us"] == 1_000_000 - 4200, "since the write was answered"
    assert "old" not in third, "nobody knows what the write that failed has left"


def test_s7comm_reads_bytes_and_writes_words_bits_and_numbers_of_them(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "s7comm", S7Decoder())
    setup = bytes.fromhex("0300001611e00000000700c1020100c2020102c0010a")
    flow.exchange(setup, bytes.fromhex("0300001611d00007000300c0010ac1020100c2020102"))
    memory = bytes.fromhex("00fa fff6 3f800000 05000000")
    flow.exchange(read_var(any_item(2, 12, 10, 0x84, 0)), ack("0401", b"\xff\x04" + pack(">H", 96) + memory))
    word, number = any_item(4, 1, 10, 0x84, 0), any_item(5, 1, 10, 0x84, 16)
    real, bit = any_item(8, 1, 10, 0x84, 32), any_item(1, 1, 10, 0x84, 64 + 2)
    flow.exchange(write_var([word], [(4, 16, pack(">H", 300))]), ack("0501", b"\xff"))
    flow.exchange(write_var([number], [(5, 16, pack(">h", -7))]), ack("0501", b"\x05"))
    flow.exchange(write_var([real], [(7, 4, pack(">f", 2.5))]), ack("0501", b"\xff"))
    flow.exchange(write_var([bit], [(3, 1, b"\0")]), ack("0501", b"\xff"))
    flow.exchange(write_var([word], [(4, 16, pack(">H", 1))]), ack("0501", b"\x0a"))
    assert flow.changes() == [
        ([250], [300], ""),
        ([-10], [-7], "0x05 invalid address"),
        ([1.0], [2.5], ""),
        ([1], [0], ""),
        ([300], [1], "0x0a object does not exist"),
    ]


def test_what_one_module_of_a_rack_holds_is_never_shown_of_another_one(tmp_path: Path) -> None:
    """Both are at one address, and the slot is said when a connection begins, not in the request."""
    flow = Telling(tmp_path, "s7comm", S7Decoder())
    other = flow.another(GRANT, S7Decoder())
    for slot, each in ((2, flow.inspection), (3, other)):
        to = bytes((1, slot)).hex()
        each.from_client(bytes.fromhex(f"0300001611e00000000700c1020100c202{to}c0010a"), T0)
        each.from_asset(bytes.fromhex(f"0300001611d00007000300c0010ac1020100c202{to}"), T0)
    word = any_item(4, 1, 10, 0x84, 0)
    for slot in (2, 3, 2, 3):
        if slot == 2:
            flow.exchange(read_var(word), ack("0401", b"\xff\x04\0\x10" + pack(">H", 250)))
        else:
            flow.now_us += SECOND
            other.from_client(read_var(word), flow.now_us)
            other.from_asset(ack("0401", b"\xff\x04\0\x10" + pack(">H", 777)), flow.now_us + 10)
    flow.exchange(write_var([word], [(4, 16, pack(">H", 300))]), ack("0501", b"\xff"))
    assert flow.changes() == [([250], [300], "")]


def test_enip(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "enip", EnipDecoder())
    flow.exchange(rr_data(read_tag("Speed")), rr_data(reply(0x4C, b"\xc4\0" + pack("<i", 250))))
    flow.exchange(rr_data(write_dint("Speed", 300)), rr_data(reply(0x4D)))
    flow.exchange(rr_data(write_dint("Speed", 400)), rr_data(reply(0x4D, status=0x0F)))
    flow.exchange(rr_data(write_dint("Other", 1)), rr_data(reply(0x4D)))
    assert flow.changes() == [
        ([250], [300], ""),
        ([300], [400], "15 privilege violation"),
        (None, [1], ""),
    ]


def dnp3(app: str, *, is_request: bool = True) -> bytes:
    ends = (0xC4, 10, 1) if is_request else (0x44, 1, 10)
    return link_frame(*ends, b"\xc0" + bytes.fromhex(app))


def test_dnp3_knows_what_a_class_poll_showed_and_that_a_select_moves_nothing(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "dnp3", Dnp3Decoder())
    status = "0A02 00 0505 01 2801 00 0707 01 FA000000"
    flow.exchange(dnp3("C1 01 3C01 06"), dnp3(f"C1 81 0000 {status}", is_request=False))
    crob, refused = ("0C01 28 0100 0500 03 01 64000000 64000000 " + code for code in ("00", "04"))
    flow.exchange(dnp3(f"C2 03 {crob}"), dnp3(f"C2 81 0000 {crob}", is_request=False))
    flow.exchange(dnp3(f"C3 04 {crob}"), dnp3(f"C3 81 0000 {refused}", is_request=False))
    analog = "2901 28 0100 0700 2C010000 00"
    flow.exchange(dnp3(f"C4 05 {analog}"), dnp3(f"C4 81 0000 {analog}", is_request=False))
    flow.exchange(dnp3(f"C5 05 {crob}"), dnp3(f"C5 81 0000 {crob}", is_request=False))
    assert flow.changes() == [
        (["off"], ["latch_on"], ""),
        (["off"], ["latch_on"], "4 not supported for this point"),
        ([250], [300], ""),
        (None, ["latch_on"], ""),
    ], "after an operate that failed nobody knows the relay"


def test_dnp3_each_fragment_of_an_answer_shows_its_own_points(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "dnp3", Dnp3Decoder())
    poll = dnp3("C1 01 3C01 06")
    first, last = "A1 81 0000 2801 00 0707 01 FA000000", "42 81 0000 2801 00 0808 01 05000000"
    assert flow.client(poll, flow.now_us + 1).to_asset == poll
    for number, part in enumerate((first, last)):
        assert flow.asset(dnp3(part, is_request=False), flow.now_us + 2 + number).ending is None
    for number, point, value in ((4, "0700", 300), (5, "0800", 6)):
        analog = f"2901 28 0100 {point} {pack('<i', value).hex()} 00"
        flow.exchange(dnp3(f"C{number} 05 {analog}"), dnp3(f"C{number} 81 0000 {analog}", is_request=False))
    assert flow.changes() == [([250], [300], ""), ([5], [6], "")]


def iec104(number: int, expected: int, asdu: str) -> bytes:
    data = bytes.fromhex(asdu)
    control = (number << 1).to_bytes(2, "little") + (expected << 1).to_bytes(2, "little")
    return bytes((0x68, len(data) + 4)) + control + data


def test_iec104_knows_what_was_told_and_what_a_set_point_left(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "iec104", Iec104Decoder())
    point = f"0d01 0300 0300 640000 {pack('<f', 250).hex()} 00"
    assert flow.asset(iec104(0, 0, point), flow.now_us + 5).ending is None

    def set_point(cause: str, value: float) -> str:
        return f"3201 {cause}00 0300 640000 {pack('<f', value).hex()} 00"

    flow.exchange(iec104(0, 1, set_point("06", 300)), iec104(1, 1, set_point("07", 300)))
    flow.exchange(iec104(1, 2, set_point("06", 400)), iec104(2, 2, set_point("47", 400)))
    flow.exchange(iec104(2, 3, set_point("06", 500)), iec104(3, 3, set_point("07", 500)))
    assert flow.changes() == [
        ([250.0], [300.0], ""),
        ([300.0], [400.0], "7 activation confirmation, negative"),
        (None, [500.0], ""),
    ]


def test_opcua(tmp_path: Path) -> None:
    talk = Talk()
    flow = Telling(tmp_path, "opcua", OpcUaDecoder())
    flow.exchange(hello(), ACKNOWLEDGE)
    flow.exchange(opening(open_request(), 1, "None", 0), opening(open_response(), 1, "None", 8))

    def exchange(request: object, response: object) -> None:
        asked = talk.asking(request)
        flow.exchange(asked, talk.sealed(encoded(response), Side.ASSET, talk.request))

    read, written = ua.ReadResponse(), ua.WriteResponse()
    read.Results = [ua.DataValue(ua.Variant(250, ua.VariantType.Int32))]
    written.Results = [ua.StatusCode(0)]
    refused = ua.WriteResponse()
    refused.Results = [ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)]
    node = "ns=2;s=Line1.Speed"
    exchange(reading(node), read)
    exchange(writing((node, ua.Variant(300, ua.VariantType.Int32))), written)
    exchange(writing((node, ua.Variant(400, ua.VariantType.Int32))), refused)
    (old, new, status), (older, newer, why) = flow.changes()[-2:]
    assert (old, new, status) == ([250], [300], "")
    assert (older, newer) == ([300], [400])
    assert why == "0x801F0000 Bad_UserAccessDenied"


def test_bacnet_a_present_value_is_known_from_reads_only_and_other_properties_from_writes(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "bacnet", BacnetDecoder())

    def read_answer(number: float) -> bytes:
        return npdu(b"\x30\x07\x0c" + bytes.fromhex(f"{ANALOG_VALUE_1} 19 55 3e 44 {pack('>f', number).hex()} 3f"))

    def write(number: float) -> bytes:
        return npdu(confirmed(15, f"{ANALOG_VALUE_1} 19 55 3e 44 {pack('>f', number).hex()} 3f 49 08"))

    done, denied = npdu(b"\x20\x07\x0f"), npdu(b"\x50\x07\x0f" + bytes.fromhex("91 02 91 28"))
    flow.exchange(npdu(confirmed(12, f"{ANALOG_VALUE_1} 19 55")), read_answer(20.5))
    flow.exchange(write(21.5), done)
    flow.exchange(write(22.5), done)
    flow.exchange(npdu(confirmed(12, f"{ANALOG_VALUE_1} 19 55")), read_answer(22.5))
    flow.exchange(write(23.5), denied)
    assert flow.changes() == [
        ([20.5], [21.5], ""),
        (None, [22.5], ""),
        ([22.5], [23.5], "2/40 property, write-access-denied"),
    ]


def test_fins(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "fins", FinsDecoder())

    def message(command: str, is_reply: bool = False) -> bytes:  # noqa: FBT001, FBT002
        head = "c0000200010000020000" if is_reply else "80000200020000010000"
        body = bytes.fromhex(head) + bytes.fromhex(command)
        return b"FINS" + pack(">III", len(body) + 8, 2, 0) + body

    flow.exchange(message("0101 82 0064 00 0002"), message("0101 0000 00fa 0001", is_reply=True))
    flow.exchange(message("0102 82 0064 00 0001 012c"), message("0102 0000", is_reply=True))
    flow.exchange(message("0102 82 0064 00 0001 0190"), message("0102 2101", is_reply=True))
    (old, new, status), (older, newer, why) = flow.changes()
    assert (old, new, status, older, newer) == ([250], [300], "", [300], [400])
    assert why.startswith("2101 ")


@pytest.mark.parametrize("unit", [1, 2])
def test_what_one_unit_showed_is_not_told_of_another(tmp_path: Path, unit: int) -> None:
    flow = Telling(tmp_path, "modbus", ModbusDecoder())
    flow.exchange(modbus(1, "01 03 000a 0001"), modbus(1, "01 03 02 00fa"))
    write = modbus(2, f"{unit:02x} 06 000a 012c")
    flow.exchange(write, write)
    assert flow.changes() == [([250] if unit == 1 else None, [300], "")]
