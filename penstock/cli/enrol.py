"""``penstock enrol``: turn the administrator's one-time code into a password and an authenticator."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import segno

from penstock.cli import contact, output, profile
from penstock.cli.client import Gate
from penstock.model import Invalid, Unauthenticated

T = TypeVar("T")

#: How often a person may mistype the authenticator's code before enrolment is given up; the code stays valid.
_TRIES = 3


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``enrol``."""
    parser = subparsers.add_parser("enrol", help="set your password and authenticator with a one-time code")
    contact.add_arguments(parser)
    parser.add_argument("code", nargs="?", metavar="CODE", help="the one-time code; asked for when left out")
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read from stdin: the one-time code (when left out above), the password, and after the authenticator's "
        "address was printed on stdout, its code",
    )
    parser.set_defaults(run=enrol)


def enrol(arguments: argparse.Namespace) -> int:
    """Show the authenticator's secret once, set the password, and prove that both work."""
    place = profile.of_this_person()
    gate, ca_pem = contact.meet(place, arguments)
    line = output.line_reader() if arguments.password_stdin else None
    code = arguments.code or (line("one-time code") if line else output.ask("one-time code", secret=True))
    with Gate(gate.url, ca_pem) as http:
        enrolment = http.enrol(code)
        output.say(f"enrolling {enrolment.subject} at {gate.gate} ({gate.site})")
        password = (line("password") if line else _new_password()) if enrolment.asks_password else ""
        _show_secret(enrolment.otpauth_uri)
        if line:
            codes = http.confirm_enrolment(code, password, line("authenticator code"))
        else:
            codes = _confirm(lambda totp: http.confirm_enrolment(code, password, totp))
    contact.settle(place, gate, ca_pem)
    output.say("enrolled")
    _show_codes(codes)
    output.hint(f"penstock login --as {enrolment.subject}")
    return 0


def _show_secret(uri: str) -> None:
    """The address on stdout; for a person also as a picture, and the secret to type in."""
    if sys.stderr.isatty():
        output.say("scan this with your authenticator app")
        segno.make(uri, micro=False).terminal(out=sys.stderr, compact=True)
        output.say(f"or type in the secret {secret_of(uri)}")
    output.data(uri)


def secret_of(uri: str) -> str:
    """The secret of an ``otpauth:`` address, in groups of four."""
    secret = parse_qs(urlsplit(uri).query).get("secret", [""])[0]
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))


def _new_password() -> str:
    while True:
        first = output.ask("new password", secret=True)
        if first == output.ask("the same again", secret=True):
            return first
        output.say("these were not the same")


def _show_codes(codes: Sequence[str]) -> None:
    """The recovery codes on stdout, one a line."""
    if not codes:
        return
    output.say(
        f"keep these {len(codes)} recovery codes on paper: each stands in once for a lost authenticator, "
        "and they are shown this once"
    )
    for code in codes:
        output.data(code)


def _confirm(send: Callable[[str], T]) -> T:
    """Ask for the authenticator's code until the gate takes it; answers what it said then."""
    for left in range(_TRIES - 1, -1, -1):
        try:
            return send(output.ask("the code that the authenticator shows now").replace(" ", ""))
        except (Invalid, Unauthenticated) as error:
            if not left:
                raise
            output.complain(error)
    raise AssertionError("the last try returns or raises")
