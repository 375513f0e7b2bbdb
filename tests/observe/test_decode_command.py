"""``penstock decode`` shows captures as tshark does, of any size, and says clearly what it cannot read."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from built_captures import ASSET, CLIENT, ethernet, pcap, tcp, udp
from captured import CAPTURES, DIFFERENCES, expected, listed, names, require_captures

from penstock.cli import decode
from penstock.cli.main import main

OWN = {"class", "operation", "object"}
READ = bytes.fromhex("0001 0000 0006 01 03 0000 0002")
PACKET = ethernet(tcp(CLIENT, ASSET, 100, READ))


def decoded(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["decode", "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def without_own(line: dict[str, Any]) -> dict[str, Any]:
    """A line as the reference has it.  CIP's units have a key ``class`` of their own, which must be there."""
    pdus = [{k: v for k, v in pdu.items() if k not in OWN or pdu["p"] == "cip"} for pdu in line["pdus"]]
    return {**line, "pdus": pdus}


#: Differences of whole lines; those of single keys of units are in the other files, one for each protocol.
LINES = "lines"
_NOTHING = "(nothing)"


def units_listed(name: str) -> set[int]:
    """The frames of a capture of which a protocol's own file says that their units differ, and why."""
    files = [file.stem for file in sorted(DIFFERENCES.glob("*.json")) if file.stem != LINES]
    return {each["frame"] for file in files for each in listed(file) if each["capture"] == name}


def line_differences(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where a line differs: which key, or the line as a whole where only one of both has it."""
    wanted, ours = expected(name), {line["frame"]: without_own(line) for line in found}
    other = units_listed(name)
    different: list[dict[str, Any]] = []
    for frame in sorted(wanted.keys() | ours.keys()):
        one, line = ours.get(frame), wanted.get(frame)
        if one is None or line is None:
            sides = {"tshark": line["pdus"] if line else _NOTHING, "ours": one["pdus"] if one else _NOTHING}
            different.append({"capture": name, "frame": frame, "key": "", **sides})
            continue
        for key in sorted({*one, *line} - ({"pdus"} if frame in other else set())):
            sides = {"tshark": line.get(key, _NOTHING), "ours": one.get(key, _NOTHING)}
            if sides["tshark"] != sides["ours"]:
                different.append({"capture": name, "frame": frame, "key": key, **sides})
        if one.keys() == line.keys():
            assert list(one) == list(line), "the keys stand in another order"
    return different


@pytest.mark.parametrize("name", names())
def test_every_line_equals_the_reference_decode_or_its_difference_is_listed_with_a_reason(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is listed must still differ: the list may only shrink."""
    require_captures()
    found = line_differences(name, decoded(capsys, str(CAPTURES / name)))
    known = [{k: v for k, v in each.items() if k != "why"} for each in listed(LINES) if each["capture"] == name]
    assert [each for each in found if each not in known] == []
    assert [each for each in known if each not in found] == [], f"strike it from differences/{LINES}.json"


def test_every_modbus_request_has_class_operation_and_object(capsys: pytest.CaptureFixture[str]) -> None:
    require_captures()
    lines = decoded(capsys, str(CAPTURES / "modbus-poll-registers.pcap"))
    asked = [pdu for line in lines if line["dport"] == 502 for pdu in line["pdus"]]
    assert {(pdu["fc"], pdu["class"], pdu["object"].split()[2]) for pdu in asked} == {
        (4, "read", "input_registers"),
        (6, "write", "holding_registers"),
    }
    open_requests: set[tuple[int, int]] = set()
    for line in lines:
        for pdu in line["pdus"]:
            key = line["stream"], pdu["tid"]
            if line["dport"] == 502:
                open_requests.add(key)
            else:  # the capture begins between a request and its reply, in three streams
                assert ("class" in pdu) is (key in open_requests)
                open_requests.discard(key)


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_the_table_has_a_row_for_each_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", written(tmp_path / "one.pcap", pcap([PACKET]))]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["FRAME", "TIME", "SOURCE", "DESTINATION", "PROTOCOL", "CLASS", "OPERATION", "OBJECT"]
    assert row.split("  ")[0] == "1"
    assert row.endswith("unit 1: holding_registers 0-1")
    assert [row.index(text) for text in ("10.0.0.1:40000", "Modbus/TCP", "read", "Read Holding")] == [
        heading.index(text) for text in ("SOURCE", "PROTOCOL", "CLASS", "OPERATION")
    ]


def test_text_from_the_wire_cannot_drive_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "rows_of", lambda *_: [("1", "0", "a", "b", "c", "d", "e", "tag \x1b[2Jx\ny")])
    assert main(["decode", written(tmp_path / "one.pcap", pcap([PACKET]))]) == 0
    assert (
        capsys.readouterr().out.splitlines()[1].endswith("tag \N{REPLACEMENT CHARACTER}[2Jx\N{REPLACEMENT CHARACTER}y")
    )


