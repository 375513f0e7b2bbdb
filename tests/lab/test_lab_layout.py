"""The address plan and the site document of the lab say the same."""

from __future__ import annotations

import pytest

from penstock.lab import layout
from penstock.policy import Policy, accept, parse, read_documents


def policy() -> Policy:
    return accept(parse(read_documents(layout.SITE_PATH)), revision=1)


def test_the_site_document_is_accepted_with_its_own_tests() -> None:
    assert policy().site.name == layout.SITE_NAME


def test_every_declared_asset_stands_where_the_address_plan_says() -> None:
    declared = {(a.name, a.address, a.overlay, a.mac) for a in policy().site.assets}
    stations = {s for s in layout.STATIONS if s not in (layout.GATE, layout.ROGUE)}
    assert declared == {(s.name, s.address, s.overlay, s.mac) for s in stations}


def test_the_rogue_is_declared_nowhere() -> None:
    text = layout.SITE_PATH.read_text()
    assert layout.ROGUE.address not in text
    assert layout.ROGUE.name not in text


def test_one_conduit_is_safety_critical_and_says_who_approved_it() -> None:
    critical = [conduit for conduit in policy().site.conduits if conduit.is_safety_critical]
    assert [(c.name, c.approved_by) for c in critical] == [("SCADA polls the filters", "safety.officer@riverside")]


def test_an_overlay_address_keeps_the_low_half_of_the_underlay() -> None:
    assert layout.overlay_of("10.20.10.11") == "100.64.10.11"


@pytest.mark.parametrize("fact", ["name", "address", "mac"])
def test_no_two_stations_share_a_name_or_an_address(fact: str) -> None:
    assert len({getattr(station, fact) for station in layout.STATIONS}) == len(layout.STATIONS)
