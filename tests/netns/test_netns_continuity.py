"""Restarts, upgrades and replaced rulesets cost the kernel path nothing: datagrams are numbered, TCP counts."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gate_plant import (
    BACNET,
    INSPECTED,
    MODBUS,
    PLAIN,
    SAFETY,
    Plant,
    UdpEcho,
    eventually,
    exchange,
    is_reset,
)

from penstock.lab.stream import Stream, watched
from penstock.model import ApplyRuleset, Inspected, KeepGrants, KernelDrifted, Verified, VerifyKernel


@pytest.fixture
def stream(plant: Plant) -> Stream:
    """Grants for TCP and UDP, and a stream over them."""
    plant.let_standing_begin()
    UdpEcho(plant.plc, "192.168.10.50")
    plant.open(42)
    plant.open(43, transport="udp", port=BACNET)
    udp = plant.user.socket(kind=socket.SOCK_DGRAM)
    udp.connect((PLAIN, BACNET))
    return Stream(udp=udp, tcp=plant.user.connect(PLAIN, MODBUS))


def take_up(plant: Plant) -> None:
    """What control tells an enforcer that has joined."""
    plant.control.do(ApplyRuleset(ruleset=plant.ruleset))
    plant.control.do(KeepGrants(numbers=(42, 43)))


def kill(plant: Plant) -> None:
    plant.kill_enforcer()


def stop(plant: Plant) -> None:
    plant.enforcer.send_signal(signal.SIGTERM)
    plant.enforcer.wait(10)
    plant.control.close()


def test_the_stream_sees_a_gap_where_there_is_one(plant: Plant, stream: Stream) -> None:
    """The instrument itself: the enforcer is away, and the table drops for a moment."""

    def drop_for_a_moment() -> None:
        plant.kill_enforcer()
        time.sleep(0.2)
        plant.gate.run(["nft", "insert", "rule", "inet", "penstock", "forward", "drop"])
        time.sleep(0.1)
        first = plant.gate.run(["nft", "-a", "list", "chain", "inet", "penstock", "forward"]).split("handle ")[2]
        plant.gate.run(["nft", "delete", "rule", "inet", "penstock", "forward", "handle", first.split()[0]])
        time.sleep(0.5)

    suffered = watched(stream, drop_for_a_moment)
    assert suffered.lost > 10
    assert suffered.sent_again >= 1
    assert suffered.longest_udp_gap_s > 0.1
    assert suffered.longest_tcp_gap_s > 0.1


@pytest.mark.parametrize("end", [kill, stop], ids=["killed", "stopped in order"])
def test_an_enforcer_that_ends_and_comes_back_loses_no_packet(
    plant: Plant, stream: Stream, end: Callable[[Plant], None]
) -> None:
    """Five times; what was granted while it was away from the kernel's point of view never stopped."""

    def again_and_again() -> None:
        for _ in range(5):
            end(plant)
            time.sleep(0.1)
            plant.start_enforcer()
            take_up(plant)

    suffered = watched(stream, again_and_again)
    assert (suffered.lost, suffered.sent_again) == (0, 0)
    assert suffered.sent > 500
    assert suffered.answered > 500


def test_an_upgrade_that_declares_its_table_differently_loses_no_packet_and_no_grant(
    plant: Plant, stream: Stream
) -> None:
    """The other version has a chain and a set of its own, and other sizes: its table is replaced in one transaction."""
    folder = Path(__file__).parents[2] / "penstock"
    other = plant._folder / "other"
    shutil.copytree(folder, other / "penstock")
    chains = other / "penstock/kernel/chains.py"
    text = chains.read_text()
    later = '    "later": "type filter hook prerouting priority 5; policy accept;",\n'
    text = text.replace("CHAINS = {\n", "CHAINS = {\n" + later)
    live = '"live": "set type mark; flags timeout; size '
    text = text.replace(live + "262144", live + "99999")
    assert text != chains.read_text()
    chains.write_text(text)

    def upgrade_and_back() -> None:
        for path in (str(other), ""):
            stop(plant)
            plant.start_enforcer(code=path)
            take_up(plant)

    suffered = watched(stream, upgrade_and_back)
    assert (suffered.lost, suffered.sent_again) == (0, 0)
    listed = plant.gate.run(["nft", "-t", "list", "table", "inet", "penstock"])
    assert "later" not in listed
    assert "99999" not in listed
    answer = plant.control.ask(VerifyKernel())
    assert isinstance(answer, Verified)
    assert answer.differences == ()


def test_twenty_rulesets_lose_no_packet(plant: Plant, stream: Stream) -> None:
    def replace_them() -> None:
        for _ in range(20):
            plant.apply()

    suffered = watched(stream, replace_them)
    assert (suffered.lost, suffered.sent_again) == (0, 0)
    assert suffered.sent > 200


def test_a_table_that_is_replaced_as_a_whole_loses_no_packet_and_no_grant(plant: Plant, stream: Stream) -> None:
    """Somebody adds a chain ten times; each correction deletes the table and brings it back, elements included."""

    def disturb() -> None:
        for _ in range(4):
            plant.gate.run(["nft", "add", "chain", "inet", "penstock", "mine"])
            assert plant.control.event(KernelDrifted).is_corrected

    suffered = watched(stream, disturb)
    assert (suffered.lost, suffered.sent_again) == (0, 0)
    answer = plant.control.ask(VerifyKernel())
    assert isinstance(answer, Verified)
    assert answer.differences == ()


def test_a_service_that_is_inspected_from_now_on_keeps_no_uninspected_flow(plant: Plant) -> None:
    """Control ends the grant and opens another: the flow on the kernel path is cut, and the next dial is inspected."""
    plant.let_standing_begin()
    plant.apply(inspected=tuple(each for each in plant.ruleset.inspected if each.overlay != SAFETY))
    worker = plant.proxy()
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    assert worker.sessions == []
    plant.apply(
        inspected=(
            Inspected(overlay=INSPECTED, transport="tcp", port=MODBUS),
            Inspected(overlay=SAFETY, transport="tcp", port=MODBUS),
        ),
        standing=tuple(replace(each, grant=9) for each in plant.ruleset.standing),
    )
    assert is_reset(client)
    eventually(lambda: plant.safety.open == 0)
    again = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(again, b"read") == b"read"
    eventually(lambda: worker.sessions)
