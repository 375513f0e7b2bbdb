"""Grants that are bound to a station: whose they are, and what breaks them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from control_world import SITE, STATION, World, play

from penstock.control import Arrival, SignInKind, local_proof
from penstock.control.neighbours import neighbours_in, router_in
from penstock.model import (
    Decision,
    Factor,
    FlowsRefused,
    Reason,
    Record,
    RecordKind,
    Subject,
    SubjectKind,
    Traffic,
    TrafficCounted,
)

ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
10.20.0.50       0x1         0x2         02:00:00:00:00:5A     *        ens18
10.20.0.51       0x1         0x0         00:00:00:00:00:00     *        ens18
10.20.0.1        0x1         0x6         02:00:00:00:00:01     *        ens18
"""
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
ens18\t00000000\t0100140A\t0003\t0\t0\t0\t00000000\t0\t0\t0
ens18\t0000140A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
ens18\t00001E0A\t0200140A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def reasons(world: World) -> list[str | None]:
    return [record.reason for record in world.recorder.of(RecordKind.GRANT_CLOSED)]


def test_the_kernel_and_the_evidence_know_the_station(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        assert world.enforcer.open[grant.number].station_mac == "02:00:00:00:00:50"
        (opened,) = [r for r in world.recorder.of(RecordKind.GRANT_OPENED) if r.subject == "ada"]
        assert opened.detail["station"] == "02:00:00:00:00:50"

    play(world, scenario)


def test_where_the_gate_sees_no_hardware_address_nothing_is_bound_to_it(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        world.stations[STATION] = None
        refusal = await world.ask(sign_in)
        assert isinstance(refusal, Decision)
        assert "penstock connect" in refusal.misses[0].remedy

    play(world, scenario)


def test_packets_of_another_machine_end_what_is_bound_to_the_station(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        here, there = await world.open(sign_in), await world.open(sign_in, source="10.20.0.51")
        for reason, is_ended in ((Reason.GRANT_UNKNOWN, False), (Reason.STATION_CHANGED, True)):
            world.gate.stations.refused(
                FlowsRefused(
                    source=STATION,
                    destination="100.64.10.11",
                    transport="tcp",
                    port=502,
                    count=1,
                    at_us=0,
                    reason=reason.value,
                )
            )
            await world.gate.sweep()
            assert (here.number not in world.enforcer.open) is is_ended
        assert there.number in world.enforcer.open
        assert reasons(world) == [Reason.STATION_CHANGED.value]

    play(world, scenario)


def test_whoever_asks_again_from_a_changed_station_gets_a_grant_that_is_bound_to_the_new_one(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        before = await world.open(sign_in)
        assert (await world.open(sign_in)).number == before.number
        world.stations[STATION] = "02:00:00:00:00:99"
        after = await world.open(sign_in)
        assert after.number != before.number
        assert before.number not in world.enforcer.open
        assert after.station_mac == "02:00:00:00:00:99"

    play(world, scenario)


@pytest.mark.parametrize("kind", [SignInKind.PORTAL, SignInKind.CLIENT])
def test_somebody_else_who_signs_in_from_the_station_breaks_it(world: World, kind: SignInKind) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada")
        await world.enrol("bob")
        ada = await world.sign_in("ada")
        here, there = await world.open(ada), await world.open(ada, source="10.20.0.51")
        for name, is_ended in (("ada", False), ("bob", True)):
            subject = Subject(name=name, kind=SubjectKind.PERSON, factors=frozenset({Factor.PASSWORD, Factor.TOTP}))
            arrival = Arrival(kind=kind, source=STATION)
            await world.gate.sign_ins.admit(local_proof(subject, world.clock()), arrival)
            assert (here.number not in world.enforcer.open) is is_ended
        assert there.number in world.enforcer.open
        assert world.machine("scada-1").number in world.workers.grants
        assert reasons(world) == [Reason.STATION_CHANGED.value]

    play(world, scenario)


def test_a_station_that_nobody_uses_loses_its_grant_and_one_in_use_does_not(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        idle = await world.open(sign_in)
        busy = await world.open(sign_in, source="10.20.0.51")
        inspected = await world.open(sign_in, source="10.20.0.52")
        for packets in range(1, 17):
            world.clock.pass_s(60)
            open_now = {busy.number: Traffic(flows=1, packets=packets), idle.number: Traffic(flows=1, packets=1)}
            world.gate.events.records_of(TrafficCounted(open=open_now, at_us=world.clock.wall_us, is_all=True))
            world.gate.passed(
                Record(kind=RecordKind.OPERATIONS, at_us=world.clock.wall_us, grant=inspected.number, subject="ada")
            )
            await world.gate.sweep()
            assert {busy.number, inspected.number} <= world.enforcer.open.keys()
            assert (idle.number in world.enforcer.open) is (packets * 60 < 16 * 60), packets
        assert reasons(world) == [Reason.STATION_IDLE.value]

    play(world, scenario)


def test_a_conduit_that_demands_better_refuses_the_station_and_says_why(world: World) -> None:
    async def scenario(world: World) -> None:
        site = SITE.replace("require: {factors: two}", "require: {factors: two, binding: certificate}")
        site = site.partition("tests:")[0]
        await world.start({"site.yaml": site})
        refusal = await world.ask(await world.signed_in())
        assert isinstance(refusal, Decision)
        assert refusal.reason is Reason.BINDING_TOO_WEAK
        assert "weakest" in refusal.misses[0].found

    play(world, scenario, is_started=False)


@pytest.mark.parametrize(
    ("address", "router"), [("10.20.0.77", None), ("10.30.1.2", "10.20.0.2"), ("8.8.8.8", "10.20.0.1")]
)
def test_the_most_specific_route_says_which_router_stands_before_a_station(address: str, router: str | None) -> None:
    found = router_in(ROUTES, IPv4Address(address))
    assert found == (None if router is None else IPv4Address(router))


def test_only_neighbours_that_have_answered_count() -> None:
    assert neighbours_in(ARP) == {"10.20.0.50": "02:00:00:00:00:5a", "10.20.0.1": "02:00:00:00:00:01"}
