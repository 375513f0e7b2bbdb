"""The log on a disk that works, that fills, that fails, and after crashes."""

import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_fakes import KEY, ORIGIN, Clock, FaultyDisk, open_log, record, verified

from penstock.evidence.line import MAX_LINE_BYTES, decode
from penstock.evidence.log import Log
from penstock.evidence.segment import Frame, read_segment, segment_name
from penstock.model import RecordKind, Tampered, Unavailable


def lines(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    for path in sorted(folder.glob("records-*.log")):
        with path.open("rb") as file:
            for piece in read_segment(file):
                assert not hasattr(piece, "why"), piece
                if isinstance(piece, Frame):
                    found += piece.lines
    return found


def indexes(folder: Path) -> list[object]:
    return [entry.record.detail["index"] for entry in map(decode, lines(folder)) if "index" in entry.record.detail]


def test_records_come_back_as_they_were_appended(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        assert log.append([record(0), record(1)]) == range(1, 3)
        assert log.append([record(2)]) == range(3, 4)
    entries = [decode(line) for line in lines(tmp_path)]
    assert [entry.seq for entry in entries] == [0, 1, 2, 3]
    assert [entry.record for entry in entries[1:]] == [record(0), record(1), record(2)]


def test_nothing_appended_takes_no_number(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        assert log.append([]) == range(1, 1)


def test_record_that_no_line_can_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        with pytest.raises(ValueError, match="split its detail"):
            log.append([record(0), record(1, text="x" * MAX_LINE_BYTES)])
        assert log.size == 1
        log.append([record(0, text="x" * (MAX_LINE_BYTES - 500))])
    assert verified(tmp_path).is_verified


def test_log_goes_on_after_it_was_closed_and_tells_what_it_found(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0)])
        root = log.root()
    with open_log(tmp_path) as log:
        assert log.size == 3
    started = decode(lines(tmp_path)[2]).record
    assert started.kind is RecordKind.LOG_STARTED
    assert (started.detail["previous_size"], started.detail["cut_bytes"]) == (2, 0)
    assert verified(tmp_path).is_verified
    assert root != bytes(32)


def test_long_log_is_held_in_several_files(tmp_path: Path) -> None:
    with open_log(tmp_path, segment_bytes=2000) as log:
        for index in range(40):
            log.append([record(index)])
        log.checkpoint()
    assert len(list(tmp_path.glob("records-*.log"))) > 3
    with open_log(tmp_path, segment_bytes=2000) as log:
        assert log.size == 42
    assert indexes(tmp_path) == list(range(40))
    assert verified(tmp_path).is_verified


def test_batch_larger_than_a_frame_is_written_in_several(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        assert log.append([record(index, text="x" * 60_000) for index in range(90)]) == range(1, 91)
        log.checkpoint()
    assert indexes(tmp_path) == list(range(90))
    assert verified(tmp_path).is_verified


def test_second_opener_is_refused(tmp_path: Path) -> None:
    with open_log(tmp_path), pytest.raises(Unavailable, match="another process"):
        open_log(tmp_path)
    open_log(tmp_path).close()


def test_log_of_another_key_is_not_opened(tmp_path: Path) -> None:
    open_log(tmp_path).close()
    with pytest.raises(Tampered, match="another key"):
        Log.open(tmp_path, Ed25519PrivateKey.from_private_bytes(bytes(32)), ORIGIN, Clock())


def test_every_append_waits_for_the_disk(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_log(tmp_path, disk) as log:
        disk.calls.clear()
        log.append([record(0), record(1)])
        assert disk.calls == ["write", "sync_data"]


def test_new_file_is_made_durable_with_its_name(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_log(tmp_path, disk, segment_bytes=1) as log:
        disk.calls.clear()
        log.append([record(0)])
        assert disk.calls == ["write", "sync_data", "sync_folder", "write", "sync_data"]


def test_short_writes_are_continued(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.most_bytes = 7
    with open_log(tmp_path, disk) as log:
        log.append([record(0), record(1)])
    assert indexes(tmp_path) == [0, 1]
    assert verified(tmp_path).is_verified


def test_full_disk_leaves_no_half_of_a_batch_and_the_log_goes_on_when_there_is_space(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_log(tmp_path, disk) as log:
        log.append([record(0)])
        disk.free_bytes = 300
        with pytest.raises(Unavailable, match="No space left"):
            log.append([record(1), record(2)])
        assert indexes(tmp_path) == [0]
        assert log.size == 2
        disk.free_bytes = None
        assert log.gap({"flow.closed": 2}, from_us=5, why="disk full") == range(2, 3)
        log.append([record(3)])
        log.checkpoint()
    assert indexes(tmp_path) == [0, 3]
    report = verified(tmp_path)
    assert report.is_verified
    assert [(gap.seq, gap.lost, gap.why) for gap in report.gaps] == [(2, {"flow.closed": 2}, "disk full")]


def test_reserve_is_given_up_for_the_last_records_and_taken_back_later(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_log(tmp_path, disk, reserve_bytes=8192) as log:
        assert log.has_reserve
        disk.free_bytes = 100
        log.append([record(0)])
        assert not log.has_reserve
        log.append([record(1)])
        disk.free_bytes = None
        log.checkpoint()
        assert log.has_reserve
    assert indexes(tmp_path) == [0, 1]
    assert verified(tmp_path).is_verified


def test_log_opens_on_a_full_disk_and_tells_its_start_with_the_first_record_that_fits(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0)])
    disk = FaultyDisk()
    disk.free_bytes = 50
    with open_log(tmp_path, disk) as log:
        assert log.size == 2
        with pytest.raises(Unavailable, match="No space left"):
            log.append([record(1)])
        disk.free_bytes = None
        assert log.append([record(2)]) == range(3, 4)
        log.checkpoint()
    kinds = [decode(line).record.kind for line in lines(tmp_path)]
    flow, started = RecordKind.FLOW_CLOSED, RecordKind.LOG_STARTED
    assert kinds == [started, flow, started, flow]
    assert verified(tmp_path).is_verified


def test_full_disk_at_the_start_of_a_new_file_leaves_the_log_whole(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_log(tmp_path, disk, segment_bytes=1) as log:
        disk.free_bytes = 10
        for _ in range(2):
            with pytest.raises(Unavailable):
                log.append([record(0)])
        disk.free_bytes = None
        log.append([record(1)])
        log.checkpoint()
    assert indexes(tmp_path) == [1]
    assert verified(tmp_path).is_verified


def test_after_a_failed_sync_the_log_goes_on_in_a_new_file(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_log(tmp_path, disk) as log:
        log.append([record(0)])
        disk.errors["sync_data"] = 1
        with pytest.raises(Unavailable, match="Input/output error"):
            log.append([record(1)])
        log.append([record(2)])
        log.checkpoint()
    assert [path.name for path in sorted(tmp_path.glob("records-*"))] == [segment_name(0), segment_name(2)]
    assert indexes(tmp_path) == [0, 2]
    assert verified(tmp_path).is_verified


@pytest.mark.parametrize("failing", ["write", "sync_data", "sync_folder", "truncate"])
@pytest.mark.parametrize("failures", [1, 2, 3])
@pytest.mark.parametrize("segment_bytes", [1, 1 << 20])
def test_no_acknowledged_record_is_lost_by_a_failing_disk(
    tmp_path: Path, failing: str, failures: int, segment_bytes: int
) -> None:
    """Whatever fails, the log holds exactly what `append` acknowledged, in order, and verifies."""
    disk = FaultyDisk()
    acknowledged = []
    with open_log(tmp_path, disk, segment_bytes=segment_bytes) as log:
        for index in range(12):
            if index == 4:
                disk.errors = {failing: failures, **({"sync_data": failures} if failing == "truncate" else {})}
            try:
                log.append([record(index)])
            except Unavailable:
                continue
            acknowledged.append(index)
        disk.errors = {}
        log.checkpoint()
    assert indexes(tmp_path) == acknowledged
    assert len(acknowledged) >= 12 - 2 * failures
    assert verified(tmp_path).is_verified
    with open_log(tmp_path) as log:
        assert log.size == len(acknowledged) + 2


@pytest.mark.parametrize("failing", ["write", "sync_data", "sync_folder", "rename"])
def test_checkpoint_that_failed_is_written_by_the_next_try(tmp_path: Path, failing: str) -> None:
    disk = FaultyDisk()
    with open_log(tmp_path, disk) as log:
        log.append([record(0)])
        disk.errors[failing] = 1
        with pytest.raises(Unavailable):
            log.checkpoint()
        log.append([record(1)])
        log.checkpoint()
        assert verified(tmp_path).covered == 3
    report = verified(tmp_path)
    assert report.is_verified
    assert not report.notes


def test_torn_tail_of_every_length_is_cut_and_nothing_before_it(tmp_path: Path) -> None:
    with open_log(tmp_path / "whole") as log:
        log.append([record(0)])
        log.checkpoint()
        path = tmp_path / "whole" / segment_name(0)
        before = path.stat().st_size
        log.append([record(1), record(2)])
        data = path.read_bytes()
        beside = {name: (tmp_path / "whole" / name).read_bytes() for name in ("checkpoint", "checkpoints")}
    for length in range(before, len(data), 13):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / segment_name(0)).write_bytes(data[:length])
        for name, content in beside.items():
            (folder / name).write_bytes(content)
        assert verified(folder).is_verified
        with open_log(folder) as log:
            log.append([record(9)])
            log.checkpoint()
        assert indexes(folder) == [0, 9]
        assert decode(lines(folder)[2]).record.detail["cut_bytes"] == length - before
        assert verified(folder).is_verified


@pytest.mark.parametrize("tail", [bytes(5000), b"\xff" * 300, b"#frame 1 2 ", b"#frame 1 2 400 00000000\n{", b"\n\n\n"])
def test_garbage_after_the_last_record_is_cut(tmp_path: Path, tail: bytes) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0)])
        log.checkpoint()
    with (tmp_path / segment_name(0)).open("ab") as file:
        file.write(tail)
    with open_log(tmp_path) as log:
        log.append([record(1)])
        log.checkpoint()
    assert indexes(tmp_path) == [0, 1]
    assert verified(tmp_path).is_verified


def test_random_garbage_after_the_last_record_is_cut(tmp_path: Path) -> None:
    chance = random.Random(7)
    open_log(tmp_path).close()
    for index in range(20):
        with (tmp_path / segment_name(0)).open("ab") as file:
            file.write(chance.randbytes(chance.randrange(1, 4000)))
        with open_log(tmp_path) as log:
            log.append([record(index)])
    assert indexes(tmp_path) == list(range(20))


@pytest.mark.parametrize("content", [b"", b"#segm", b"#segment 1 2 abc", bytes(100)])
def test_new_file_that_a_crash_left_without_a_first_line_is_removed(tmp_path: Path, content: bytes) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0)])
        log.checkpoint()
    (tmp_path / segment_name(2)).write_bytes(content)
    with open_log(tmp_path) as log:
        log.append([record(1)])
        log.checkpoint()
    assert indexes(tmp_path) == [0, 1]
    assert verified(tmp_path).is_verified


