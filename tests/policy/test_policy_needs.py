from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.model import Conduit, FailureMode, PortPermission, RecordMode, Selector, Site, Zone
from penstock.policy import needs_kernel

PEOPLE = Conduit(name="c", source=Selector(group="operators"), target=Selector(asset="plc"))


def site(*conduits: Conduit, keeps: bool = False) -> Site:
    zone = Zone(name="cell", networks=("10.0.0.0/24",), keeps_client_address=keeps)
    return Site(name="s", domain="s.ot", overlay="100.64.0.0/16", zones=(zone,), conduits=conduits)


def test_what_people_do_through_the_proxy_needs_no_kernel() -> None:
    ports = (
        PortPermission(transport="tcp", port=5432),
        PortPermission(transport="udp", port=5432),
        PortPermission(transport="tcp", port=1, last_port=9),
    )
    assert needs_kernel(site(PEOPLE, replace(PEOPLE, ports=ports))) == ()


@pytest.mark.parametrize(
    ("conduit", "word"),
    [
        (replace(PEOPLE, source=Selector(role="scada")), "machines"),
        (replace(PEOPLE, ports=(PortPermission(transport="icmp", port=0),)), "icmp"),
        (replace(PEOPLE, on_failure=FailureMode.OPEN), "on_failure"),
        (replace(PEOPLE, record=RecordMode.PAYLOAD, ports=(PortPermission(transport="tcp", port=5432),)), "payload"),
    ],
)
def test_each_thing_that_only_the_kernel_enforces_is_named_with_its_conduit(conduit: Conduit, word: str) -> None:
    (problem,) = needs_kernel(site(PEOPLE, conduit))
    assert problem.where == "conduit 'c'"
    assert word in problem.why


def test_a_zone_that_keeps_addresses_and_every_reason_of_a_conduit_are_told_at_once() -> None:
    ports = (PortPermission(transport="tcp", port=5432),)
    both = replace(PEOPLE, on_failure=FailureMode.OPEN, record=RecordMode.PAYLOAD, ports=ports)
    assert [problem.where for problem in needs_kernel(site(both, keeps=True))] == ["zone 'cell'", *["conduit 'c'"] * 2]
