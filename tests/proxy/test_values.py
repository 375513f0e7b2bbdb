"""What goes on record beside the rows: old values that are never guessed, results, and how fully each mode tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from struct import pack, unpack
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxying import GRANT, SECOND, T0
from telling import Telling, change_of

from penstock.model import Operation, OperationClass, Record, RecordKind, RecordMode, Target
from penstock.proxy import shown
from penstock.proxy.shown import MAX_BYTES, MAX_PLACES, MAX_WRITES, STALE_US, Showings, Shown, objects_of
from penstock.wire import Frame, ModbusDecoder, Side

REGISTERS = 6


def modbus(number: int, rest: bytes) -> bytes:
    return pack(">HHH", number & 0xFFFF, 0, len(rest) + 1) + b"\x01" + rest


def read(number: int, first: int, count: int) -> bytes:
    return modbus(number, pack(">BHH", 3, first, count))


def values(number: int, *registers: int) -> bytes:
    return modbus(number, pack(f">BB{len(registers)}H", 3, 2 * len(registers), *registers))


def write(number: int, first: int, *registers: int) -> bytes:
    count = len(registers)
    return modbus(number, pack(f">BHHB{count}H", 16, first, count, 2 * count, *registers))


def written(number: int, first: int, count: int) -> bytes:
    return modbus(number, pack(">BHH", 16, first, count))


def exception(number: int, function: int, code: int = 4) -> bytes:
    return modbus(number, bytes((0x80 | function, code)))


@pytest.fixture
def flow(tmp_path: Path) -> Telling:
    return Telling(tmp_path, "modbus", ModbusDecoder())


# --- against a model: a store of registers that some other client changes behind the gate's back

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "refused write", "unanswered write", "mask", "elsewhere", "restart"]),
        st.integers(0, REGISTERS - 1),
        st.integers(1, REGISTERS),
        st.integers(0, 3),
    ),
    max_size=40,
)


class Device:
    """Registers, and what an onlooker who sees the gate's traffic knows of them."""

    def __init__(self) -> None:
        self.registers = [7 * i for i in range(REGISTERS)]
        self.known: list[int | None] = [None] * REGISTERS
        self.expected: list[tuple[list[tuple[int, int]], list[int] | None, str]] = []

    def about_to_write(self, first: int, new: list[int] | None, count: int, status: str) -> None:
        places = range(first, first + count)
        self.expected.append(([(at, value) for at in places if (value := self.known[at]) is not None], new, status))


def play(flow: Telling, device: Device, number: int, step: tuple[str, int, int, int]) -> None:
    kind, first, count, value = step
    count = min(count, REGISTERS - first)
    places, new = slice(first, first + count), [value + i for i in range(count)]
    if kind == "read":
        flow.exchange(read(number, first, count), values(number, *device.registers[places]))
        device.known[places] = device.registers[places]
    elif kind == "write":
        device.about_to_write(first, new, count, "")
        flow.exchange(write(number, first, *new), written(number, first, count))
        device.registers[places] = device.known[places] = new
    elif kind == "refused write":
        device.about_to_write(first, new, count, "4 server device failure")
        flow.exchange(write(number, first, *new), exception(number, 16))
        device.known[places] = [None] * count
    elif kind == "unanswered write":
        device.about_to_write(first, new, count, "")
        flow.exchange(write(number, first, *new))
        flow.now_us += 6 * SECOND
        flow.inspection.tick(flow.now_us)
        device.registers[places] = new
        device.known[places] = [None] * count
    elif kind == "mask":
        device.about_to_write(first, None, 1, "")
        mask = modbus(number, pack(">BHHH", 22, first, 0, value))
        flow.exchange(mask, mask)
        device.registers[first], device.known[first] = value, None
    elif kind == "restart":
        restart = modbus(number, pack(">BHH", 8, 1, 0))
        device.expected.append(([], None, ""))
        flow.exchange(restart, restart)
        device.known = [None] * REGISTERS
    else:
        device.registers[first] = value  # nobody sees it: what is known is what was shown


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_every_write_is_on_record_once_with_exactly_the_old_values_that_traffic_showed(
    steps: list[tuple[str, int, int, int]],
) -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        flow, device = Telling(Path(folder), "modbus", ModbusDecoder()), Device()
        for number, step in enumerate(steps, 1):
            play(flow, device, number, step)
        told = [one for one in flow.told() if one["name"] != "modbus.read"]
        found = []
        for one in told:
            old = [(each["first"] + i, v) for each in one.get("old", []) for i, v in enumerate(each["values"])]
            found.append((old, change_of(one)[1], one.get("status", "")))
        assert found == device.expected


