"""Pure: a `Ruleset` as one nft script, the complete table ``inet penstock``.

Stands between the policy compiler, which says what is permitted, and `penstock.kernel.apply`, which loads it.  The
script is one transaction: it loads on an empty kernel and replaces the rules of a running gate without losing a
packet, because it never touches the dynamic sets ``grants``, ``live``, ``dials`` and ``alive``.

It must never write a text that it has not checked: what stands in a site document never becomes nft syntax.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from penstock.kernel import checked
from penstock.kernel.chains import CHAINS, COUNTERS, DYNAMIC_SETS, STATIC_SETS, body
from penstock.kernel.fillings import fillings, needs, overlay_addresses
from penstock.kernel.optional import statements
from penstock.model import Ruleset

TABLE = "penstock"


def render(ruleset: Ruleset) -> str:
    """The nft script that makes the kernel's table equal to the ruleset, in one transaction.

    Equal rulesets give equal scripts.  Raises `Invalid` with the first value that is no address, network, port,
    transport, interface, hardware address or grant number, or that contradicts another.
    """
    place = ruleset.place
    parts = (
        f"# penstock, revision {int(ruleset.revision)}",
        f"table inet {TABLE} {{",
        *_declarations(),
        "}",
        *(f"flush chain inet {TABLE} {name}" for name in CHAINS),
        *(f"flush {declaration.split()[0]} inet {TABLE} {name}" for name, declaration in STATIC_SETS.items()),
        *_filled(ruleset),
        f"table inet {TABLE} {{",
    )
    chains = body(
        leg=checked.interface(place.interface),
        address=checked.address(place.address),
        overlay=_overlay(ruleset),
        proxy_port=checked.port(place.proxy_port),
        beat_port=checked.port(place.beat_port),
        open_ports=tuple(checked.port(port) for port in place.open_ports),
        open_udp_ports=tuple(checked.port(port) for port in place.open_udp_ports),
        optional=statements(needs(ruleset)),
    )
    return "\n".join(parts) + f"\n{chains}}}\n"


def _overlay(ruleset: Ruleset) -> str:
    """What the overlay is: its network, or where the plant uses that too, the set of the assets' overlay addresses."""
    network, own = checked.network(ruleset.overlay), checked.address(ruleset.place.address)
    is_inside = own in overlay_addresses(ruleset) if ruleset.overlay_is_shared else IPv4Address(own) in network
    if is_inside:
        raise checked.invalid("the gate's own address, it lies in the overlay", own)
    return "@overlay" if ruleset.overlay_is_shared else str(network)


def _declarations() -> Iterable[str]:
    yield from (f"  counter {name} {{ }}" for name in COUNTERS)
    for name, declaration in (STATIC_SETS | DYNAMIC_SETS).items():
        kind, rest = declaration.split(maxsplit=1)
        yield f"  {kind} {name} {{ {rest} }}"
    for name, hook in CHAINS.items():
        yield f"  chain {name} {{ {hook} }}" if hook else f"  chain {name} {{ }}"


def _filled(ruleset: Ruleset) -> Iterable[str]:
    """``add element`` commands for the static sets, each sorted."""
    for name, elements in fillings(ruleset).items():
        if elements:
            yield f"add element inet {TABLE} {name} {{"
            yield from (f"  {element}," for element in sorted(elements))
            yield "}"
