"""``penstock logout``: end the sign-in at the gate, with every session under it, and forget it here."""

from __future__ import annotations

import argparse

from penstock.cli import output, profile
from penstock.cli.client import Gate
from penstock.model import Unauthenticated, Unavailable


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``logout``."""
    parser = subparsers.add_parser("logout", help="end the sign-in and every session under it")
    parser.set_defaults(run=logout)


def logout(_arguments: argparse.Namespace) -> int:
    """Forget the sign-in here whatever happens; a gate that cannot be told is an error all the same."""
    place = profile.of_this_person()
    try:
        sign_in = place.sign_in()
    except Unauthenticated as error:
        kept_until = place.ends_at()
        place.forget_sign_in()
        error.add_note(f"it is forgotten here, but the gate keeps it until {kept_until}; end it at the portal")
        raise
    if sign_in is None:
        output.say("nobody is signed in")
        return 0
    gate, ca_pem = place.known_gate()
    try:
        with Gate(gate.url, ca_pem, sign_in.token) as http:
            http.sign_out()
    except Unauthenticated:
        output.say("the gate had ended this sign-in already")
    except Unavailable as error:
        error.add_note(f"it is forgotten here, but the gate keeps it until {sign_in.expires_at}")
        raise
    finally:
        place.forget_sign_in()
    output.say(f"{sign_in.subject} is signed out")
    return 0
