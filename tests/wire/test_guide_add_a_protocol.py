"""The guide shows lines that are there, and what it promises of a site document holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.wire.fins import FINS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/add-a-protocol.md").read_text()
PAGE = (ROOT / "docs/reference/protocols/fins.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_line_of_python_in_the_guide_stands_in_the_file_that_it_is_about() -> None:
    lines = {line.rstrip() for line in (ROOT / "penstock/wire/fins.py").read_text().splitlines()}
    shown = [line for block in blocks(GUIDE, "python") for line in block.splitlines() if line.strip()]
    assert len(shown) > 10
    assert [line for line in shown if line not in lines] == []


def test_a_protocol_is_one_file() -> None:
    assert sorted(path.name for path in (ROOT / "penstock/wire").glob("*fins*")) == ["fins.py"]


@pytest.mark.parametrize("text", [GUIDE, PAGE], ids=["guide", "reference page"])
def test_the_conduit_that_is_shown_is_read_by_the_protocols_own_words(text: str) -> None:
    (shown,) = blocks(text, "yaml")
    found = re.findall(r"areas: (\[[^\]]*\]|[^,}]*)", shown)
    assert found == ["[D0-D999, CIO 0-100]", "D100-D199", "W0.0"]
    tables = [
        span.table for each in found for part in each.strip("[]").split(",") for span in FINS.limits[0].read(part)
    ]
    assert tables == ["D", "D bit", "CIO", "CIO bit", "D", "D bit", "W bit"]
