from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from penstock import __version__
from penstock.cli import main
from penstock.model import Invalid, PenstockError, Problem, Tampered, Unauthenticated, Unavailable

TWO_PROBLEMS = Invalid(
    Problem(where="site.yaml:3:5", why="no such zone: filtratoin", hint="did you mean filtration?"),
    Problem(where="site.yaml:9:1", why="no address"),
)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes ``penstock status`` raise what it is given."""

    def of(error: BaseException) -> None:
        def run(_arguments: Any) -> int:
            raise error

        monkeypatch.setattr("penstock.cli.status.status", run)

    return of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TWO_PROBLEMS, 2),
        (Unauthenticated("nobody is signed in"), 3),
        (Unavailable("the gate does not answer"), 4),
        (Tampered("the evidence does not verify"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_status(verb: Any, error: BaseException, status: int) -> None:
    verb(error)
    assert main(["status"]) == status


def test_every_problem_is_printed_at_once_with_its_hint_on_stderr(verb: Any, capsys: Any) -> None:
    verb(TWO_PROBLEMS)
    main(["status"])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "site.yaml:3:5: no such zone: filtratoin",
        "hint: did you mean filtration?",
        "site.yaml:9:1: no address",
    ]


def test_notes_of_an_error_are_hints(verb: Any, capsys: Any) -> None:
    error = Unauthenticated("the sign-in has expired")
    error.add_note("penstock login")
    verb(error)
    main(["status"])
    assert capsys.readouterr().err == "penstock: the sign-in has expired\nhint: penstock login\n"


def test_an_interrupt_says_nothing(verb: Any, capsys: Any) -> None:
    verb(KeyboardInterrupt())
    main(["status"])
    assert capsys.readouterr() == ("", "")


def test_text_from_elsewhere_cannot_drive_the_terminal(verb: Any, capsys: Any) -> None:
    verb(Unavailable("gate\x1b]0;owned\x07\rpenstock: all is well"))
    main(["status"])
    assert not {"\x1b", "\x07", "\r"} & set(capsys.readouterr().err)


def test_a_bug_is_not_hidden(verb: Any) -> None:
    verb(RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        main(["status"])


def test_version_is_printed(capsys: Any) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"penstock {__version__}\n"


def test_a_verb_that_does_not_exist_is_a_usage_error_that_lists_the_verbs(capsys: Any) -> None:
    assert main(["lgoin"]) == 2
    assert "login" in capsys.readouterr().err


def test_help_names_every_verb(capsys: Any) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert [
        verb for verb in ("enrol", "login", "ls", "connect", "policy", "evidence", "serve") if verb not in printed
    ] == []


def test_listing_loads_nothing_of_the_server() -> None:
    """A start of `penstock ls` stays under 0.3 s because it never loads the database, the web server or the policy."""
    code = "import sys; from penstock.cli.main import parser_for; parser_for(['ls']); print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {"sqlalchemy", "starlette", "uvicorn", "cryptography", "jinja2", "yaml", "penstock.policy", "segno"}
    assert loaded & heavy == set()


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m penstock ls --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_the_whole_error_tree_has_a_status() -> None:
    from penstock.cli.main import status_of  # noqa: PLC0415

    assert all(status_of(kind("x")) in {1, 3, 4} for kind in PenstockError.__subclasses__() if kind is not Invalid)


def test_a_verb_that_runs_no_command_refuses_one(capsys: Any) -> None:
    assert main(["status", "--", "ls"]) == 2
    assert "this verb runs no command after --" in capsys.readouterr().err


def test_text_from_elsewhere_cannot_turn_a_line_round(verb: Any, capsys: Any) -> None:
    verb(Unavailable("plc-\u202egnisod\u2066 x\u2028y"))
    main(["status"])
    assert capsys.readouterr().err.splitlines()[0].endswith("plc-\ufffdgnisod\ufffd x\ufffdy")
