"""The codes by which a command line is let in: PKCE (RFC 7636) and what a person types (RFC 8628).  Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

#: No vowels, so that no words come out; no letter that is taken for another or for a digit (RFC 8628 section 6.1).
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
USER_CODE_LENGTH = 8
_MAX_TYPED = 40
#: 32 bytes in base64url, as S256 makes them (RFC 7636 section 4.2).
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")


def user_code_of(secret: str) -> str:
    """Eight letters out of a random secret: 34 bits, looked at a few times at most and for ten minutes."""
    number = int.from_bytes(hashlib.sha256(b"user code " + secret.encode()).digest())
    letters = []
    for _ in range(USER_CODE_LENGTH):
        number, rest = divmod(number, len(LETTERS))
        letters.append(LETTERS[rest])
    return "".join(letters)


def user_code_text(user_code: str) -> str:
    """For people: ``WDJB-MJHT``."""
    half = USER_CODE_LENGTH // 2
    return f"{user_code[:half]}-{user_code[half:]}"


def read_user_code(typed: str) -> str | None:
    """What somebody typed, in either case, with or without dashes and spaces; ``None`` where it is no such code."""
    if len(typed) > _MAX_TYPED:
        return None
    text = re.sub(r"[\s-]", "", typed).upper()
    return text if len(text) == USER_CODE_LENGTH and set(text) <= set(LETTERS) else None


def is_challenge(text: str) -> bool:
    """Whether this is a challenge of the method S256."""
    return _CHALLENGE.match(text) is not None


def is_verifier_of(verifier: str, challenge: str) -> bool:
    """Whether the challenge was made of this verifier (RFC 7636 section 4.6)."""
    if _VERIFIER.match(verifier) is None:
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    return hmac.compare_digest(digest, challenge.encode())


def hash_of_code(code: str) -> str:
    """What is kept of a code, and what it is looked up by: so the time of a look-up tells nothing of the code."""
    return hashlib.sha256(code.encode()).hexdigest()
