"""A grant that is bound to a station: its address and its hardware address, on every packet of the client."""

from __future__ import annotations

import json

import pytest
from gate_plant import GATE, INSPECTED, MODBUS, PLAIN, ROGUE, USER, Plant, eventually, exchange, is_cut

from penstock.lab.netns import Node, Socket
from penstock.model import FlowsRefused, Reason


def mac_of(node: Node) -> str:
    (link,) = json.loads(node.run(["ip", "-j", "link", "show", "eth0"]))
    return str(link["address"])


def take_over(plant: Plant) -> None:
    """Another machine takes the station's address; the station itself is switched off."""
    plant.user.ip("link set eth0 down")
    plant.rogue.ip(f"addr del {ROGUE}/24 dev eth0", f"addr add {USER}/24 dev eth0")
    plant.rogue.route("100.64.0.0/16", GATE)
    plant.gate.ip("neigh flush dev eth0")


def dialled(node: Node, overlay: str = PLAIN) -> Socket:
    return node.connect(overlay, MODBUS, timeout_s=1.0)


def test_a_station_with_its_own_hardware_address_passes(plant: Plant) -> None:
    plant.open(42, station_mac=mac_of(plant.user))
    with dialled(plant.user) as flow:
        assert exchange(flow, b"x") == b"x"
    assert plant.counter("forged") == 0


def test_another_machine_with_the_stations_address_opens_nothing_and_is_told(plant: Plant) -> None:
    plant.open(42, station_mac=mac_of(plant.user))
    take_over(plant)
    with pytest.raises(OSError, match="timed out"):
        dialled(plant.rogue)
    assert plant.control.event(FlowsRefused, source=USER).reason == Reason.STATION_CHANGED.value
    assert plant.plain.peers == []


def test_an_open_flow_does_not_go_on_with_another_hardware_address(plant: Plant) -> None:
    """The station itself gets another network card under the same address: not a byte of it arrives any more."""
    plant.open(42, station_mac=mac_of(plant.user))
    with dialled(plant.user) as flow:
        assert exchange(flow, b"x") == b"x"
        received = len(plant.plain.received)
        plant.user.ip("link set eth0 down", "link set eth0 address 02:00:00:00:00:99", "link set eth0 up")
        plant.user.route("100.64.0.0/16", GATE)
        flow.send(b"y")
        assert plant.control.event(FlowsRefused, source=USER).reason == Reason.STATION_CHANGED.value
        assert len(plant.plain.received) == received


def test_a_grant_that_names_no_station_does_not_ask_for_one(plant: Plant) -> None:
    plant.open(42)
    take_over(plant)
    with dialled(plant.rogue) as flow:
        assert exchange(flow, b"x") == b"x"


def test_the_binding_goes_with_its_grant_and_leaves_the_address_to_the_next_one(plant: Plant) -> None:
    opened = plant.open(42, station_mac=mac_of(plant.user))
    with dialled(plant.user) as flow:
        exchange(flow, b"x")
        plant.cut(opened)
        eventually(lambda: is_cut(flow))
    assert "42" not in plant.gate.run(["nft", "list", "set", "inet", "penstock", "stations"])
    take_over(plant)
    plant.open(43, station_mac=mac_of(plant.rogue))
    with dialled(plant.rogue) as flow:
        assert exchange(flow, b"x") == b"x"


def test_an_inspected_flow_of_a_stranger_never_reaches_the_worker(plant: Plant) -> None:
    plant.open(42, overlay=INSPECTED, is_inspected=True, station_mac=mac_of(plant.user))
    take_over(plant)
    with pytest.raises(OSError, match="timed out"):
        dialled(plant.rogue, INSPECTED)
    assert plant.control.event(FlowsRefused, source=USER).reason == Reason.STATION_CHANGED.value
