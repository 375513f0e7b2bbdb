"""The first line of a tunnel: which grant the flow is for, and what the gate answers.

Pure.  After the TLS handshake the client sends ``{"grant": 12}`` and a line feed, 512 bytes at most; where the grant is
for a range of ports, ``{"grant": 12, "port": 5003}`` names one of the asset's own; without it the first is meant.  The
gate answers ``{"ok": true}`` or ``{"refused": "grant_revoked"}`` and closes.  Then bytes pass unchanged; where the
service is UDP, framed datagrams (`penstock.proxy.datagrams`).  Where the asset has as many connections as it can
bear, the answer is ``{"waiting": "asset_full", …}``, and later one of the two.  A grant that does not exist and one
that belongs to another certificate look alike: numbers are easy to guess and must tell nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import msgspec

from penstock.model import Binding, Grant, Json, Malformed, Reason

#: The name of the protocol in TLS (ALPN, RFC 7301): nothing else is spoken on these listeners.
ALPN: Final = "penstock/1"
MAX_PREFACE_BYTES: Final = 512
ACCEPTED: Final = b'{"ok": true}\n'
NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})
#: What a client is told of an asset that is full; the rest is for the record.
_TOLD: Final = frozenset({"shortage", "connections", "opens", "period_s", "queue_s"})


class Preface(msgspec.Struct, forbid_unknown_fields=True):
    """What a client asks for: a grant by its number, and of a range one of the asset's ports."""

    grant: int
    port: int | None = None


_decode = msgspec.json.Decoder(Preface).decode


def split_preface(received: bytes) -> tuple[bytes, bytes] | None:
    """The first line and what came after it, ``None`` while it is incomplete.  Raises `Malformed` when too long."""
    line, feed, rest = received.partition(b"\n")
    if len(line) >= MAX_PREFACE_BYTES:
        raise Malformed(f"the first line of a tunnel is longer than {MAX_PREFACE_BYTES} bytes")
    return (line, rest) if feed else None


def read_preface(line: bytes) -> Preface:
    """What the client asks for.  Raises `Malformed`."""
    try:
        return _decode(line)
    except msgspec.MsgspecError as error:
        raise Malformed(f"not the first line of a tunnel: {error}") from error


def port_in(grant: Grant, asked: int | None) -> int | None:
    """The asset's port that is meant; ``None`` where the grant does not lead there."""
    if asked is None:
        return grant.port
    last = grant.port if grant.last_port is None else grant.last_port
    return asked if grant.port <= asked <= last else None


def refusal(reason: Reason, detail: Mapping[str, Json] = NOTHING) -> bytes:
    """The answer to a client whose flow is not opened.  `detail` is about the asset only, never about other clients."""
    return msgspec.json.encode({"refused": reason.value} | _told(detail)) + b"\n"


def waiting(detail: Mapping[str, Json]) -> bytes:
    """The answer to a client that has to wait for its asset."""
    return msgspec.json.encode({"waiting": Reason.ASSET_FULL.value} | _told(detail)) + b"\n"


def _told(detail: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in detail.items() if key in _TOLD}


def find_grant(
    number: int, certificate: bytes, live: Mapping[int, Grant], withdrawn: Mapping[int, Grant], now_us: int
) -> Grant | Reason:
    """The grant of that number, if it is live and bound to this certificate (DER); else the reason why not."""
    known = live.get(number) or withdrawn.get(number)
    fingerprint = sha256(certificate).hexdigest()
    owner = known.certificate if known is not None and known.binding is Binding.CERTIFICATE else None
    is_owner = hmac.compare_digest(fingerprint, owner or "0" * len(fingerprint))
    if known is None or not is_owner:
        return Reason.GRANT_UNKNOWN
    if known.expires_at_us is not None and now_us >= known.expires_at_us:
        return Reason.GRANT_EXPIRED
    return known if number in live else Reason.GRANT_REVOKED
