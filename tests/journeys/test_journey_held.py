"""A second person, with a whole gate: real clients wait for what is held, and what nobody approves never arrives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from works import Works

from penstock.lab.gate import Done, Person
from penstock.lab.layout import GATE_ADDRESS, SITE_PATH
from penstock.lab.modbus import Conversation, Refused

DOSING = "100.64.10.12"
SET_POINT = 11
HOLD_S = 9
S7_PORT = 102
PASSWORD = "otto's own sentence"
PEER = Path(__file__).with_name("s7_download.py")
HELD = f"""    require: {{factors: two}}
    hold: [write]
    hold_for: {HOLD_S}s
"""
DOWNLOADS = """
  Operators load the dosing controller:
    from: {group: operators}
    to: {asset: plc-dosing}
    allow: {s7comm: [read, program_to_device]}
    require: {factors: two}
    hold: [program_to_device]
    hold_for: 25s
"""


@pytest.fixture
def site_text() -> str:
    """Operators come from a station by its address; what they write, and what they load, is held."""
    text = SITE_PATH.read_text().replace("    require: {factors: two, tls: true}\n", HELD)
    head, _, tail = text.rpartition("    services: {modbus: 502}\n")
    text = f"{head}    services: {{modbus: 502, s7comm: {S7_PORT}}}\n{tail}"
    claim = "may: write, on: plc-dosing, over: modbus, as: {group: operators, factors: two}, register: 11, value: 300"
    return text.replace("\ntests:\n", f"{DOWNLOADS}\ntests:\n  - {{{claim}, held: true}}\n")


class Desk:
    """Otto, who may approve, at a station of his own."""

    def __init__(self, works: Works) -> None:
        self.works, self.station = works, works.plant.nodes["historian-1"]
        self.otto: Person = works.gate.enrol("otto", "shift", PASSWORD, self.station)
        given = works.gate.command("role", "give", "otto", "approver", station=works.plant.nodes["gate"])
        assert given.status == 0, given.said
        done = works.gate.login(self.otto, self.station)
        assert done.status == 0, done.said

    def held(self, *words: str, person: Person | None = None) -> Done:
        who = person or self.otto
        station = self.station if who is self.otto else self.works.plant.nodes["eng-1"]
        return self.works.gate.command("held", *words, station=station, person=who)

    def waiting(self) -> list[dict[str, Any]]:
        done = self.held("ls", "--json")
        assert done.status == 0, done.said
        return list(json.loads(done.printed)["waiting"])

    def next_hold(self) -> dict[str, Any]:
        """What waits, once something does."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = self.waiting()
            return bool(found)

        self.works.gate.wait(is_there, "something to be held")
        (one,) = found
        return one


def granted(works: Works, service: str) -> None:
    """Maria's way to a service of the dosing controller, by the address of her station."""
    maria, station = works.maria(), works.plant.nodes["eng-1"]
    station.route("100.64.0.0/16", GATE_ADDRESS)
    token = json.loads((maria.home / "sign-in.json").read_text())["token"]
    body = {"asset": "plc-dosing", "binding": "address", "service": service}
    works.gate.api(station, "POST", "/api/grants", body, bearer=token)


def writing(works: Works, value: int) -> subprocess.Popen[str]:
    """Mbpoll at maria's station, on its way to write the dosing rate."""
    words = ["mbpoll", "-m", "tcp", "-0", "-1", "-o", "10", "-r", str(SET_POINT), DOSING, str(value)]
    return works.plant.nodes["eng-1"].popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def written(works: Works) -> list[list[int]]:
    """What the controller was told to write, as it says itself."""
    return [line["values"] for line in works.plant.writes("plc-dosing").lines() if "values" in line]


def records(works: Works, kind: str, count: int) -> list[dict[str, Any]]:
    works.gate.wait(lambda: len(works.gate.records(kind)) >= count, f"{count} records {kind}")
    found = works.gate.records(kind)
    assert len(found) == count
    return found


def test_a_write_waits_until_a_second_person_approves_it_and_without_one_it_is_refused(works: Works) -> None:
    granted(works, "modbus")
    desk = Desk(works)

    client = writing(works, 250)
    hold = desk.next_hold()
    assert (hold["subject"], hold["asset"]) == ("maria", "plc-dosing")
    assert "holding_registers 11" in hold["what"]
    assert "250" in hold["what"]
    assert client.poll() is None, "the client waits"
    assert written(works) == []
    own = desk.held("approve", hold["hold"], "--why", "my own", person=works.maria())
    assert own.status != 0
    approved = desk.held("approve", hold["hold"], "--why", "agreed by phone")
    assert approved.status == 0, approved.said
    said, _ = client.communicate(timeout=15)
    assert (client.returncode, "Written 1 reference" in said) == (0, True), said
    assert written(works) == [[250]]
    late = desk.held("refuse", hold["hold"], "--why", "too late")
    assert late.status != 0

    client = writing(works, 300)
    refused = desk.held("refuse", desk.next_hold()["hold"], "--why", "not while the filters are washed")
    assert refused.status == 0, refused.said
    said, _ = client.communicate(timeout=15)
    assert (client.returncode != 0, "Illegal function" in said) == (True, True), said

    client = writing(works, 350)
    desk.next_hold()
    said, _ = client.communicate(timeout=15)
    assert (client.returncode != 0, "busy" in said) == (True, True), said
    works.gate.wait(lambda: not desk.waiting(), "nothing to wait any more")
    assert written(works) == [[250]]

    held = records(works, "operation.held", 3)
    assert [each["subject"] for each in held] == ["maria"] * 3
    (record,) = [each for each in works.gate.records("operations") if each["subject"] == "maria"]
    (line,) = record["detail"]["operations"]
    assert (record["detail"]["flow"], line["hold"]) == (held[0]["detail"]["flow"], 1)
    assert line["approved_by"].startswith("otto")
    assert line["targets"][0]["values"] == [250]
    (decided,) = records(works, "operation.approved", 1)
    assert decided["detail"]["hold"] == hold["hold"]
    assert [each["reason"] for each in records(works, "operation.refused", 2)] == ["hold_refused", "hold_timed_out"]


