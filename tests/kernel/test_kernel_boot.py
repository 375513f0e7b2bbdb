"""What is kept for the next boot: the last ruleset or none, never an older one in silence."""

from __future__ import annotations

from pathlib import Path

from penstock.kernel.boot import END, TABLE_FILE, BootFiles, boot_files
from penstock.model import GatePlace, Ruleset

PLACE = GatePlace(interface="eth0", address="192.168.10.2")
OLD, NEW = (Ruleset(revision=number, overlay="100.64.0.0/16", place=PLACE) for number in (1, 2))


def keep(folder: Path, *rulesets: Ruleset) -> list[str]:
    """Keep these, and what was told of failures."""
    told: list[str] = []
    files = BootFiles(folder, told.append)
    for ruleset in rulesets:
        files.keep(ruleset)
    files.close()
    return told


def test_the_last_ruleset_is_kept_whole_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "boot"
    assert keep(folder, OLD, NEW) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == boot_files(NEW)
    assert (folder / TABLE_FILE).read_text().endswith(f"\n{END}\n")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_written_takes_the_older_table_away_and_is_told(tmp_path: Path) -> None:
    keep(tmp_path, OLD)
    (tmp_path / "parameters").unlink()
    (tmp_path / "parameters" / "in the way").mkdir(parents=True)
    (told,) = keep(tmp_path, NEW)
    assert "everything closed" in told
    assert not (tmp_path / TABLE_FILE).exists()


def test_an_older_table_that_cannot_be_taken_away_is_told_as_such(tmp_path: Path) -> None:
    """As on a disk that has become read-only; here a folder stands in the table's place."""
    (tmp_path / TABLE_FILE / "in the way").mkdir(parents=True)
    (told,) = keep(tmp_path, NEW)
    assert "an older one, which cannot be removed" in told


def test_a_ruleset_that_has_no_text_is_told_too(tmp_path: Path) -> None:
    """Whatever goes wrong in the thread: it must not keep the older table in silence."""
    keep(tmp_path, OLD)
    strange = Ruleset(revision=3, overlay="100.64.0.0/16", place=GatePlace(interface="a b", address="192.168.10.2"))
    (told,) = keep(tmp_path, strange)
    assert "everything closed" in told
    assert not (tmp_path / TABLE_FILE).exists()