# --- what is not known is absent


def test_two_writes_that_are_under_way_together_leave_nothing_known(flow: Telling) -> None:
    flow.exchange(read(1, 0, 1), values(1, 5))
    one, two = write(2, 0, 6), write(3, 0, 7)
    flow.client(one, T0 + 2 * SECOND)
    flow.client(two, T0 + 2 * SECOND + 1)
    flow.asset(written(2, 0, 1), T0 + 2 * SECOND + 9)
    flow.asset(written(3, 0, 1), T0 + 2 * SECOND + 10)
    flow.now_us += 5 * SECOND
    flow.exchange(write(4, 0, 8), written(4, 0, 1))
    assert [change[0] for change in flow.changes()] == [[5], None, None]


def test_a_read_that_was_asked_before_a_write_ended_says_nothing_of_what_is_there_after_it(flow: Telling) -> None:
    flow.client(write(1, 0, 6), T0 + 1)
    flow.client(read(2, 0, 1), T0 + 2)
    flow.asset(written(1, 0, 1), T0 + 3)
    flow.asset(values(2, 5), T0 + 4)
    flow.exchange(write(3, 0, 7), written(3, 0, 1))
    assert [change[0] for change in flow.changes()] == [None, [6]]


def test_another_flow_to_the_same_service_shows_what_this_one_writes_over(flow: Telling) -> None:
    other = flow.another(GRANT, ModbusDecoder())
    other.from_client(read(1, 0, 2), T0 + 1)
    other.from_asset(values(1, 5, 6), T0 + 2)
    flow.exchange(write(1, 1, 7), written(1, 1, 1))
    (one,) = [one for one in flow.told() if one["name"] == "modbus.write"]
    assert one["old"] == [{"target": 0, "first": 1, "values": [6], "old_seen_us": SECOND - 1}]


def test_a_clock_that_was_set_makes_everything_unknown(flow: Telling) -> None:
    flow.exchange(read(1, 0, 1), values(1, 5))
    flow.shown.forget()
    flow.exchange(write(2, 0, 6), written(2, 0, 1))
    assert flow.changes() == [(None, [6], "")]


def test_the_end_of_a_flow_tells_what_was_there_before_a_write_that_nobody_answered(flow: Telling) -> None:
    flow.exchange(read(1, 0, 1), values(1, 5))
    flow.exchange(write(2, 0, 6))
    flow.inspection.settle(flow.now_us + 9)
    (one,) = [one for one in flow.told() if one["name"] == "modbus.write"]
    assert (one["outcome"].name, one["old"][0]["values"]) == ("UNANSWERED", [5])


# --- bounds


def frame_of(number: int, size: int) -> Frame:
    return Frame(bytes(size), Side.ASSET, bytes(size), number, False)


def reading(first: int) -> tuple[Frame, Operation]:
    target = Target(OperationClass.READ, "holding_registers", first, 1)
    request = Frame(b"", Side.CLIENT, first.to_bytes(4, "big"), first, False)
    return request, Operation("modbus", (OperationClass.READ,), "3", "Read", 1, (target,))


@pytest.mark.parametrize("size", [40, 3000])
def test_answers_are_bounded_in_number_and_bytes_and_what_is_read_stays(size: int) -> None:
    shown = Shown(objects_of("modbus"))
    for first in range(3 * MAX_PLACES):
        shown.keep(shown.place(*reading(first)), frame_of(first, size), T0 + first)
    assert shown.used_bytes <= MAX_BYTES
    assert shown.place(*reading(0)).reply is not None, "who came first, and is not stale, stays"
    assert shown.place(*reading(3 * MAX_PLACES - 1)).reply is None
    later_us = T0 + 2 * STALE_US
    shown.keep(shown.place(*reading(9999)), frame_of(1, size), later_us)
    assert shown.place(*reading(9999)).reply is not None, "stale ones have made room"
    assert shown.used_bytes <= MAX_BYTES


