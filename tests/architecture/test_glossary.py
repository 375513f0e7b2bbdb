"""One word per concept: docs/glossary.md and penstock/model say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Nouns of people that stand in the glossary without a class of their own.
CONCEPTS = {"Evidence", "Flow", "Overlay", "Revision", "Session", "Underlay"}
#: The glossary is about the field's nouns; messages between processes and errors are explained where they stand.
NOT_NOUNS = {"errors", "message", "message_held", "message_traffic", "settings"}


def test_every_noun_of_the_model_stands_in_the_glossary_and_nothing_else_does() -> None:
    headings = set(re.findall(r"^## (.+)$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE))
    nouns = set(CONCEPTS)
    for path in (ROOT / "penstock/model").glob("*.py"):
        if path.stem not in NOT_NOUNS | {"__init__"}:
            tree = ast.parse(path.read_text())
            nouns |= {re.sub(r"(?<=.)([A-Z])", r" \1", n.name).capitalize() for n in tree.body
                      if isinstance(n, ast.ClassDef)}  # fmt: skip
    assert headings == nouns


def test_every_entry_explains_itself_in_a_sentence() -> None:
    text = (ROOT / "docs/glossary.md").read_text()
    for heading, body in re.findall(r"^## (.+)\n+((?:(?!^## ).*\n?)*)", text, re.MULTILINE):
        assert len(body.split()) >= 6, heading
