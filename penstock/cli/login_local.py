"""Signing in with what is typed here: name, password, and the code of an authenticator."""

from __future__ import annotations

import argparse
import getpass

from penstock.cli import output
from penstock.cli.answers import TypedProof
from penstock.cli.profile import Profile

_CODE = "authenticator code, or a recovery code"


def proof(arguments: argparse.Namespace, place: Profile) -> TypedProof:
    """What the person typed, or the script gave on stdin.  Raises `Invalid` where there is nobody to ask."""
    subject = arguments.subject or _subject(place)
    may_lack_code = bool(arguments.source) or "@" in subject  # somebody of a directory: the gate knows better
    if arguments.password_stdin:
        line = output.line_reader()
        password = line("password")
        code = output.line_or_nothing() if may_lack_code else line("authenticator code")
    else:
        password = output.ask(f"password of {subject}", secret=True)
        question = "authenticator code, if you added one at this gate" if may_lack_code else _CODE
        code = output.ask(question)
    name, source = subject, arguments.source
    if not source and subject == place.last_subject():
        name, source = parts_of(subject)
    return TypedProof(subject=name, password=password, code=code.replace(" ", ""), source=source)


def parts_of(subject: str) -> tuple[str, str]:
    """The name that a directory knows, and the directory: its people are ``NAME@SOURCE`` here, the gate's own bare."""
    name, at, source = subject.rpartition("@")
    return (name, source) if at else (subject, "")


def _subject(place: Profile) -> str:
    """The last one who signed in here, or whoever the person says."""
    guess = place.last_subject() or _own_name()
    return output.ask(f"sign in as [{guess}]" if guess else "sign in as") or guess


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # Windows has no table of users to look in
        return ""