def test_unfinished_checkpoint_is_cut(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0)])
        log.checkpoint()
    whole = (tmp_path / "checkpoints").read_bytes()
    note = whole[: len(whole) // 2]
    for length in range(1, len(note), 11):
        (tmp_path / "checkpoints").write_bytes(whole + note[:length])
        open_log(tmp_path).close()
        assert verified(tmp_path).is_verified
        assert (tmp_path / "checkpoints").read_bytes().startswith(whole)


def test_log_whose_signed_records_are_gone_is_not_opened(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0)])
        path = tmp_path / segment_name(0)
        before = path.stat().st_size
        log.append([record(1)])
        log.checkpoint()
    data = path.read_bytes()
    path.write_bytes(data[:before])
    with pytest.raises(Tampered, match="signed"):
        open_log(tmp_path)
    assert path.read_bytes() == data[:before]


def test_log_with_an_altered_signed_record_is_not_opened_and_not_cut(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        for index in range(10):
            log.append([record(index)])
        log.checkpoint()
    path = tmp_path / segment_name(0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Tampered):
        open_log(tmp_path)
    assert path.read_bytes() == data


def test_log_is_not_opened_over_a_forged_tree_in_a_new_file(tmp_path: Path) -> None:
    """A file that claims to go on from another history must not make the gate sign that history."""
    with open_log(tmp_path / "true", segment_bytes=1) as log:
        log.append([record(0)])
        log.checkpoint()
    with open_log(tmp_path / "forged", segment_bytes=1) as log:
        log.append([record(5)])
        log.append([record(6)])
        log.append([record(7)])
    forged = tmp_path / "forged" / segment_name(3)
    (tmp_path / "true" / segment_name(3)).write_bytes(forged.read_bytes())
    with pytest.raises(Tampered):
        open_log(tmp_path / "true")


def test_origin_with_a_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="white space"):
        Log.open(tmp_path, KEY, "gate 1", Clock())
