"""What several kinds of identity sources have in common: group maps, PEM texts, and files of secrets."""

from __future__ import annotations

import re

from penstock.model import GroupMap
from penstock.policy.faults import shown
from penstock.policy.fields import LINE_LENGTH, Fields, text_of
from penstock.policy.source import Kind, Scalar

#: The name of a file in the gate's ``keys/sources`` folder; never a path.
_SECRET = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
MAX_GROUPS = 500
MAX_PEM = 64 << 10
_MARK = "-----BEGIN CERTIFICATE-----"


def read_groups(fields: Fields, longest: int = LINE_LENGTH) -> GroupMap:
    """``groups: {THEIRS: OURS}``: the source's own names of groups, and what they are called in conduits."""
    table = fields.inner("groups")
    if table is None:
        return GroupMap()
    if len(table.entries) > MAX_GROUPS:
        fields.faults.add(table.place, f"more than {MAX_GROUPS} groups")
        return GroupMap()
    inner = Fields(table, fields.faults, "'groups'", tuple(entry.key.text for entry in table.entries))
    taken = []
    for entry in table.entries:
        theirs = text_of(entry.key, fields.faults, "the name of a group", longest)
        ours = inner.foreign(entry.key.text)
        if theirs is not None and ours is not None:
            taken.append((theirs, ours))
    return GroupMap(taken=tuple(taken))


def read_secret(fields: Fields) -> str | None:
    """``secret: NAME``: the file below ``keys/sources`` that holds it, so that no secret stands in a document."""
    name = fields.text("secret")
    if name is None or _SECRET.match(name):
        return name
    why = f"{shown(name)} is no name of a file"
    fields.faults.add(fields.place("secret"), why, "write the secret into keys/sources/NAME on the gate, and NAME here")
    return None


def read_authorities(fields: Fields) -> str | None:
    """``authorities: |``: certificates in PEM form.  Whether they are certificates is checked when they are used."""
    text = text_block(fields, "authorities", MAX_PEM)
    if text is not None and _MARK not in text:
        hint = "write `authorities: |` and the certificates below it, indented"
        fields.faults.add(fields.place("authorities"), "'authorities' has no certificate in PEM form", hint)
        return None
    return text


def text_block(fields: Fields, key: str, longest: int) -> str | None:
    """Text of several lines."""
    value = fields.value(key)
    if value is None:
        return None
    if not isinstance(value, Scalar) or value.kind is Kind.NOTHING or not value.text.strip():
        fields.faults.add(value.place, f"{key!r} must be text", f"write `{key}: |` and the text below it, indented")
        return None
    text = value.text.strip()
    if len(text) > longest or any(not (sign.isprintable() or sign == "\n") for sign in text):
        fields.faults.add(value.place, f"{key!r} must be printable text of at most {longest} characters")
        return None
    return text
