"""What a signed token must say of itself: whose, for whom, when, and for which detour.  Pure.

OpenID Connect Core section 3.1.3.7 for ID tokens, section 12.2 for those of a refresh.  It must never accept a claim
of another type than the standard's, nor leave one out that was asked for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from penstock.identity.oidc.asking import Pending
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.tables import text_in, texts_in, time_in
from penstock.identity.oidc.tokens import Signed
from penstock.model import Malformed, OidcPlan

US_PER_S = 1_000_000
#: Core section 2: at most 255 ASCII characters.
MAX_SUBJECT = 255
_MAX_AUDIENCES = 32
#: RFC 8037: the hash of Ed25519 is SHA-512.
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


def text_of(claims: Mapping[str, object], key: str, longest: int = MAX_SUBJECT) -> str | None:
    """A claim that is text.  Raises `NotProved` where it is something else."""
    try:
        return text_in(claims, key, longest)
    except Malformed as error:
        raise NotProved(Flaw.TOKEN, str(error)) from None


def time_of(claims: Mapping[str, object], key: str) -> float | None:
    """A claim that is a time, in seconds.  Raises `NotProved` where it is something else."""
    try:
        return time_in(claims, key)
    except Malformed as error:
        raise NotProved(Flaw.TOKEN, str(error)) from None


def subject_of(claims: Mapping[str, object]) -> str:
    """Who it is about: the key that the provider never gives to anybody else.  Raises `NotProved`."""
    subject = text_of(claims, "sub")
    if subject is None or not subject.isascii() or not subject.isprintable():
        raise NotProved(Flaw.SUBJECT)
    return subject


def check_issuer(claims: Mapping[str, object], plan: OidcPlan) -> None:
    """Made by this provider, for this gate and nobody else.  Raises `NotProved`.

    Other audiences beside the gate are accepted only where the provider says that it was the gate that asked (`azp`).
    """
    if text_of(claims, "iss", 2048) != plan.issuer:
        raise NotProved(Flaw.ISSUER)
    try:
        audiences = texts_in(claims, "aud", _MAX_AUDIENCES) or ()
    except Malformed as error:
        raise NotProved(Flaw.AUDIENCE, str(error)) from None
    if plan.client_id not in audiences:
        raise NotProved(Flaw.AUDIENCE)
    party = text_of(claims, "azp", 2048)
    if (party is None and len(audiences) > 1) or (party is not None and party != plan.client_id):
        raise NotProved(Flaw.PARTY)


def check_times(claims: Mapping[str, object], plan: OidcPlan, now_us: int, since_us: int | None = None) -> None:
    """Valid now, and issued since `since_us` where that is given; clocks may differ by `plan.skew_s`.

    Raises `NotProved`.
    """
    now_s, skew_s = now_us / US_PER_S, plan.skew_s
    expires, issued, begins = time_of(claims, "exp"), time_of(claims, "iat"), time_of(claims, "nbf")
    if expires is None or expires + skew_s <= now_s:
        raise NotProved(Flaw.EXPIRED, "it never expires" if expires is None else f"{now_s - expires:.0f} s ago")
    if issued is None:
        raise NotProved(Flaw.TOKEN, "it does not say when it was issued")
    latest = max(issued, begins or 0)
    if latest - skew_s > now_s:
        raise NotProved(Flaw.NOT_YET, f"in {latest - now_s:.0f} s; is one of the clocks wrong?")
    if since_us is not None and issued + skew_s < since_us / US_PER_S:
        raise NotProved(Flaw.TOO_OLD, f"{since_us / US_PER_S - issued:.0f} s before it was asked for")


def check_id_token(token: Signed, plan: OidcPlan, pending: Pending, access_token: str | None, now_us: int) -> int:
    """An ID token that answers `pending`.  Answers when the factors were given (microseconds).  Raises `NotProved`."""
    claims = token.claims
    check_issuer(claims, plan)
    check_times(claims, plan, now_us, pending.began_at_us)
    if not hmac.compare_digest((text_of(claims, "nonce") or "").encode(), pending.nonce.encode()):
        raise NotProved(Flaw.NONCE)
    _check_hash(token, access_token)
    return _proved_at_us(claims, plan, pending, now_us)


def _check_hash(token: Signed, access_token: str | None) -> None:
    """`at_hash` ties the access token to the ID token (Core section 3.1.3.6); in the code flow it may be missing."""
    given = text_of(token.claims, "at_hash")
    if given is None:
        return
    digest = _HASHES.get(token.algorithm[-3:], hashlib.sha512)((access_token or "").encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if access_token is None or not hmac.compare_digest(half, given.encode()):
        raise NotProved(Flaw.HASH)


def _proved_at_us(claims: Mapping[str, object], plan: OidcPlan, pending: Pending, now_us: int) -> int:
    """`auth_time` where it can be trusted, else the time at which the detour ended.

    A silent single sign-on keeps the `acr` of long ago, so that only the age says whether anybody was there.
    """
    if not plan.trusts_auth_time:
        return now_us
    proved_s = time_of(claims, "auth_time")
    if proved_s is None:
        raise NotProved(Flaw.PROOF_AGE, "it does not say when the factors were given (auth_time)")
    now_s, began_s = now_us / US_PER_S, pending.began_at_us / US_PER_S
    if proved_s - plan.skew_s > now_s:
        raise NotProved(Flaw.NOT_YET, "the factors were given in the future; is one of the clocks wrong?")
    if proved_s + plan.max_age_s + plan.skew_s < now_s or (pending.is_fresh and proved_s + plan.skew_s < began_s):
        raise NotProved(Flaw.PROOF_AGE, f"the factors were given {now_s - proved_s:.0f} s ago")
    return min(int(proved_s * US_PER_S), now_us)
