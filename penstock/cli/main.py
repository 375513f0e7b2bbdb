"""``penstock``: finds the verb, runs it, and turns what went wrong into words and an exit status.

Exit statuses: 0 done, 1 refused or evidence tampered with, 2 the request or document is invalid, 3 nobody is signed
in, 4 something does not answer, 130 interrupted.  Only the file of the verb that is asked for is imported.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence

from penstock import __version__
from penstock.cli.output import complain
from penstock.model import Invalid, PenstockError, Problem, Tampered, Unauthenticated, Unavailable

#: Every file of verbs, in the order of the help: what an engineer needs, then the administrator, then the gate itself.
NOUNS = (
    "enrol",
    "login",
    "ls",
    "connect",
    "ssh",
    "routes",
    "logout",
    "status",
    "subject",
    "role",
    "break_glass",
    "held",
    "grant",
    "isolate",
    "conduits",
    "metrics",
    "failures",
    "drill",
    "revision",
    "kernel",
    "crypto",
    "policy",
    "evidence",
    "decode",
    "serve",
    "demo",
)
#: Verbs that are not named after their file.
_ELSEWHERE = {"break-glass": "break_glass", "process": "serve", "release": "isolate", "isolated": "isolate"}

EXIT_REFUSED, EXIT_INVALID, EXIT_UNAUTHENTICATED, EXIT_UNAVAILABLE, EXIT_INTERRUPTED = 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that its character set lacks must end nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    words, command = split_command(sys.argv[1:] if argv is None else argv)
    try:
        parser = parser_for(words)
        arguments = parser.parse_args(words, argparse.Namespace(command=command, takes_command=False))
        if command and not arguments.takes_command:
            parser.error("this verb runs no command after --")
        run: Callable[[argparse.Namespace], int] = arguments.run
        return run(arguments)
    except SystemExit as end:  # argparse ends so, after a usage error or --help
        return end.code if isinstance(end.code, int) else EXIT_INVALID
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read stdout has gone, as in `penstock ls | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush complains
        return EXIT_REFUSED
    except ModuleNotFoundError as error:
        if _is_ours(error):
            raise
        complain(_not_here(words[0], error.name or ""))
        return EXIT_INVALID
    except PenstockError as error:
        complain(error)
        return status_of(error)


def split_command(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own words, and those after the first ``--``, which are a command line for somebody else."""
    at = list(words).index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows the verb in `words`; all of them where the first word is none."""
    parser = argparse.ArgumentParser(
        prog="penstock", description="Zero Trust access to industrial assets", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"penstock {__version__}")
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    first = words[0] if words else ""
    noun = _ELSEWHERE.get(first, first)
    if noun in NOUNS:
        names: tuple[str, ...] = (noun,)
    else:
        names = () if first == "--version" else NOUNS
    for name in names:
        try:
            verbs = importlib.import_module(f"penstock.cli.{name}")
        except ModuleNotFoundError as error:
            if noun in NOUNS or _is_ours(error):
                raise
            continue  # the help shows what this installation can do
        verbs.register(subparsers)
    return parser


def _is_ours(error: ModuleNotFoundError) -> bool:
    return (error.name or "penstock").partition(".")[0] == "penstock"


def _not_here(verb: str, missing: str) -> Invalid:
    """A verb of the gate, on a computer that has the client only."""
    why = f"this verb needs {missing}, which is not installed here"
    return Invalid(Problem(where=f"penstock {verb}", why=why, hint="on the gate (Linux): pip install penstock[gate]"))


def status_of(error: PenstockError) -> int:
    """The exit status that stands for this error."""
    match error:
        case Invalid():
            return EXIT_INVALID
        case Unauthenticated():
            return EXIT_UNAUTHENTICATED
        case Unavailable():
            return EXIT_UNAVAILABLE
        case Tampered():
            return EXIT_REFUSED
    return EXIT_REFUSED
