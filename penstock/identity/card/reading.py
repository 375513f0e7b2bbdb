"""What a card's certificate says of its holder (RFC 5280, FIPS 201-3 and its certificate profiles): names, exactly.

Pure.  It must never take the first of two names where one was to be expected, nor a name with a sign in it that does
not print: ``ada`` with a null byte and more behind it is not ``ada``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from penstock.identity.card.unfit import Unfit, plain

#: MS-WCCE, szOID_NT_PRINCIPAL_NAME: the user principal name, a UTF8String.
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
#: FIPS 201-3, pivFASC-N: the card's own number, an OCTET STRING of 25 bytes.
FASCN = x509.ObjectIdentifier("2.16.840.1.101.3.6.6")
_UTF8_STRING, _OCTET_STRING = 0x0C, 0x04
_MAX_SHORT, _LENGTH_OF_LENGTH = 0x80, 0x7F
MAX_CERTIFICATE_BYTES = 16 << 10
_MIN_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
#: What the library raises for bytes that are not what they should be.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    UserWarning,  # where warnings are errors: what the standards do not allow, such as a country of one letter
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

CardKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
E_ = TypeVar("E_", bound=x509.ExtensionType)


def load(der: bytes) -> x509.Certificate:
    """The certificate of these bytes.  Raises `Unfit`."""
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise Unfit("the certificate is too long")
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.subject, certificate.issuer  # parsed late otherwise
    except UNREADABLE:
        raise Unfit("the certificate cannot be read") from None
    if certificate.serial_number <= 0:
        raise Unfit("its serial number is not above zero (RFC 5280 section 4.1.2.2)")
    return certificate


def extension(certificate: x509.Certificate, kind: type[E_]) -> E_ | None:
    """The extension of that kind, or ``None``."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def key_of(certificate: x509.Certificate) -> CardKey:
    """The key: RSA of 2048 bits or more, P-256, P-384 or P-521 (SP 800-78-5, table 3-1).  Raises `Unfit`."""
    try:
        key = certificate.public_key()
    except UNREADABLE:
        raise Unfit("its key cannot be read") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise Unfit(f"its key is too weak: RSA of {key.key_size} bits, at least {_MIN_RSA_BITS} are asked for")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    raise Unfit("its key is of a kind that the gate does not take")


def check_names(certificate: x509.Certificate) -> None:
    """Every name in it is whole text.  Raises `Unfit`: a null byte ends a name for one reader and not for another."""
    for attribute in (*certificate.subject, *certificate.issuer):
        value = attribute.value
        if not isinstance(value, str) or not value.isprintable():
            raise Unfit(f"a name in it has a sign that does not print: {plain(str(value))!r}")
    for name in alternatives(certificate):
        if isinstance(name, x509.RFC822Name | x509.DNSName | x509.UniformResourceIdentifier):
            if not name.value.isprintable():
                raise Unfit(f"a name in it has a sign that does not print: {plain(name.value)!r}")
        elif isinstance(name, x509.OtherName) and name.type_id == UPN:
            _text_of(name.value)


def alternatives(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """Every subject alternative name."""
    return tuple(extension(certificate, x509.SubjectAlternativeName) or ())


def upns(certificate: x509.Certificate) -> tuple[str, ...]:
    """Every user principal name.  Raises `Unfit` for one that is no text."""
    return tuple(_text_of(value) for value in _others(certificate, UPN))


def fascns(certificate: x509.Certificate) -> tuple[bytes, ...]:
    """Every FASC-N.  Raises `Unfit` for one that is none."""
    return tuple(_content(value, _OCTET_STRING) for value in _others(certificate, FASCN))


def emails(certificate: x509.Certificate) -> tuple[str, ...]:
    """Every e-mail address among the alternative names; those in the subject are nobody's proof."""
    return tuple(name.value for name in alternatives(certificate) if isinstance(name, x509.RFC822Name))


def addresses(certificate: x509.Certificate) -> tuple[str, ...]:
    """Every URI among the alternative names."""
    found = (name for name in alternatives(certificate) if isinstance(name, x509.UniformResourceIdentifier))
    return tuple(name.value for name in found)


def subject_values(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> tuple[str, ...]:
    """Every value of that attribute of the subject."""
    return tuple(str(each.value) for each in certificate.subject.get_attributes_for_oid(kind))


def _others(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> Iterator[bytes]:
    for name in alternatives(certificate):
        if isinstance(name, x509.OtherName) and name.type_id == kind:
            yield name.value


def _text_of(der: bytes) -> str:
    try:
        text = _content(der, _UTF8_STRING).decode()
    except UnicodeDecodeError:
        raise Unfit("its user principal name is no text") from None
    if not text or not text.isprintable():
        raise Unfit(f"its user principal name has a sign that does not print: {plain(text)!r}")
    return text


def _content(der: bytes, tag: int) -> bytes:
    """The content of one DER value that fills these bytes (X.690 section 8.1), short or one-byte long form."""
    if len(der) < 2 or der[0] != tag:  # noqa: PLR2004 - tag and length
        raise Unfit("an alternative name in it is of the wrong type")
    begin, length = 2, der[1]
    if length >= _MAX_SHORT:
        size = length & _LENGTH_OF_LENGTH
        begin, length = 2 + size, int.from_bytes(der[2 : 2 + size], "big")
    if not length or begin + length != len(der):
        raise Unfit("an alternative name in it is cut")
    return der[begin:]
