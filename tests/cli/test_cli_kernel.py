"""``penstock kernel verify`` as people and programs see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Answers, admin_socket

FOREIGN = "foreign: table ip nat, chain pre (nat prerouting priority -110)"


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setenv("PENSTOCK_RUN", str(tmp_path))
    answers = Answers()
    with admin_socket(answers, tmp_path / "admin.sock"):
        yield answers


def test_an_equal_kernel_is_exit_status_0_and_prints_no_table(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/kernel/verify"] = (200, {"differences": [], "checked": 153})
    assert cli("kernel", "verify") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "153 rules, elements, routes and parameters compared",
        "the kernel holds what it was told",
    ]


def test_differences_are_exit_status_1_and_a_row_each(admin: Answers, cli: Any, capsys: Any) -> None:
    found = ["chain refuse: rule that is not ours: accept", FOREIGN]
    admin.routes["POST", "/admin/kernel/verify"] = (200, {"differences": found, "checked": 9})
    assert cli("kernel", "verify") == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "WHOSE          DIFFERENCE",
        f"gate           {found[0]}",
        f"somebody else  {FOREIGN}",
    ]
    assert "kernel.drifted" in printed.err.splitlines()[-1]


def test_programs_get_json_and_the_same_exit_status(admin: Answers, cli: Any, capsys: Any) -> None:
    for differences, status in (([], 0), ([FOREIGN], 1)):
        answer = {"differences": differences, "checked": 9}
        admin.routes["POST", "/admin/kernel/verify"] = (200, answer)
        assert cli("kernel", "verify", "--json") == status
        assert json.loads(capsys.readouterr().out) == answer
