"""What an asset can bear: connections at a time and new ones in a period, over every way to it taken together."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest
from gate_plant import (
    GATE,
    INSPECTED,
    MODBUS,
    PLAIN,
    SAFETY,
    USER,
    Plant,
    UdpEcho,
    eventually,
    exchange,
    is_reset,
)

from penstock.model import UPSTREAM_BIT, FlowsRefused, Limits, Rate, Reason

PLC = "192.168.10.50"


def limit(plant: Plant, overlay: str = PLAIN, **limits: object) -> None:
    """Give one asset these limits."""
    given = Limits(**limits)  # type: ignore[arg-type]
    plant.apply(
        assets=tuple(
            replace(asset, limits=given) if asset.overlay == overlay else asset for asset in plant.ruleset.assets
        )
    )


def connected(plant: Plant) -> socket.socket:
    """A connection of the user to the plain asset that works."""
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"read") == b"read"
    return client


def not_refused(plant: Plant) -> socket.socket | None:
    """A connection that works, or ``None`` where it is refused at once."""
    try:
        return connected(plant)
    except ConnectionRefusedError:
        return None


def is_full(plant: Plant) -> bool:
    """Whether one more connection is refused at once."""
    client = not_refused(plant)
    if client is not None:
        client.close()
    return client is None


def test_the_third_client_of_an_asset_with_two_slots_is_refused_and_the_reason_is_told(plant: Plant) -> None:
    """At once, with a reset; the asset hears nothing of it; a slot is free as soon as its connection is closed."""
    limit(plant, connections=2)
    plant.open(42)
    first, second = connected(plant), connected(plant)
    assert is_full(plant)
    told = plant.control.event(FlowsRefused, reason=Reason.ASSET_FULL.value)
    assert (told.source, told.destination, told.port) == (USER, PLC, MODBUS)
    assert plant.counter("crowded") == 1
    assert len(plant.plain.peers) == 2
    first.close()
    third = eventually(lambda: not_refused(plant))
    assert exchange(second, b"read") == exchange(third, b"read") == b"read"
    assert is_full(plant)


def test_a_slot_is_free_again_when_a_grant_is_withdrawn(plant: Plant) -> None:
    """The client does nothing at all."""
    limit(plant, connections=1)
    opened = plant.open(42)
    client = connected(plant)
    assert is_full(plant)
    plant.cut(opened)
    assert is_reset(client)
    plant.open(43)
    eventually(lambda: not is_full(plant))


def test_the_kernel_path_and_the_worker_share_the_slots(plant: Plant) -> None:
    """One count for both: whoever comes first."""
    limit(plant, connections=2)
    plant.proxy()
    plant.open(42)
    kept = connected(plant)
    held = plant.gate.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 42 | UPSTREAM_BIT)
    held.settimeout(2)
    held.connect((PLC, MODBUS))
    assert is_full(plant)
    assert plant.dial(42 | UPSTREAM_BIT, PLC) == "ConnectionRefusedError"
    assert plant.control.event(FlowsRefused, source=GATE).reason == Reason.ASSET_FULL.value
    kept.close()
    eventually(lambda: plant.dial(42 | UPSTREAM_BIT, PLC) == "connected")
    held.close()
    eventually(lambda: not is_full(plant))


def test_a_safety_critical_flow_takes_a_slot_and_is_never_refused_one(plant: Plant) -> None:
    """People are refused behind it, it is not refused behind people."""
    limit(plant, SAFETY, connections=1)
    proxy = plant.proxy()
    plant.open(42, overlay=SAFETY, port=80)
    dialled = [plant.scada.connect(SAFETY, MODBUS) for _ in range(2)]
    assert [exchange(client, b"read") for client in dialled] == [b"read", b"read"]
    with pytest.raises(ConnectionRefusedError):
        plant.user.connect(SAFETY, 80)
    assert plant.control.event(FlowsRefused, source=USER).reason == Reason.ASSET_FULL.value
    proxy.process.kill()
    proxy.process.wait()
    dialled = [plant.scada.connect(SAFETY, MODBUS) for _ in range(2)]
    assert [exchange(client, b"read") for client in dialled] == [b"read", b"read"]
    assert plant.safety.open >= 2


def test_rulesets_do_not_forget_who_is_connected(plant: Plant) -> None:
    """Whatever else changes in them; and a limit that is taken away is gone."""
    limit(plant, connections=2)
    plant.open(42)
    kept = [connected(plant), connected(plant)]
    for _ in range(3):
        plant.apply()
    assert is_full(plant)
    limit(plant, connections=3)
    assert not is_full(plant)
    limit(plant)
    kept += [connected(plant) for _ in range(4)]
    assert all(exchange(client, b"read") == b"read" for client in kept)


def test_new_connections_in_a_period_are_limited(plant: Plant) -> None:
    """A bucket of three that is refilled one each second; the worker draws from the same one."""
    limit(plant, opens=Rate(count=3, period_s=3))
    plant.proxy()
    plant.open(42)
    began = time.monotonic()
    opened = 0
    while time.monotonic() - began < 2.5:
        opened += not is_full(plant)
        time.sleep(0.02)
    took_s = time.monotonic() - began
    assert 3 <= opened <= 3 + took_s
    assert plant.control.event(FlowsRefused, source=USER).reason == Reason.ASSET_FULL.value
    eventually(lambda: not is_full(plant))  # it took the only one there is; the next one comes in a second
    assert is_full(plant)
    assert plant.dial(42 | UPSTREAM_BIT, PLC) == "ConnectionRefusedError"
    eventually(lambda: plant.dial(42 | UPSTREAM_BIT, PLC) == "connected")


def test_datagrams_and_other_assets_are_not_limited(plant: Plant) -> None:
    """A limit is on connections, and on one asset."""
    limit(plant, connections=1)
    UdpEcho(plant.plc, PLC)
    plant.open(42)
    plant.open(43, transport="udp", port=47808)
    plant.open(44, overlay=INSPECTED, port=80)
    kept = connected(plant)
    for _ in range(3):
        client = plant.user.socket(kind=socket.SOCK_DGRAM)
        client.settimeout(2)
        client.connect((PLAIN, 47808))
        assert exchange(client, b"who-is") == b"who-is"
    with pytest.raises(ConnectionRefusedError):  # the asset itself says so
        plant.user.connect(INSPECTED, 80)
    assert plant.counter("crowded") == 0
    assert exchange(kept, b"read") == b"read"
