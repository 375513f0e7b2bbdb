"""The client's certificate in a TLS handshake that failed (RFC 8446 section 4.4.2, RFC 5246 section 7.4.6).

Pure.  TLS libraries do not hand out a certificate that they refused; whoever reads the evidence wants to know whose it
was.  It is a stranger's claim: it must never be used for more than a record.
"""

from __future__ import annotations

from penstock.identity.card import reading
from penstock.identity.card.unfit import Unfit, subject_text

#: Handshake type *certificate*.
_CERTIFICATE = 11
_HEAD, _LENGTH = 4, 3


def sent_certificate(message: bytes, *, is_tls_1_3: bool) -> bytes | None:
    """The first certificate (DER) of a Certificate message; ``None`` where there is none."""
    if len(message) < _HEAD or message[0] != _CERTIFICATE:
        return None
    place = _HEAD
    if is_tls_1_3:  # the context of the request comes first
        place += 1 + (message[place] if len(message) > place else 0)
    place += _LENGTH  # of the whole list
    length = int.from_bytes(message[place : place + _LENGTH], "big")
    content = message[place + _LENGTH : place + _LENGTH + length]
    return content if length and len(content) == length else None


def refused_certificate(message: bytes, *, is_tls_1_3: bool) -> str:
    """The subject of that certificate, fit for a record; empty where nothing can be said."""
    content = sent_certificate(message, is_tls_1_3=is_tls_1_3)
    if content is None:
        return ""
    try:
        return subject_text(reading.load(content))
    except Unfit:
        return ""
