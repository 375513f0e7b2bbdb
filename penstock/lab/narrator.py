"""Tells a story on the terminal: numbered steps, what really happened in each, and a summary.

Stands between the story and the person who reads it.  It must never claim what was not checked.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TextIO

WIDTH = 100


@dataclass(slots=True)
class Claim:
    """One thing that a step claims, and whether it was so."""

    text: str
    is_true: bool


@dataclass(slots=True)
class Step:
    """One step of the story."""

    number: int
    title: str
    claims: list[Claim] = field(default_factory=list)

    @property
    def is_as_claimed(self) -> bool:
        """Whether everything that the step claimed was so, and it claimed anything at all."""
        return bool(self.claims) and all(claim.is_true for claim in self.claims)


@dataclass(slots=True)
class Narrator:
    """Prints to `out`; in colour where that is a terminal."""

    out: TextIO
    steps: list[Step] = field(default_factory=list)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.out.isatty() else text

    def _print(self, text: str = "") -> None:
        print(text, file=self.out, flush=True)

    def heading(self, text: str) -> None:
        """A heading between parts."""
        self._print()
        self._print(self._paint(text, "1"))

    def step(self, title: str, why: str) -> None:
        """Begin a step: what is tried, and why it matters."""
        self.steps.append(Step(len(self.steps) + 1, title))
        self._print()
        self._print(self._paint(f"{len(self.steps):2}  {title}", "1;36"))
        for line in textwrap.wrap(why, WIDTH - 4):
            self._print(f"    {line}")

    def show(self, label: str, text: str) -> None:
        """Something that happened: a packet, a command, its answer."""
        lines = text.rstrip("\n").splitlines() or [""]
        self._print(f"    {self._paint(f'{label:>10}', '2')}  {lines[0]}")
        for line in lines[1:]:
            self._print(f"    {'':>10}  {line}")

    def claim(self, text: str, is_true: bool) -> None:  # noqa: FBT001  it reads as a sentence
        """Say what was to be shown, and whether it was."""
        self.steps[-1].claims.append(Claim(text, is_true))
        mark = self._paint("  as claimed", "32") if is_true else self._paint("NOT AS CLAIMED", "1;31")
        self._print(f"    {mark:>10}  {text}")

    def failed(self, text: str) -> None:
        """A step could not be carried out."""
        self.claim(f"the step could be carried out: {text}", is_true=False)

    def summary(self) -> bool:
        """The table at the end; returns whether every step was as claimed."""
        self.heading("Summary")
        for step in self.steps:
            verdict = self._paint("as claimed", "32") if step.is_as_claimed else self._paint("NOT AS CLAIMED", "1;31")
            self._print(f"    {step.number:2}  {step.title:<72}  {verdict}")
        return bool(self.steps) and all(step.is_as_claimed for step in self.steps)


def hexdump(data: bytes, most: int = 24) -> str:
    """The first bytes in hexadecimal, as engineers read frames."""
    return data[:most].hex(" ") + (" …" if len(data) > most else "")
