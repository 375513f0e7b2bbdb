"""Real S7comm traffic: shown as tshark shows it, and understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captured import byte_by_byte, compare, expected, flows_of, names
from hypothesis import given
from hypothesis import strategies as st
from s7comm_messages import named_classes

from penstock.model import Operation
from penstock.wire import Frame, Role, S7Decoder, Shown, Side
from penstock.wire.s7comm import S7Dissector

VECTORS = json.loads((Path(__file__).parent / "s7comm_vectors.json").read_text())["vectors"]
KINDS = {"s7comm", "cotp"}
#: These hold nothing but S7comm; S7comm-plus stands beside it in the other one.
PURE = [name for name in names("s7-") if "plus" not in name]


@pytest.mark.parametrize("name", names("s7-"))
def test_every_capture_is_shown_as_tshark_shows_it_however_it_is_cut(name: str) -> None:
    wanted = sum(pdu["p"] in KINDS for line in expected(name).values() for pdu in line["pdus"])
    assert compare(name, S7Dissector, "s7comm", KINDS) == wanted > 0


@pytest.mark.parametrize("vector", VECTORS, ids=[each["message"][14:60] for each in VECTORS])
def test_what_no_capture_holds_is_shown_as_tshark_shows_it(vector: dict[str, object]) -> None:
    """The vectors are messages written for this test, each with what tshark 4.0.17 made of it by way of the oracle."""
    shown = S7Dissector().feed(Side(vector["side"]), bytes.fromhex(str(vector["message"])))
    assert [each.pdu for each in shown] == vector["shown"]
    assert not any(each.is_malformed for each in shown)


def frames_of(name: str, *, by_byte: bool = False) -> list[Frame]:
    """The frames of all flows of a capture, by the decoder that the gate uses; both sides of a flow share one."""
    found: list[Frame] = []
    for flow in flows_of(name, KINDS):
        decoder = S7Decoder()
        for packet in flow.packets:
            for piece in byte_by_byte(packet.data) if by_byte else (packet.data,):
                found += decoder.feed(packet.side, piece)
    return found


def operations_of(name: str) -> list[Operation]:
    return [frame.operation for frame in frames_of(name) if frame.role in {Role.REQUEST, Role.NOTICE}]


@pytest.mark.parametrize("name", PURE)
def test_the_gate_reads_every_capture_to_its_end_and_forwards_every_byte(name: str) -> None:
    frames = frames_of(name)
    assert [frame.data for frame in frames] == [frame.data for frame in frames_of(name, by_byte=True)]
    for side in Side:
        said = b"".join(frame.data for frame in frames if frame.side is side)
        assert said == b"".join(flow.said(side) for flow in flows_of(name, KINDS))


@pytest.mark.parametrize("name", PURE)
def test_every_answer_of_a_capture_belongs_to_a_request_of_the_other_side(name: str) -> None:
    """One answer each, and none to what nobody asked."""
    for flow in flows_of(name, KINDS):
        decoder = S7Decoder()
        open_of: dict[Side, list[int]] = {side: [] for side in Side}
        for packet in flow.packets:
            for frame in decoder.feed(packet.side, packet.data):
                if frame.role is Role.REQUEST:
                    open_of[frame.side].append(frame.exchange)
                elif frame.role is Role.REPLY:
                    asker = Side.ASSET if frame.side is Side.CLIENT else Side.CLIENT
                    open_of[asker].remove(frame.exchange)
        assert open_of == {side: [] for side in Side}


@pytest.mark.parametrize("name", PURE)
def test_no_operation_of_a_capture_is_unknown(name: str) -> None:
    assert not [each for each in operations_of(name) if "unknown" in each.classes]


def test_a_variable_table_is_seen_to_write_and_the_job_that_starts_it_too() -> None:
    """M0 as a double word, M4 as a word and I8.1; enabling the job is a write of the same objects."""
    operations = operations_of("s7-vartab-modify.pcapng")
    modify, enable, told = operations[:3]
    places = [(target.table, target.first, target.count) for target in modify.targets]
    assert places == [("M", 0, 32), ("M", 32, 16), ("I", 65, 1)]
    assert [target.values for target in modify.targets] == [(0x4133851F,), (0xDEAD,), (1,)]
    assert enable.name == "Enable job (Modify variable, job 2)"
    assert [named_classes(each) for each in (modify, enable, told)] == ["write"] * 3
    assert modify.targets == enable.targets == told.targets
    assert {named_classes(each) for each in operations if "status" in each.name} == {"read"}


def test_a_download_is_asked_for_by_the_client_and_fetched_by_the_controller() -> None:
    frames = frames_of("s7-download-db1.pcap")
    transfer = [
        (frame.side, frame.operation.name, frame.operation.targets[0].table, frame.operation.targets[0].first)
        for frame in frames
        if frame.role is Role.REQUEST and "program_to_device" in frame.operation.classes
    ]
    fetched = [(Side.ASSET, name, "DB", 1) for name in ["Download block"] * 3 + ["Download ended"]]
    activated = (Side.CLIENT, "PI service _INSE: activate a downloaded block", "DB", 1)
    assert transfer == [(Side.CLIENT, "Request download", "DB", 1), *fetched, activated]


def test_an_upload_keeps_its_block_through_all_of_its_messages() -> None:
    """Only the first message names it; the others have the number that the controller gave."""
    uploads = [each for each in operations_of("s7-snap7-everything.pcap") if each.code in {"0x1D", "0x1E", "0x1F"}]
    assert [each.code for each in uploads] == ["0x1D", "0x1E", "0x1F"] * 4 + ["0x1D"]
    assert {(target.table, target.first) for each in uploads[:-1] for target in each.targets} == {("SDB", 0)}
    assert all(each.targets for each in uploads)


def test_the_next_part_of_a_long_answer_is_of_the_list_that_was_asked_for() -> None:
    operations = operations_of("s7-snap7-everything.pcap")
    parts = [each for each in operations if each.targets and each.targets[0].name == "0x001c/0x0000"]
    assert [(each.name, named_classes(each)) for each in parts] == [
        ("Read SZL", "discovery"),
        ("Read SZL (next part)", "discovery"),
    ]


def test_the_classes_of_a_session_that_does_everything() -> None:
    found = {(each.code, named_classes(each)) for each in operations_of("s7-snap7-everything.pcap")}
    assert found == {
        ("0x04", "read"),
        ("0x05", "write"),
        ("0x1D", "program_from_device"),
        ("0x1E", "program_from_device"),
        ("0x1F", "program_from_device"),
        ("0x28/P_PROGRAM", "execute"),
        ("0x28/_GARB", "config"),
        ("0x28/_MODU", "program_to_device"),
        ("0x29", "execute"),
        ("userdata 3/1", "diagnostics"),
        ("userdata 3/3", "diagnostics"),
        ("userdata 4/1", "diagnostics"),
        ("userdata 4/1", "discovery"),
        ("userdata 7/1", "read"),
        ("userdata 7/2", "config"),
    }


def test_what_was_read_and_written_is_shown_with_its_values() -> None:
    frames = frames_of("s7-read-write-var.pcap")
    decoder = S7Decoder()
    replies = {frame.exchange: frame for frame in frames if frame.role is Role.REPLY}
    read, write = (
        next(frame for frame in reversed(frames) if frame.role is Role.REQUEST and frame.operation.code == code)
        for code in ("0x04", "0x05")
    )
    (shown,) = decoder.answer(read, replies[read.exchange]).targets
    assert (shown.table, shown.first, shown.count, len(shown.values or ())) == ("M", 0, 128, 16)
    (written,) = write.operation.targets
    assert (written.first, written.memory) == (96, bytes.fromhex("3f8ccccd"))
    assert shown.memory is not None
    assert shown.memory[12:] == written.memory
    assert decoder.answer(write, replies[write.exchange]).status == ""


def test_a_refused_upload_is_shown_with_its_error() -> None:
    frames = frames_of("s7-identify-upload.pcap")
    uploads = [frame for frame in frames if frame.role is Role.REQUEST and frame.operation.code == "0x1D"]
    replies = {frame.exchange: frame for frame in frames if frame.role is Role.REPLY}
    found = {S7Decoder().answer(frame, replies[frame.exchange]).status for frame in uploads}
    assert found == {"0xd241 not permitted in the current protection level"}
    assert all(replies[frame.exchange].is_refusal for frame in uploads)


def references(shown: list[Shown]) -> list[int]:
    return [each.pdu["ref"] for each in shown]


POLL = bytes.fromhex("0300 001f 02f080 32 01 0000 0007 000e 0000 0401 120a10 02 0004 000a 84 000020")


def test_a_start_in_the_middle_of_a_message_costs_that_message_only() -> None:
    dissector = S7Dissector()
    assert references([*dissector.feed(Side.CLIENT, POLL[9:] + POLL)]) == [7]


def test_what_is_held_is_given_up_where_bytes_were_lost() -> None:
    dissector = S7Dissector()
    assert not dissector.feed(Side.CLIENT, POLL[:9])
    dissector.lost(Side.CLIENT)
    assert references([*dissector.feed(Side.CLIENT, POLL)]) == [7]


def test_a_message_that_ends_too_early_is_shown_as_far_as_it_goes() -> None:
    cut = bytes.fromhex("0300 0013 02f080 32 01 0000 0007 000e 0000 0401")
    (shown,) = S7Dissector().feed(Side.CLIENT, cut)
    assert (shown.is_malformed, shown.frame, shown.pdu["items"]) == (True, None, 1)


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=200)), max_size=8))
def test_nothing_is_raised_for_any_bytes(pieces: list[tuple[Side, bytes]]) -> None:
    dissector = S7Dissector()
    for side, data in pieces:
        for shown in dissector.feed(side, data):
            assert shown.pdu["p"] in KINDS


@given(st.sampled_from(Side), st.binary(min_size=9, max_size=60), st.sampled_from([1, 2, 3, 7]))
def test_nothing_is_raised_for_any_pdu(side: Side, rest: bytes, kind: int) -> None:
    message = b"\3\0\0" + bytes((9 + len(rest),)) + b"\x02\xf0\x80\x32" + bytes((kind,)) + rest
    (shown,) = S7Dissector().feed(side, message)
    assert shown.pdu["rosctr"] == kind
