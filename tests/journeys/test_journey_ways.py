"""Ways to the overlay with a whole gate: host routes that the client sets."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import count

import pytest
from works import Works

from penstock.lab.layout import GATE_ADDRESS, SITE_PATH
from penstock.lab.modbus import Conversation, Refused
from penstock.lab.netns import Node

SET_POINT = 11


@pytest.fixture
def site_text() -> str:
    """Operators may come from a station by its address."""
    text = SITE_PATH.read_text()
    assert text.count("require: {factors: two, tls: true}") == 1
    return text.replace("require: {factors: two, tls: true}", "require: {factors: two}")


def reads(node: Node, address: str) -> bool:
    """Whether the dosing rate can be read there."""
    with suppress(OSError, Refused), Conversation(node, address, 502, timeout_s=2.0) as talk:
        return talk.read(SET_POINT) >= 0
    return False


def test_host_routes_lead_to_what_a_grant_opens_and_are_removed_without_touching_others(works: Works) -> None:
    station, maria, overlay = works.plant.nodes["eng-1"], works.maria(), works.plant.overlay("plc-dosing")
    station.ip("route del 100.64.0.0/16", "route add 100.64.77.0/24 via 10.20.0.30")
    before = station.run(["ip", "route"])
    token = json.loads((maria.home / "sign-in.json").read_text())["token"]
    works.gate.api(station, "POST", "/api/grants", {"asset": "plc-dosing", "binding": "address"}, bearer=token)
    assert not reads(station, overlay), "there is a grant, but no way"

    printed = works.gate.command("routes", station=station, person=maria)
    assert printed.printed == f"ip route replace {overlay}/32 via {GATE_ADDRESS} proto 80\n"
    applied = works.gate.command("routes", "--apply", station=station, person=maria)
    assert applied.status == 0, applied.said
    again = works.gate.command("routes", "--apply", station=station, person=maria)
    assert again.status == 0, again.said
    assert reads(station, overlay)
    assert not reads(station, works.plant.overlay("plc-filter-1")), "what she may not reach has no route"

    removed = works.gate.command("routes", "--remove", station=station, person=maria)
    assert removed.said == f"routes removed: {overlay}\n"
    assert station.run(["ip", "route"]) == before
    assert not reads(station, overlay)


def test_where_somebody_else_s_route_is_in_the_way_nothing_changes(works: Works) -> None:
    station, maria, overlay = works.plant.nodes["eng-1"], works.maria(), works.plant.overlay("plc-dosing")
    station.ip(f"route add {overlay}/32 via 10.20.0.30")
    before = station.run(["ip", "route"])
    done = works.gate.command("routes", "--apply", station=station, person=maria)
    assert done.status == 2
    assert f"route to {overlay}: there is one already" in done.said
    assert station.run(["ip", "route"]) == before


def test_with_an_overlay_in_the_plant_s_subnet_no_station_needs_a_route_and_nobody_s_address_is_taken(
    works: Works, site_text: str
) -> None:
    station, rogue, maria = works.plant.nodes["eng-1"], works.plant.nodes["rogue-1"], works.maria()
    text = site_text.replace("overlay: 100.64.0.0/16", "overlay: 10.20.99.0/24")
    numbers = count(101)
    text = re.sub(r"address: [\d.]+,", lambda own: f"{own[0]} overlay: 10.20.99.{next(numbers)},", text)
    text = re.sub(r"( +)address: [\d.]+\n", lambda own: f"{own[0]}{own[1]}overlay: 10.20.99.{next(numbers)}\n", text)
    wanted = works.folder / "same-subnet.yaml"
    wanted.write_text(text)

    rogue.ip("addr add 10.20.99.105/16 dev eth0")
    (leg,) = json.loads(rogue.run(["ip", "-j", "addr", "show", "dev", "eth0"]))
    refused = works.gate.command("revision", "apply", str(wanted), station=works.plant.nodes["gate"])
    assert refused.status == 2, refused.said
    assert f"overlay address 10.20.99.105: somebody else uses this address: {leg['address']}" in refused.said
    assert works.gate.status()["revision"] == 1
    assert "10.20.99." not in works.plant.nodes["gate"].run(["ip", "addr"])

    rogue.ip("addr del 10.20.99.105/16 dev eth0")
    applied = works.gate.command("revision", "apply", str(wanted), station=works.plant.nodes["gate"])
    assert applied.status == 0, applied.said
    station.ip("route del 100.64.0.0/16")
    assert not reads(station, "10.20.99.105"), "a way is not a permission"
    token = json.loads((maria.home / "sign-in.json").read_text())["token"]
    works.gate.api(station, "POST", "/api/grants", {"asset": "plc-dosing", "binding": "address"}, bearer=token)
    assert reads(station, "10.20.99.105")
