"""I/O: files of secrets.  Makes identity sources out of their plans, one maker for each kind.

Stands between the site document, which names a secret's file only, and the sources.  A secret that cannot be read makes
that one source unusable, never the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.control.authenticators import Authenticators
from penstock.control.identities import Maker
from penstock.control.store import Store
from penstock.identity import (
    CardSource,
    DirectorySource,
    LdapSource,
    Outside,
    Revocations,
    Seal,
    oidc_source,
    read_secret,
)
from penstock.model import CardPlan, GateSettings, LdapPlan, OidcPlan, SourcePlan, Unavailable

_HTTPS = 443


def makers(settings: GateSettings, store: Store, seal: Seal) -> Mapping[type, Maker]:
    """What makes sources on this gate, by the kind of their plan."""
    revocations = Revocations(Outside(Path(settings.state_dir) / "keys" / "sources"))

    def directory(plan: SourcePlan) -> object:
        assert isinstance(plan, LdapPlan)
        secret = secret_of(settings, plan.secret) or ""
        return DirectorySource(plan.name, LdapSource(plan, secret), Authenticators(store), seal)

    def provider(plan: SourcePlan) -> object:
        assert isinstance(plan, OidcPlan)
        return oidc_source(plan, secret_of(settings, plan.secret), callback_of(settings, plan.name))

    def cards(plan: SourcePlan) -> object:
        assert isinstance(plan, CardPlan)
        return CardSource(plan, revocations)

    return {LdapPlan: directory, OidcPlan: provider, CardPlan: cards}


def callback_of(settings: GateSettings, source: str) -> str:
    """Where a provider sends people back to, unless they came by another name of the gate."""
    name, port = settings.names[0], settings.portal[0].port
    host = f"[{name}]" if ":" in name else name
    return f"https://{host}{'' if port == _HTTPS else f':{port}'}/sign-in/oidc/{source}/callback"


def secret_of(settings: GateSettings, name: str | None) -> str | None:
    """The text of a source's secret, ``None`` where it has none.  Raises `Unavailable`."""
    if name is None:
        return None
    path = Path(settings.state_dir) / "keys" / "sources" / name
    try:
        return read_secret(path)
    except OSError as error:
        raise Unavailable(f"the secret keys/sources/{name} cannot be read: {error.strerror}") from error