def test_an_answer_that_is_too_long_is_not_kept_and_the_one_before_it_is_not_the_last_any_more() -> None:
    shown = Shown(objects_of("modbus"))
    place = shown.place(*reading(0))
    shown.keep(place, frame_of(1, 100), T0)
    shown.keep(place, frame_of(2, MAX_BYTES), T0 + 1)
    assert place.reply is None


def test_a_write_that_is_forgotten_takes_what_was_seen_before_it_along(flow: Telling) -> None:
    flow.exchange(read(1, 0, 1), values(1, 5))
    flow.exchange(write(2, 0, 6), exception(2, 16))
    for number in range(MAX_WRITES):
        flow.exchange(write(3 + number, 10 + number, 1), written(3 + number, 10 + number, 1), latency_us=1)
    flow.exchange(write(999, 0, 7), written(999, 0, 1))
    assert flow.changes()[-1] == (None, [7], ""), "never 5, which may have been written over"


# --- modes


def traffic(flow: Telling) -> None:
    """Three reads of one object, one of them refused by the asset, one of another, and two writes."""
    flow.exchange(read(1, 0, 1), values(1, 5), latency_us=100)
    flow.exchange(write(2, 0, 6), written(2, 0, 1))
    for number, reply in ((3, values(3, 6)), (4, exception(4, 3)), (5, values(5, 6))):
        flow.now_us -= SECOND - 1000
        flow.exchange(read(number, 0, 1), reply, latency_us=100 * number)
    flow.exchange(read(6, 3, 1), values(6, 9))
    flow.exchange(write(7, 0, 8), exception(7, 16, 2))


@pytest.mark.parametrize("mode", RecordMode)
def test_a_write_is_told_one_by_one_with_its_values_in_every_mode(tmp_path: Path, mode: RecordMode) -> None:
    flow = Telling(tmp_path, "modbus", ModbusDecoder(), mode)
    traffic(flow)
    assert flow.changes() == [([5], [6], ""), ([6], [8], "2 illegal data address")]


def details(flow: Telling) -> list[dict[str, Any]]:
    return [record.detail for record in flow.records("operations", flow.now_us + SECOND)]


def test_every_operation_is_a_row_where_operations_are_recorded(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "modbus", ModbusDecoder(), RecordMode.OPERATIONS)
    traffic(flow)
    told = flow.told()
    assert [one["name"] for one in told].count("modbus.read") == 5
    assert not any("answer" in one or "reply" in one for one in told)


def test_reads_are_summed_for_each_second_and_object_where_writes_are_recorded(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "modbus", ModbusDecoder(), RecordMode.WRITES)
    traffic(flow)
    found = details(flow)
    assert sum(len(detail["rows"]) for detail in found) == 2
    sums = [(detail["operations"][each["operation"]], each) for detail in found for each in detail.get("sums", [])]
    by_object: dict[int, list[dict[str, Any]]] = {}
    for line, each in sums:
        by_object.setdefault(line["targets"][0]["first"], []).append(each)
    assert sum(each["count"] for each in by_object[0]) == 4
    assert sum(each.get("exceptions", 0) for each in by_object[0]) == 1
    assert min(each["latency_us"][0] for each in by_object[0]) == 100
    assert max(each["latency_us"][2] for each in by_object[0]) == 500
    assert [each["count"] for each in by_object[3]] == [1]
    assert all(each["first_us"] <= each["answered_us"] <= each["last_us"] for _, each in sums)


def test_reads_are_counted_at_the_end_of_their_flow_where_sessions_are_recorded(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "modbus", ModbusDecoder(), RecordMode.SESSION)
    traffic(flow)
    other = flow.journal.open_flow(GRANT, "192.168.10.12:40003", T0)
    assert sum(len(detail["rows"]) for detail in details(flow)) == 2
    inspected = flow.inspection._flow
    for each in (inspected, other):
        each.closed(Record(kind=RecordKind.FLOW_CLOSED, at_us=flow.now_us + 9, grant=12, detail={"why": ""}))
    first, second = [record.detail for record in flow.reader.read(flow.now_us + 99) if record.kind == "flow.closed"]
    assert first["reads"]["count"] == 5
    assert first["reads"]["exceptions"] == 1
    assert first["reads"]["latency_us"][0] == 100
    assert "reads" not in second


