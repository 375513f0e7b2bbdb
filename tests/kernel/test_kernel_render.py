"""The table as text.  PENSTOCK_REGENERATE=1 writes the golden files anew; read their difference before you keep it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kernel import render
from penstock.kernel.chains import CHAINS, COUNTERS, DYNAMIC_SETS, STATIC_SETS
from penstock.kernel.optional import Pace
from penstock.model import (
    GatePlace,
    Inspected,
    Invalid,
    Limits,
    PortRange,
    PortTranslation,
    Rate,
    Ruleset,
    Segment,
    Standing,
    Translation,
)

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
EVERYTHING = replace(
    COMPLETE,
    revision=4,
    place=replace(PLACE, open_udp_ports=(53,)),
    inspected=(*COMPLETE.inspected, Inspected(overlay="100.64.0.50", transport="udp", port=47808)),
    assets=(
        *COMPLETE.assets,
        Translation(
            overlay="100.64.0.70",
            underlay="192.168.20.70",
            keeps_client_address=True,
            limits=Limits(connections=2, opens=Rate(count=5, period_s=60)),
        ),
        Translation(overlay="100.64.0.80", underlay="192.168.10.81", limits=Limits(connections=4)),
        Translation(overlay="100.64.0.80", underlay="192.168.10.82", limits=Limits(opens=Rate(count=3, period_s=7))),
    ),
    standing=(
        *COMPLETE.standing,
        Standing(source="192.168.10.12", overlay="100.64.0.70", transport="udp", port=2222, last_port=2230, grant=3),
        Standing(source="192.168.10.12", overlay="100.64.0.70", transport="icmp", port=0, grant=4),
        Standing(source="192.168.10.12", overlay="100.64.0.80", transport="tcp", port=1502, grant=5),
    ),
    ports=(
        PortTranslation(overlay="100.64.0.80", transport="tcp", overlay_port=1502, underlay="192.168.10.81", port=502),
        PortTranslation(overlay="100.64.0.80", transport="udp", overlay_port=40, underlay="192.168.10.82", port=4000),
    ),
    ranges=(
        PortRange(overlay="100.64.0.80", transport="udp", first=40, last=42),
        PortRange(overlay="100.64.0.70", transport="tcp", first=5000, last=5999),
    ),
    segments=(
        Segment(network="192.168.20.0/24", routers=("02:00:00:00:00:20", "02-00-00-00-00-21")),
        Segment(network="192.168.20.64/26", routers=("02:00:00:00:00:20",)),
    ),
)


def filled(script: str, name: str) -> list[str]:
    """The elements that a script fills a set with."""
    found = re.search(rf"^add element inet penstock {name} \{{\n(.*?)^\}}", script, re.MULTILINE | re.DOTALL)
    return [line.strip(" ,") for line in found[1].splitlines()] if found else []


@pytest.mark.parametrize(
    ("name", "ruleset"),
    [
        ("empty", EMPTY),
        ("kernel-only", KERNEL_ONLY),
        ("complete", COMPLETE),
        ("everything", EVERYTHING),
    ],
)
def test_the_script_is_the_golden_one(name: str, ruleset: Ruleset) -> None:
    """A change of any statement is seen in review."""
    file = GOLDEN / f"{name}.nft"
    if os.environ.get("PENSTOCK_REGENERATE"):
        file.write_text(render(ruleset), encoding="ascii")
    assert render(ruleset) == file.read_text(encoding="ascii")


def test_a_site_pays_for_inspected_datagrams_only_where_it_has_some() -> None:
    """Not a statement before connection tracking, nor on any packet's way, where all that is inspected is TCP."""
    entries = ("goto datagram", "goto delivered", "th sport @inspect notrack", "goto answered")
    assert not any(entry in render(COMPLETE) for entry in entries)
    assert all(render(EVERYTHING).count(entry) == 1 for entry in entries)


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
    optional = ("jump copy", "jump room", "@mapped", "@shown", "@behind", "@ranges", "@ranged", "@taken", "@paced")
    assert all(part in render(EVERYTHING) for part in optional)
    assert not any(part in render(KERNEL_ONLY) for part in optional)
    assert "jump copy" in render(replace(COMPLETE, has_copies=False)), "a standing flow is copied"


def test_a_packet_of_a_flow_asks_for_three_things_and_no_more() -> None:
    """On its way to an asset: its hardware address, whether it is for the overlay, whether its grant lives.

    Only a flow that is bound to a station is asked where it comes from: its mark says so, with no look into any set.
    """
    script = render(KERNEL_ONLY)
    steer = _chain(script, "steer").split("ct state established return")[0]
    steer = steer.replace("ct mark & 0x80000000 != 0 ct direction original jump station\n", "", 1)
    forward = _chain(script, "forward").split("@live")[0]
    assert re.findall(r"@(\w+)", steer + forward) == ["declared", "hardware"]
    assert not re.search(r"fib|jump|vmap", steer + forward)


