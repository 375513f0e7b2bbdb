"""Signed tokens (RFC 7515, RFC 7519): size, form, algorithm, key and signature, before a single claim is read.  Pure.

It must never let a token choose an algorithm that its provider does not announce, nor one that is not safe.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.keys import Key, KeySet
from penstock.identity.oidc.tables import read_table, text_in
from penstock.model import Malformed

#: A token with the groups of a large plant; the usual ones have 1 to 3 KiB.
MAX_TOKEN = 64 << 10
_MAX_HEADER = 4 << 10
_MAX_SIGNATURE = 2 << 10
_MAX_NAME = 256
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
#: A token that does not name its key is tried with so many.
_MAX_TRIED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A token whose signature is right.  Nothing is said yet about what it claims."""

    algorithm: str
    kind: str | None
    claims: Mapping[str, object]

    def __repr__(self) -> str:
        """Without the claims."""
        return f"Signed(algorithm={self.algorithm!r})"


def verified(text: str, keys: KeySet, allowed: frozenset[str]) -> Signed:
    """The token, its signature checked with one of `keys` by an algorithm out of `allowed`.

    Raises `NotProved`.  `Flaw.KEY_UNKNOWN` says that newer keys may help.
    """
    parts = text.split(".", 3) if len(text) <= MAX_TOKEN else []
    if len(parts) != 3 or len(parts[0]) > _MAX_HEADER or len(parts[2]) > _MAX_SIGNATURE:  # noqa: PLR2004
        raise NotProved(Flaw.TOKEN, "too long" if len(text) > MAX_TOKEN else "no signed token")
    header = _table(parts[0])
    if "crit" in header:
        raise NotProved(Flaw.TOKEN, "it needs an extension")
    algorithm, kid, kind = _name(header, "alg"), _name(header, "kid"), _name(header, "typ")
    if algorithm is None or algorithm not in allowed:
        raise NotProved(Flaw.ALGORITHM, _shown(algorithm))
    _check(parts, algorithm, kid, keys)
    return Signed(algorithm=algorithm, kind=kind, claims=_table(parts[1]))


def _check(parts: list[str], algorithm: str, kid: str | None, keys: KeySet) -> None:
    candidates = keys.fitting(kid, algorithm)[:_MAX_TRIED]
    signed, signature = f"{parts[0]}.{parts[1]}".encode(), _bytes(parts[2])
    if any(_is_signed(signed, signature, key, algorithm) for key in candidates):
        return
    raise NotProved(Flaw.KEY_UNKNOWN if kid is None or not candidates else Flaw.SIGNATURE)


def _is_signed(signed: bytes, signature: bytes, key: Key, algorithm: str) -> bool:
    model = JWSRegistry.algorithms[algorithm]
    try:
        model.check_key(key)
        return model.verify(signed, signature, key)
    except (JoseError, ValueError):
        return False


def _table(part: str) -> Mapping[str, object]:
    try:
        return read_table(_bytes(part))
    except Malformed as error:
        raise NotProved(Flaw.TOKEN, str(error)) from None


def _bytes(part: str) -> bytes:
    if not _BASE64URL.fullmatch(part):
        raise NotProved(Flaw.TOKEN, "no base64url")
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise NotProved(Flaw.TOKEN, "no base64url") from None


def _name(header: Mapping[str, object], key: str) -> str | None:
    try:
        return text_in(header, key, _MAX_NAME)
    except Malformed as error:
        raise NotProved(Flaw.TOKEN, str(error)) from None


def _shown(name: str | None) -> str:
    """A word out of a token as the evidence shows it."""
    return "none is named" if name is None else "".join(sign if sign.isalnum() else "?" for sign in name[:32])
