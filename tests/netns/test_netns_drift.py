"""Somebody else changes what the kernel holds: it is noticed, told and put right, and nothing passes in between."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from contextlib import suppress

import pytest
from gate_plant import BACNET, INSPECTED, MODBUS, PLAIN, SAFETY, Plant, UdpEcho, eventually, exchange

from penstock.kernel import render
from penstock.kernel.elements import Elements, grant_keys
from penstock.lab.netns import Node
from penstock.model import KernelDrifted, OpenGrant, Verified, VerifyKernel, WorkerTripped


def nft(plant: Plant, *words: str) -> None:
    """What an administrator, a boot script or an intruder on the gate could do."""
    plant.gate.run(["nft", *words])


def verified(plant: Plant) -> Verified:
    answer = plant.control.ask(VerifyKernel())
    assert isinstance(answer, Verified), answer
    return answer


def drifted(plant: Plant, *words: str) -> KernelDrifted:
    """The event after this change; it must have been put right by then."""
    nft(plant, *words)
    event = plant.control.event(KernelDrifted)
    assert event.is_corrected
    assert re.search(r"nft \(pid \d+\)", event.by)
    assert verified(plant).differences == ()
    return event


def test_a_kernel_as_it_was_told_differs_in_nothing(plant: Plant) -> None:
    """Also with grants, with traffic that counts and logs, and after another ruleset; all of it is compared."""
    plant.open(42)
    plant.open(43, overlay=INSPECTED, source=None)
    plant.proxy()
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"read") == b"read"
    with pytest.raises(TimeoutError):
        plant.rogue.connect(PLAIN, MODBUS, timeout_s=0.2)
    first = verified(plant)
    assert first.differences == ()
    plant.open(44)
    assert verified(plant).checked == first.checked + 2  # it takes the service over from 42, whose key it has now
    plant.apply(assets=plant.ruleset.assets[:2], standing=())
    assert verified(plant).differences == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["add", "rule", "inet", "penstock", "refuse", "accept"], "chain refuse: rule that is not ours: accept"),
        (["insert", "rule", "inet", "penstock", "forward", "accept"], "chain forward: rule that is not ours: accept"),
        (["flush", "chain", "inet", "penstock", "refuse"], "chain refuse: missing rule: drop"),
        (["add", "element", "inet", "penstock", "assets", "{ 100.64.9.9 : 192.168.10.50 }"], "set assets"),
        (["delete", "element", "inet", "penstock", "underlay", "{ 192.168.10.50 }"], "set underlay"),
        (
            ["add", "element", "inet", "penstock", "live", "{ 0x00000063 timeout 1h }"],
            "set live: element 0x00000063 is not ours",
        ),
        (
            ["add", "element", "inet", "penstock", "grants", "{ 192.168.10.66 . 100.64.0.50 . tcp . 502 : 0x2a }"],
            "set grants: element 192.168.10.66 . 100.64.0.50 . tcp . 502 is not ours",
        ),
        (["flush", "set", "inet", "penstock", "live"], "set live: element 0x0000002a is missing"),
        (
            ["add", "element", "inet", "penstock", "alive", "{ 0x10000001 timeout 1h }"],
            "set alive: element 0x10000001 counts as alive, but its switch was not armed",
        ),
        (["add", "chain", "inet", "penstock", "forward", "{ policy accept; }"], "chain forward: filter forward"),
        (["add", "chain", "inet", "penstock", "mine", "{ type filter hook input priority 5; }"], "chain mine is not"),
        (["add", "set", "inet", "penstock", "mine", "{ type mark; }"], "set mine is not ours"),
        (["add", "table", "inet", "penstock", "{ flags dormant; }"], "the table's flags are 0x1 instead of 0x0"),
        (["delete", "table", "inet", "penstock"], "the table inet penstock is gone"),
        (["flush", "ruleset"], "the table inet penstock is gone"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_each_foreign_change_is_named_and_put_right(plant: Plant, change: list[str], told: str) -> None:
    """Rules, chains, sets, elements, policies, flags, the table: who did it and what, and the kernel as before."""
    plant.open(42)
    before = plant.gate.run(["nft", "-s", "-t", "list", "table", "inet", "penstock"])
    event = drifted(plant, *change)
    assert any(told in difference for difference in event.differences), event.differences
    assert plant.gate.run(["nft", "-s", "-t", "list", "table", "inet", "penstock"]) == before
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"read") == b"read"
    with pytest.raises(TimeoutError):
        plant.rogue.connect(PLAIN, MODBUS, timeout_s=0.3)


def test_a_restored_table_is_the_one_that_a_fresh_kernel_would_have(plant: Plant) -> None:
    """Independent oracle: the compiled policy, loaded by nft into an empty network namespace, and listed there."""
    plant.let_standing_begin()
    nft(plant, "flush", "ruleset")
    assert plant.control.event(KernelDrifted).is_corrected
    fresh = Node("fresh")
    try:
        script = fresh.popen(["nft", "-f", "-"], stdin=-1, text=True)
        script.communicate(render(plant.ruleset))
        assert script.returncode == 0
        listing = ["nft", "-s", "list", "table", "inet", "penstock"]
        assert plant.gate.run(listing) == fresh.run(listing)
    finally:
        fresh.close()


def test_after_a_flush_everything_is_enforced_again_within_a_second_and_nothing_else_passed(plant: Plant) -> None:
    """Grants with the time they had left, and the poll of an open connection; a stranger tries all the while."""
    controller = UdpEcho(plant.plc, "192.168.10.50")
    plant.open(42, ttl_ms=60_000)
    plant.control.do(OpenGrant(grant=plant.open(43, transport="udp", port=BACNET), ttl_ms=60_000))
    client = plant.user.connect(PLAIN, MODBUS)
    client.settimeout(10)
    assert exchange(client, b"read") == b"read"
    intruder, is_over = plant.rogue.socket(kind=socket.SOCK_DGRAM), threading.Event()

    def try_everything() -> None:
        while not is_over.is_set():
            for address in (PLAIN, SAFETY):
                with suppress(OSError):
                    intruder.sendto(b"write", (address, BACNET))
            time.sleep(0.0005)

    trying = threading.Thread(target=try_everything)
    trying.start()
    try:
        nft(plant, "flush", "ruleset")
        flushed_at_us = time.time_ns() // 1000
        event = plant.control.event(KernelDrifted)
        took_s = (event.at_us - flushed_at_us) / 1e6
        assert took_s < 1.0, f"it took {took_s:.3f} s"
        assert exchange(client, b"read on") == b"read on"
    finally:
        is_over.set()
        trying.join()
    assert controller.peers == []
    left_s = {number: left_ms / 1000 for number, left_ms in live(plant).items()}
    assert left_s.keys() == {42, 43}
    assert all(50 < each < 60 for each in left_s.values())


def test_a_flush_does_not_trip_a_worker_that_beats(plant: Plant) -> None:
    """Its switch comes back with the time that it had left; the next dial is inspected, and nobody has tripped."""
    plant.let_standing_begin()
    worker = plant.proxy()
    nft(plant, "flush", "ruleset")
    plant.control.event(KernelDrifted)
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    eventually(lambda: worker.sessions)
    with pytest.raises(TimeoutError):
        plant.control.event(WorkerTripped, deadline_s=1.5)
    assert worker.process.poll() is None


def test_a_worker_that_hangs_is_not_saved_by_a_flush(plant: Plant) -> None:
    """The switch trips when it would have tripped without: putting the table back gives nobody more time."""
    plant.let_standing_begin()
    worker = plant.proxy()
    worker.signal(signal.SIGSTOP)
    stopped_at_us = time.time_ns() // 1000
    time.sleep(0.3)
    nft(plant, "flush", "ruleset")
    tripped = plant.control.event(WorkerTripped)
    assert 0.6e6 < tripped.at_us - stopped_at_us < 1.5e6
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    assert worker.sessions == []


def test_what_was_withdrawn_while_the_table_was_gone_does_not_come_back(plant: Plant) -> None:
    """Closing a grant that the kernel has lost must be remembered, too."""
    with plant.gate.entered():
        elements = Elements()
    try:
        opened = plant.open(42)
        elements.open_grant(opened, 60_000)
        plant.kill_enforcer()
        nft(plant, "flush", "ruleset")
        elements.close_grant(42, grant_keys(opened))
        assert {name: elements.told.of(name, time.monotonic()) for name in ("live", "grants", "dials")} == {
            "live": {},
            "grants": {},
            "dials": {},
        }
    finally:
        elements.close()


def test_parameters_and_policy_routing_are_put_right(plant: Plant) -> None:
    """They have no announcement of their own: the next look finds them, on demand here."""
    plant.gate.sysctl("net.ipv4.ip_forward", 0)
    plant.gate.ip("rule del priority 100", "route flush table 100")
    found = verified(plant).differences
    assert any("net/ipv4/ip_forward is 0 instead of 1" in each for each in found)
    assert "the routing rule of priority 100 is missing" in found
    assert "the route of table 100 is missing" in found
    assert plant.control.event(KernelDrifted).is_corrected
    assert verified(plant).differences == ()


def test_a_routing_rule_that_leads_elsewhere_is_not_taken_for_ours(plant: Plant) -> None:
    """With the same interface, mark and priority; it is replaced by nobody, but ours is there as well."""
    plant.gate.ip("rule del priority 100", "rule add iif eth0 fwmark 0x10000000/0x10000000 lookup 77 priority 100")
    assert "the routing rule of priority 100 is missing" in verified(plant).differences
    assert plant.control.event(KernelDrifted).is_corrected
    (left,) = verified(plant).differences
    assert left.startswith("foreign: routing rule priority 100")
    plant.gate.ip("rule del priority 100 lookup 77")
    assert verified(plant).differences == ()


def test_what_is_somebody_else_s_is_told_once_and_left_alone(plant: Plant) -> None:
    """A table that redirects overlay addresses, and a routing rule before ours."""
    nft(plant, "add table ip nat; add chain ip nat pre { type nat hook prerouting priority -110; }")
    nft(plant, "add rule ip nat pre ip daddr 100.64.0.50 dnat to 192.168.10.66")
    event = plant.control.event(KernelDrifted)
    assert event.differences == ("foreign: table ip nat, chain pre (nat prerouting priority -110)",)
    assert not event.is_corrected
    plant.gate.ip("rule add iif eth0 lookup 77 priority 50")
    found = verified(plant).differences
    assert len(found) == 2
    assert any(each.startswith("foreign: routing rule priority 50") for each in found)
    assert verified(plant).differences == found
    told = [each for each in plant.control.events if isinstance(each, KernelDrifted)]
    assert len(told) == 1
    nft(plant, "delete", "table", "ip", "nat")
    plant.gate.ip("rule del priority 50")
    assert verified(plant).differences == ()


def test_whoever_changes_rules_in_a_loop_does_not_keep_the_enforcer_busy(plant: Plant) -> None:
    """Corrections get rarer, the events say so, and grants are opened and closed meanwhile."""
    end = time.monotonic() + 6.0
    changes = 0
    while time.monotonic() < end:
        with suppress(Exception):
            nft(plant, "flush", "chain", "inet", "penstock", "refuse")
            changes += 1
        number = 100 + changes
        plant.cut(plant.open(number))
    assert changes > 20
    verified(plant)
    told = [each for each in plant.control.events if isinstance(each, KernelDrifted) and each.is_corrected]
    assert 3 <= len(told) <= 7, len(told)  # at 0, 0.1, 0.3, 0.7, 1.5, 3.1 and 5.1 s
    assert "corrections are" in told[-2].differences[-1], told
    eventually(lambda: verified(plant).differences == (), 10)


def live(plant: Plant) -> dict[int, int]:
    """The grants that live in the kernel, and the milliseconds that they have left."""
    with plant.gate.entered():
        elements = Elements()
    try:
        return elements.live()
    finally:
        elements.close()
