"""An overlay that the plant uses as well."""

from __future__ import annotations

import pytest

from penstock.model import GatePlace, Invalid
from penstock.policy import accept, compile_ruleset, parse

PLACE = GatePlace(interface="eth0", address="10.20.0.2")
SITE = """
site: s
domain: s.ot
overlay: {overlay}
zones:
  flat: {{networks: [10.20.0.0/24]}}
assets:
  scada: {{zone: flat, role: scada, address: 10.20.0.12}}
  plc: {{zone: flat, role: plc, address: 10.20.0.50, {more}services: {{modbus: 502}}}}
conduits:
  c: {{from: {{asset: scada}}, to: {{asset: plc}}, allow: {{modbus: [read]}}}}
"""


def site(overlay: str, more: str = "") -> dict[str, str]:
    return {"site.yaml": SITE.format(overlay=overlay, more=more)}


@pytest.mark.parametrize("overlay", ["10.20.0.0/24", "10.20.0.128/25", "10.20.0.0/16"])
def test_with_explicit_addresses_the_overlay_may_share_the_plant_s_network(overlay: str) -> None:
    policy = accept(parse(site(overlay, "overlay: 10.20.0.150, ")), 1)
    ruleset = compile_ruleset(policy, PLACE, ())
    assert ruleset.overlay_is_shared
    found = {each.underlay: each.overlay for each in ruleset.assets}
    assert found == {"10.20.0.50": "10.20.0.150", "10.20.0.12": ""}, "who is not reached has no overlay address"


def test_an_overlay_of_its_own_is_not_shared() -> None:
    ruleset = compile_ruleset(accept(parse(site("100.64.0.0/16")), 1), PLACE, ())
    assert not ruleset.overlay_is_shared
    assert {each.overlay for each in ruleset.assets} == {"100.64.0.12", "100.64.0.50"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("", "no overlay address of 'plc' is derived"),
        ("overlay: 10.20.0.12, ", "overlay address 10.20.0.12 is the own address of 'scada'"),
        ("overlay: 10.20.0.50, ", "overlay address 10.20.0.50 is the own address of 'plc'"),
        ("overlay: 10.20.0.255, ", "10.20.0.255 is a network or broadcast address"),
    ],
)
def test_an_address_that_could_be_anybody_s_is_a_problem_of_the_document(more: str, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(site("10.20.0.0/16", more))
    assert [problem.why for problem in caught.value.problems if why in problem.why]
