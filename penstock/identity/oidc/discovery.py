"""What a provider says of itself (OpenID Connect Discovery 1.0, RFC 8414), checked.  Pure.

It must never take an address that is not TLS, but on the loopback interface where the issuer is there itself, nor the
document of another issuer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from penstock.identity.oidc.tables import is_set, read_table, text_in, texts_in
from penstock.model import Malformed

#: Signatures with a public key that are safe today (RFC 7518 section 3.1, RFC 8037, RFC 9864).  Never ``none``, and
#: never HS*: whoever knows the public key could make one.
SAFE_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider's addresses and abilities.

    `pushed` takes authorisation requests directly (RFC 9126).  `names_itself`: its answers carry `iss` (RFC 9207).
    `takes_claims`: it knows the `claims` parameter.  `client_ways` are the methods by which a client can prove itself.
    """

    issuer: str
    authorization: str
    token: str
    keys: str
    userinfo: str | None = None
    pushed: str | None = None
    names_itself: bool = False
    takes_claims: bool = False
    algorithms: frozenset[str] = SAFE_ALGORITHMS
    client_ways: tuple[str, ...] = ("client_secret_basic",)


def discovery_address(issuer: str) -> str:
    """Where the issuer's document lies (Discovery section 4)."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def read_provider(body: bytes, issuer: str) -> Provider:
    """The document of `issuer`.  Raises `Malformed`, naming what is wrong."""
    table = read_table(body)
    if text_in(table, "issuer") != issuer:
        raise Malformed("its discovery document is about another issuer")
    announced = texts_in(table, "id_token_signing_alg_values_supported", _MAX_LISTED)
    algorithms = SAFE_ALGORITHMS if announced is None else SAFE_ALGORITHMS & frozenset(announced)
    if not algorithms:
        raise Malformed("it signs with no algorithm that is safe")
    return Provider(
        issuer=issuer,
        authorization=_address(table, "authorization_endpoint", issuer),
        token=_address(table, "token_endpoint", issuer),
        keys=_address(table, "jwks_uri", issuer),
        userinfo=_address_if(table, "userinfo_endpoint", issuer),
        pushed=_address_if(table, "pushed_authorization_request_endpoint", issuer),
        names_itself=is_set(table, "authorization_response_iss_parameter_supported"),
        takes_claims=is_set(table, "claims_parameter_supported"),
        algorithms=algorithms,
        client_ways=texts_in(table, "token_endpoint_auth_methods_supported", _MAX_LISTED) or ("client_secret_basic",),
    )


def is_safe_address(address: str, *, may_be_loopback: bool) -> bool:
    """Whether this is an https address, or an http one of the loopback interface where that may be."""
    if any(sign.isspace() or not sign.isprintable() for sign in address):
        return False
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and may_be_loopback and host in _LOOPBACK)


def _address(table: Mapping[str, object], key: str, issuer: str) -> str:
    address = _address_if(table, key, issuer)
    if address is None:
        raise Malformed(f"its discovery document has no {key!r}")
    return address


def _address_if(table: Mapping[str, object], key: str, issuer: str) -> str | None:
    address = text_in(table, key)
    if address is None or is_safe_address(address, may_be_loopback=urlsplit(issuer).scheme == "http"):
        return address
    raise Malformed(f"{key!r} of its discovery document is no https address")
