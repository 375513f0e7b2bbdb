"""docs/reference/command-line.md says what the command line has, and nothing is missing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.cli.main import NOUNS, parser_for

REFERENCE = (Path(__file__).parents[2] / "docs/reference/command-line.md").read_text()
#: Long options whose verbs' own pages describe them.
DESCRIBED_ELSEWHERE = {"policy", "evidence", "serve", "demo", "process"}


def verbs_of(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every verb with its long options."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in inner:
        for name, found in action.choices.items():
            yield from verbs_of(found, (*words, name))
    if not inner:
        options = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
        yield words, options - {"--help"}


VERBS = dict(verbs_of(parser_for(())))


@pytest.mark.parametrize("words", [words for words in VERBS if words != ("process",)], ids=" ".join)
def test_every_verb_stands_in_the_reference(words: tuple[str, ...]) -> None:
    assert f"`penstock {' '.join(words)}" in REFERENCE


def test_every_option_of_the_client_stands_in_the_reference() -> None:
    options = {o for words, found in VERBS.items() if words[0] not in DESCRIBED_ELSEWHERE for o in found}
    assert sorted(option for option in options if not re.search(rf"{option}\b", REFERENCE)) == []


def test_the_reference_names_no_verb_that_does_not_exist() -> None:
    named = {tuple(text.split()) for text in re.findall(r"`penstock ((?:[a-z-]+ ?)+)", REFERENCE)}
    real = set(VERBS) | {(noun,) for noun in NOUNS}
    assert named <= real
