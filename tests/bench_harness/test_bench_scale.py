"""The made-up site of the benchmark of size is as large as it says, and its rows say what grew."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import scale

from penstock.model import Binding
from penstock.policy import accept, machine_paths, parse, reach

SIZE = scale.Size(cells=2, people=3)


def test_the_site_has_the_assets_and_flows_that_its_title_says() -> None:
    policy = accept(parse({"site.yaml": scale.document(SIZE)}), 1)
    paths = machine_paths(policy)
    assert SIZE.text == "45 assets, 200 standing flows, 260 grants"
    assert (len(policy.site.assets), len(paths)) == (45, 200)
    assert all(path.is_safety_critical and path.is_inspected for path in paths)
    found = reach(policy, scale.person(SIZE, 1), Binding.ADDRESS, has_tls=False)
    assert len([way for way in found if way.decision.is_allowed]) == scale.PER_CELL


def test_an_edit_changes_one_conduit_and_nothing_else() -> None:
    before, after = (parse({"site.yaml": scale.document(SIZE, note=note)}).site for note in (0, 1))
    changed = [one.name for one, other in zip(before.conduits, after.conduits, strict=True) if one != other]
    assert changed == ["Operators of cell 0"]
    assert (before.assets, before.zones) == (after.assets, after.zones)


def test_every_step_is_measured_at_both_sizes_and_told_with_its_growth() -> None:
    small = scale.Size(cells=1, people=1)
    rows = scale.measured(small, SIZE)
    steps = {row["step"] for row in rows if row.get("small_ms", 0) > 0 and row.get("large_ms", 0) > 0}
    assert steps >= {"parse", "compile", "ruleset", "render", "start again with every grant"}
    assert all(abs(row["grows"] * row["small_ms"] - row["large_ms"]) < 1e-6 for row in rows if "grows" in row)
    table = scale.text(rows, small, SIZE)
    assert all(step in table for step in steps)
    assert "MB" in table
