"""I/O: randomness and a clock.  Sources with the real rim around them."""

from __future__ import annotations

import secrets
import time

from penstock.identity.oidc.http import Http
from penstock.identity.oidc.source import OidcSource, Rim
from penstock.model import OidcPlan

_TOKEN_BYTES = 32


def oidc_source(plan: OidcPlan, secret: str | None, redirect_uri: str) -> OidcSource:
    """The source of this plan.  `secret` is the client's, `redirect_uri` where the provider sends people back to."""
    rim = Rim(http=Http(plan.authorities), make_token=_make_token, steady_s=time.monotonic)
    return OidcSource(plan, secret, redirect_uri, rim)


def _make_token() -> str:
    """256 random bits in 43 characters, which is also what RFC 7636 section 4.1 asks of a verifier."""
    return secrets.token_urlsafe(_TOKEN_BYTES)
