"""Online certificate status (RFC 6960): the question, and what its answer is worth.

Pure: bytes, a nonce and a time come in.  The library reads the answer and checks nothing: signature, responder, serial,
nonce and times are checked here.  It must never take an answer about another certificate, nor an old one for a new one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from penstock.identity.card import reading
from penstock.identity.card.standing import SKEW_US, Standing
from penstock.identity.card.unfit import Unfit, subject_text
from penstock.model import Malformed

NONCE_BYTES = 32
MAX_ANSWER_BYTES = 64 << 10
#: An answer that does not say when the next one comes counts for so long (RFC 6960 section 2.4 leaves it open).
_WITHOUT_NEXT_US = 300 * 1_000_000
_HASHES = (hashes.SHA1, hashes.SHA256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One certificate, who issued it, and the nonce that the answer must repeat (RFC 9654)."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    nonce: bytes
    needs_nonce: bool = True

    def der(self) -> bytes:
        """The request.  SHA-1 only names the issuer here, and is what every responder knows (RFC 5019)."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(self.certificate, self.issuer, hashes.SHA1())  # noqa: S303
        return builder.add_extension(x509.OCSPNonce(self.nonce), critical=False).build().public_bytes(Encoding.DER)


def responder_of(certificate: x509.Certificate) -> str | None:
    """The responder's address that the certificate itself names (authority information access), over plain HTTP."""
    access = reading.extension(certificate, x509.AuthorityInformationAccess)
    for each in access or ():
        place = each.access_location
        if each.access_method == AuthorityInformationAccessOID.OCSP and isinstance(
            place, x509.UniformResourceIdentifier
        ):
            return place.value if place.value.startswith("http://") and place.value.isprintable() else None
    return None


def read_answer(content: bytes, question: Question, now_us: int) -> Standing:
    """What the responder says of the certificate in question.  Raises `Malformed` for an answer that proves nothing."""
    answer = _parsed(content)
    _check_signature(answer, question.issuer, now_us)
    _check_nonce(answer, question)
    single = _single(answer, question)
    this_us = _us(single.this_update_utc)
    if this_us > now_us + SKEW_US:
        raise Malformed("the answer is dated in the future")
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        why = f"it was revoked on {single.revocation_time_utc:%Y-%m-%d %H:%M} UTC"
        return Standing(is_revoked=True, why=why, said_us=this_us)
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        return Standing(is_revoked=True, why="its issuer's responder does not know it", said_us=this_us)
    next_update = single.next_update_utc
    until_us = this_us + _WITHOUT_NEXT_US if next_update is None else _us(next_update)
    if until_us + SKEW_US <= now_us:
        raise Malformed("the answer is old")
    return Standing(good_until_us=until_us, why="its issuer's responder says that it is good", said_us=this_us)


def _parsed(content: bytes) -> ocsp.OCSPResponse:
    if len(content) > MAX_ANSWER_BYTES:
        raise Malformed("the answer is too long")
    try:
        answer = ocsp.load_der_ocsp_response(content)
    except reading.UNREADABLE:
        raise Malformed("the answer is no OCSP response") from None
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Malformed(f"the responder refused: {answer.response_status.name.lower()}")
    return answer


def _single(answer: ocsp.OCSPResponse, question: Question) -> ocsp.OCSPSingleResponse:
    """The one answer about this certificate: same serial, same issuer by name and key."""
    try:
        for each in answer.responses:
            if each.serial_number == question.certificate.serial_number and _is_same_issuer(each, question.issuer):
                return each
    except reading.UNREADABLE:
        raise Malformed("the answer cannot be read") from None
    raise Malformed("the answer is about another certificate")


def _is_same_issuer(single: ocsp.OCSPSingleResponse, issuer: x509.Certificate) -> bool:
    algorithm = single.hash_algorithm
    if not isinstance(algorithm, _HASHES):
        return False
    mine = ocsp.OCSPRequestBuilder().add_certificate(issuer, issuer, algorithm).build()
    return hmac.compare_digest(single.issuer_name_hash, _digest(issuer.subject.public_bytes(), algorithm)) and (
        hmac.compare_digest(single.issuer_key_hash, mine.issuer_key_hash)
    )


def _digest(content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(content)
    return digest.finalize()


def _check_nonce(answer: ocsp.OCSPResponse, question: Question) -> None:
    try:
        given = answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        if question.needs_nonce:
            raise Malformed("the answer does not repeat the nonce, so it may be an old one") from None
        return
    except reading.UNREADABLE:
        raise Malformed("the answer cannot be read") from None
    if not hmac.compare_digest(given, question.nonce):
        raise Malformed("the answer is to another question (nonce)")


def _check_signature(answer: ocsp.OCSPResponse, issuer: x509.Certificate, now_us: int) -> None:
    """Signed by the issuer, or by somebody to whom the same issuer gave the right (RFC 6960 section 4.2.2.2)."""
    try:
        candidates = [issuer, *(each for each in answer.certificates if _is_delegate(each, issuer, now_us))]
        signers = [each for each in candidates if _is_named(answer, each)]
    except reading.UNREADABLE:
        raise Malformed("the answer cannot be read") from None
    if not signers:
        raise Malformed("nobody whom the issuer gave the right to has signed the answer")
    if not any(_has_signed(each, answer) for each in signers):
        raise Malformed(f"the answer's signature does not hold (signer: {subject_text(signers[0])})")


def _is_delegate(found: x509.Certificate, issuer: x509.Certificate, now_us: int) -> bool:
    now = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        return False
    try:
        found.verify_directly_issued_by(issuer)
        reading.key_of(found)  # as strong as a card's
    except (*reading.UNREADABLE, InvalidSignature, Unfit):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in frozenset(reading.extension(found, x509.ExtendedKeyUsage) or ())


def _is_named(answer: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    if answer.responder_name is not None:
        return answer.responder_name == signer.subject
    mine = ocsp.OCSPRequestBuilder().add_certificate(signer, signer, hashes.SHA1()).build()  # noqa: S303 - RFC 6960 says so
    return answer.responder_key_hash == mine.issuer_key_hash


def _has_signed(signer: x509.Certificate, answer: ocsp.OCSPResponse) -> bool:
    try:
        key, algorithm = signer.public_key(), answer.signature_hash_algorithm
        if algorithm is None or isinstance(algorithm, hashes.SHA1 | hashes.MD5):
            return False
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except (*reading.UNREADABLE, InvalidSignature):
        return False
    return True


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
