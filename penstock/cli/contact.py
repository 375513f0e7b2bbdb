"""Meeting a gate for the first time: whose authority is believed from then on.

Stands before `login` and `enrol`.  It must never let anything secret pass before the authority is known, from a file,
from a fingerprint, or from a person who compared it.
"""

from __future__ import annotations

import argparse
import hmac
import ssl
from pathlib import Path

from penstock.cli import output
from penstock.cli.answers import clock
from penstock.cli.client import Gate, fingerprint, first_contact, single_authority
from penstock.cli.profile import KnownGate, Profile
from penstock.model import Invalid, Problem, Unauthenticated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--gate``, and the ways to know its authority beforehand."""
    parser.add_argument("--gate", metavar="URL", help="https://HOST:8443; the last one when left out")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--ca", type=Path, metavar="FILE", help="the gate's authority, a certificate in PEM form")
    known.add_argument("--fingerprint", metavar="SHA256", help="the authority's fingerprint, as its administrator says")


def meet(profile: Profile, arguments: argparse.Namespace) -> tuple[KnownGate, str]:
    """The gate and its authority, after it proved to be that gate.

    It is remembered where none was known.  In another one's place only the caller puts it, when it knows this person:
    until then the profile, and the sign-in in it, stay what they are.
    """
    url = _url(profile, arguments.gate)
    ca_pem = ssl.DER_cert_to_PEM_cert(single_authority(_authority(profile, url, arguments.ca, arguments.fingerprint)))
    with Gate(url, ca_pem) as http:
        about = http.about()
    gate = KnownGate(url=url, gate=about.gate, site=about.site, tunnel_port=about.tunnel_port)
    if profile.gate() is None:
        profile.remember_gate(gate, ca_pem)
    return gate, ca_pem


def settle(profile: Profile, gate: KnownGate, ca_pem: str) -> None:
    """This person is known there: from now on the profile is for this gate, and forgets a sign-in at another."""
    former, ends_at = profile.gate(), profile.ends_at()
    profile.remember_gate(gate, ca_pem)
    if former is not None and ends_at and not profile.ends_at():
        output.say(f"the sign-in at {former.url} is forgotten here; at that gate it ends {clock(ends_at)}")
        output.hint("PENSTOCK_HOME names a folder for each gate, where there are several")


def _url(profile: Profile, given: str | None) -> str:
    if given:
        return given.rstrip("/")
    known = profile.gate()
    if known is None:
        hint = "penstock login --gate https://HOST:8443"
        raise Invalid(Problem(where="--gate", why="this computer does not know a gate yet", hint=hint))
    return known.url


def _authority(profile: Profile, url: str, ca: Path | None, expected: str | None) -> str:
    if ca is not None:
        return _from_file(ca)
    if expected is not None:
        return _from_fingerprint(url, expected)
    known, ca_pem = profile.gate(), profile.ca_pem()
    if known is not None and known.url == url and ca_pem is not None:
        return ca_pem
    return _from_person(url)


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(Problem(where=str(path), why=f"cannot be read: {error}")) from error


def _from_fingerprint(url: str, expected: str) -> str:
    ca_pem = first_contact(url).ca_pem
    found = fingerprint(ca_pem)
    if not hmac.compare_digest(_bare(found), _bare(expected)):
        stranger = Unauthenticated(f"{url} shows another authority than the one you named: SHA256 {found}")
        stranger.add_note("do not go on; ask the gate's administrator for the fingerprint of its authority")
        raise stranger
    return ca_pem


def _from_person(url: str) -> str:
    about = first_contact(url)
    output.say(f"{url} says that it is the gate “{about.gate}” of the site “{about.site}”")
    output.say(f"its authority has the fingerprint SHA256 {fingerprint(about.ca_pem)}")
    if not output.is_interactive():
        stranger = Unauthenticated("this gate is not known yet, and there is no terminal to ask you on")
        stranger.add_note("name its authority with --ca FILE or --fingerprint SHA256")
        raise stranger
    if not output.confirm("is this what the gate's administrator told you?"):
        raise Unauthenticated("the gate is not believed, and nothing was sent to it")
    return about.ca_pem


def _bare(text: str) -> str:
    """The hex digits alone: with or without colons, ``SHA256`` in front, either case."""
    digits = text.strip().lower().removeprefix("sha256").lstrip(": ")
    return "".join(character for character in digits if character in "0123456789abcdef")
