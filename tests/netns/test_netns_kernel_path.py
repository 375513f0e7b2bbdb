"""The kernel path under real traffic: what passes, what does not, and what is told about it."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest
from gate_plant import (
    BACNET,
    GATE,
    MODBUS,
    PLAIN,
    ROGUE,
    SAFETY,
    SAFETY_GRANT,
    SCADA,
    USER,
    Plant,
    UdpEcho,
    eventually,
    exchange,
    grant,
    is_cut,
    is_reset,
)

from penstock.model import (
    ApplyRuleset,
    CloseGrant,
    Done,
    Failed,
    FlowsRefused,
    KeepGrants,
    KernelFlowClosed,
    KernelFlowOpened,
    OpenGrant,
    SourceScanned,
)


def test_without_a_grant_nothing_passes_and_the_attempt_is_told(plant: Plant) -> None:
    """Deny by default: silence for the client, an event for control, nothing in the connection table."""
    with pytest.raises(TimeoutError):
        plant.user.connect(PLAIN, MODBUS, timeout_s=0.3)
    told = plant.control.event(FlowsRefused, source=USER)
    assert (told.destination, told.transport, told.port) == (PLAIN, "tcp", MODBUS)
    assert told.count >= 1
    assert plant.counter("refused") >= 1
    assert plant.connections() == []
    assert plant.plain.peers == []


def test_an_address_bound_grant_passes_and_the_asset_sees_the_gate_only(plant: Plant) -> None:
    """The flow goes through, translated at both ends, and is told with its counters when it closes."""
    plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"read") == b"read"
    assert plant.plain.peers == [GATE]
    opened = plant.control.event(KernelFlowOpened, grant=42)
    assert (opened.source, opened.overlay, opened.port, opened.has_failed_open) == (USER, PLAIN, MODBUS, False)
    assert opened.source_port == client.getsockname()[1]
    client.close()
    closed = plant.control.event(KernelFlowClosed, grant=42)
    assert closed.source_port == opened.source_port
    assert closed.packets >= 8
    assert closed.bytes > 8 * 40


def test_a_grant_admits_its_own_source_only(plant: Plant) -> None:
    """Another machine cannot use it."""
    plant.open(42)
    with pytest.raises(TimeoutError):
        plant.rogue.connect(PLAIN, MODBUS, timeout_s=0.3)
    assert plant.control.event(FlowsRefused, source=ROGUE).count >= 1


def test_a_grant_for_datagrams_passes_and_ends(plant: Plant) -> None:
    """UDP: answers come back while the grant lives, and no datagram arrives after it."""
    controller = UdpEcho(plant.plc, "192.168.10.50")
    opened = plant.open(43, transport="udp", port=BACNET)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.settimeout(1)
    client.connect((PLAIN, BACNET))
    client.send(b"who-is")
    assert client.recv(100) == b"who-is"
    assert controller.peers == [GATE]
    plant.cut(opened)
    client.settimeout(0.3)
    client.send(b"write")
    with pytest.raises(TimeoutError):
        client.recv(100)
    assert len(controller.peers) == 1


def test_a_grant_expires_by_itself(plant: Plant) -> None:
    """The enforcer is not needed for it: it is killed first.  No request that leaves after its time is answered."""
    before_s = time.monotonic()
    plant.open(42, ttl_ms=1500)
    opened_s = left_s = time.monotonic()
    client = plant.user.connect(PLAIN, MODBUS)
    plant.kill_enforcer()
    answered_s = 0.0
    while not is_cut(client):
        answered_s, left_s = left_s, time.monotonic()
        assert answered_s - opened_s < 1.55
        time.sleep(0.002)
    assert answered_s > 0
    assert time.monotonic() - before_s >= 1.45


def test_an_expired_idle_flow_is_closed_at_both_ends(plant: Plant) -> None:
    """The controller gets its slot back though nobody sends anything."""
    plant.open(42, ttl_ms=1000)
    client = plant.user.connect(PLAIN, MODBUS)
    assert is_reset(client, 5)
    eventually(lambda: plant.plain.open == 0)


def test_opening_again_replaces_the_time_that_is_left(plant: Plant) -> None:
    """A renewed grant lives on, a shortened one ends."""
    plant.open(42, ttl_ms=1000)
    client = plant.user.connect(PLAIN, MODBUS)
    plant.open(42, ttl_ms=60_000)
    assert not is_reset(client, timeout_s=1.3)
    client.settimeout(2)
    assert exchange(client, b"read") == b"read"
    plant.open(42, ttl_ms=200)
    assert is_reset(client)


def test_a_new_number_replaces_the_old_one_of_the_same_service(plant: Plant) -> None:
    """Opening under a new number while the old one is still there takes the service over."""
    replaced = plant.open(42)
    plant.open(44)
    client = plant.user.connect(PLAIN, MODBUS)
    assert plant.control.event(KernelFlowOpened).grant == 44
    plant.cut(replaced)
    assert exchange(client, b"read") == b"read"
    plant.user.connect(PLAIN, MODBUS).close()


def test_withdrawing_cuts_a_busy_flow_at_once(plant: Plant) -> None:
    """No request that is sent after the answer to `CloseGrant` is answered."""
    opened = plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    for _ in range(20):
        assert exchange(client, b"read") == b"read"
    plant.cut(opened)
    count = len(plant.plain.received)
    assert is_cut(client)
    assert len(plant.plain.received) == count
    eventually(lambda: plant.plain.open == 0)


def test_withdrawing_closes_an_idle_flow_at_both_ends(plant: Plant) -> None:
    """Nobody sends, and both ends still learn of it; the connection is forgotten."""
    opened = plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    eventually(lambda: plant.plain.open == 1)
    plant.cut(opened)
    assert is_reset(client)
    eventually(lambda: plant.plain.open == 0)
    eventually(lambda: plant.connections() == [])
    assert plant.control.event(KernelFlowClosed).grant == 42


def test_withdrawing_twice_and_the_unknown_is_done(plant: Plant) -> None:
    """What is gone stays gone, without an error."""
    opened = plant.open(42)
    plant.cut(opened)
    plant.cut(opened)
    assert plant.control.ask(CloseGrant(grant=grant(99))) == Done()


def test_keeping_cuts_every_other_grant(plant: Plant) -> None:
    """After a restart of control only the listed grants go on."""
    plant.open(42)
    plant.open(45, source=ROGUE)
    kept, cut = plant.user.connect(PLAIN, MODBUS), plant.rogue.connect(PLAIN, MODBUS)
    plant.control.do(KeepGrants(numbers=(42,)))
    assert is_reset(cut)
    assert exchange(kept, b"read") == b"read"


def test_a_restarted_enforcer_disturbs_nothing_and_knows_what_is_open(plant: Plant) -> None:
    """A flow goes on over the restart, and its grant can be withdrawn by the next enforcer."""
    opened = plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    plant.kill_enforcer()
    assert exchange(client, b"read") == b"read"
    plant.start_enforcer()
    assert exchange(client, b"read") == b"read"
    plant.cut(opened)
    assert is_reset(client)
    with pytest.raises(TimeoutError):
        plant.user.connect(PLAIN, MODBUS, timeout_s=0.3)


def test_what_expired_while_no_enforcer_was_there_is_closed_by_the_next_one(plant: Plant) -> None:
    """The kernel has stopped its packets; its idle ends, and a fixed source port, are free once somebody is there."""
    plant.open(42, ttl_ms=2000)
    plant.open(43, ttl_ms=2000, transport="udp", port=BACNET)
    UdpEcho(plant.plc, "192.168.10.50", BACNET)
    client = plant.user.connect(PLAIN, MODBUS)
    asking = plant.user.socket(kind=socket.SOCK_DGRAM)
    asking.settimeout(2)
    asking.bind((USER, BACNET))
    asking.connect((PLAIN, BACNET))
    assert exchange(asking, b"who-is") == b"who-is"
    plant.kill_enforcer()
    eventually(lambda: "elements" not in plant.gate.run(["nft", "list", "set", "inet", "penstock", "live"]))
    plant.start_enforcer()
    assert is_reset(client)
    eventually(lambda: plant.plain.open == 0)
    eventually(lambda: plant.connections() == [])
    plant.open(44, transport="udp", port=BACNET)
    assert exchange(asking, b"who-is") == b"who-is"


def test_a_second_control_is_refused_and_the_next_one_after_the_first_is_not(plant: Plant) -> None:
    """One control at a time; when its link closes, everything stays and the next one commands."""
    plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    first, second = plant.control, plant.connected()
    assert second is not None
    assert isinstance(second.ask(KeepGrants(numbers=())), Failed)
    first.close()
    eventually(lambda: second.ask(KeepGrants(numbers=(42,))) == Done())
    plant.control = second
    assert exchange(client, b"read") == b"read"


def test_a_removed_standing_flow_is_cut(plant: Plant) -> None:
    """A new ruleset without it ends its open flow, idle or not."""
    plant.let_standing_begin()
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    assert plant.control.event(KernelFlowOpened).grant == SAFETY_GRANT
    plant.apply(standing=())
    assert is_reset(client)
    eventually(lambda: plant.safety.open == 0)
    with pytest.raises(TimeoutError):
        plant.scada.connect(SAFETY, MODBUS, timeout_s=0.3)


def test_replacing_the_ruleset_loses_nothing(plant: Plant) -> None:
    """50 replacements under traffic: every datagram and every request is answered, no connection is cut."""
    plant.let_standing_begin()
    UdpEcho(plant.plc, "192.168.10.50")
    plant.open(42)
    plant.open(43, transport="udp", port=BACNET)
    tcp = plant.user.connect(PLAIN, MODBUS)
    standing = plant.scada.connect(SAFETY, MODBUS)
    udp = plant.user.socket(kind=socket.SOCK_DGRAM)
    udp.connect((PLAIN, BACNET))
    udp.settimeout(1)
    is_done, lost, answered = threading.Event(), [], 0

    def traffic() -> None:
        nonlocal answered
        while not is_done.is_set():
            for client in (tcp, standing, udp):
                try:
                    client.send(b"read")
                    assert client.recv(100) == b"read"
                    answered += 1
                except (OSError, AssertionError) as error:
                    lost.append(error)
                    return

    talking = threading.Thread(target=traffic)
    talking.start()
    for _ in range(50):
        plant.apply()
    is_done.set()
    talking.join()
    assert lost == []
    assert answered > 500


def test_a_forged_hardware_address_is_refused(plant: Plant) -> None:
    """A machine that takes a declared machine's address gets nowhere, and is told of."""
    plant.scada.ip("link set eth0 down")
    plant.rogue.ip(f"addr add {SCADA}/24 dev eth0")
    thief = plant.rogue.socket()
    thief.settimeout(0.3)
    thief.bind((SCADA, 0))
    with pytest.raises(TimeoutError):
        thief.connect((SAFETY, MODBUS))
    assert plant.counter("forged") >= 1
    assert plant.control.event(FlowsRefused, source=SCADA).count >= 1
    assert plant.safety.peers == []


