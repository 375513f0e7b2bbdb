"""The words in which a site document narrows operations of OPC UA: nodes, browse paths, attributes, methods, endpoints.

Pure text to spans.  A node stands as the standard writes it; a path as clients show it, with the number of its
namespace in front of each name.  It must never accept half of a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from penstock.model import OperationClass, Span
from penstock.wire.opcua.codes import ATTRIBUTES, SIGNATURE_BYTES
from penstock.wire.opcua.names import step_text
from penstock.wire.opcua.opaque import CLIENT, POLICY, SCHEME, SERVER
from penstock.wire.opcua.services import SERVICE
from penstock.wire.protocol import Limit, UnreadableError
from penstock.wire.words import read_range

_C = OperationClass
#: Methods of one range; each is a span of its own.
MAX_METHODS: Final = 256
_MAX_NUMBER: Final = 0xFFFF_FFFF
_MAX_NAMESPACE: Final = 0xFFFF
_NODE: Final = re.compile(r"(?:ns=([0-9]{1,5});)?([isgb])=(.+)\Z", re.ASCII | re.DOTALL)
_NUMBER: Final = re.compile(r"[0-9]{1,10}\Z|\*\Z", re.ASCII)
_GUID: Final = re.compile(r"[0-9a-fA-F*-]{1,36}\Z", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-fA-F*]+\Z", re.ASCII)
_STEP: Final = re.compile(r"(?:[0-9]{1,5}|\*):.+\Z|\*\Z", re.ASCII | re.DOTALL)
_THUMBPRINT: Final = re.compile(r"[0-9a-f]{40}\Z", re.ASCII)
_ENDPOINT: Final = "endpoint"
_NODE_HINT: Final = 'write it as "ns=2;s=Line1.Speed", "ns=2;i=5-9", "ns=2;s=Line1.*" or "/0:Objects/2:Boiler/2:Level"'
#: What names no node is needed beside every node that may be read or browsed.
_NO_NODE: Final = Span(table=SERVICE)
_NO_ATTRIBUTE: Final = Span(table=SERVICE, axis="attribute")


def read_nodes(text: str) -> Sequence[Span]:
    """Spans of a node id, a range of numbers, a pattern, or a browse path.  Raises `UnreadableError`."""
    if text.startswith("/"):
        return (Span(table="", name=_path(text)), _NO_NODE)
    prefix, kind, name = _split(text)
    if kind != "i":
        return (Span(table="", name=f"{prefix}{kind}={name}"), _NO_NODE)
    if name == "*":
        return (Span(table="", name=f"{prefix}i=*"), _NO_NODE)
    first, last = _numbers(text, name)
    return (Span(table="", first=first, last=last, name=f"{prefix}i=*"), _NO_NODE)


def read_methods(text: str) -> Sequence[Span]:
    """Spans of a method's node id, or of a range of them.  Raises `UnreadableError`."""
    prefix, kind, name = _split(text)
    if "*" in name:
        raise UnreadableError(f"{text!r} is no method", "name each method: ns=2;s=Line1.Start, or ns=2;i=7010-7012")
    if kind != "i":
        return (Span(table=f"{prefix}{kind}={name}", axis="method"),)
    first, last = _numbers(text, name)
    if last - first >= MAX_METHODS:
        raise UnreadableError(f"{text!r} are more than {MAX_METHODS} methods", "name a smaller range")
    return tuple(Span(table=f"{prefix}i={number}", axis="method") for number in range(first, last + 1))


def read_attributes(text: str) -> Sequence[Span]:
    """The span of an attribute by its name, with an index range where only that is meant: ``Value[0:3]``."""
    name, bracket, _ = text.partition("[")
    if name not in ATTRIBUTES.values() or (bracket and not re.match(r"[0-9:,]+\]\Z", text[len(name) + 1 :])):
        known = ", ".join(ATTRIBUTES.values())
        raise UnreadableError(f"{text!r} is no attribute", f"known: {known}")
    return (Span(table=text, axis="attribute"), _NO_ATTRIBUTE)


def read_endpoints(text: str) -> Sequence[Span]:
    """The span of an endpoint's URL; ``*`` stands for any text.  Raises `UnreadableError`."""
    if not text.startswith(SCHEME) or not text.isprintable():
        raise UnreadableError(f"{text!r} is no endpoint", "write it as opc.tcp://plc-1:4840, as clients name it")
    return (Span(table=_ENDPOINT, name=text, axis="endpoint"),)


