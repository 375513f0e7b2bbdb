"""Pure: a `Ruleset` as one nft script, the complete table ``inet penstock``.

Stands between the policy compiler, which says what is permitted, and `penstock.kernel.apply`, which loads it.  The
script is one transaction: it loads on an empty kernel and replaces the rules of a running gate without losing a
packet, because it never touches the dynamic sets ``grants``, ``live``, ``dials`` and ``alive``.

It must never write a text that it has not checked: what stands in a site document never becomes nft syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from penstock.kernel.chains import CHAINS, COUNTERS, DYNAMIC_SETS, STATIC_SETS, body
from penstock.model import COPIED_BIT, GRANT_MASK, SAFETY_BIT, Invalid, Problem, Ruleset, Standing

TABLE = "penstock"
TRANSPORTS = ("tcp", "udp")

_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")  # IFNAMSIZ in linux/if.h: 15 characters and a zero
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_MAX_PORT = 65535


def render(ruleset: Ruleset) -> str:
    """The nft script that makes the kernel's table equal to the ruleset, in one transaction.

    Equal rulesets give equal scripts.  Raises `Invalid` with the first value that is no address, network, port,
    transport, interface, hardware address or grant number.
    """
    place = ruleset.place
    parts = (
        f"# penstock, revision {int(ruleset.revision)}",
        f"table inet {TABLE} {{",
        *_declarations(),
        "}",
        *(f"flush chain inet {TABLE} {name}" for name in CHAINS),
        *(f"flush {declaration.split()[0]} inet {TABLE} {name}" for name, declaration in STATIC_SETS.items()),
        *_fillings(ruleset),
        f"table inet {TABLE} {{",
    )
    chains = body(
        leg=_interface(place.interface),
        address=_address(place.address),
        overlay="@overlay" if ruleset.overlay_is_shared else _network(ruleset.overlay),
        proxy_port=_port(place.proxy_port),
        beat_port=_port(place.beat_port),
        open_ports=tuple(_port(port) for port in place.open_ports),
        has_copies=ruleset.has_copies or any(flow.is_copied for flow in ruleset.standing),
    )
    return "\n".join(parts) + f"\n{chains}}}\n"


def _declarations() -> Iterable[str]:
    yield from (f"  counter {name} {{ }}" for name in COUNTERS)
    for name, declaration in (STATIC_SETS | DYNAMIC_SETS).items():
        kind, rest = declaration.split(maxsplit=1)
        yield f"  {kind} {name} {{ {rest} }}"
    for name, hook in CHAINS.items():
        yield f"  chain {name} {{ {hook} }}" if hook else f"  chain {name} {{ }}"


def _fillings(ruleset: Ruleset) -> Iterable[str]:
    """``add element`` commands for the static sets, each sorted."""
    hardware = {*ruleset.hardware, *((asset.underlay, asset.mac) for asset in ruleset.assets if asset.mac is not None)}
    fillings = {
        "assets": {
            f"{_address(asset.overlay)} : {_address(asset.underlay)}" for asset in ruleset.assets if asset.overlay
        },
        "underlay": {_address(asset.underlay) for asset in ruleset.assets},
        "overlay": {_address(each.overlay) for each in ruleset.assets if each.overlay and ruleset.overlay_is_shared},
        "inspect": {_service(flow.overlay, flow.transport, flow.port) for flow in ruleset.inspected},
        **_standing(ruleset),
        "declared": {_address(source) for source, _ in hardware},
        "hardware": {f"{_address(source)} . {_mac(mac)}" for source, mac in hardware},
    }
    for name, elements in fillings.items():
        if elements:
            yield f"add element inet {TABLE} {name} {{"
            yield from (f"  {element}," for element in sorted(elements))
            yield "}"


def _standing(ruleset: Ruleset) -> dict[str, set[str]]:
    """The three sets of the standing flows: who is admitted, which numbers are good, where each number leads."""
    underlay = {asset.overlay: asset.underlay for asset in ruleset.assets}

    def dialled(flow: Standing) -> str:
        if flow.overlay not in underlay:
            raise _invalid("standing flow to an overlay address without asset", flow.overlay)
        return _service(underlay[flow.overlay], flow.transport, flow.port)

    return {
        "safety": {
            f"{_address(flow.source)} . {_service(flow.overlay, flow.transport, flow.port)} : {_mark(flow):#010x}"
            for flow in ruleset.standing
        },
        "standing": {f"{_number(flow.grant):#010x}" for flow in ruleset.standing},
        "standing_dials": {f"{dialled(flow)} . {_number(flow.grant):#010x}" for flow in ruleset.standing},
    }


def _mark(flow: Standing) -> int:
    return _number(flow.grant) | SAFETY_BIT | (COPIED_BIT if flow.is_copied else 0)


def _service(address: str, transport: str, port: int) -> str:
    if transport not in TRANSPORTS:
        raise _invalid("transport", transport)
    return f"{_address(address)} . {transport} . {_port(port)}"


def _address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise _invalid("IPv4 address", text) from None


def _network(text: str) -> str:
    try:
        return str(IPv4Network(text))
    except ValueError:
        raise _invalid("IPv4 network", text) from None


def _interface(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise _invalid("interface", text)
    return text


def _mac(text: str) -> str:
    plain = text.lower().replace("-", ":")
    if not _MAC.fullmatch(plain):
        raise _invalid("hardware address", text)
    return plain


def _port(number: int) -> int:
    if not 0 < int(number) <= _MAX_PORT:
        raise _invalid("port", number)
    return int(number)


def _number(number: int) -> int:
    if not 0 < int(number) <= GRANT_MASK:
        raise _invalid("grant number", number)
    return int(number)


def _invalid(what: str, value: object) -> Invalid:
    return Invalid(Problem(where="ruleset", why=f"not usable as {what}: {value!r}"))