def test_routing_through_the_gate_to_an_underlay_address_is_refused(plant: Plant) -> None:
    """Whoever knows an asset's own address cannot use the gate as a router, with or without a grant."""
    plant.open(42)
    plant.user.ip(f"route add 192.168.10.50/32 via {GATE}")
    with pytest.raises(TimeoutError):
        plant.user.connect("192.168.10.50", MODBUS, timeout_s=0.3)
    assert plant.control.event(FlowsRefused, destination="192.168.10.50").count >= 1
    assert plant.plain.peers == []
    assert plant.connections() == []


def test_a_flood_of_refused_attempts_leaves_no_connection_and_is_counted(plant: Plant) -> None:
    """10,000 attempts: none in the connection table, all in the counter, and others are still heard."""
    flood = plant.rogue.socket(kind=socket.SOCK_DGRAM)
    for number in range(10_000):
        flood.sendto(b"x", (PLAIN, 1024 + number % 5000))
    with pytest.raises(TimeoutError):
        plant.user.connect(PLAIN, MODBUS, timeout_s=0.3)
    assert plant.counter("refused") >= 10_000
    assert plant.connections() == []
    assert plant.control.event(SourceScanned, source=ROGUE).count >= 1
    assert plant.control.event(FlowsRefused, source=USER).count >= 1


