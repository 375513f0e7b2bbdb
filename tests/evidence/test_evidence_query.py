"""Searching, and single operations out of `operations` records."""

from pathlib import Path

import pytest
from evidence_fakes import START_US, MemorySource, open_log, record

from penstock.evidence.folder import FolderSource
from penstock.evidence.line import Entry
from penstock.evidence.performed import Outcome, expand, expand_matching
from penstock.evidence.query import Search, find_record, search
from penstock.evidence.segment import Damage
from penstock.model import Invalid, Json, Malformed, Record, RecordKind

DETAIL: dict[str, Json] = {
    "flow": 9,
    "source": "10.0.0.5:4000",
    "from_us": START_US,
    "operations": [
        {
            "operation": "modbus.read",
            "code": "3",
            "name": "Read Holding Registers",
            "unit": 1,
            "targets": [{"table": "holding_registers", "first": 0, "count": 2, "values": None}],
            "conduit": "maintenance",
            "data": "000100000006010300000002",
        },
        {
            "operation": "modbus.write",
            "code": "6",
            "name": "Write Single Register",
            "unit": None,
            "targets": [{"table": "holding_registers", "first": 4, "count": 1, "values": [7]}],
            "conduit": None,
            "data": "0002",
        },
    ],
    "rows": [[0, 0, 1500, 0], [1_000_000, 1, 900, 1], [2_000_000, 0, -1, 2]],
}
OPERATIONS = Record(
    kind=RecordKind.OPERATIONS, at_us=START_US + 2_500_000, grant=17, subject="anna", asset="plc-9", detail=DETAIL
)


@pytest.fixture
def source(tmp_path: Path) -> MemorySource:
    with open_log(tmp_path, segment_bytes=3000) as log:
        for index in range(40):
            log.append([record(index, text=f"Größe {index}")])
        log.append([OPERATIONS])
        log.append([Record(kind=RecordKind.GRANT_REFUSED, at_us=START_US, subject="anna", reason="no_conduit")])
    return MemorySource.of(tmp_path)


def seqs(source: MemorySource, **wanted: object) -> list[int]:
    return [entry.seq for entry in search(source, Search(**wanted))]  # type: ignore[arg-type]


def test_everything_is_found_in_order(source: MemorySource) -> None:
    assert seqs(source) == list(range(43))


def test_each_field_is_compared_whole(source: MemorySource) -> None:
    assert seqs(source, subject="subject-3") == [index + 1 for index in range(40) if index % 5 == 3]
    assert seqs(source, subject="subject") == []
    assert seqs(source, asset="plc-2") == [index + 1 for index in range(40) if index % 4 == 2]
    assert seqs(source, grant=18) == [index + 1 for index in range(40) if index % 3 == 1]
    assert seqs(source, grant=1) == []
    assert seqs(source, reason="no_conduit") == [42]
    assert seqs(source, kinds=frozenset({RecordKind.LOG_STARTED, RecordKind.GRANT_REFUSED})) == [0, 42]
    assert seqs(source, kinds=frozenset({RecordKind.GRANT_REFUSED})) == [42]


def test_fields_are_combined(source: MemorySource) -> None:
    assert seqs(source, subject="subject-3", asset="plc-2") == [19, 39]


