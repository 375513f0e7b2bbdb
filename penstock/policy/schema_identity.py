"""The JSON Schema of a site document's `identity:` section; see `schema`, whose words it uses.

Pure.  Each kind of source has its own table of keys, made of the parser's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.model import Json, SourceKind
from penstock.policy.sections.identity import KEYS, passkeys
from penstock.policy.sections.identity import section as identity

_TEXT: dict[str, Json] = {"type": ["string", "number", "boolean"]}


def _table(properties: dict[str, Json], keys: tuple[str, ...]) -> dict[str, Json]:
    assert tuple(properties) == keys, f"the parser knows {keys}, the schema {tuple(properties)}"
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


_PASSKEYS: dict[str, Json] = {
    "allow_synced": {"description": "whether passkeys are taken that are copied between devices", "type": "boolean"},
    "aaguids": {
        "description": "only these models of authenticators are taken",
        "type": "array",
        "maxItems": passkeys.MAX_MODELS,
        "items": {"type": "string", "pattern": passkeys.MODEL_PATTERN},
    },
    "attestation": {"description": "whether a new passkey must prove its model", "enum": [*passkeys.ATTESTATION]},
    "authorities": {"description": "who vouches for the models, in PEM form", "type": "string"},
}
#: What the keys of every kind of source mean; a key that has more to say than that stands here with its own schema.
_KEYS: Mapping[str, Json] = {
    "title": {"description": "what the sign-in page calls it", **_TEXT},
    "secret": {"description": "the file below keys/sources on the gate that holds its secret", **_TEXT},
    "authorities": {"description": "certificates in PEM form; the only ones believed", "type": "string"},
    "groups": {
        "description": "its own names of groups, and what conduits call them; others are not taken",
        "type": "object",
        "additionalProperties": _TEXT,
    },
    "passkeys": {"description": "which passkeys are taken", **_table(_PASSKEYS, passkeys.KEYS)},
}


def identity_schema() -> dict[str, Json]:
    """The schema of the section."""
    kinds: list[Json] = [_source(kind, keys) for kind, keys in identity.OF_KIND.items()]
    return _table(
        {
            "sources": {
                "description": "where people prove who they are, in the order of the sign-in page",
                "type": "object",
                "additionalProperties": {"anyOf": kinds},
            },
            "banner": _table({"title": dict(_TEXT), "text": {"type": "string"}}, identity.BANNER),
            "sign_in": _table({key: dict(_TEXT) for key in identity.SIGN_IN}, identity.SIGN_IN),
        },
        KEYS,
    )


def _source(kind: SourceKind, keys: tuple[str, ...]) -> dict[str, Json]:
    known: dict[str, Json] = {key: _KEYS.get(key, {}) for key in keys}
    return {**_table({"kind": {"const": kind.value}, **known}, ("kind", *keys)), "required": ["kind"]}
