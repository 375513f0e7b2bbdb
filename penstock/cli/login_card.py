"""``penstock login --pkcs11 MODULE``: sign in with a smart card, whose key stays in the card.

Stands between `login` and the card's own module (PKCS #11 Cryptographic Token Interface 2.40): the card signs a
challenge of the gate, tied to this gate and to the request for this station's certificate.  Python's TLS cannot use
such a key.  The PIN goes to the card and nowhere else.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from penstock.cli import output
from penstock.cli.client import Gate
from penstock.model import Invalid, Json, Problem, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import pkcs11

#: The gate knows the same words: `penstock.identity.card.signed`; a test compares the two.
DOMAIN = b"Penstock smart card sign-in, version 1\0"
_CARD_AUTHENTICATION = x509.ObjectIdentifier("2.16.840.1.101.3.2.1.3.17")
_CARD_AUTHENTICATION_USAGE = x509.ObjectIdentifier("2.16.840.1.101.3.6.8")
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.ExtensionNotFound)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A certificate in the card that can sign somebody in, and the name (CKA_ID) of its key."""

    id: bytes
    label: str
    certificate: x509.Certificate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this way to sign in."""
    parser.add_argument(
        "--pkcs11",
        metavar="MODULE",
        help="sign in with a smart card: its PKCS #11 module, for example opensc-pkcs11.so",
    )
    parser.add_argument("--token", metavar="LABEL", help="which card, where several are in")
    parser.add_argument("--key", metavar="LABEL", help="which key of the card, where several can sign in")
    parser.add_argument("--pin-stdin", action="store_true", help="read the card's PIN from stdin")


def proof(arguments: argparse.Namespace, http: Gate, ca_pem: str, csr_pem: str = "") -> dict[str, Json]:
    """Have the card sign a fresh challenge of this gate: the body of the request that brings it back.

    `ca_pem` is the authority that this connection was verified with, `csr_pem` the request for the station's
    certificate, if any.  Raises `Invalid` (module, card, key), `Unauthenticated` (PIN) and `Unavailable`.
    """
    library = _library()
    # The module often uses the same OpenSSL as Python's TLS, whose queue of errors belongs to a thread: what a module
    # leaves in it would be taken for a failure of the connection.
    with ThreadPoolExecutor(max_workers=1) as card:
        return _proof(card, library, arguments, http, ca_pem, csr_pem)


def _proof(
    card: ThreadPoolExecutor, library: Any, arguments: argparse.Namespace, http: Gate, ca_pem: str, csr_pem: str
) -> dict[str, Json]:
    """As `proof`; everything that touches the card runs in `card`, everything that touches the gate here."""
    token = card.submit(_token, library, arguments.pkcs11, arguments.token).result()
    certificates = card.submit(_certificates, library, token).result()
    chosen = _chosen(token, certificates, arguments.key)
    pin = output.line_reader()("PIN") if arguments.pin_stdin else output.ask(f"PIN of {token.label}", secret=True)
    challenge = http.card_challenge()
    signed = message(ca_pem, challenge, csr_pem)
    output.say(f"signing in as {chosen.certificate.subject.rfc4514_string()}")
    signature = card.submit(_signature, library, token, pin, chosen, signed).result()
    chain = [chosen.certificate, *_issuers(chosen.certificate, certificates)]
    return {
        "challenge": challenge,
        "certificates": [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in chain],
        "signature": base64.b64encode(signature).decode(),
        "csr_pem": csr_pem,
    }


def message(ca_pem: str, challenge: str, csr_pem: str) -> bytes:
    """What the card signs: our own words, which gate, which challenge, and for which key of this station."""
    gate = x509.load_pem_x509_certificate(ca_pem.encode()).fingerprint(hashes.SHA256())
    return DOMAIN + gate + hashlib.sha256(challenge.encode()).digest() + hashlib.sha256(csr_pem.encode()).digest()


def _library() -> Any:
    try:
        import pkcs11  # noqa: PLC0415 - an extra that most people do not need
    except ImportError:
        hint = f"{sys.executable} -m pip install 'penstock[pkcs11]'"
        raise Invalid(Problem(where="--pkcs11", why="smart cards need the package python-pkcs11", hint=hint)) from None
    return pkcs11


def _token(library: Any, module: str, label: str | None) -> pkcs11.Token:
    try:
        slots = library.lib(module).get_slots(token_present=True)
        tokens = [token for slot in slots if (token := _token_in(library, slot)) is not None]
    except (RuntimeError, OSError, library.exceptions.PKCS11Error) as error:
        hint = "name the shared library that came with the card or its reader, with its whole path"
        raise Invalid(Problem(where=f"--pkcs11 {module}", why=f"it cannot be loaded: {error}", hint=hint)) from None
    found = [token for token in tokens if label is None or token.label == label]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(token.label for token in tokens))
    if not tokens:
        raise Unavailable("no smart card is in: put it into the reader, and try again")
    why = f"several cards are in: {names}" if found else f"no card is called {label!r}; there is: {names}"
    raise Invalid(Problem(where="--token", why=why, hint="name one of them with --token LABEL"))


def _token_in(library: Any, slot: Any) -> pkcs11.Token | None:
    """The token of a slot that is ready for use; some modules list empty ones as well."""
    try:
        token: pkcs11.Token = slot.get_token()
    except library.exceptions.PKCS11Error:
        return None
    return token if token.flags & library.TokenFlag.TOKEN_INITIALIZED else None


def _certificates(library: Any, token: pkcs11.Token) -> list[_Candidate]:
    attribute = library.Attribute
    try:
        with token.open() as session:
            objects = session.get_objects({attribute.CLASS: library.ObjectClass.CERTIFICATE})
            found = [_candidate(library, each) for each in objects]
    except library.exceptions.PKCS11Error as error:
        raise _failed(error) from error
    return [each for each in found if each is not None]


def _candidate(library: Any, item: Any) -> _Candidate | None:
    """``None`` for what is no whole certificate: some cards have empty places, and objects without a name."""
    attribute = library.Attribute
    try:
        certificate = x509.load_der_x509_certificate(bytes(item[attribute.VALUE]))
        return _Candidate(id=bytes(item[attribute.ID]), label=str(item[attribute.LABEL]), certificate=certificate)
    except (*_UNREADABLE, library.exceptions.PKCS11Error):
        return None


def _failed(error: Exception) -> Unavailable:
    return Unavailable(f"the card failed: {type(error).__name__}")


def _chosen(token: pkcs11.Token, certificates: Sequence[_Candidate], label: str | None) -> _Candidate:
    """The one certificate that can sign in: for clients, not Card Authentication (which takes no PIN)."""
    fit = [each for each in certificates if _can_sign_in(each.certificate)]
    named = [each for each in fit if label is None or each.label == label]
    if len(named) == 1:
        return named[0]
    names = ", ".join(f"{each.label!r} ({each.certificate.subject.rfc4514_string()})" for each in fit)
    if not fit:
        why = f"card {token.label!r} has no certificate that can sign in"
        hint = "it needs one for clients (extended key usage clientAuth), such as PIV Authentication"
        raise Invalid(Problem(where="--pkcs11", why=why, hint=hint))
    why = f"several keys can sign in: {names}" if named else f"no key is called {label!r}; there is: {names}"
    raise Invalid(Problem(where="--key", why=why, hint="name one of them with --key LABEL"))


def _can_sign_in(certificate: x509.Certificate) -> bool:
    try:
        purposes = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except _UNREADABLE:
        return False
    try:
        stated = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        stated = x509.CertificatePolicies([])
    if _CARD_AUTHENTICATION in {each.policy_identifier for each in stated} or _CARD_AUTHENTICATION_USAGE in purposes:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes


def _issuers(leaf: x509.Certificate, certificates: Sequence[_Candidate]) -> list[x509.Certificate]:
    """The issuers of the card's certificate that the card has as well, from the first on."""
    found: list[x509.Certificate] = []
    issuer = leaf.issuer
    while len(found) < len(certificates):
        each = next((one.certificate for one in certificates if one.certificate.subject == issuer), None)
        if each is None or each in found or each == leaf:
            break
        found.append(each)
        issuer = each.issuer
    return found


