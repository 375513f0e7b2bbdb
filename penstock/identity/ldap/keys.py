"""The key of a person: what a directory calls somebody and nobody else, ever, as text and as it is asked for.

Pure.  It must never make one key out of two.
"""

from __future__ import annotations

from uuid import UUID

from penstock.identity.ldap.session import Entry
from penstock.model import Malformed

#: [MS-DTYP] section 2.3.4.2: sixteen bytes, the first three parts of them with the lowest byte first.
_GUID = "objectguid"
_GUID_BYTES = 16
MAX_LENGTH = 256


def text(attribute: str, entry: Entry) -> str | None:
    """The key of this entry; ``None`` where it has none or several, or one that is no text."""
    found = entry.raw(attribute)
    if len(found) != 1:
        return None
    if attribute.lower() == _GUID:
        return str(UUID(bytes_le=found[0])) if len(found[0]) == _GUID_BYTES else None
    try:
        (value,) = entry.texts(attribute)
    except Malformed:
        return None
    return value if 0 < len(value) <= MAX_LENGTH and value.isprintable() else None


def raw(attribute: str, key: str) -> bytes | None:
    """The value to look for; ``None`` where this is no key."""
    if attribute.lower() != _GUID:
        return key.encode() if key else None
    try:
        return UUID(key).bytes_le
    except ValueError:
        return None
