"""The JSON Schema of a site document's `identity:` section; see `schema`, whose words it uses.

Pure.  Each kind of source has its own table of keys, made of the parser's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.model import Approval, CardRule, DirectoryKind, GroupWay, Json, SourceKind
from penstock.policy.sections.identity import KEYS, card, ldap, local, oidc, passkeys
from penstock.policy.sections.identity import section as identity

_TEXT: dict[str, Json] = {"type": ["string", "number", "boolean"]}


def _plain(properties: dict[str, Json]) -> dict[str, Json]:
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _table(properties: dict[str, Json], keys: tuple[str, ...]) -> dict[str, Json]:
    assert tuple(properties) == keys, f"the parser knows {keys}, the schema {tuple(properties)}"
    return _plain(properties)


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
_TOLERANCE: dict[str, Json] = {
    "anyOf": [
        {"type": "string", "pattern": f"^({card.REFUSE}|{card.ACCEPT}|{card.LAST_KNOWN}:? .+)$"},
        {"type": "object", "properties": {card.LAST_KNOWN: _TEXT}, "additionalProperties": False, "minProperties": 1},
    ]
}
_WORDS: dict[str, Json] = {
    "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": oidc.MAX_WORDS}]
}
_RULES: dict[str, Json] = {
    "type": "array",
    "maxItems": oidc.MAX_RULES,
    "items": {
        "type": "object",
        "properties": dict.fromkeys(oidc.RULE, _WORDS),
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
}
#: What an OpenID Connect provider has of its own.
_OIDC: Mapping[str, Json] = {
    "issuer": {"description": "its name, an https address, exactly as its discovery document has it", **_TEXT},
    "client": {"description": "what it calls this gate (client_id)", **_TEXT},
    "scopes": {"description": "what the gate asks for beside openid", **_WORDS},
    "name_claim": {"description": "the claim with the name that people know", **_TEXT},
    "groups_claim": {"description": "the claim with the groups", **_TEXT},
    "factors": {
        "description": "what its word on factors is worth (acr, amr of the ID token); the strongest rule that fits",
        **_plain(dict.fromkeys(oidc.STRENGTHS, _RULES)),
    },
    "unproved": {"description": "what a sign-in is worth that no rule fits", "enum": [*oidc.UNPROVED]},
    "ask": {
        "description": "the acr to ask for when somebody needs this strength",
        **_plain(dict.fromkeys(oidc.STRENGTHS, _TEXT)),
    },
    "amr": {
        "description": "its own words for factors, and those of the rules (RFC 8176)",
        "type": ["object", "null"],
        "maxProperties": oidc.MAX_WORDS,
        "additionalProperties": _TEXT,
    },
    "auth_time": {"description": "whether it says when factors were given", "enum": [oidc.TRUSTED, oidc.UNTRUSTED]},
    "max_age": {"description": "how old a sign-in there may be at a sign-in here", **_TEXT},
    "skew": {"description": "how far its clock may be off", **_TEXT},
}
#: What the keys of every kind of source mean; a key that has more to say than that stands here with its own schema.
_KEYS: Mapping[str, Json] = {
    **_OIDC,
    "title": {"description": "what the sign-in page calls it", **_TEXT},
    "directory": {"description": "whose schema it follows", "enum": [*DirectoryKind]},
    "url": {
        "description": "where it is (ldaps://HOST); several with the same content are asked one after the other",
        "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": ldap.MAX_URLS}],
    },
    "start_tls": {"description": "ldap:// becomes TLS before anything else is said", "type": "boolean"},
    "bind": {"description": "the name that the gate itself signs in with", **_TEXT},
    "people": {
        "description": "where people are, and which attributes are their name and their key for ever",
        **_plain(dict.fromkeys(ldap.PEOPLE, _TEXT)),
    },
    "membership": {
        "description": "how it says who is in which group",
        **_plain(
            dict(zip(ldap.MEMBERSHIP, (_TEXT, {"enum": [*GroupWay]}, {"type": "boolean"}), strict=True)),
        ),
    },
    "refresh": {"description": "how often membership is read again", **_TEXT},
    "timeout": {"description": "how long one question may take", **_TEXT},
    "secret": {"description": "the file below keys/sources on the gate that holds its secret", **_TEXT},
    "authorities": {"description": "certificates in PEM form; the only ones believed", "type": "string"},
    "groups": {
        "description": "its own names of groups, and what conduits call them; others are not taken",
        "type": ["object", "null"],
        "additionalProperties": _TEXT,
    },
    "subject": {"description": "what of a card's certificate names its holder", "enum": [*CardRule]},
    "fold_case": {"description": "whether large and small letters of that name are the same", "type": "boolean"},
    "policies": {
        "description": "certificate policies (OIDs) that are accepted beside PIV Authentication; any: all of them",
        "anyOf": [{"const": card.ANY}, {"type": "array", "items": {**_TEXT, "pattern": card.OID_PATTERN}}],
    },
    "smart_card_logon": {"description": "whether the extended key usage for logon is asked for", "type": "boolean"},
    "crls": {
        "description": "revocation lists: files below keys/sources on the gate",
        "type": "array",
        "items": _TEXT,
    },
    "crl": {"description": "where a revocation list is fetched (http://…)", **_TEXT},
    "ocsp": {"description": "the responder (http://…), or certificate: the one that the card names", **_TEXT},
    "nonce": {"description": "whether the responder's answer must repeat our nonce", "type": "boolean"},
    "when_silent": {"description": "what holds where nothing says whether a card is revoked", **_TOLERANCE},
    "zones": {
        "description": "the same for single zones",
        "type": ["object", "null"],
        "additionalProperties": _TOLERANCE,
    },
    "passkeys": {"description": "which passkeys are taken", **_table(_PASSKEYS, passkeys.KEYS)},
    "break_glass": {
        "description": "what opens a break-glass account",
        **_table({"approval": {"enum": [*Approval]}}, local.BREAK_GLASS),
    },
}
_SIGN_IN: Mapping[str, dict[str, Json]] = {
    "device": {
        "description": "whether a computer may be signed in by a code that is typed in the browser of another",
        "type": "boolean",
    }
}


def identity_schema() -> dict[str, Json]:
    """The schema of the section."""
    kinds: list[Json] = [_source(kind, keys) for kind, keys in identity.OF_KIND.items()]
    return _table(
        {
            "sources": {
                "description": "where people prove who they are, in the order of the sign-in page",
                "type": ["object", "null"],
                "additionalProperties": {"anyOf": kinds},
            },
            "banner": _table({"title": dict(_TEXT), "text": dict(_TEXT)}, identity.BANNER),
            "sign_in": _table({key: _SIGN_IN.get(key, dict(_TEXT)) for key in identity.SIGN_IN}, identity.SIGN_IN),
        },
        KEYS,
    )


def _source(kind: SourceKind, keys: tuple[str, ...]) -> dict[str, Json]:
    known: dict[str, Json] = {key: _KEYS.get(key, {}) for key in keys}
    return {**_table({"kind": {"const": kind.value}, **known}, ("kind", *keys)), "required": ["kind"]}