def _signature(library: Any, token: pkcs11.Token, pin: str, chosen: _Candidate, signed: bytes) -> bytes:
    wanted = {library.Attribute.CLASS: library.ObjectClass.PRIVATE_KEY, library.Attribute.ID: chosen.id}
    try:
        with token.open(user_pin=pin) as session:
            key = next(iter(session.get_objects(wanted)), None)
            if key is None:
                why = f"card {token.label!r} has a certificate {chosen.label!r} without its key"
                raise Invalid(Problem(where="--pkcs11", why=why, hint="use another card, or have this one repaired"))
            return _signed_by(library, key, chosen.certificate, signed)
    except (library.exceptions.PinIncorrect, library.exceptions.PinLenRange, library.exceptions.PinInvalid):
        why = "the card did not take this PIN"
        raise Unauthenticated(f"{why}; after a few wrong ones in a row it locks itself") from None
    except library.exceptions.PinLocked:
        raise Unauthenticated("the card is locked after too many wrong PINs; whoever issued it can unlock it") from None
    except library.exceptions.PKCS11Error as error:
        raise _failed(error) from error


def _signed_by(library: Any, key: Any, certificate: x509.Certificate, signed: bytes) -> bytes:
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return bytes(key.sign(signed, mechanism=library.Mechanism.SHA256_RSA_PKCS))
    if isinstance(public, ec.EllipticCurvePublicKey):
        from pkcs11.util.ec import encode_ecdsa_signature  # noqa: PLC0415 - the extra's

        raw = key.sign(hashlib.sha256(signed).digest(), mechanism=library.Mechanism.ECDSA)
        return bytes(encode_ecdsa_signature(raw))
    hint = "use a card with an RSA or an elliptic curve key"
    raise Invalid(Problem(where="--pkcs11", why="the card's key is of a kind that is not used here", hint=hint))
