"""Files and folders of a site document, and what can be wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_cases import INVENTORY

from penstock.model import Invalid, Problem
from penstock.policy import parse, read_documents


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(Invalid) as caught:
        read_documents(path)
    return caught.value.problems


def test_one_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(INVENTORY, encoding="utf-8")
    assert read_documents(tmp_path / "site.yaml") == {"site.yaml": INVENTORY}


def test_a_folder_is_its_yaml_files_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", ".hidden.yaml", "notes.txt", "c.yaml~"):
        (tmp_path / name).write_text(f"# {name}\n", encoding="utf-8")
    assert read_documents(tmp_path) == {"a.yaml": "# a.yaml\n", "b.yaml": "# b.yaml\n"}


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_bytes(b"\xef\xbb\xbf" + INVENTORY.encode())
    assert parse(read_documents(tmp_path)).site.name == "plant"


def test_a_missing_path_is_a_problem(tmp_path: Path) -> None:
    (only,) = problems_of(tmp_path / "nowhere.yaml")
    assert (only.where, only.why) == (str(tmp_path / "nowhere.yaml"), "there is no such file or folder")


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    assert problems_of(tmp_path)[0].why == "the folder has no *.yaml file"


def test_every_bad_file_of_a_folder_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"site: x\nname: \xff\n")
    (tmp_path / "b.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    (tmp_path / "c.yaml").mkdir()
    (tmp_path / "d.yaml").write_text("site: fine\n", encoding="utf-8")
    found = problems_of(tmp_path)
    assert [(item.where, item.why) for item in found] == [
        (f"{tmp_path / 'a.yaml'}:2:7", "not UTF-8"),
        (str(tmp_path / "b.yaml"), "the file is larger than 1048576 bytes"),
        (str(tmp_path / "c.yaml"), "cannot be read: Is a directory"),
    ]


def test_a_folder_of_too_many_files_is_a_problem(tmp_path: Path) -> None:
    for number in range(257):
        (tmp_path / f"{number}.yaml").touch()
    assert problems_of(tmp_path)[0].why == "the folder has more than 256 *.yaml files"
