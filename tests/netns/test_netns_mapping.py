"""Where overlay addresses and ports lead: other ports, shared addresses, ranges, and whom the asset sees."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from gate_plant import (
    GATE,
    MODBUS,
    PLAIN,
    SAFETY,
    SCADA,
    USER,
    Echo,
    Plant,
    UdpEcho,
    eventually,
    exchange,
    is_cut,
    is_reset,
)

from penstock.model import (
    SAFETY_BIT,
    UPSTREAM_BIT,
    FlowsRefused,
    KernelFlowClosed,
    KernelFlowOpened,
    PortRange,
    PortTranslation,
    Standing,
    Translation,
)

SHARED = "100.64.0.99"


def test_assets_behind_one_overlay_address_are_told_apart_by_port(plant: Plant) -> None:
    """Each grant leads to its own asset and port, is told by its overlay port, and dials the asset's own one."""
    plant.apply(
        ports=(
            PortTranslation(overlay=SHARED, transport="tcp", overlay_port=1050, underlay="192.168.10.50", port=MODBUS),
            PortTranslation(overlay=SHARED, transport="tcp", overlay_port=1051, underlay="192.168.10.51", port=MODBUS),
        )
    )
    plant.proxy()
    first = plant.open(42, overlay=SHARED, overlay_port=1050, underlay="192.168.10.50", is_inspected=False)
    second = plant.user.connect(SHARED, 1050)
    assert exchange(second, b"first") == b"first"
    with pytest.raises(TimeoutError):
        plant.user.connect(SHARED, 1051, timeout_s=0.3)
    plant.open(43, overlay=SHARED, overlay_port=1051, underlay="192.168.10.51", is_inspected=False)
    assert exchange(plant.user.connect(SHARED, 1051), b"second") == b"second"
    assert (plant.plain.received, plant.inspected.received) == ([b"first"], [b"second"])
    assert plant.plain.peers == plant.inspected.peers == [GATE]
    opened = plant.control.event(KernelFlowOpened, grant=42)
    assert (opened.overlay, opened.port) == (SHARED, 1050)
    assert plant.dial(42 | UPSTREAM_BIT, "192.168.10.50", MODBUS) == "connected"
    assert plant.dial(42 | UPSTREAM_BIT, "192.168.10.50", 1050) == "ConnectionRefusedError"
    plant.cut(first)
    assert is_reset(second)
    with pytest.raises(TimeoutError):
        plant.user.connect(SHARED, MODBUS, timeout_s=0.3)


def test_a_port_of_an_asset_is_reached_at_another_one_beside_its_one_to_one_address(plant: Plant) -> None:
    """Datagrams: the answer comes from where the question went to."""
    UdpEcho(plant.plc, "192.168.10.50", 40_000)
    plant.apply(
        ports=(
            PortTranslation(overlay=PLAIN, transport="udp", overlay_port=161, underlay="192.168.10.50", port=40_000),
        )
    )
    plant.open(42)
    plant.open(43, transport="udp", port=40_000, overlay_port=161)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.settimeout(2)
    client.connect((PLAIN, 161))
    assert exchange(client, b"get") == b"get"
    assert exchange(plant.user.connect(PLAIN, MODBUS), b"read") == b"read"


def test_a_standing_flow_is_inspected_at_its_overlay_port(plant: Plant) -> None:
    """The worker is shown where the client dialled; it may dial the asset's own port and no other."""
    standing = Standing(source=SCADA, overlay=SAFETY, transport="tcp", port=1502, grant=8, to_port=MODBUS)
    plant.apply(
        standing=(standing,),
        ports=(
            PortTranslation(overlay=SAFETY, transport="tcp", overlay_port=1502, underlay="192.168.10.60", port=MODBUS),
        ),
        inspected=tuple(replace(each, port=1502) for each in plant.ruleset.inspected),
    )
    proxy = plant.proxy()
    plant.scada.connect(SAFETY, 1502)
    session = eventually(lambda: proxy.sessions)[0]
    assert (session["overlay"], session["port"], session["grant"]) == (SAFETY, 1502, 8)
    assert plant.dial(8 | SAFETY_BIT | UPSTREAM_BIT, "192.168.10.60", MODBUS) == "connected"
    assert plant.dial(8 | SAFETY_BIT | UPSTREAM_BIT, "192.168.10.60", 1502) == "ConnectionRefusedError"


