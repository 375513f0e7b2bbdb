"""``penstock login``: sign in with two factors, and get a short-lived certificate for a key that is made here."""

from __future__ import annotations

import argparse
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from penstock.cli import contact, output, profile
from penstock.cli.answers import clock
from penstock.cli.client import Gate


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``login``."""
    parser = subparsers.add_parser("login", help="sign in with password and authenticator code")
    contact.add_arguments(parser)
    parser.add_argument("--as", dest="subject", metavar="SUBJECT", help="who you are; asked for when left out")
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password, then the authenticator code, from stdin"
    )
    parser.set_defaults(run=login)


def login(arguments: argparse.Namespace) -> int:
    """Sign in, and keep token, key and certificate in the profile."""
    place = profile.of_this_person()
    gate, ca_pem = contact.meet(place, arguments)
    subject = arguments.subject or _subject(place)
    if arguments.password_stdin:
        line = output.line_reader()
        password, totp = line("password"), line("authenticator code")
    else:
        password = output.ask(f"password of {subject}", secret=True)
        totp = output.ask("authenticator code")
    key_pem, csr_pem = key_and_request(subject)
    with Gate(gate.url, ca_pem) as http:
        signed = http.sign_in(subject, password, totp.replace(" ", ""), csr_pem)
    place.remember_sign_in(
        profile.SignIn(subject=signed.subject, groups=signed.groups, token=signed.token, expires_at=signed.expires_at),
        key_pem,
        signed.certificate_pem,
    )
    groups = f", groups: {', '.join(signed.groups)}" if signed.groups else ""
    output.say(f"signed in at {gate.gate} ({gate.site}) as {signed.subject} until {clock(signed.expires_at)}{groups}")
    output.hint("penstock ls shows what you may reach")
    return 0


def key_and_request(subject: str) -> tuple[bytes, str]:
    """A new P-256 key (PKCS #8, PEM) and a certification request (PKCS #10, RFC 2986, PEM) for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem, request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _subject(place: profile.Profile) -> str:
    """The last one who signed in here, or whoever the person says."""
    last = place.sign_in()
    guess = last.subject if last else os.environ.get("USER", "")
    return output.ask(f"sign in as [{guess}]" if guess else "sign in as") or guess