def test_a_compressed_file_is_read_and_a_broken_one_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = gzip.compress(pcap([PACKET]))
    assert len(decoded(capsys, written(tmp_path / "one.pcap.gz", whole))) == 1
    assert main(["decode", written(tmp_path / "cut.pcap.gz", whole[:-12])]) == 2
    assert "compressed file is broken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no capture file: it begins neither like pcap nor like pcapng"),
        (b"%PDF-1.7 and so on", "is no capture file: it begins neither"),
        (pcap([])[:9], "is no capture file: it ends within its head"),
        (pcap([PACKET, PACKET])[:-5], "it ends within a packet, behind 1 whole packets"),
    ],
)
def test_what_is_no_whole_capture_is_told_with_the_name_of_the_file(
    data: bytes, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(tmp_path / "x.pcap", data)
    assert main(["decode", "--json", name]) == 2
    told = capsys.readouterr()
    assert f"{name}: {why}" in told.err
    assert "hint: " in told.err
    assert len(told.out.splitlines()) == ("behind" in why), "what was whole is shown"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path / "none.pcap", tmp_path):
        assert main(["decode", str(path)]) == 2
        assert f"{path}: cannot be read: " in capsys.readouterr().err


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_waits_behind_a_gap_is_shown_at_the_end_also_of_a_broken_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_whole: bool
) -> None:
    write = bytes.fromhex("0002 0000 0006 01 06 000a 0037")
    behind_gap = ethernet(tcp(CLIENT, ASSET, 100 + 2 * len(READ), write))
    capture = pcap([PACKET, behind_gap]) if is_whole else pcap([PACKET, behind_gap, PACKET])[:-1]
    assert main(["decode", "--json", written(tmp_path / "x", capture)]) == (0 if is_whole else 2)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["frame"], line["pdus"][0]["class"]) for line in found] == [(1, "read"), (2, "write")]


class FullDisk(io.StringIO):
    """What a shell's ``>`` leads to where no room is left."""

    def write(self, _text: str, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_of_where_the_output_goes_not_of_the_capture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = written(tmp_path / "x", pcap([PACKET]))
    monkeypatch.setattr(sys, "stdout", FullDisk())
    assert main(["decode", name]) == 2
    error = capsys.readouterr().err
    assert "standard output: cannot be written: No space left on device" in error
    assert name not in error


def test_a_standard_input_that_is_closed_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["decode", "-"]) == 2
    assert "standard input: is closed" in capsys.readouterr().err


def test_packets_of_links_that_cannot_be_read_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "--json", written(tmp_path / "wlan.pcap", pcap([PACKET] * 3, link=105))]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "3 packets of link type 105 are not read" in told.err


def test_standard_input_is_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    end, start = os.pipe()
    os.write(start, pcap([PACKET]))
    os.close(start)
    with os.fdopen(end) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert [line["frame"] for line in decoded(capsys, "-")] == [1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stdout", ["the same terminal", "a file"])
def test_a_bar_grows_on_a_terminal_and_no_row_runs_into_it(
    stdout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    name = written(tmp_path / "large.pcap", pcap([PACKET] * 20_000))
    monkeypatch.setattr(decode, "PROGRESS_BYTES", 1 << 20)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", io.StringIO() if stdout == "a file" else screen)
    assert main(["decode", "--json", name]) == 0
    shown = screen.getvalue()
    percents = [int(part.split()[-2]) for part in shown.replace("\x1b[K", "").split("\r") if part.endswith("%")]
    assert percents == sorted(set(percents))
    assert len(percents) >= 10
    assert shown.endswith("\r\x1b[K")
    assert "%{" not in shown


def test_no_bar_where_nobody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "PROGRESS_BYTES", 1)
    assert len(decoded(capsys, written(tmp_path / "x.pcap", pcap([PACKET])))) == 1
    assert capsys.readouterr().err == ""


def peak_bytes(path: Path, packets: int, monkeypatch: pytest.MonkeyPatch) -> int:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    with path.open("wb") as file:
        file.write(head)
        for number in range(packets):
            data = ethernet(udp(("10.0.0.1", 1024 + number % 50), ASSET, number.to_bytes(2, "big") + READ[2:]))
            file.write(struct.pack("<IIII", number, 0, len(data), len(data)) + data)
    with path.open("rb") as file, Path(os.devnull).open("w") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        tracemalloc.start()
        try:
            decode._decode(file, str(path), is_json=True)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_a_file_eight_times_as_large_needs_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that nobody answers in fifty flows: all bounds are reached by the smaller file."""
    monkeypatch.setattr("penstock.observe.dissection.MAX_UNDER_WAY", 8)
    peak_bytes(tmp_path / "warm.pcap", 100, monkeypatch)
    small = peak_bytes(tmp_path / "small.pcap", 1_000, monkeypatch)
    assert peak_bytes(tmp_path / "large.pcap", 8_000, monkeypatch) < 1.1 * small
