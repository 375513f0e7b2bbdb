"""What a person reads: data on stdout, everything else on stderr, hints apart, tables in plain columns.

Stands between the verbs and the terminal.  It must never print a secret that a verb did not mean to show.
"""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence

from penstock.model import Invalid, Json, PenstockError, Problem

_GAP = "  "
#: C0 and C1 control characters, line separators and marks of direction (Unicode TR 9), by which text from elsewhere
#: could move the cursor, forge a line or turn it round (CWE-150, CWE-1007).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Text from elsewhere without control characters, so that it cannot drive the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def say(text: str) -> None:
    """One line for the person, on stderr."""
    print(plain(text), file=sys.stderr, flush=True)


def hint(text: str) -> None:
    """One line about what to do next, on stderr."""
    if text:
        print(f"hint: {plain(text)}", file=sys.stderr, flush=True)


def data(text: str) -> None:
    """One line of the answer, on stdout."""
    print(plain(text), flush=True)


def data_json(value: Json) -> None:
    """The answer as one JSON document, on stdout."""
    print(json.dumps(value, indent=2, sort_keys=True), flush=True)


def complain(error: PenstockError) -> None:
    """Everything that is wrong, each with its hint; notes of the error (PEP 678) are hints too."""
    if isinstance(error, Invalid):
        for problem in error.problems:
            _complain_of(problem)
    else:
        say(f"penstock: {error}")
    for note in getattr(error, "__notes__", ()):
        hint(note)


def _complain_of(problem: Problem) -> None:
    say(f"{problem.where}: {problem.why}" if problem.where else problem.why)
    hint(problem.hint)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart; the last one is not padded."""
    lines = [tuple(headings), *(tuple(plain(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]], nothing: str) -> None:
    """The table on stdout, or `nothing` on stderr where there are no rows."""
    lines = list(rows)
    if lines:
        print(table(headings, lines), flush=True)
    else:
        say(nothing)


def is_interactive() -> bool:
    """Whether a person can be asked: both the question and the answer are on a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, secret: bool = False) -> str:  # noqa: FBT001, FBT002  reads as a word at the call
    """The person's answer.  Raises `Invalid` where there is no person to ask."""
    if not is_interactive():
        raise Invalid(Problem(where="terminal", why=f"cannot ask for “{question}” without a terminal"))
    question = plain(question)
    if secret:
        return getpass.getpass(f"{question}: ", stream=sys.stderr)
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise Invalid(Problem(where="terminal", why=f"no answer to “{question}”"))
    return answer.strip()


def confirm(question: str) -> bool:
    """Whether the person answered with the whole word ``yes``, as ssh asks for it."""
    while True:
        match ask(f"{question} (yes/no)").casefold():
            case "yes":
                return True
            case "no":
                return False
        say("please type yes or no")


def line_reader() -> Callable[[str], str]:
    """Lines of stdin for scripts: each call takes the next one.  Raises `Invalid` where it is missing."""

    def read(what: str) -> str:
        line = line_or_nothing()
        if not line:
            raise Invalid(Problem(where="stdin", why=f"the line with the {what} is missing"))
        return line

    return read


def line_or_nothing() -> str:
    """The next line of stdin, for scripts; it may be empty or missing."""
    return sys.stdin.readline().rstrip("\r\n")
