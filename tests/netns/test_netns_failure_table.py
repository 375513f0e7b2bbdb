"""The table in docs/reference/failures.md: every fault is done to a real gate, and compared with what stands there.

``PENSTOCK_REGENERATE=1`` writes the table anew from what happened.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from failure_lab import failure_lab
from failure_outcome import PROMISED_S, Outcome, Row, Stream, as_json, as_markdown, from_json
from faults import FAULTS, MACHINE_AWAY, ON_OWN_DISK, PUT_RIGHT, move_to_small_disk

REFERENCE = Path(__file__).parents[2] / "docs/reference"
DATA, TABLE = REFERENCE / "failures.json", REFERENCE / "failures.md"
BEGIN, END = "<!-- the table: generated, do not edit -->\n", "<!-- end of the table -->\n"
IS_REGENERATED = os.environ.get("PENSTOCK_REGENERATE") == "1"


def rows() -> dict[str, Row]:
    return {row.fault: row for row in from_json(DATA.read_text())} if DATA.exists() else {}


def happened(fault: str, folder: Path) -> Row:
    if fault in ON_OWN_DISK:
        move_to_small_disk(folder / "state")
    with failure_lab(folder) as lab:
        lab.watch(1.0)
        fault_at = time.time()
        with FAULTS[fault](lab):
            lab.watch()
            repaired_at = time.time()
        lab.recovered()
        lab.watch(1.0)
        return lab.row(fault, fault_at, repaired_at, is_put_right=fault in PUT_RIGHT)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_table_says_of_a_fault_is_what_happens(fault: str, tmp_path: Path) -> None:
    row = happened(fault, tmp_path)
    if IS_REGENERATED:
        write(rows() | {fault: row})
    said = rows()[fault]
    if fault in PUT_RIGHT:  # a poll may or may not fall into the tenths of a second until it is
        assert all(cell.outcome in {Outcome.UNTOUCHED, Outcome.BACK} for cell in row.streams.values())
    else:
        assert {stream: cell.outcome for stream, cell in row.streams.items()} == {
            stream: cell.outcome for stream, cell in said.streams.items()
        }
    assert set(said.during) <= set(row.during)
    assert set(said.after) <= set(row.after)
    inspected, kernel = row.streams[Stream.OPEN_INSPECTED], row.streams[Stream.OPEN_KERNEL]
    assert inspected.outcome is not Outcome.STOPPED
    assert inspected.outage_s < PROMISED_S
    if fault in MACHINE_AWAY:
        assert kernel.outcome is not Outcome.STOPPED
        assert kernel.outage_s < PROMISED_S
    else:
        assert kernel.outcome is Outcome.UNTOUCHED


def test_the_document_shows_the_table_of_its_data_with_every_fault() -> None:
    _, _, rest = TABLE.read_text().partition(BEGIN)
    table, _, _ = rest.partition(END)
    assert list(rows()) == list(FAULTS)
    assert table == as_markdown(rows().values())


def write(found: dict[str, Row]) -> None:
    ordered = [found[fault] for fault in FAULTS if fault in found]
    DATA.write_text(as_json(ordered))
    text = TABLE.read_text() if TABLE.exists() else f"# Failures\n\n{BEGIN}{END}"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    TABLE.write_text(before + BEGIN + as_markdown(ordered) + END + after)