def test_reads_that_come_later_wait_behind_a_held_write_and_other_connections_do_not(works: Works) -> None:
    granted(works, "modbus")
    desk = Desk(works)
    station = works.plant.nodes["eng-1"]
    request = bytes.fromhex("0007 0000 0006 01 06 000b 00fa")
    behind = bytes.fromhex("0008 0000 0006 01 03 000b 0001")
    with station.connect(DOSING, 502, 20.0) as one, Conversation(station, DOSING, 502) as other:
        one.sendall(request + behind)
        hold = desk.next_hold()
        assert other.read(SET_POINT) != 250, "another connection goes on"
        with pytest.raises(Refused):
            other.write(SET_POINT, 900)
        assert desk.held("approve", hold["hold"], "--why", "as planned").status == 0
        answer = b""
        while len(answer) < 12 + 11:
            answer += one.recv(64)
        assert answer == request + bytes.fromhex("0008 0000 0005 01 03 02 00fa"), "the read saw what was written"


def test_with_control_dead_the_worker_refuses_in_time_and_what_waits_is_shown_again_afterwards(works: Works) -> None:
    granted(works, "modbus")
    desk = Desk(works)
    client = writing(works, 250)
    desk.next_hold()
    control = works.gate.pid("control")
    assert control is not None
    os.kill(control, signal.SIGSTOP)
    try:
        said, _ = client.communicate(timeout=15)
        assert "busy" in said, said
    finally:
        os.kill(control, signal.SIGCONT)
    client = writing(works, 300)
    before = desk.next_hold()["hold"]
    os.kill(control, signal.SIGKILL)
    works.gate.wait(lambda: works.gate.pid("control") not in (None, control) and works.gate.is_ready(), "control", 20)
    found = [each["hold"] for each in desk.waiting()]
    client.communicate(timeout=15)
    assert found in ([before], []), "it is shown again, unless its time was over by then"
    assert written(works) == []
    reasons = {each["reason"] for each in works.gate.records("operation.refused")}
    assert reasons == {"hold_timed_out"}


def test_a_worker_that_dies_takes_what_it_held_with_it(works: Works) -> None:
    granted(works, "modbus")
    desk = Desk(works)
    client = writing(works, 250)
    hold = desk.next_hold()["hold"]
    worker = works.gate.pid("worker-1")
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    client.communicate(timeout=15)
    assert client.returncode != 0
    works.gate.wait(lambda: not desk.waiting(), "the hold to be withdrawn")
    assert desk.held("approve", hold, "--why", "too late").status != 0
    works.gate.wait(works.gate.is_ready, "a fresh worker", 20)
    with Conversation(works.plant.nodes["eng-1"], DOSING, 502, timeout_s=10) as talk:
        assert talk.read(SET_POINT) != 250
    assert written(works) == []


def test_a_download_into_a_controller_waits_for_a_second_person(works: Works) -> None:
    plc = works.plant.nodes["plc-dosing"].popen(
        [sys.executable, str(PEER), "serve", str(S7_PORT)], stdout=subprocess.PIPE, text=True
    )
    assert plc.stdout is not None
    assert plc.stdout.readline() == "ready\n"
    granted(works, "s7comm")
    desk = Desk(works)

    def loading() -> subprocess.Popen[str]:
        return works.plant.nodes["eng-1"].popen(
            [sys.executable, str(PEER), "load", DOSING, str(S7_PORT)], stdout=subprocess.PIPE, text=True
        )

    tool = loading()
    hold = desk.next_hold()
    shown = desk.held("show", hold["hold"], "--json")
    assert shown.status == 0, shown.said
    row = json.loads(shown.printed)
    assert (row["operation"], row["subject"]) == ("s7comm.program_to_device", "maria")
    assert desk.held("refuse", hold["hold"], "--why", "not this week").status == 0
    said, _ = tool.communicate(timeout=30)
    first, refused, after = said.splitlines()
    assert (first, after) == ("00" * 4, "00" * 8)
    assert refused.startswith("refused: ")

    tool = loading()
    approved = desk.held("approve", desk.next_hold()["hold"], "--why", "work order 4711")
    assert approved.status == 0, approved.said
    said, _ = tool.communicate(timeout=30)
    assert said.splitlines() == ["00" * 4, "c4c5c6c700010203"], "the controller fetched the block, part by part"
    plc.terminate()
    plc.wait(10)
