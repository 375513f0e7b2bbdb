"""Verifying: what is whole is found whole, and one altered byte is found wherever it is."""

import random
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_fakes import ORIGIN, PUBLIC, MemorySource, open_log, record

from penstock.evidence.checkpoint import VerifyingKey
from penstock.evidence.line import encode, number
from penstock.evidence.report import Report
from penstock.evidence.segment import Frame, encode_frame, read_segment, segment_name
from penstock.evidence.verify import verify_log


@pytest.fixture
def source(tmp_path: Path) -> MemorySource:
    """61 records in several files, a checkpoint over each 10, and 3 records that none covers."""
    with open_log(tmp_path, segment_bytes=4000) as log:
        for index in range(60):
            log.append([record(index)])
            if index % 10 == 9:
                log.checkpoint()
        log.append([record(index) for index in range(60, 63)])
    return MemorySource.of(tmp_path)


def frames(source: MemorySource, name: str) -> list[Frame]:
    with source.open(name) as file:
        return [piece for piece in read_segment(file) if isinstance(piece, Frame)]


def checked(source: MemorySource) -> Report:
    return verify_log(source, PUBLIC)


def replaced(source: MemorySource, name: str, content: bytes) -> MemorySource:
    return MemorySource({**source.files, name: content})


def reframed(lines: list[bytes], first_seq: int) -> bytes:
    return encode_frame(first_seq, lines)


def test_untouched_log_is_verified_and_counted(source: MemorySource) -> None:
    report = checked(source)
    assert report.is_verified
    assert (report.first_seq, report.size, report.records, report.covered, report.uncovered) == (0, 64, 64, 61, 3)
    assert report.by_kind == {"flow.closed": 63, "log.started": 1}
    assert report.checkpoints == 7
    assert [note.why for note in report.notes] == ["the last 3 records are not yet covered by a checkpoint"]
    assert report.first_us is not None
    assert report.last_us == record(62).at_us


def test_progress_is_told_up_to_the_last_byte(source: MemorySource) -> None:
    told: list[int] = []
    verify_log(source, PUBLIC, told.append)
    assert told == sorted(told)
    assert told[-1] == sum(len(source.files[name]) for name in source.segments)


def test_every_flipped_bit_is_found(source: MemorySource) -> None:
    """In segments, the list of checkpoints and the newest one, also in what no checkpoint covers yet."""
    chance = random.Random(11)
    for name in [*source.segments, "checkpoint", "checkpoints"]:
        for _ in range(120):
            data = bytearray(source.files[name])
            offset = chance.randrange(len(data))
            data[offset] ^= 1 << chance.randrange(8)
            report = checked(replaced(source, name, bytes(data)))
            assert not report.is_verified, (name, offset, data[offset])


def test_every_byte_replaced_by_any_other_is_found_in_its_frame(source: MemorySource) -> None:
    chance = random.Random(12)
    for name in source.segments:
        spans = frames(source, name)
        for _ in range(60):
            data = bytearray(source.files[name])
            offset = chance.randrange(spans[0].offset, len(data))
            data[offset] = (data[offset] + chance.randrange(1, 256)) % 256
            report = checked(replaced(source, name, bytes(data)))
            first = report.findings[0]
            hit = next(frame for frame in spans if frame.offset <= offset < frame.end)
            assert first.file == name
            assert first.seq is not None
            assert first.offset in {hit.offset, offset}
            assert hit.first_seq <= first.seq < hit.first_seq + len(hit.lines)