def read_policies(text: str) -> Sequence[Span]:
    """The span of a security policy by the last part of its URI.  Raises `UnreadableError`."""
    known = [each for each in SIGNATURE_BYTES if each != "None"]
    if text not in known:
        raise UnreadableError(f"{text!r} is no security policy that encrypts", f"one of: {', '.join(known)}")
    return (Span(table=_ENDPOINT, name=POLICY + text, axis="policy"),)


def _read_certificates(end: str) -> Callable[[str], Sequence[Span]]:
    def read(text: str) -> Sequence[Span]:
        digits = re.sub(r"[: ]", "", text).lower()
        if not _THUMBPRINT.match(digits):
            why = f"{text!r} is no thumbprint of a certificate"
            raise UnreadableError(why, "write its SHA-1 thumbprint, 40 hexadecimal digits in quotes")
        return (Span(table=_ENDPOINT, name=end + digits, axis=end.strip()),)

    return read


def _split(text: str) -> tuple[str, str, str]:
    """``ns=2;`` (empty in namespace 0), kind and identifier in the spelling of operations."""
    found = _NODE.match(text)
    if found is None or int(found[1] or 0) > _MAX_NAMESPACE:
        raise UnreadableError(f"{text!r} is no node", _NODE_HINT)
    namespace, kind, name = int(found[1] or 0), found[2], found[3]
    is_readable = _HEX.match(name) if kind == "b" else _GUID.match(name) if kind == "g" else name.isprintable()
    if not is_readable:
        raise UnreadableError(f"{text!r} is no node", _NODE_HINT)
    prefix = f"ns={namespace};" if namespace else ""
    return prefix, kind, name.lower() if kind in {"b", "g"} else name


def _numbers(text: str, name: str) -> tuple[int, int]:
    found = read_range(name)
    if found is None or found[0] < 0 or found[1] > _MAX_NUMBER:
        raise UnreadableError(f"{text!r} is no node, and no range of nodes", _NODE_HINT)
    return found


def _path(text: str) -> str:
    """A path in the spelling of operations: ``&`` stands only in front of what needs it."""
    steps = [re.sub(r"&(.)", r"\1", step) for step in re.split(r"(?<!&)/", text[1:])]
    if not all(_STEP.match(step) for step in steps):
        raise UnreadableError(f"{text!r} is no browse path", _NODE_HINT)
    return "/" + "/".join(map(step_text, steps))


_OBJECTS: Final = frozenset(
    {
        _C.DISCOVERY,
        _C.READ,
        _C.WRITE,
        _C.CONFIG,
        _C.EXECUTE,
        _C.FILE_READ,
        _C.FILE_WRITE,
        _C.FIRMWARE,
        _C.PROGRAM_TO_DEVICE,
    }
)
LIMITS: Final = (
    Limit(
        key="nodes",
        about="nodes by their id, by a range or a pattern of ids, or by a browse path that the client asked for",
        example='nodes: "ns=2;s=Line1.Speed"',
        classes=_OBJECTS,
        read=read_nodes,
    ),
    Limit(
        key="attributes",
        about="attributes by their name, an index range of them in brackets",
        example="attributes: Value",
        classes=frozenset({_C.READ, _C.WRITE, _C.CONFIG}),
        read=read_attributes,
        axis="attribute",
    ),
    Limit(
        key="methods",
        about="methods by their node id",
        example='methods: "ns=2;i=7010"',
        classes=frozenset({_C.EXECUTE, _C.CONFIG, _C.FILE_READ, _C.FILE_WRITE, _C.FIRMWARE}),
        read=read_methods,
        axis="method",
    ),
    Limit(
        key="endpoints",
        about="endpoints whose encrypted channels pass unread, by the URL that the client names",
        example="endpoints: opc.tcp://plc-1:4840",
        classes=frozenset({_C.ENCRYPTED}),
        read=read_endpoints,
        axis="endpoint",
        is_required=True,
    ),
    Limit(
        key="security",
        about="security policies that such a channel may have",
        example="security: Basic256Sha256",
        classes=frozenset({_C.ENCRYPTED}),
        read=read_policies,
        axis="policy",
    ),
    *(
        Limit(
            key=key,
            about=f"certificates of the {of} of such a channel, by their SHA-1 thumbprint",
            example=f'{key}: "9b6f8a2e17c04d53aa91e0b7c2d4f6087153be2c"',
            classes=frozenset({_C.ENCRYPTED}),
            read=_read_certificates(end),
            axis=end.strip(),
        )
        for key, of, end in (("clients", "client", CLIENT), ("servers", "server", SERVER))
    ),
)
