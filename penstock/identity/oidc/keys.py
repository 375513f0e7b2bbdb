"""The provider's public keys (RFC 7517), as far as they are fit to verify anything.  Pure.

A key that is secret (``oct``), too short, for encryption, or of a kind that is not known here does not count.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from penstock.identity.oidc.tables import read_table
from penstock.model import Malformed

Key: TypeAlias = RSAKey | ECKey | OKPKey

#: More keys than that are no key set of a provider.
MAX_KEYS = 64
#: NIST SP 800-131A: RSA from 2048 bits; beyond 8192 a signature takes longer than it should.
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_PUBLIC = frozenset({"kty", "crv", "x", "y", "n", "e"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """One public key, its name where it has one, and the algorithms that it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """All of a provider's keys."""

    keys: tuple[KnownKey, ...]

    def fitting(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys that a token with this header may be signed with."""
        return tuple(
            each.key for each in self.keys if algorithm in each.algorithms and (kid is None or each.kid == kid)
        )


def read_keys(body: bytes) -> KeySet:
    """The key set in `body`.  Raises `Malformed` where it is none, or none of its keys is fit."""
    listed = read_table(body).get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise Malformed(f"its keys are no list of at most {MAX_KEYS}")
    found = tuple(key for item in listed if isinstance(item, dict) and (key := _known(item)) is not None)
    if not found:
        raise Malformed("none of its keys is fit to verify a signature")
    return KeySet(keys=found)


def _known(item: Mapping[str, object]) -> KnownKey | None:
    kid, named, use, operations = item.get("kid"), item.get("alg"), item.get("use"), item.get("key_ops")
    if (use is not None and use != "sig") or (isinstance(operations, list) and "verify" not in operations):
        return None
    public = {name: value for name, value in item.items() if name in _PUBLIC and isinstance(value, str)}
    try:
        made = _made(public)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if made is None:
        return None
    key, algorithms = made
    algorithms = algorithms if named is None else algorithms & {str(named)}
    if not algorithms:
        return None
    return KnownKey(kid=kid if isinstance(kid, str) else None, algorithms=algorithms, key=key)


def _made(public: dict[str, str]) -> tuple[Key, frozenset[str]] | None:
    """The key, its numbers checked by the library that will use them."""
    kind, curve = public.get("kty"), public.get("crv", "")
    if kind == "RSA":
        fits = _MIN_RSA_BITS <= _bits(public.get("n", "")) <= _MAX_RSA_BITS
        return (RSAKey.import_key({**public}), _RSA_ALGORITHMS) if fits else None
    if kind == "EC" and curve in _CURVES:
        elliptic = ECKey.import_key({**public})
        return (elliptic, frozenset({_CURVES[curve]})) if elliptic.public_key.key_size else None
    if kind == "OKP" and curve == "Ed25519":
        edwards = OKPKey.import_key({**public})
        return (edwards, frozenset({"EdDSA", "Ed25519"})) if edwards.public_key.public_bytes_raw() else None
    return None


def _bits(number: str) -> int:
    """How long a number is (RFC 7518 section 2, Base64urlUInt)."""
    longest = _MAX_RSA_BITS // 4  # more signs than any number that fits has
    return int.from_bytes(urlsafe_b64decode(f"{number[:longest]}===")).bit_length()