@pytest.mark.parametrize(("transport", "base"), [("tcp", 5000), ("udp", 6000)])
def test_a_range_of_ports_is_one_grant(plant: Plant, transport: str, base: int) -> None:
    """Both ends of the range pass, their neighbours do not; withdrawing ends all of it."""
    plant.apply(ranges=(PortRange(overlay=PLAIN, transport=transport, first=base, last=base + 9),))
    opened = plant.open(42, transport=transport, port=base, last_port=base + 9)
    clients = []
    for port in (base, base + 4, base + 9):
        clients.append(_client(plant, transport, port))
        assert exchange(clients[-1], b"x") == b"x"
    for port in (base - 1, base + 10):
        with pytest.raises(TimeoutError):
            exchange(_client(plant, transport, port), b"x")
    assert plant.control.event(FlowsRefused, port=base + 10).count >= 1
    plant.cut(opened)
    for client in clients:
        if transport == "tcp":
            assert is_cut(client)
        else:
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                exchange(client, b"x")


def test_a_range_at_other_ports_for_a_standing_flow_and_a_tunnel(plant: Plant) -> None:
    """Moved as a whole; a grant without a source lets the worker dial the asset's own range and nothing beside it."""
    plant.apply(
        ports=(PortTranslation(overlay=PLAIN, transport="tcp", overlay_port=700, underlay="192.168.10.50", port=5000),),
        ranges=(PortRange(overlay=PLAIN, transport="tcp", first=700, last=709),),
        standing=(Standing(source=SCADA, overlay=PLAIN, transport="tcp", port=700, last_port=709, grant=9),),
    )
    plant.proxy()
    Echo(plant.plc, "192.168.10.50", 5003)
    client = plant.scada.connect(PLAIN, 703)
    assert exchange(client, b"read") == b"read"
    assert plant.control.event(KernelFlowOpened, grant=9).port == 703
    with pytest.raises(TimeoutError):
        plant.user.connect(PLAIN, 703, timeout_s=0.3)
    plant.open(42, source=None, port=5000, last_port=5009, overlay_port=700)
    for mark in (42 | UPSTREAM_BIT, 9 | SAFETY_BIT | UPSTREAM_BIT):
        assert plant.dial(mark, "192.168.10.50", 5003) == "connected"
        assert plant.dial(mark, "192.168.10.50", 5010) == "ConnectionRefusedError"
    assert plant.dial(43 | UPSTREAM_BIT, "192.168.10.50", 5003) == "ConnectionRefusedError"
    plant.apply(standing=())
    assert is_reset(client)


def test_a_range_is_known_after_a_restart_of_the_enforcer(plant: Plant) -> None:
    """It can be withdrawn by the next one."""
    plant.apply(ranges=(PortRange(overlay=PLAIN, transport="tcp", first=5000, last=5009),))
    opened = plant.open(42, port=5000, last_port=5009)
    Echo(plant.plc, "192.168.10.50", 5001)
    client = plant.user.connect(PLAIN, 5001)
    plant.kill_enforcer()
    plant.start_enforcer()
    plant.cut(opened)
    assert is_reset(client)
    with pytest.raises(TimeoutError):
        plant.user.connect(PLAIN, 5001, timeout_s=0.3)


def test_an_asset_with_a_way_back_is_shown_the_client(plant: Plant) -> None:
    """No second translation; everything else is as before: cut with its grant, and the asset opens nothing itself."""
    shown = Translation(overlay=PLAIN, underlay="192.168.10.50", keeps_client_address=True)
    plant.apply(assets=(shown, *plant.ruleset.assets[1:]))
    plant.plc.route(f"{USER}/32", GATE)
    opened = plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"read") == b"read"
    assert plant.plain.peers == [USER]
    plant.user.listen(USER, 9000)
    with pytest.raises(TimeoutError):
        plant.plc.connect(USER, 9000, timeout_s=0.3)
    assert plant.control.event(FlowsRefused, destination=USER, port=9000).count >= 1
    plant.cut(opened)
    assert is_reset(client)
    eventually(lambda: plant.plain.open == 0)
    assert plant.control.event(KernelFlowClosed, grant=42)


def _client(plant: Plant, transport: str, port: int) -> socket.socket:
    """A client of this port, with an asset that would answer there."""
    if transport == "tcp":
        Echo(plant.plc, "192.168.10.50", port)
        return plant.user.connect(PLAIN, port, timeout_s=0.5)
    UdpEcho(plant.plc, "192.168.10.50", port)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.settimeout(0.5)
    client.connect((PLAIN, port))
    return client
