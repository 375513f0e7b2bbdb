"""The table as text.  PENSTOCK_REGENERATE=1 writes the golden files anew; read their difference before you keep it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kernel import render
from penstock.kernel.chains import CHAINS, COUNTERS, DYNAMIC_SETS, STATIC_SETS
from penstock.model import GatePlace, Inspected, Invalid, Ruleset, Standing, Translation

GOLDEN = Path(__file__).parent / "golden"
PLACE = GatePlace(interface="eth0", address="192.168.10.2")
EMPTY = Ruleset(revision=1, overlay="100.64.0.0/16", place=PLACE)
KERNEL_ONLY = replace(
    EMPTY,
    revision=2,
    place=replace(PLACE, interface="ens18.100", open_ports=(8443,)),
    assets=(Translation(overlay="100.64.0.50", underlay="192.168.10.50"),),
)
COMPLETE = replace(
    EMPTY,
    revision=3,
    assets=(
        Translation(overlay="100.64.0.50", underlay="192.168.10.50"),
        Translation(overlay="100.64.0.60", underlay="192.168.10.60", mac="02-00-00-00-00-AA"),
    ),
    inspected=(
        Inspected(overlay="100.64.0.60", transport="tcp", port=502),
        Inspected(overlay="100.64.0.50", transport="tcp", port=102),
    ),
    standing=(
        Standing(source="192.168.10.12", overlay="100.64.0.60", transport="tcp", port=502, grant=1),
        Standing(source="192.168.10.12", overlay="100.64.0.50", transport="udp", port=47808, grant=2, is_copied=True),
    ),
    hardware=(("192.168.10.12", "02:00:00:00:00:12"),),
    has_copies=True,
)


@pytest.mark.parametrize(("name", "ruleset"), [("empty", EMPTY), ("kernel-only", KERNEL_ONLY), ("complete", COMPLETE)])
def test_the_script_is_the_golden_one(name: str, ruleset: Ruleset) -> None:
    """A change of any statement is seen in review."""
    file = GOLDEN / f"{name}.nft"
    if os.environ.get("PENSTOCK_REGENERATE"):
        file.write_text(render(ruleset), encoding="ascii")
    assert render(ruleset) == file.read_text(encoding="ascii")


def test_the_order_of_a_ruleset_does_not_matter() -> None:
    """Equal content gives an equal script, so that a difference always means something."""
    turned = replace(
        COMPLETE,
        assets=COMPLETE.assets[::-1],
        inspected=COMPLETE.inspected[::-1],
        standing=COMPLETE.standing[::-1],
    )
    assert render(turned) == render(COMPLETE)


def test_dynamic_sets_are_declared_and_never_flushed() -> None:
    """Grants and armed workers outlive every ruleset."""
    script = render(COMPLETE)
    for name, declaration in DYNAMIC_SETS.items():
        assert f"  {declaration.split()[0]} {name} {{" in script
        assert f"flush set inet penstock {name}\n" not in script
        assert f"flush map inet penstock {name}\n" not in script
        assert f"add element inet penstock {name} " not in script
    assert "delete table" not in script
    assert "flush table" not in script


def test_everything_static_is_flushed_before_it_is_filled() -> None:
    """What a new ruleset leaves out is gone."""
    script = render(EMPTY)
    assert all(f"flush chain inet penstock {name}\n" in script for name in CHAINS)
    assert all(
        f"flush {declaration.split()[0]} inet penstock {name}\n" in script for name, declaration in STATIC_SETS.items()
    )
    assert "add element" not in script


def test_a_packet_pays_for_nothing_that_its_ruleset_does_not_need() -> None:
    """The optional parts are in the complete table and in no other."""
    assert "jump copy" in render(COMPLETE)
    assert "jump copy" not in render(KERNEL_ONLY)
    assert "jump copy" in render(replace(COMPLETE, has_copies=False)), "a standing flow is copied"


def test_no_set_of_grants_uses_intervals() -> None:
    """One change of such a set would clone the whole tree."""
    assert "interval" not in render(COMPLETE)


def test_an_established_connection_is_never_a_reason_to_reach_an_asset() -> None:
    """Outside of bare FINs and of the gate's own affairs nothing is accepted because it is established."""
    accepting = [line for line in render(COMPLETE).splitlines() if "established" in line and "accept" in line]
    assert all("!= @underlay" in line or "tcp flags & fin != 0 ip length" in line for line in accepting)
    assert len(accepting) == 3


def test_every_counter_counts_somewhere_and_every_chain_is_reached() -> None:
    """Nothing is declared in vain."""
    script = render(COMPLETE)
    assert all(f"counter name {name}" in script for name in COUNTERS)
    assert all(hook or re.search(rf"(?:jump|goto) {name}\b", script) for name, hook in CHAINS.items())


@pytest.mark.parametrize(
    ("ruleset", "why"),
    [
        (replace(EMPTY, overlay="100.64.0.0/16; accept"), "IPv4 network"),
        (replace(EMPTY, overlay="fd00::/8"), "IPv4 network"),
        (replace(EMPTY, place=replace(PLACE, interface='eth0" accept; iifname "x')), "interface"),
        (replace(EMPTY, place=replace(PLACE, interface="a" * 16)), "interface"),
        (replace(EMPTY, place=replace(PLACE, address="192.168.10.2/24")), "IPv4 address"),
        (replace(EMPTY, place=replace(PLACE, open_ports=(0,))), "port"),
        (replace(EMPTY, place=replace(PLACE, proxy_port=65536)), "port"),
        (replace(EMPTY, assets=(Translation(overlay="x", underlay="192.168.10.50"),)), "IPv4 address"),
        (replace(EMPTY, assets=(Translation(overlay="100.64.0.1", underlay="10.0.0.1, 10.0.0.2"),)), "IPv4 address"),
        (replace(EMPTY, inspected=(Inspected(overlay="100.64.0.1", transport="sctp", port=1),)), "transport"),
        (replace(EMPTY, hardware=(("192.168.10.1", "02:00:00:00:00"),)), "hardware address"),
        (replace(COMPLETE, standing=(replace(COMPLETE.standing[0], grant=0),)), "grant number"),
        (replace(COMPLETE, standing=(replace(COMPLETE.standing[0], grant=1 << 24),)), "grant number"),
        (replace(COMPLETE, assets=()), "without asset"),
    ],
)
def test_what_is_not_an_address_never_becomes_syntax(ruleset: Ruleset, why: str) -> None:
    """Every text is checked, and the refusal names the value."""
    with pytest.raises(Invalid, match=why):
        render(ruleset)


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=20))
def test_no_text_of_a_ruleset_gets_into_the_script_unchecked(text: str) -> None:
    """Whatever stands for an asset's address is refused or is an address."""
    ruleset = replace(EMPTY, assets=(Translation(overlay=text, underlay="192.168.10.50"),))
    try:
        script = render(ruleset)
    except Invalid:
        return
    assert re.search(r"^  \d+\.\d+\.\d+\.\d+ : 192\.168\.10\.50,$", script, re.MULTILINE)
