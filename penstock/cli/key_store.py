"""The key store of the operating system, where there is one that works; else the caller keeps files of its own.

Keychain (macOS), Credential Locker (Windows), Secret Service or KWallet (Linux desktops), through the package
``keyring``, which is optional.  It must never hand a secret to a store that would write it into a file in the clear:
only those named here are used.  A file that this program encrypted itself would be no better than one that only its
owner may read: the key would lie beside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from penstock.cli.station import has_display

SERVICE = "penstock"
#: ``PENSTOCK_KEYS=files`` does without the system's store; for servers and scripts.
SETTING = "PENSTOCK_KEYS"
_TITLES = {
    "keyring.backends.macOS": "the keychain of macOS",
    "keyring.backends.Windows": "the credential locker of Windows",
    "keyring.backends.SecretService": "the desktop's secret service",
    "keyring.backends.libsecret": "the desktop's secret service",
    "keyring.backends.kwallet": "KWallet",
}
#: Windows' store takes 2560 bytes of UTF-16 (CRED_MAX_CREDENTIAL_BLOB_SIZE, wincred.h).
MAX_CHARACTERS = 1280


class Safe(Protocol):
    """A store of secrets, by the name of a profile."""

    title: str

    def keep(self, name: str, secret: str) -> bool:
        """Keep it; ``False`` where the store does not take it or does not give the same back."""
        ...

    def read(self, name: str) -> str | None:
        """The secret; ``None`` where there is none, or the store is shut."""
        ...

    def forget(self, name: str) -> None:
        """Remove it, where it is there."""
        ...


class SystemSafe:
    """One of the system's stores."""

    def __init__(self, store: Any, title: str) -> None:
        self._store, self.title = store, title

    def keep(self, name: str, secret: str) -> bool:
        """Keep it, and look whether it is there: a locked store may take and forget."""
        if len(secret) > MAX_CHARACTERS:
            return False
        try:
            self._store.set_password(SERVICE, name, secret)
        except Exception:  # noqa: BLE001  each back end has errors of its own; all mean that it does not work here
            return False
        return self.read(name) == secret

    def read(self, name: str) -> str | None:
        """The secret, or ``None``."""
        try:
            found = self._store.get_password(SERVICE, name)
        except Exception:  # noqa: BLE001  see `keep`
            return None
        return found if isinstance(found, str) else None

    def forget(self, name: str) -> None:
        """Remove it."""
        if self.read(name) is None:
            return
        try:
            self._store.delete_password(SERVICE, name)
        except Exception:  # noqa: BLE001  it is worth nothing any more once the gate ended the sign-in
            return


def of_this_system(environment: Mapping[str, str] | None = None) -> Safe | None:
    """The best store that is in order here; ``None`` where there is none, or this session has nobody to unlock it."""
    given = os.environ if environment is None else environment
    if given.get(SETTING, "") == "files" or not has_display(given):
        return None
    try:
        import keyring.backend  # noqa: PLC0415  optional, and slow to import
    except ImportError:
        return None
    known = [store for store in keyring.backend.get_all_keyring() if type(store).__module__ in _TITLES]
    known.sort(key=lambda store: float(store.priority), reverse=True)
    return SystemSafe(known[0], _TITLES[type(known[0]).__module__]) if known else None


def hint_to_install() -> str:
    """What to say where the system surely has a store, and only the package is missing."""
    try:
        import keyring  # noqa: F401, PLC0415  see above
    except ImportError:
        return "pip install penstock[keys] keeps them in the system's key store" if sys.platform != "linux" else ""
    return ""