def test_value_in_the_detail_is_not_taken_for_a_field(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([record(0, subject="anna")])
    assert seqs(MemorySource.of(tmp_path), subject="anna") == []


def test_time_is_from_and_without_the_end(source: MemorySource) -> None:
    flows = frozenset({RecordKind.FLOW_CLOSED})
    found = seqs(source, kinds=flows, since_us=START_US + 5000, until_us=START_US + 8000)
    assert found == [6, 7, 8]


def test_text_is_found_in_any_case(source: MemorySource) -> None:
    assert seqs(source, text="GRÖSSE 12") == [13]


def test_operation_is_found_inside_operations_records(source: MemorySource) -> None:
    assert seqs(source, operation="modbus.write") == [41]
    assert seqs(source, operation="modbus") == []


def test_operations_record_is_found_by_the_time_of_any_of_its_operations(source: MemorySource) -> None:
    kinds = frozenset({RecordKind.OPERATIONS})
    assert seqs(source, kinds=kinds, until_us=START_US + 1) == [41]
    assert seqs(source, kinds=kinds, until_us=START_US) == []
    assert seqs(source, kinds=kinds, since_us=START_US + 2_400_000) == [41]


def test_operations_are_taken_apart(source: MemorySource) -> None:
    (entry,) = search(source, Search(kinds=frozenset({RecordKind.OPERATIONS})))
    first, second, third = expand(entry)
    assert (first.seq, first.at_us, first.grant, first.subject, first.asset) == (41, START_US, 17, "anna", "plc-9")
    assert (first.operation, first.unit, first.latency_us, first.outcome) == ("modbus.read", 1, 1500, Outcome.ANSWERED)
    assert first.data == bytes.fromhex("000100000006010300000002")
    assert first.targets == [{"table": "holding_registers", "first": 0, "count": 2, "values": None}]
    assert (second.at_us, second.conduit, second.outcome) == (START_US + 1_000_000, "", Outcome.ANSWERED_WITH_EXCEPTION)
    assert (third.latency_us, third.outcome) == (None, Outcome.NO_ANSWER)


def test_operations_are_picked_by_name_and_time(source: MemorySource) -> None:
    (entry,) = search(source, Search(kinds=frozenset({RecordKind.OPERATIONS})))
    wanted = Search(operation="modbus.read", since_us=START_US + 1)
    assert [one.at_us for one in expand_matching(entry, wanted)] == [START_US + 2_000_000]


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [[0, 5, 0, 0]]},
        {"rows": [[0, -1, 0, 0]]},
        {"rows": [[0, 0, 0, 9]]},
        {"rows": [[0, 0]]},
        {"rows": None},
        {"flow": "x"},
        {"operations": [{}]},
    ],
)
def test_detail_that_describes_no_operations_is_malformed(change: dict[str, Json]) -> None:
    entry = Entry(seq=5, record=Record(kind=RecordKind.OPERATIONS, at_us=START_US, detail={**DETAIL, **change}))
    with pytest.raises(Malformed, match="record 5 does not describe operations"):
        list(expand(entry))


def test_damaged_place_is_told_and_the_rest_is_searched(source: MemorySource) -> None:
    name = source.segments[0]
    data = bytearray(source.files[name])
    data[data.index(b'"seq":3,') + 20] ^= 1
    told: list[tuple[str, Damage]] = []
    found = search(MemorySource({**source.files, name: bytes(data)}), Search(), lambda *one: told.append(one))
    assert [entry.seq for entry in found] == [seq for seq in range(43) if seq != 3]
    assert [(name, damage.seq) for name, damage in told] == [(name, 3)]


def test_one_record_is_found_by_its_number(source: MemorySource) -> None:
    entry = find_record(source, 41)
    assert entry is not None
    assert entry.record == OPERATIONS
    assert find_record(source, 43) is None
    assert find_record(MemorySource({}), 0) is None


def test_folder_without_evidence_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "records-x.log").write_bytes(b"foreign")
    with pytest.raises(Invalid, match=r"there is no evidence in this folder\n  hint: give the folder"):
        FolderSource(tmp_path)
    with pytest.raises(Invalid, match="cannot be read"):
        FolderSource(tmp_path / "absent")


def test_foreign_file_with_a_name_of_ours_is_told_as_damage(tmp_path: Path) -> None:
    (tmp_path / "records-000000000000000000.log").write_bytes(b"\x7fELF" * 5000)
    told: list[str] = []
    assert list(search(FolderSource(tmp_path), Search(), lambda name, _: told.append(name))) == []
    assert told == ["records-000000000000000000.log"]
