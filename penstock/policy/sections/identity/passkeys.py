"""`passkeys:` of the local source: which passkeys a site takes."""

from __future__ import annotations

import re

from penstock.model import PasskeyRules
from penstock.policy.faults import shown
from penstock.policy.fields import Fields, text_of
from penstock.policy.sections.identity.groups import read_authorities
from penstock.policy.source import Value

KEYS = ("allow_synced", "aaguids", "attestation", "authorities")
ATTESTATION = ("none", "required")
#: An AAGUID as its maker and the FIDO metadata write it (RFC 9562 section 4).
MODEL_PATTERN = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
MAX_MODELS = 200
_NO_MODEL = "00000000-0000-0000-0000-000000000000"


def read_passkeys(fields: Fields) -> PasskeyRules:
    """The rules; without the table any passkey is taken."""
    table = fields.inner("passkeys")
    if table is None:
        return PasskeyRules()
    inner = Fields(table, fields.faults, "'passkeys'", KEYS)
    allows_synced, models = inner.boolean("allow_synced"), _models(inner)
    needs_attestation = inner.choice("attestation", ATTESTATION) == "required"
    authorities = read_authorities(inner)
    if needs_attestation and not inner.has("authorities"):
        hint = "add `authorities: |` with the makers' certificates, or leave attestation out"
        fields.faults.add(inner.place("attestation"), "attestation is required, but by nobody's word", hint)
    if inner.has("authorities") and not needs_attestation:
        why = "'authorities' of passkeys have no effect without attestation"
        fields.faults.add(inner.place("authorities"), why, "add `attestation: required`")
    return PasskeyRules(
        allows_synced=allows_synced is not False,
        aaguids=models,
        needs_attestation=needs_attestation,
        authorities=authorities,
    )


def _models(fields: Fields) -> tuple[str, ...]:
    items = fields.listing("aaguids") or ()
    if fields.has("aaguids") and not 0 < len(items) <= MAX_MODELS:
        fields.faults.add(fields.place("aaguids"), f"'aaguids' must be 1 to {MAX_MODELS} models", "or leave it out")
    return tuple(found for item in items[:MAX_MODELS] if (found := _model(item, fields)) is not None)


def _model(item: Value, fields: Fields) -> str | None:
    text = text_of(item, fields.faults, "an AAGUID")
    if text is None:
        return None
    if not re.fullmatch(MODEL_PATTERN, text):
        hint = "as in 2fc0579f-8113-47ea-b116-bb5a8db9202a"
        fields.faults.add(item.place, f"{shown(text)} is no AAGUID", hint)
        return None
    if text == _NO_MODEL:
        fields.faults.add(item.place, "this AAGUID says that the model is not told", "leave it out")
        return None
    return text.lower()
