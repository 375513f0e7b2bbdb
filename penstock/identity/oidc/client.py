"""How the gate proves to a provider that it is the registered client (RFC 6749 section 2.3, RFC 7523).  Pure.

A secret that is a private key in PEM form signs an assertion and never leaves the gate; any other is sent as it is; a
public client has none, and PKCE alone protects its codes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from penstock.identity.oidc.discovery import Provider
from penstock.model import OidcPlan, Unavailable

ASSERTION_LIFETIME_S = 60
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_PEM = "-----BEGIN "


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProof:
    """What a request to the provider carries beside its own parameters."""

    form: Mapping[str, str]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Without the secret."""
        return "ClientProof()"


def prove_client(plan: OidcPlan, secret: str | None, provider: Provider, token_id: str, now_us: int) -> ClientProof:
    """The proof for one request; `token_id` is random.  Raises `Unavailable` for a key that cannot sign."""
    if secret is None:
        return ClientProof(form={"client_id": plan.client_id}, headers={})
    if secret.startswith(_PEM):
        assertion = _assertion(plan, secret, token_id, now_us)
        form = {"client_id": plan.client_id, "client_assertion_type": _ASSERTION, "client_assertion": assertion}
        return ClientProof(form=form, headers={})
    if "client_secret_basic" not in provider.client_ways and "client_secret_post" in provider.client_ways:
        return ClientProof(form={"client_id": plan.client_id, "client_secret": secret}, headers={})
    pair = f"{quote_plus(plan.client_id)}:{quote_plus(secret)}"
    return ClientProof(form={}, headers={"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"})


def _assertion(plan: OidcPlan, pem: str, token_id: str, now_us: int) -> str:
    now_s = now_us // 1_000_000
    claims = {
        "iss": plan.client_id,
        "sub": plan.client_id,
        "aud": plan.issuer,
        "jti": token_id,
        "iat": now_s,
        "exp": now_s + ASSERTION_LIFETIME_S,
    }
    try:
        key, algorithm = _key(pem)
        return jwt.encode({"alg": algorithm}, claims, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError, KeyError):
        raise Unavailable("the secret of this identity source is no private key that can sign") from None


def _key(pem: str) -> tuple[ECKey | RSAKey, str]:
    try:
        elliptic = ECKey.import_key(pem)
    except (JoseError, ValueError, TypeError):
        return RSAKey.import_key(pem), "PS256"
    return elliptic, _CURVES[elliptic.curve_name]
