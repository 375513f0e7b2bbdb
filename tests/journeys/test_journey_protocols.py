"""Real clients and real servers of every protocol with a whole gate between them: what each of them sees, and knows.

The words in which the clients show a refusal, and which clients they are, stand in docs/reference/protocols/peers.json
for the table in the documents; ``PENSTOCK_REGENERATE=1`` writes it anew from what happened.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from protocol_cases import CASES, REASONS, Case
from protocol_hall import (
    DNP3,
    DNP3_PEER,
    ENIP,
    IEC104,
    MODBUS,
    SERVERS,
    SITE,
    STATION,
    Hall,
    Server,
    of_overlay,
    peer,
    shown,
)

from penstock.lab.gate import LabGate
from penstock.lab.layout import GATE_ADDRESS

PEERS = Path(__file__).parents[2] / "docs/reference/protocols/peers.json"
#: opendnp3 comes in the source of pydnp3 0.1.0 and says so in its CMakeLists.txt.
OPENDNP3 = "2.2.1"
#: What a client over UDP does and may: two reads and a write.
UNENDED = 3
READY_WITHIN_S, RECORDED_WITHIN_S = 60.0, 10.0


def missing() -> dict[Server, str]:
    """Peers that this machine lacks, with what to do about it."""
    found = {DNP3: "opendnp3: run scripts/test-peers"} if not DNP3_PEER.exists() else {}
    return found | ({IEC104: "c104: there is none for this machine"} if find_spec("c104") is None else {})


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> tuple[Server, ...]:
    """The controllers that a test needs: those that it names, or all that there are; where CI is set none may lack."""
    lacks = missing()
    if lacks and os.environ.get("CI"):
        pytest.fail(f"peers are missing: {', '.join(lacks.values())}")
    return tuple(getattr(request, "param", [server for server in SERVERS if server not in lacks]))


@pytest.fixture
def plant(tmp_path: Path, servers: tuple[Server, ...]) -> Iterator[Hall]:
    """The servers, started."""
    with Hall.laid(tmp_path, servers) as hall:
        yield hall


@pytest.fixture
def gate(tmp_path: Path, plant: Hall, servers: tuple[Server, ...], empty_state: Path) -> Iterator[LabGate]:
    """One gate in front of all of them; it is ready, and so are they."""
    made = LabGate(node=plant.nodes["gate"], folder=tmp_path, site=SITE, address=GATE_ADDRESS)
    made.state_dir.mkdir(mode=0o700)
    shutil.copy(empty_state, made.state_dir / "state.db")
    try:
        made.start()
        for server in servers:
            made.wait(lambda server=server: plant.is_up(server), f"{server.name} to listen", READY_WITHIN_S)
        yield made
    finally:
        made.stop()


def test_the_real_client_of_each_protocol_shows_its_own_error_and_goes_on_on_the_same_connection(
    gate: LabGate, plant: Hall, servers: tuple[Server, ...]
) -> None:
    """All at once, each on its own; what is wrong with one does not hide what is wrong with another."""
    plant.nodes[ENIP.name].run(peer("enip", "fill", ENIP.address, ENIP.port))
    cases = [case for case in CASES if case.server in servers]
    clients = {case.protocol: plant.client(case.words) for case in cases}
    said = {case.protocol: case.understood(shown(clients[case.protocol], case.typed)) for case in cases}
    wrong: dict[str, list[str]] = {}
    for case in cases:
        wait_for_the_end(gate, case)
        found = [*seen_wrong(case, said[case.protocol]), *recorded_wrong(case, gate), *reached_wrong(case, plant)]
        if found:
            wrong[case.protocol] = found
    assert not wrong, json.dumps(wrong, indent=1)
    expect_in_document({case.protocol: described(case, said[case.protocol]) for case in cases})
    if lacks := missing():
        pytest.skip(f"all others are as they should be; {', '.join(lacks.values())}")


def seen_wrong(case: Case, said: dict[str, Any]) -> list[str]:
    """What the client saw and should not have, or the other way round."""
    wrong = [
        f"the client {what} {said[what]!r}, not {wanted!r}"
        for what, wanted in (("read", case.read), ("again", case.again))
        if said[what] != wanted
    ]
    wrong += [
        f"a forbidden {kind} is shown as {said['refused'][kind]!r}, not as {words!r}"
        for kind, words in case.shows.items()
        if said["refused"][kind] != words
    ]
    if said["before"] != said["after"] or (case.has_end and not said["before"]):
        wrong.append(f"connections before {said['before']}, after {said['after']}")
    return wrong


def wait_for_the_end(gate: LabGate, case: Case) -> None:
    """Until everything that happened in the client's flows is on record."""

    def is_told() -> bool:
        if case.has_end:
            return len(gate.search("--asset", case.server.name, "--kind", "flow.closed")) >= case.flows
        return len(gate.search("--asset", case.server.name, "--kind", "operations", "--operations")) >= UNENDED

    gate.wait(is_told, f"the end of {case.protocol} on record", RECORDED_WITHIN_S)