def _chain(script: str, name: str) -> str:
    body = script.rsplit("table inet penstock {", 1)[1]
    found = re.search(rf"^  chain {name} \{{(.*?)^  \}}", body, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_an_overlay_address_that_assets_share_leads_to_them_by_port_only() -> None:
    """The rest is translated one to one."""
    script = render(EVERYTHING)
    assert not any(element.startswith("100.64.0.80 ") for element in filled(script, "assets"))
    assert "100.64.0.70 : 192.168.20.70" in filled(script, "assets")
    assert "100.64.0.80 . tcp . 1502 : 192.168.10.81 . 502" in filled(script, "mapped")
    assert "192.168.10.81 . tcp . 502 . 0x00000005" in filled(script, "standing_dials")
    assert {"192.168.10.81", "192.168.10.82"} <= set(filled(script, "underlay"))


def test_a_range_that_is_reached_at_other_ports_is_moved_as_a_whole() -> None:
    script = render(EVERYTHING)
    moved = [element for element in filled(script, "mapped") if ". udp ." in element]
    assert moved == [f"100.64.0.80 . udp . {40 + step} : 192.168.10.82 . {4000 + step}" for step in range(3)]
    assert "100.64.0.80 . udp . 40-42 : 0x00000028" in filled(script, "ranges")
    assert "192.168.10.82 . udp . 4000-4002 : 0x00000fa0" in filled(script, "ranges")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(20, 32), st.integers(0, 3)), min_size=1, max_size=8))
def test_a_network_behind_routers_belongs_to_the_most_specific_segment(drawn: list[tuple[int, int, int]]) -> None:
    """Against a search through all segments, for many addresses: whose packets may come from which router."""
    owned = [(ip_network(f"10.0.0.{low}/{bits}", strict=False), str(router)) for low, bits, router in drawn]
    segments = tuple(Segment(network=str(each), routers=(f"02:00:00:00:00:0{router}",)) for each, router in owned)
    script = render(replace(EMPTY, segments=segments))
    routed = [element.split(" . ") for element in filled(script, "routed")]
    behind = [ip_network(network) for network in filled(script, "behind")]
    for low in range(0, 256, 5):
        address = ip_address(f"10.0.0.{low}")
        owners = [(each.prefixlen, router) for each, router in owned if address in each]
        longest = max((bits for bits, _ in owners), default=None)
        assert any(address in network for network in behind) == bool(owners)
        accepted = {mac[-1] for network, mac in routed if address in ip_network(network)}
        assert accepted == {router for bits, router in owners if bits == longest}


@pytest.mark.parametrize(
    ("count", "period_s", "rate"),
    [(5, 1, "5/second"), (5, 10, "30/minute"), (1, 60, "1/minute"), (1, 7200, "12/day"), (3, 7, "259200/week")],
)
def test_a_pace_is_written_in_the_units_that_nft_has(count: int, period_s: int, rate: str) -> None:
    assert Pace(count=count, period_s=period_s).rate == rate


def test_no_set_of_grants_uses_intervals() -> None:
    """One change of such a set would clone the whole tree."""
    assert not any("interval" in declaration for declaration in DYNAMIC_SETS.values())


def test_an_established_connection_is_never_a_reason_to_reach_an_asset() -> None:
    """Outside of bare FINs and of the gate's own affairs nothing is accepted because it is established."""
    accepting = [line for line in render(COMPLETE).splitlines() if "established" in line and "accept" in line]
    assert all("!= @underlay" in line or "tcp flags & fin != 0 ip length" in line for line in accepting)
    assert len(accepting) == 3


def test_every_counter_counts_somewhere_and_every_chain_is_reached() -> None:
    """Nothing is declared in vain."""
    script = render(EVERYTHING)
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
        (replace(EMPTY, place=replace(PLACE, address="100.64.0.2")), "lies in the overlay"),
        (replace(EMPTY, place=replace(PLACE, open_udp_ports=(70000,))), "port"),
        (replace(EMPTY, segments=(Segment(network="10.0.0.1/8", routers=("02:00:00:00:00:01",)),)), "IPv4 network"),
        (replace(EMPTY, segments=(Segment(network="10.0.0.0/8", routers=()),)), "no routers"),
        (replace(EMPTY, segments=(Segment(network="10.0.0.0/8", routers=("x }",)),)), "hardware address"),
        (replace(EVERYTHING, ports=(replace(EVERYTHING.ports[0], port=0),)), "port"),
        (replace(EVERYTHING, ports=(replace(EVERYTHING.ports[0], transport="tcp }"),)), "transport"),
        (replace(EVERYTHING, ports=(*EVERYTHING.ports, replace(EVERYTHING.ports[0], port=503))), "two answers"),
        (replace(EVERYTHING, ports=(EVERYTHING.ports[0], replace(EVERYTHING.ports[1], port=65534))), "port"),
        (replace(EVERYTHING, ranges=(replace(EVERYTHING.ranges[0], last=39),)), "range of ports"),
        (replace(EVERYTHING, ranges=(replace(EVERYTHING.ranges[0], last=9000),)), "4096 at most"),
        (replace(EVERYTHING, ranges=(*EVERYTHING.ranges, replace(EVERYTHING.ranges[1], first=5999))), "overlap"),
        (replace(EVERYTHING, ranges=(replace(EVERYTHING.ranges[1], overlay="100.64.9.9"),)), "without asset"),
        (replace(EVERYTHING, standing=(replace(EVERYTHING.standing[3], overlay="100.64.0.80"),)), "without asset"),
        (replace(EMPTY, assets=(replace(KERNEL_ONLY.assets[0], limits=Limits(connections=0)),)), "connections"),
        (
            replace(EMPTY, assets=(replace(KERNEL_ONLY.assets[0], limits=Limits(opens=Rate(count=1, period_s=0))),)),
            "period",
        ),
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


def test_the_function_is_what_the_package_offers_whatever_was_imported_before() -> None:
    """The file has the same name, and the enforcer imports that."""
    script = (
        "import penstock.kernel.render, penstock.kernel.loading; from penstock.kernel import render; render.__code__"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
