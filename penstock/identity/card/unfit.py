"""What is said of a card that is not taken.  The words are for the evidence; whoever holds the card is told less."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from penstock.model import PenstockError, Reason

_SHOWN = 200


class Unfit(PenstockError):
    """This certificate proves nobody.  The text says why, and is for records.

    `is_foreign`: no authority of this source stands behind it, so another source may know it.
    """

    def __init__(self, why: str, *, is_foreign: bool = False, reason: Reason = Reason.CERTIFICATE_REFUSED) -> None:
        super().__init__(why)
        self.is_foreign, self.reason = is_foreign, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRefused:
    """The answer for a card that is not taken: `why` in words, and `shown`, the certificate's subject."""

    why: str
    shown: str
    reason: Reason = Reason.CERTIFICATE_REFUSED
    is_foreign: bool = False


def plain(text: str) -> str:
    """Text of a stranger's certificate as a record may hold it: printable and short."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[:_SHOWN])


def subject_text(certificate: x509.Certificate) -> str:
    """The certificate's subject in one line (RFC 4514), fit for a record."""
    try:
        return plain(certificate.subject.rfc4514_string())
    except ValueError:
        return "(a subject that cannot be read)"
