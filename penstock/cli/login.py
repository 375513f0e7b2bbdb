"""``penstock login``: sign in, and get a short-lived certificate for a key that is made here and stays here.

Four ways: the browser of this computer, where one is there; a code that is typed in the browser of another; name,
password and code typed here; or a smart card.  Which identity source proves who somebody is, is the portal's affair
in the first two.
"""

from __future__ import annotations

import argparse
import os
import webbrowser
from collections.abc import Mapping
from enum import StrEnum

from penstock.cli import (
    contact,
    key_store,
    login_browser,
    login_card,
    login_device,
    login_local,
    notice,
    output,
    profile,
    station,
)
from penstock.cli.answers import Proved, SignedIn, clock
from penstock.cli.client import Gate
from penstock.cli.keys import key_and_request
from penstock.model import Invalid, Problem


class Way(StrEnum):
    """How to sign in."""

    BROWSER = "browser"
    DEVICE = "device"
    LOCAL = "local"
    CARD = "card"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``login``."""
    parser = subparsers.add_parser("login", help="sign in: in the browser, by a code, or with a password here")
    contact.add_arguments(parser)
    ways = parser.add_mutually_exclusive_group()
    for way, text in (
        (Way.BROWSER, "confirm in the browser of this computer (the default where there is one)"),
        (Way.DEVICE, "show a code to be typed in the browser of another computer"),
        (Way.LOCAL, "type name, password and authenticator code here"),
    ):
        ways.add_argument(f"--{way}", dest="way", action="store_const", const=way, help=text)
    parser.add_argument("--as", dest="subject", metavar="SUBJECT", help="who you are; implies --local")
    parser.add_argument(
        "--source", default="", metavar="NAME", help="the directory that knows the password; implies --local"
    )
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password, then the authenticator code, from stdin; implies --local",
    )
    login_card.add_arguments(parser)
    parser.add_argument(
        "--again", action="store_true", help="prove again who you are; the sign-in and what is open under it go on"
    )
    notice.add_argument(parser)
    parser.set_defaults(run=login, way=None)


def login(arguments: argparse.Namespace) -> int:
    """Sign in, and keep token, key and certificate; or renew the proof of the sign-in that there is."""
    place = profile.of_this_person()
    if arguments.again:
        return _again(arguments, place)
    gate, ca_pem = contact.meet(place, arguments)
    key_pem, csr_pem = key_and_request()
    with Gate(gate.url, ca_pem) as http:
        match way_of(arguments, os.environ):
            case Way.BROWSER:
                signed = http.redeem(login_browser.code(gate.url, is_again=False), csr_pem)
            case Way.DEVICE:
                signed = login_device.wait(http, gate.url, lambda codes: http.redeem(codes, csr_pem))
            case Way.LOCAL:
                shown = notice.accepted(http, arguments)
                signed = http.sign_in(login_local.proof(arguments, place), csr_pem, shown)
            case Way.CARD:
                shown = notice.accepted(http, arguments)
                signed = http.prove_card({**login_card.proof(arguments, http, ca_pem, csr_pem), "notice": shown})
    contact.settle(place, gate, ca_pem)
    kept = place.remember_sign_in(
        profile.SignIn(subject=signed.subject, groups=signed.groups, token=signed.token, expires_at=signed.expires_at),
        key_pem,
        signed.certificate_pem,
    )
    _report(gate, signed, kept)
    return 0


def _again(arguments: argparse.Namespace, place: profile.Profile) -> int:
    sign_in = place.live_sign_in()
    gate, ca_pem = place.known_gate()
    if arguments.gate and arguments.gate.rstrip("/") != gate.url:
        hint = "leave --gate out, or leave --again out to sign in there"
        raise Invalid(Problem(where="--gate", why=f"the sign-in is at {gate.url}", hint=hint))
    with Gate(gate.url, ca_pem, sign_in.token) as http:
        match way_of(arguments, os.environ):
            case Way.BROWSER:
                proved = http.prove_again(login_browser.code(gate.url, is_again=True))
            case Way.DEVICE:
                proved = login_device.wait(http, gate.url, http.prove_again)
            case Way.LOCAL:
                arguments.subject = arguments.subject or sign_in.subject
                proved = http.prove_again_here(login_local.proof(arguments, place))
            case Way.CARD:
                proved = http.prove_card_again(login_card.proof(arguments, http, ca_pem))
    _report_again(proved)
    return 0


def way_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Way:
    """The way that was asked for, or the best that is there.  Raises `Invalid` where nobody would see a code."""
    if arguments.pkcs11:
        if arguments.way or arguments.password_stdin or arguments.subject or arguments.source:
            hint = "leave the other way to sign in out"
            raise Invalid(Problem(where="--pkcs11", why="it is a way of its own, with a card", hint=hint))
        return Way.CARD
    if arguments.password_stdin or arguments.subject or arguments.source:
        if arguments.way not in (None, Way.LOCAL):
            why = "--as, --source and --password-stdin are for signing in here, with a password"
            raise Invalid(Problem(where=f"--{arguments.way}", why=why, hint="leave one of them out"))
        return Way.LOCAL
    if arguments.way is not None:
        return Way(arguments.way)
    if has_browser(environment):
        return Way.BROWSER
    if output.is_interactive():
        return Way.DEVICE
    hint = "penstock login --device prints a code, penstock login --as NAME --password-stdin reads a password"
    raise Invalid(Problem(where="login", why="there is neither a browser here nor a terminal", hint=hint))


def has_browser(environment: Mapping[str, str]) -> bool:
    """Whether a browser would open before the person's eyes."""
    if not (environment.get("BROWSER") or station.has_display(environment)):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _report(gate: profile.KnownGate, signed: SignedIn, kept: profile.SignIn) -> None:
    groups = f", groups: {', '.join(signed.groups)}" if signed.groups else ""
    output.say(f"signed in at {gate.gate} ({gate.site}) as {signed.subject} until {clock(signed.expires_at)}{groups}")
    if kept.kept_in:
        output.say(f"key and token are kept in {kept.kept_in}")
    else:
        output.say("key and token are kept in files that only you may read")
        output.hint(key_store.hint_to_install())
    if signed.recovery_codes_left is not None:
        output.say(f"a recovery code was used up; {signed.recovery_codes_left} are left")
        output.hint(f"if your authenticator is lost, set up a new one at {gate.url}/me")
    output.hint("penstock ls shows what you may reach")


def _report_again(proved: Proved) -> None:
    factors = ", ".join(proved.factors)
    output.say(f"{proved.subject} is proved again ({proved.strength}: {factors}) until {clock(proved.expires_at)}")