def recorded_wrong(case: Case, gate: LabGate) -> list[str]:
    """What the evidence does not say, or says too much."""
    records = gate.search("--asset", case.server.name)
    flows = [each for each in records if each["kind"] == "flow.opened"]
    refused = [each for each in records if each["kind"] == "operation.refused"]
    found = {each["reason"]: (each["operation"], *named(each["detail"])) for each in refused}
    wanted = {REASONS[kind]: operation for kind, operation in case.refused.items()}
    wrong = [
        f"refused for {why}: {found.get(why)}, not {what}"
        for why, what in wanted.items()
        if found.get(why, ())[: len(what)] != what
    ]
    if len(refused) != len(REASONS):
        wrong.append(f"{len(refused)} refusals on record")
    if len(flows) != case.flows:
        wrong.append(f"{len(flows)} flows on record, not {case.flows}")
    if any(each["subject"] != STATION for each in flows + refused):
        wrong.append("a record without its subject")
    endings = {each["detail"]["ending"] for each in records if each["kind"] == "flow.closed"}
    if not endings <= {"client", "asset"} or bool(endings) is not case.has_end:
        wrong.append(f"flows ended by {endings}")
    written = [written for each in records if each["kind"] == "operations" for written in answered(each["detail"])]
    if case.write not in written:
        wrong.append(f"{case.write} is not among the answered operations {written}")
    return wrong


def named(operation: dict[str, Any]) -> tuple[str, str, int, list[Any] | None]:
    """An operation's name, and the first of its objects with its values."""
    first = next(iter(operation["targets"]), {"table": "", "first": 0, "values": None})
    return operation["name"], first.get("name") or first["table"], first["first"], first.get("values")


def answered(detail: dict[str, Any]) -> list[tuple[str, str, int, list[Any] | None]]:
    """The operations of one record that the asset answered without an error, with the first of their objects."""
    operations = detail["operations"]
    return [(operations[row[1]]["operation"], *named(operations[row[1]])[1:]) for row in detail["rows"] if not row[3]]


def reached_wrong(case: Case, plant: Hall) -> list[str]:
    """What the asset itself says that it was told to do, and should not, or the other way round."""
    reached = case.reached(plant.told(case.server))
    return [] if reached == case.reaches else [f"the asset got {reached}, not {case.reaches}"]


def described(case: Case, said: dict[str, Any]) -> dict[str, Any]:
    """What the documents tell of this case."""
    return {"client": release(case.client), "asset": release(case.asset), "shows": said["refused"]}


def release(name: str) -> str:
    """A peer with its version."""
    return f"{name} {OPENDNP3 if name == 'opendnp3' else version(name)}"


def expect_in_document(found: dict[str, Any]) -> None:
    """The documents say what has just happened."""
    if os.environ.get("PENSTOCK_REGENERATE") == "1":
        assert not missing(), "the document tells of all peers"
        PEERS.write_text(json.dumps(found, indent=1) + "\n")
    said = json.loads(PEERS.read_text())
    assert {name: said.get(name) for name in found} == found
    assert set(said) == {case.protocol for case in CASES}


@pytest.mark.parametrize("servers", [[MODBUS]], ids=["mbpoll"], indirect=True)
def test_mbpoll_shows_an_exception_and_polls_on(gate: LabGate, plant: Hall) -> None:
    """Two devices in turn on one connection: the conduit allows the first, the second is refused each time."""
    address = of_overlay(MODBUS)
    polling = plant.client(["mbpoll", "-m", "tcp", "-a", "1,2", "-0", "-r", "12", "-t", "4", "-l", "50", address])
    assert polling.stdout is not None
    lines: list[str] = []
    while sum("[12]" in line for line in lines) < 3:
        line = polling.stdout.readline()
        assert line, f"mbpoll ended: {lines} {polling.communicate()}"
        lines.append(line)
    polling.send_signal(2)
    rest, errors = polling.communicate(timeout=10)
    refused = (rest + errors + "".join(lines)).count("failed: Illegal data address")
    assert refused >= 2, (lines, errors)
    assert {line.split()[1] for line in lines if "[12]" in line} == {"600"}
    for value, says in (("310", ""), ("900", "Illegal data value")):
        done = write_with_mbpoll(plant, address, value)
        assert says in done.stderr + done.stdout
        assert (done.returncode == 0) == (not says)
    gate.wait(lambda: len(gate.search("--asset", MODBUS.name, "--kind", "flow.closed")) == 3, "three flows on record")
    reasons = [each["reason"] for each in gate.search("--asset", MODBUS.name, "--kind", "operation.refused")]
    assert set(reasons) == {"object_out_of_range", "value_out_of_range"}
    assert '"values": [310]' in plant.told(MODBUS)
    assert "900" not in plant.told(MODBUS)


def write_with_mbpoll(plant: Hall, address: str, value: str) -> subprocess.CompletedProcess[str]:
    program = plant.client(["mbpoll", "-m", "tcp", "-a", "1", "-0", "-r", "11", "-t", "4", "-1", address, value])
    said, errors = program.communicate(timeout=10)
    return subprocess.CompletedProcess(program.args, program.returncode, said, errors)
