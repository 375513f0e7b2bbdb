"""What is wrong with a document: every problem with its place, collected instead of raised one by one.

Stands under every section parser.  It must never drop a problem; `document.parse` raises them all at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.model import Problem

#: A document that is wrong all over still gives a readable list.
MAX_PROBLEMS = 200


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """A place in a document: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Faults:
    """A growing list of problems."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], str] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, why: str, hint: str = "") -> None:
        """Note one problem; the same one at the same place counts once."""
        self._found.setdefault((place, why), hint)

    def unknown(self, place: Place, what: str, name: str, known: Iterable[str]) -> None:
        """Note that `name` is not one of the `known` names of a `what`, with the likeliest of them as the hint."""
        self.add(place, f"unknown {what} {shown(name)}", did_you_mean(name, known))

    def problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the document."""
        ordered = sorted(self._found.items(), key=lambda item: item[0])
        listed = [Problem(where=str(place), why=why, hint=hint) for (place, why), hint in ordered[:MAX_PROBLEMS]]
        if len(ordered) > MAX_PROBLEMS:
            place = ordered[MAX_PROBLEMS][0][0]
            listed.append(
                Problem(where=str(place), why=f"and {len(ordered) - MAX_PROBLEMS} more problems from here on")
            )
        return tuple(listed)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean 'write'?``, or the known names where none is close; empty where there are none at all."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name[:64], names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    few = ", ".join(names[:12])
    return f"one of: {few}" + (", …" if len(names) > 12 else "") if names else ""  # noqa: PLR2004


def shown(name: str) -> str:
    """A name of the document as a message shows it: quoted, escaped and not too long."""
    return repr(name if len(name) <= 64 else name[:61] + "…")  # noqa: PLR2004
