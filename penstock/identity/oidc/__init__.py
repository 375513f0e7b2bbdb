"""OpenID Connect: people prove who they are to a provider on the plant's own premises, and it says how.

Stands behind the pages of `penstock.web` and the readings of `penstock.control`.  It must never believe a token
because it came, nor a strength that no rule of the site document names.
"""

from penstock.identity.oidc.answering import state_of
from penstock.identity.oidc.asking import Pending
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.source import OidcSource, Rim
from penstock.identity.oidc.wiring import oidc_source

__all__ = ["Flaw", "NotProved", "OidcSource", "Pending", "Rim", "oidc_source", "state_of"]