@pytest.mark.parametrize("port", [15002, 15999, 22])
def test_the_gates_own_ports_are_not_reachable_from_the_plant(plant: Plant, port: int) -> None:
    """Neither the worker's listener nor the heartbeat nor what is not declared answers on the leg."""
    plant.gate.listen("0.0.0.0", port)
    with pytest.raises(TimeoutError):
        plant.user.connect(GATE, port, timeout_s=0.3)
    assert plant.control.event(FlowsRefused, destination=GATE, port=port).count >= 1


def test_the_portal_answers_on_the_leg(plant: Plant) -> None:
    """Declared ports are open, for machines that are assets themselves as well."""
    plant.gate.listen(GATE, 8443)
    plant.user.connect(GATE, 8443).close()
    plant.plc.connect(GATE, 8443).close()


def test_a_ruleset_that_nft_refuses_changes_nothing(plant: Plant) -> None:
    """The answer says why, and the old rules go on."""
    plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    answer = plant.control.ask(ApplyRuleset(ruleset=replace(plant.ruleset, overlay="0.0.0.0/0; accept")))
    assert isinstance(answer, Failed)
    assert "not usable as IPv4 network" in answer.why
    assert exchange(client, b"read") == b"read"


def test_a_grant_before_the_first_ruleset_fails_with_a_reason(plant: Plant) -> None:
    """Without a table there is nothing to open, and an enforcer that was told no ruleset has none to put back."""
    plant.kill_enforcer()
    plant.gate.run(["nft", "delete", "table", "inet", "penstock"])
    plant.start_enforcer()
    answer = plant.control.ask(OpenGrant(grant=grant(42), ttl_ms=1000))
    assert isinstance(answer, Failed)
    assert "No such file" in answer.why
