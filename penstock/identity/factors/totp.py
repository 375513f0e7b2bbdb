"""Time-based one-time codes (RFC 6238): six digits, SHA-1, steps of 30 seconds, as every authenticator app speaks them.

Pure.  pyotp keeps no memory, so the last accepted step is the caller's to store: RFC 6238 section 5.2 demands that a
code is accepted once only.  It must never say how near a wrong code was.
"""

from __future__ import annotations

import base64
import binascii
import hmac

import pyotp

from penstock.model import Invalid, Problem

STEP_S = 30
#: RFC 6238 section 5.2: at most one step of clock drift either way.
WINDOW_STEPS = 1
#: RFC 4226 section 4, R6: 160 bits are recommended; pyotp itself only demands 112.
MIN_SECRET_BITS = 160
DIGITS = 6
_BASE32_CHARACTERS = MIN_SECRET_BITS // 5
_US_PER_S = 1_000_000


def make_secret() -> str:
    """A new secret of 160 bits, in base32 as apps and people take it."""
    return pyotp.random_base32(_BASE32_CHARACTERS)


def check_secret(secret: str) -> None:
    """Refuse a secret that is not base32 or is shorter than 160 bits.  Raises `Invalid`, never quoting the secret."""
    try:
        bits = len(base64.b32decode(secret, casefold=True)) * 8
    except (binascii.Error, ValueError):
        bits = 0
    if bits < MIN_SECRET_BITS:
        raise Invalid(
            Problem(where="totp", why=f"the secret is not base32 of {MIN_SECRET_BITS} bits or more", hint="enrol again")
        )


def accepted_step(secret: str, code: str, now_us: int, last_step: int) -> int | None:
    """The time step that `code` belongs to, or ``None`` when it is wrong, out of the window, or was used before.

    `last_step` is the last step accepted for this subject (-1: none yet).  Every step of the window is compared,
    each in constant time, so that the time taken says nothing.
    """
    generator = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S)
    now_step = now_us // (STEP_S * _US_PER_S)
    candidate = code.strip().replace(" ", "").encode()
    found: int | None = None
    for step in range(now_step - WINDOW_STEPS, now_step + WINDOW_STEPS + 1):
        is_equal = hmac.compare_digest(generator.generate_otp(max(step, 0)).encode(), candidate)
        if is_equal and step > last_step and found is None:
            found = step
    return found


def otpauth_uri(secret: str, subject: str, gate: str) -> str:
    """The address that an authenticator app reads from a QR picture (Key Uri Format of Google Authenticator)."""
    check_secret(secret)
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S).provisioning_uri(name=subject, issuer_name=gate)
