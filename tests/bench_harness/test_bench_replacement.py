"""What the benchmark of replaced rulesets says, on figures that are known."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from penstock.lab.stream import Continuity


@pytest.fixture(scope="module")
def replacement() -> Iterator[ModuleType]:
    """The module, out of the folder of the benchmark."""
    folder = str(Path(__file__).parents[2] / "bench")
    sys.path.insert(0, folder)
    yield importlib.import_module("replacement")
    sys.path.remove(folder)


def suffered(lost: int) -> Continuity:
    return Continuity(sent=500, lost=lost, answered=400, sent_again=0, longest_udp_gap_s=0.003, longest_tcp_gap_s=0.004)


@pytest.mark.parametrize(("lost", "verdict"), [(0, "met   "), (1, "MISSED")])
def test_one_lost_datagram_misses_the_target(replacement: ModuleType, lost: int, verdict: str) -> None:
    rows = [
        replacement.row("undisturbed", 0, suffered(0)),
        replacement.row("replaced", 200, suffered(lost)) | {"apply_p50_ms": 31.0},
    ]
    text = replacement.text([*rows, *replacement.judged(rows, replacement.TARGETS)])
    assert f"{verdict}  rulesets replaced under traffic: datagrams lost: {lost}" in text
    assert "one ruleset takes 31.0 ms (p50)" in text


def test_without_its_rows_it_says_nothing(replacement: ModuleType) -> None:
    assert replacement.text([{"bench": "machine"}]) == ""
