"""Many grants are withdrawn at once: in one transaction, with both ends of their flows, and nothing else."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from gate_plant import INSPECTED, MODBUS, PLAIN, Plant, eventually, exchange, grant, is_cut, is_reset

from penstock.model import GRANT_MASK, CloseGrants, KeepGrants, OpenGrant

HELD = 10_000
FIRST = 1000


def test_flows_that_opened_faster_than_they_were_read_are_closed_with_their_grant(plant: Plant) -> None:
    """The enforcer hears of the withdrawal before it has heard of most of them; nobody sends anything."""
    opened = plant.open(42)
    plant.enforcer.send_signal(signal.SIGSTOP)
    clients = [plant.user.connect(PLAIN, MODBUS) for _ in range(600)]
    asking = threading.Thread(target=plant.cut, args=(opened,))
    asking.start()
    time.sleep(0.1)  # the command waits there when the enforcer goes on
    plant.enforcer.send_signal(signal.SIGCONT)
    asking.join()
    assert all(is_reset(client, 10) for client in clients)
    eventually(lambda: plant.plain.open == 0, 10)
    eventually(lambda: plant.connections() == [], 10)


@pytest.fixture
def crowded(plant: Plant) -> Plant:
    """A gate that holds ten thousand grants of other sources."""
    for number in range(FIRST, FIRST + HELD):
        source = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        plant.control.do(OpenGrant(grant=grant(number, source=source), ttl_ms=600_000))
    return plant


def listed(plant: Plant, name: str) -> int:
    """How many elements a set or map of the table holds."""
    kind = "set" if name in ("live", "dials") else "map"
    return plant.gate.run(["nft", "list", kind, "inet", "penstock", name]).count("expires")


def test_idle_flows_of_both_paths_are_reset_at_both_ends_and_others_go_on(plant: Plant) -> None:
    plant.proxy()
    cut = [plant.open(11), plant.open(12, overlay=INSPECTED), plant.open(13, source=None)]
    rogue = plant.open(14, source="192.168.10.66")
    on_kernel = plant.user.connect(PLAIN, MODBUS)
    inspected = plant.user.connect(INSPECTED, MODBUS)
    other = plant.rogue.connect(PLAIN, MODBUS)
    for flow in (on_kernel, inspected, other):
        assert exchange(flow, b"read") == b"read"
    plant.control.do(CloseGrants(numbers=(*(each.number for each in cut), 99)))
    assert is_reset(on_kernel)
    assert is_reset(inspected)
    eventually(lambda: (plant.plain.open, plant.inspected.open) == (1, 0))
    assert exchange(other, b"more") == b"more"
    eventually(lambda: not {11, 12} & {entry.mark & GRANT_MASK for entry in plant.connections()})
    assert rogue.number in {entry.mark & GRANT_MASK for entry in plant.connections()}
    plant.control.do(CloseGrants(numbers=tuple(each.number for each in cut)))
    assert exchange(other, b"still") == b"still"


def test_ten_thousand_grants_are_cut_by_one_command_and_only_those(crowded: Plant) -> None:
    busy = crowded.open(11)
    flow = crowded.user.connect(PLAIN, MODBUS)
    crowded.open(12, source="192.168.10.66")
    assert exchange(flow, b"read") == b"read"
    assert listed(crowded, "live") == HELD + 2
    crowded.control.do(CloseGrants(numbers=(*range(FIRST, FIRST + HELD), busy.number)))
    assert is_cut(flow)
    assert listed(crowded, "live") == 1
    eventually(lambda: [listed(crowded, name) for name in ("grants", "dials")] == [1, 1])
    assert exchange(crowded.rogue.connect(PLAIN, MODBUS), b"read") == b"read"


def test_some_that_have_expired_meanwhile_do_not_keep_the_others(plant: Plant) -> None:
    plant.open(11, ttl_ms=30)
    plant.open(12, source="192.168.10.66")
    flow = plant.rogue.connect(PLAIN, MODBUS)
    assert exchange(flow, b"read") == b"read"
    eventually(lambda: listed(plant, "live") == 1)
    plant.control.do(CloseGrants(numbers=(11, 12)))
    assert is_cut(flow)
    assert listed(plant, "live") == 0


def test_after_a_restart_of_both_what_is_not_named_is_cut_together(plant: Plant) -> None:
    plant.open(11)
    plant.open(12, source="192.168.10.66")
    user, rogue = plant.user.connect(PLAIN, MODBUS), plant.rogue.connect(PLAIN, MODBUS)
    assert exchange(user, b"a") == exchange(rogue, b"a") == b"a"
    plant.kill_enforcer()
    plant.start_enforcer()
    plant.control.do(KeepGrants(numbers=()))
    assert is_reset(user)
    assert is_reset(rogue)
    assert listed(plant, "live") == 0
    eventually(lambda: [listed(plant, name) for name in ("grants", "dials")] == [0, 0])


def test_a_controller_is_told_also_when_the_table_has_reset_the_worker_s_own_socket(plant: Plant) -> None:
    """What the worker writes after the cut resets its socket, without a word to the controller.

    The controller had nothing more to say, and would hold its place for ever.
    """
    proxy = plant.proxy()
    opened = plant.open(11, overlay=INSPECTED)
    flow = plant.user.connect(INSPECTED, MODBUS)
    assert exchange(flow, b"read") == b"read"
    time.sleep(0.1)  # the controller's last answer is acknowledged
    proxy.signal(signal.SIGSTOP)
    flow.sendall(b"write")
    eventually(lambda: plant.gate.run(["ss", "-Htn", "state", "established"]).count(f"{INSPECTED}:502"))
    plant.gate.run(["nft", "delete", "element", "inet", "penstock", "live", "{ 0xb }"])
    proxy.signal(signal.SIGCONT)
    eventually(lambda: plant.gate.run(["ss", "-Htn", "state", "established"]).count("192.168.10.51:502") == 0)
    assert plant.inspected.open == 1, "nobody has told the controller"
    plant.cut(opened)
    eventually(lambda: plant.inspected.open == 0)
    assert b"write" not in plant.inspected.received
