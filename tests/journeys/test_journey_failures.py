"""What happens when parts of the gate are killed, stopped, starved or fed with rubbish: seen from the plant."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from works import Works

from penstock.lab.modbus import Conversation, Refused
from penstock.lab.netns import Node

SET_POINT = 11
#: What an inspected safety-critical flow may miss: a second of the dead-man switch, the next look at it, dialling anew.
LONGEST_INTERRUPTION_S = 1.5
#: How often a full disk is filled again.
FILL_EVERY_S = 0.02
PROCESSES = ("enforcer", "control", "worker-1")


def wait_for_record(works: Works, *words: str, within_s: float = 10.0) -> list[dict[str, Any]]:
    works.gate.wait(lambda: bool(works.gate.search(*words)), f"a record {words}", within_s)
    return works.gate.search(*words)


def verified(works: Works) -> bool:
    key = works.gate.evidence / "evidence.pub"
    done = works.gate.command(
        "evidence", "verify", str(works.gate.evidence), "--key", str(key), station=works.plant.nodes["gate"]
    )
    assert done.status == 0, done.printed + done.said
    return True


def longest_gap_s(works: Works, since: float, target: str, watched_s: float = 3.0) -> float:
    """The longest time from `since` on without an answer, watched until there is one `watched_s` after it."""

    def answers() -> list[float]:
        lines = works.plant.polls("scada-1").lines()
        return [line["at"] for line in lines if line["ok"] and line["target"] == target and line["at"] >= since]

    deadline = time.monotonic() + 10
    while not (times := answers()) or times[-1] < since + watched_s:
        assert time.monotonic() < deadline, f"{target} answers no more: last at {times[-1:]}, watched from {since}"
        time.sleep(0.05)
    return max(later - sooner for sooner, later in pairwise([since, *times]))


def is_answered(node: Node, address: str) -> bool:
    with suppress(OSError, Refused), Conversation(node, address, 502, timeout_s=1.0) as talk:
        talk.read(SET_POINT)
        return True
    return False


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_comes_back_and_nothing_is_lost_or_opened(works: Works, name: str) -> None:
    rogue, overlay = works.plant.nodes["rogue-1"], works.plant.overlay("plc-dosing")
    before = time.time()
    old = works.gate.pid(name)
    assert old is not None
    os.kill(old, signal.SIGKILL)
    assert not is_answered(rogue, overlay)
    works.gate.wait(lambda: works.gate.pid(name) not in (None, old) and works.gate.is_ready(), f"{name} to be back", 20)
    works.gate.wait(lambda: works.plant.polls("historian-1").lines()[-1]["ok"], "the closed conduit to be back", 20)
    assert longest_gap_s(works, before, "plc-filter-1") < 1.0
    ended = wait_for_record(works, "--kind", "process.ended")
    assert [(one["detail"]["name"], one["detail"]["status"]) for one in ended] == [(name, -signal.SIGKILL)]
    assert not is_answered(rogue, overlay)
    works.gate.stop()
    assert verified(works)


def test_safety_critical_flows_are_inspected_from_the_gate_s_start(works: Works) -> None:
    """Also though their client dials without a pause while the gate starts."""
    found = wait_for_record(works, "--kind", "operations", "--subject", "scada-1")
    assert {one["asset"] for one in found} <= {"plc-filter-1", "plc-dosing"}
    opened = works.gate.search("--kind", "flow.opened", "--subject", "scada-1")
    assert [one for one in opened if one["detail"].get("path") == "kernel"] == []


def test_a_stopped_proxy_lets_the_safety_critical_flow_go_on_in_time_and_is_killed(
    works: Works,
) -> None:
    before = time.time()
    worker = works.gate.pid("worker-1")
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    works.gate.wait(lambda: works.gate.pid("worker-1") not in (None, worker), "a new worker", 10)
    works.gate.wait(works.gate.is_ready, "inspection to be back", 20)
    assert longest_gap_s(works, before, "plc-filter-1") < LONGEST_INTERRUPTION_S
    assert "heartbeat" in wait_for_record(works, "--kind", "process.ended")[0]["reason"]
    opened = wait_for_record(works, "--kind", "failed_open")
    assert opened[0]["detail"]["conduits"] == ["SCADA polls the filters"]
    assert wait_for_record(works, "--kind", "inspection.restored")[0]["detail"]["length_us"] > 0


def test_a_client_that_would_wait_for_ever_is_reset_when_the_proxy_stops_and_goes_on(works: Works) -> None:
    """Nobody's own time-out is needed: the worker's kernel has taken the request, so nothing is sent again."""
    scada, overlay = works.plant.nodes["scada-1"], works.plant.overlay("plc-filter-1")
    worker = works.gate.pid("worker-1")
    assert worker is not None
    with Conversation(scada, overlay, 502, timeout_s=20) as talk:
        talk.read(0)
        os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        assert talk.poll_until_cut(0, within_s=20) is not None
    with Conversation(scada, overlay, 502, timeout_s=20) as talk:
        talk.read(0)
        assert time.monotonic() - began < LONGEST_INTERRUPTION_S


@pytest.mark.parametrize("name", ["control", "enforcer"])
def test_a_stopped_control_or_enforcer_disturbs_no_flow_and_is_replaced(works: Works, name: str) -> None:
    before = time.time()
    stopped = works.gate.pid(name)
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    works.gate.wait(lambda: works.gate.pid(name) not in (None, stopped), f"a new {name}", 20)
    works.gate.wait(works.gate.is_ready, "the gate to be ready", 20)
    assert longest_gap_s(works, before, "plc-filter-1") < 1.0
    assert all(line["ok"] for line in works.plant.polls("historian-1").lines() if line["at"] > before)


def test_when_everything_is_killed_only_the_safety_critical_flow_goes_on(works: Works) -> None:
    assert works.gate.process is not None
    before = time.time()
    works.gate.process.kill()
    works.gate.process.wait()
    historian = works.plant.polls("historian-1")
    deadline = time.monotonic() + 10
    while historian.lines()[-1]["ok"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not historian.lines()[-1]["ok"]
    assert longest_gap_s(works, before, "plc-filter-1") < LONGEST_INTERRUPTION_S
    assert works.plant.polls("scada-1").lines()[-1]["ok"]
    works.gate.start()
    works.gate.wait(lambda: historian.lines()[-1]["ok"], "the closed conduit to be back", 20)
    works.gate.stop()
    assert verified(works)


def test_a_revoked_grant_ends_its_live_connection_and_opens_no_new_one(works: Works) -> None:
    with _connected(works) as (port, tunnel), Conversation(works.plant.nodes["eng-1"], "127.0.0.1", port) as talk:
        talk.read(SET_POINT)
        (grant,) = [one for one in works.gate.admin("GET", "/admin/grants")["grants"] if one["subject"] == "maria"]
        works.gate.admin("DELETE", f"/admin/grants/{grant['number']}")
        assert talk.poll_until_cut(SET_POINT, within_s=2) is not None
        assert tunnel.wait(15) != 0
    assert wait_for_record(works, "--kind", "grant.closed", "--subject", "maria")


class TestShortSessions:
    """A grant ends by itself."""

    @pytest.fixture
    def site_text(self, site_text: str) -> str:
        return site_text.replace("session: {length: 8h, idle: 15m}", "session: {length: 4s, idle: 4s}")

    def test_an_expired_grant_ends_its_live_connection(self, works: Works) -> None:
        with _connected(works) as (port, _), Conversation(works.plant.nodes["eng-1"], "127.0.0.1", port) as talk:
            assert talk.poll_until_cut(SET_POINT, within_s=8) is not None
        closed = wait_for_record(works, "--kind", "grant.closed", "--subject", "maria")
        assert closed[0]["reason"] == "grant_expired"


def test_another_protocol_on_the_port_is_closed_and_recorded(works: Works) -> None:
    historian, overlay = works.plant.nodes["historian-1"], works.plant.overlay("plc-dosing")
    connection = historian.connect(overlay, 502)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: plc\r\n\r\n")
    with suppress(ConnectionError):
        assert connection.recv(100) == b""
    connection.close()
    found = [one for one in wait_for_record(works, "--kind", "flow.closed") if one["reason"] == "wrong_protocol"]
    assert found[0]["subject"] == "historian-1"


def test_half_a_frame_that_never_ends_is_closed_and_others_go_on(works: Works) -> None:
    historian, overlay = works.plant.nodes["historian-1"], works.plant.overlay("plc-dosing")
    connection = historian.connect(overlay, 502, timeout_s=15)
    connection.sendall(bytes.fromhex("000100000006"))
    began = time.monotonic()
    with suppress(ConnectionError):
        assert connection.recv(100) == b""
    assert 3 < time.monotonic() - began < 12
    connection.close()
    assert works.plant.polls("historian-1").lines()[-1]["ok"]
    assert any(one["reason"] == "malformed" for one in wait_for_record(works, "--kind", "flow.closed"))


def test_silent_connections_to_the_tunnel_do_not_keep_an_engineer_out(works: Works) -> None:
    works.maria()
    rogue, address = works.plant.nodes["rogue-1"], works.plant.address("gate")
    silent = []
    for _ in range(400):
        with suppress(OSError):
            silent.append(rogue.connect(address, 8444, timeout_s=0.5))
    with _connected(works) as (port, _), Conversation(works.plant.nodes["eng-1"], "127.0.0.1", port) as talk:
        assert talk.read(SET_POINT) >= 0
    for connection in silent:
        connection.close()


def test_a_contradictory_site_document_is_refused_whole_and_the_last_revision_stays(works: Works) -> None:
    bad = works.folder / "bad.yaml"
    bad.write_text((works.folder / "site.yaml").read_text().replace("values: 0-550", "values: 550-0\n        x: 1"))
    revision = works.gate.status()["revision"]
    done = works.gate.command("revision", "apply", str(bad), station=works.plant.nodes["gate"])
    assert done.status == 2
    assert "bad.yaml:" in done.said
    assert "hint" in done.said
    assert works.gate.status()["revision"] == revision
    assert works.plant.polls("scada-1").lines()[-1]["ok"]


class TestFullDisk:
    """Evidence cannot be written: the declared failure mode decides."""

    def test_nothing_new_is_granted_while_safety_critical_polling_goes_on_and_refusals_are_recorded(
        self, works: Works
    ) -> None:
        maria = works.maria()
        works.gate.stop()
        _move_to_small_disk(works.gate.state_dir)
        works.gate.start()
        before = time.time()
        historian = works.plant.polls("historian-1")

        def is_seen() -> bool:
            return not works.gate.status().get("evidence", {}).get("is_healthy", True)

        with _kept_full(works.gate.state_dir / "filler"):
            works.gate.wait(is_seen, "the full disk to be seen", 20)
            refused = works.gate.command("connect", "plc-dosing", station=works.plant.nodes["eng-1"], person=maria)
            assert refused.status not in (0, None)
            assert "evidence" in refused.said or "disk is full" in refused.said
            works.gate.wait(lambda: not historian.lines()[-1]["ok"], "the closed conduit to be refused", 20)
        works.gate.wait(works.gate.is_ready, "evidence to be written again", 30)
        works.gate.wait(lambda: historian.lines()[-1]["ok"], "the closed conduit to be back", 20)
        assert longest_gap_s(works, before, "plc-filter-1") < LONGEST_INTERRUPTION_S
        refusals = wait_for_record(works, "--kind", "operation.refused", "--subject", "historian-1")
        assert {one["reason"] for one in refusals} == {"evidence_unavailable"}
        works.gate.stop()
        assert verified(works)


@contextmanager
def _kept_full(path: Path) -> Iterator[None]:
    """Whatever the gate gives back (its log's reserve, a journal of its database) is taken at once, as others would."""
    is_over = threading.Event()

    def fill() -> None:
        while not is_over.wait(FILL_EVERY_S):
            _fill(path)

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        yield
    finally:
        is_over.set()
        filling.join()
        path.unlink()


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
        with suppress(OSError):
            while True:
                file.write(b"\0" * 64)


def _move_to_small_disk(folder: Path) -> None:
    """Put the folder on a tmpfs of 24 MiB; mounts of this test are its own namespace's."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "penstock", str(folder)], check=True)
    subprocess.run(["cp", "-a", f"{aside}/.", str(folder)], check=True)


class _connected:  # noqa: N801  it reads as a verb
    """``penstock connect plc-dosing`` while the block runs: its local port and the program."""

    def __init__(self, works: Works) -> None:
        self._works = works

    def __enter__(self) -> tuple[int, subprocess.Popen[Any]]:
        maria = self._works.maria()
        self._tunnel = self._works.gate.connect(maria, "plc-dosing", self._works.plant.nodes["eng-1"])
        line = self._tunnel.stdout.readline()
        assert ":" in line, self._tunnel.stderr.read()
        return int(line.rpartition(":")[2]), self._tunnel

    def __exit__(self, *_: object) -> None:
        self._tunnel.terminate()
        self._tunnel.wait(10)
        self._tunnel.stdout.close()
        self._tunnel.stderr.close()