def test_the_exact_bytes_and_the_values_of_answers_are_on_record_where_payload_is(tmp_path: Path) -> None:
    flow = Telling(tmp_path, "modbus", ModbusDecoder(), RecordMode.PAYLOAD)
    traffic(flow)
    first, _, _, refused, *_ = flow.told()
    assert first["reply"] == values(1, 5).hex()
    assert [target["values"] for target in first["answer"]] == [[5]]
    assert (refused["status"], refused["reply"]) == ("4 server device failure", exception(4, 3).hex())


def test_a_write_that_is_repeated_is_judged_once_and_told_each_time(flow: Telling) -> None:
    for number in range(1, 4):
        flow.exchange(write(number, 0, 6), written(number, 0, 1))
    assert len(flow.judged) == 1
    assert flow.changes() == [(None, [6], ""), ([6], [6], ""), ([6], [6], "")]


def test_read_answers_are_not_decoded_until_a_write_asks_for_them(tmp_path: Path) -> None:
    class Counting(ModbusDecoder):
        decoded = 0

        def answer(self, request: Frame, reply: Frame) -> Any:
            Counting.decoded += 1
            return super().answer(request, reply)

    flow = Telling(tmp_path, "modbus", Counting())
    for number in range(1, 30):
        flow.exchange(read(number, number % 3, 1), values(number, number))
    assert Counting.decoded == 0
    flow.exchange(write(99, 0, 6), written(99, 0, 1))
    assert Counting.decoded == 2, "its own answer, and the one read that bears on it"
    assert unpack(">H", values(27, 27)[-2:])[0] == flow.changes()[0][0][0]  # type: ignore[index]


def test_an_answer_that_may_be_another_requests_shows_nothing(flow: Telling) -> None:
    """The first of two requests with one number was lost, so the answer to the second one comes in its place."""
    flow.client(read(1, 0, 1), T0)
    flow.client(read(1, 3, 1), T0 + 1)
    flow.asset(values(1, 250), T0 + 2)
    flow.now_us += SECOND
    flow.exchange(write(2, 0, 6), written(2, 0, 1))
    flow.exchange(write(3, 3, 7), written(3, 3, 1))
    assert flow.changes() == [(None, [6], ""), (None, [7], "")]


@pytest.mark.parametrize("before", [[], [8]])
def test_an_answer_that_comes_too_late_shows_nothing_of_what_was_asked_since(flow: Telling, before: list[int]) -> None:
    for value in before * 2:
        flow.exchange(read(9, 3, 1), values(9, value))
    flow.client(read(1, 0, 1), flow.now_us)
    flow.now_us += 6 * SECOND
    flow.inspection.tick(flow.now_us)
    flow.client(read(1, 3, 1), flow.now_us)
    flow.asset(values(1, 250), flow.now_us + 10)
    flow.asset(values(1, 8), flow.now_us + 20)
    flow.exchange(write(2, 3, 7), written(2, 3, 1))
    assert flow.changes() == [(before or None, [7], "")]


def test_the_same_request_again_under_its_number_shows_what_it_did(flow: Telling) -> None:
    for _ in range(2):
        flow.client(read(1, 0, 1), flow.now_us)
    flow.asset(values(1, 250), flow.now_us + 2)
    flow.exchange(write(2, 0, 6), written(2, 0, 1))
    assert flow.changes() == [([250], [6], "")]


def test_two_flows_to_one_service_know_the_same_however_many_services_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else one would go on believing what the other one has written over since."""
    monkeypatch.setattr(shown, "MAX_SERVICES", 2)
    showings = Showings()
    first = showings.of(GRANT)
    others = [showings.of(replace(GRANT, asset=f"plc-{number}")) for number in range(3)]
    assert showings.of(GRANT) is first
    assert len({id(each) for each in (first, *others)}) == 4


def test_what_is_known_is_of_a_protocol_at_a_port_over_either_transport() -> None:
    showings = Showings()
    first = showings.of(GRANT)
    assert showings.of(replace(GRANT, service="modbus-udp", transport="udp")) is first
    assert showings.of(replace(GRANT, port=503)) is not first
    assert showings.of(replace(GRANT, protocol="s7comm")).objects is objects_of("s7comm")