def test_altered_byte_of_a_record_is_named_exactly_with_what_it_was(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([record(index) for index in range(200)])
        log.checkpoint()
    source, chance = MemorySource.of(tmp_path), random.Random(13)
    name = source.segments[0]
    frame = frames(source, name)[1]
    for _ in range(15):
        data = bytearray(source.files[name])
        offset = chance.randrange(frame.body_offset, frame.end)
        was = data[offset]
        data[offset] = (was + chance.randrange(1, 256)) % 256
        first = checked(replaced(source, name, bytes(data))).findings[0]
        seq = 1 + source.files[name].count(b"\n", frame.body_offset, offset)
        assert (first.file, first.offset, first.seq) == (name, offset, seq)
        assert first.why.endswith(f"this byte was 0x{was:02x}")


def test_altered_record_with_a_right_checksum_is_found_between_two_checkpoints(source: MemorySource) -> None:
    """Records 21 to 30 are the first that the checkpoint over 31 adds; number 25 is rewritten with all checksums."""
    name = next(name for name in source.segments if any(frame.first_seq == 25 for frame in frames(source, name)))
    frame = next(frame for frame in frames(source, name) if frame.first_seq == 25)
    forged = reframed([number(25, encode(record(24, amount=999)))], 25)
    data = source.files[name]
    report = checked(replaced(source, name, data[: frame.offset] + forged + data[frame.end :]))
    assert not report.is_verified
    first = report.findings[0]
    assert first.seq is not None
    assert 21 <= first.seq <= 25
    assert "are not those" in first.why


def test_altered_record_in_one_file_is_named_by_the_checkpoint_that_fails(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        for index in range(30):
            log.append([record(index)])
            if index % 10 == 9:
                log.checkpoint()
    source = MemorySource.of(tmp_path)
    name = source.segments[0]
    frame = frames(source, name)[15]
    forged = reframed([number(15, encode(record(14, amount=999)))], 15)
    data = source.files[name]
    report = checked(replaced(source, name, data[: frame.offset] + forged + data[frame.end :]))
    assert [(finding.file, finding.seq) for finding in report.findings] == [("checkpoints", 11)]
    assert "from 11 to 20" in report.findings[0].why


@pytest.mark.parametrize("count", [1, 3])
def test_removed_records_are_named(source: MemorySource, count: int) -> None:
    name = source.segments[1]
    removed = frames(source, name)[2 : 2 + count]
    data = source.files[name]
    report = checked(replaced(source, name, data[: removed[0].offset] + data[removed[-1].end :]))
    first, last = removed[0].first_seq, removed[-1].first_seq
    assert report.findings[0].seq == first
    assert report.findings[0].why == f"the records from {first} to {last} are missing"


def test_exchanged_records_are_found(source: MemorySource) -> None:
    name = source.segments[0]
    one, two = frames(source, name)[4:6]
    data = source.files[name]
    swapped = data[: one.offset] + data[two.offset : two.end] + data[one.offset : one.end] + data[two.end :]
    report = checked(replaced(source, name, swapped))
    assert report.findings[0].seq == one.first_seq


def test_exchanged_and_renumbered_records_are_found(source: MemorySource) -> None:
    name = source.segments[0]
    one, two = frames(source, name)[4:6]
    lines = [number(one.first_seq, encode(record(4))), number(two.first_seq, encode(record(3)))]
    forged = reframed(lines[:1], one.first_seq) + reframed(lines[1:], two.first_seq)
    data = source.files[name]
    assert not checked(replaced(source, name, data[: one.offset] + forged + data[two.end :])).is_verified


def test_cut_off_end_of_signed_records_is_found(source: MemorySource) -> None:
    name = source.segments[-1]
    kept = [frame for frame in frames(source, name) if frame.first_seq < 59]
    end = kept[-1].end
    size = kept[-1].first_seq + 1
    report = checked(replaced(source, name, source.files[name][:end]))
    assert [finding.why for finding in report.findings] == [f"the log ends after {size} records, but 61 were signed"]


def test_torn_end_where_records_were_signed_is_found(source: MemorySource) -> None:
    name = source.segments[-1]
    end = next(frame for frame in frames(source, name) if frame.first_seq == 59).end
    assert not checked(replaced(source, name, source.files[name][: end - 20])).is_verified


def test_torn_end_after_the_last_checkpoint_is_only_noted(source: MemorySource) -> None:
    name = source.segments[-1]
    report = checked(replaced(source, name, source.files[name][:-20]))
    assert report.is_verified
    assert any("never finished" in note.why for note in report.notes)


def test_removed_file_in_the_middle_is_found(source: MemorySource) -> None:
    files = dict(source.files)
    del files[source.segments[1]]
    report = checked(MemorySource(files))
    assert "are missing" in report.findings[0].why


def test_removed_older_files_are_noted_and_the_rest_is_verified(source: MemorySource) -> None:
    files = dict(source.files)
    del files[source.segments[0]]
    report = checked(MemorySource(files))
    assert report.is_verified
    assert report.first_seq > 0
    assert "older ones were removed" in report.notes[0].why


def test_altered_record_after_removed_older_files_is_found(source: MemorySource) -> None:
    files = dict(source.files)
    del files[source.segments[0]]
    name = source.segments[1]
    frame = frames(source, name)[1]
    forged = reframed([number(frame.first_seq, encode(record(0, amount=999)))], frame.first_seq)
    files[name] = files[name][: frame.offset] + forged + files[name][frame.end :]
    assert not checked(MemorySource(files)).is_verified


def test_forged_tree_in_the_first_line_of_the_oldest_file_is_found(source: MemorySource) -> None:
    files = dict(source.files)
    del files[source.segments[0]]
    name = source.segments[1]
    head, _, rest = files[name].partition(b"\n")
    start = bytearray(head.rpartition(b" ")[0] + b" ")
    at = start.index(b" ", len("#segment 1 ")) + 3
    start[at] = ord("A") if start[at] != ord("A") else ord("B")
    files[name] = bytes(start) + b"%08x\n" % zlib.crc32(start) + rest
    assert not checked(MemorySource(files)).is_verified


def test_damage_in_one_file_does_not_hide_damage_in_a_later_one(source: MemorySource) -> None:
    files = dict(source.files)
    for name in (source.segments[0], source.segments[2]):
        data = bytearray(files[name])
        data[len(data) // 2] ^= 4
        files[name] = bytes(data)
    found = {finding.file for finding in checked(MemorySource(files)).findings}
    assert found == {source.segments[0], source.segments[2]}


@pytest.mark.parametrize("missing", ["checkpoint", "checkpoints"])
def test_missing_checkpoints_are_found(source: MemorySource, missing: str) -> None:
    files = dict(source.files)
    del files[missing]
    assert [finding.file for finding in checked(MemorySource(files)).findings] == [missing]


def test_older_checkpoint_in_the_place_of_the_newest_is_found(source: MemorySource) -> None:
    older = source.files["checkpoints"].split(b"\n\n")
    report = checked(replaced(source, "checkpoint", b"\n\n".join(older[:2]) + b"\n"))
    assert [finding.file for finding in report.findings] == ["checkpoint"]


def test_log_rewritten_under_another_key_is_found(source: MemorySource) -> None:
    other = VerifyingKey.of(Ed25519PrivateKey.from_private_bytes(bytes(32)), ORIGIN)
    assert not verify_log(source, other).is_verified


def test_renamed_file_is_found(source: MemorySource) -> None:
    files = dict(source.files)
    files[segment_name(99)] = files.pop(source.segments[-1])
    assert not checked(MemorySource(files)).is_verified


def test_bytes_added_at_the_end_are_found(source: MemorySource) -> None:
    name = source.segments[-1]
    assert not checked(replaced(source, name, source.files[name] + b"x")).is_verified
    assert not checked(replaced(source, name, source.files[name] + b"\n")).is_verified


def test_many_findings_are_counted_and_not_all_kept(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        for index in range(240):
            log.append([record(index)])
    source = MemorySource.of(tmp_path)
    name = source.segments[0]
    data = bytearray(source.files[name])
    for frame in frames(source, name)[1::2]:
        data[frame.body_offset + 30] ^= 1
    report = checked(replaced(source, name, bytes(data)))
    assert not report.is_verified
    assert (len(report.findings), report.hidden_findings) == (100, 20)


def test_clock_that_was_set_back_is_noted_and_no_finding(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([record(20_000), record(0), record(1)])
        log.checkpoint()
    report = checked(MemorySource.of(tmp_path))
    assert report.is_verified
    assert [note.why for note in report.notes] == ["the clock went back between records, 1 times"]
