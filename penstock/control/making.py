"""I/O: files of secrets.  Makes identity sources out of their plans, one maker for each kind.

Stands between the site document, which names a secret's file only, and the sources.  A secret that cannot be read makes
that one source unusable, never the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.control.identities import Maker
from penstock.identity import read_secret
from penstock.model import GateSettings, Unavailable


def makers(settings: GateSettings) -> Mapping[type, Maker]:  # noqa: ARG001
    """What makes sources on this gate, by the kind of their plan."""
    return {}


def secret_of(settings: GateSettings, name: str | None) -> str | None:
    """The text of a source's secret, ``None`` where it has none.  Raises `Unavailable`."""
    if name is None:
        return None
    path = Path(settings.state_dir) / "keys" / "sources" / name
    try:
        return read_secret(path)
    except OSError as error:
        raise Unavailable(f"the secret keys/sources/{name} cannot be read: {error.strerror}") from error
