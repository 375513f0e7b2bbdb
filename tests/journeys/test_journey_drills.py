"""Drills and the way back into inspection on the real gate: seen from the plant, the register and the evidence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from works import Works

from penstock.lab.gate import Done
from penstock.lab.modbus import Conversation

SAFETY, CLOSED, PEOPLE = "SCADA polls the filters", "The historian archives the dosing", "Operators set the dosing rate"
PLAN = "    drill: {window: always, every: 90d}\n"
WEEK = "mon, tue, wed, thu, fri, sat, sun"
WINDOWS = f'windows:\n  always: {{days: [{WEEK}], from: "00:00", to: "00:00", timezone: UTC}}\ntests:\n'


@pytest.fixture
def site_text(site_text: str) -> str:
    """The demo's site, whose conduits may be drilled at any time."""
    for name in (SAFETY, CLOSED, PEOPLE):
        site_text = site_text.replace(f"  {name}:\n", f"  {name}:\n{PLAN}")
    return site_text.replace("tests:\n", WINDOWS)


def penstock(works: Works, *words: str) -> Done:
    return works.gate.command(*words, station=works.plant.nodes["gate"])


def shown(works: Works, conduit: str) -> dict[str, Any]:
    done = penstock(works, "failures", conduit, "--json")
    assert done.status == 0, done.said
    answer: dict[str, Any] = json.loads(done.printed)
    return answer


def polls(works: Works, poller: str, since: float, until: float) -> list[bool]:
    return [line["ok"] for line in works.plant.polls(poller).lines() if since <= line["at"] < until]


def wait_for_both(works: Works) -> None:
    """Both of SCADA's connections are up: what does not flow is not drilled."""

    def are_up() -> bool:
        lines = works.plant.polls("scada-1").lines()
        last = {line["target"]: line["ok"] for line in lines}
        inspected = [one["asset"] for one in works.gate.records("flow.opened") if one.get("subject") == "scada-1"]
        return last == {"plc-filter-1": True, "plc-dosing": True} and set(inspected) == set(last)

    works.gate.wait(are_up, "both of SCADA's connections")


def test_a_drill_of_the_open_conduit_passes_and_the_plant_hardly_notices(works: Works) -> None:
    wait_for_both(works)
    before = time.time()
    done = penstock(works, "drill", SAFETY, "--for", "4s")
    after = time.time()
    assert (done.status, done.printed.splitlines()[0]) == (0, "result    passed"), done.printed + done.said
    (started,), (ended,) = works.gate.records("drill.started"), works.gate.records("drill.ended")
    assert started["seq"] < ended["seq"]
    assert {one["asset"] for one in ended["detail"]["exercised"]} == {"plc-filter-1", "plc-dosing"}
    for one in ended["detail"]["exercised"]:
        assert 0 < one["failover_us"] < 1_500_000
        assert 0 < one["return_us"] < 1_500_000
        assert one["passed"] >= 1
    assert polls(works, "historian-1", before, after).count(False) == 0, "it is not drilled"
    assert polls(works, "scada-1", before, after).count(False) <= 4, (
        "one poll at the cut and one at the return, each way"
    )
    works.gate.wait(lambda: shown(works, SAFETY)["intervals"][0]["ended_at"] is not None, "the interval to end")
    (interval,) = shown(works, SAFETY)["intervals"]
    passed = sum(one["passed"] for one in ended["detail"]["exercised"])
    assert (interval["cause"], interval["flows"], interval["live_flows"]) == ("drill", passed, 0)
    polled = len(polls(works, "scada-1", before + 1, before + 4))
    assert interval["packets"] > polled, "what passed uninspected is counted"
    assert shown(works, SAFETY)["drills"][0]["result"] == "passed"
    (row,) = [one for one in works.gate.admin("GET", "/admin/failures")["conduits"] if one["conduit"] == SAFETY]
    assert (row["is_drill_overdue"], row["interval"], row["approved_by"]) == (False, None, "safety.officer@riverside")


def test_a_drill_of_the_closed_conduit_lets_nothing_pass_and_inspection_is_back_after_it(works: Works) -> None:
    before = time.time()
    done = penstock(works, "drill", CLOSED, "--for", "3s")
    assert (done.status, done.printed.splitlines()[:2]) == (0, ["result    passed", "passed    nothing"]), done.said
    (ended,) = works.gate.records("drill.ended")
    assert ended["detail"]["refused"] >= 5, "the historian tried again each 200 ms"
    cut, back = ended["detail"]["began_at_us"] / 1e6 + 0.3, ended["detail"]["began_at_us"] / 1e6 + 3
    assert polls(works, "historian-1", cut, back)
    assert not any(polls(works, "historian-1", cut, back))
    works.gate.wait(lambda: bool(works.plant.polls("historian-1").lines()[-1]["ok"]), "the historian to be answered")
    assert all(polls(works, "scada-1", before, time.time())), "a conduit that is not drilled notices nothing"


def test_a_drill_cuts_a_person_s_live_session_and_lets_nothing_pass(works: Works) -> None:
    maria, engineering = works.maria(), works.plant.nodes["eng-1"]
    tunnel = works.gate.connect(maria, "plc-dosing", engineering)
    port = int(tunnel.stdout.readline().rpartition(":")[2])
    try:
        with Conversation(engineering, "127.0.0.1", port) as talk:
            talk.read(11)
            drill = works.plant.nodes["gate"].popen(
                _command("drill", PEOPLE, "--for", "3s", "--json"), environment=works.gate.environment(None), **_PIPES
            )
            assert talk.poll_until_cut(11, within_s=3) is not None
            printed, said = drill.communicate(timeout=40)
        assert json.loads(printed)["result"] == "passed", said
        with Conversation(engineering, "127.0.0.1", port) as talk:
            assert talk.read(11) >= 0, "her grant goes on after the drill"
    finally:
        tunnel.terminate()
        tunnel.wait(10)
        tunnel.stdout.close()
        tunnel.stderr.close()


def test_a_drill_is_ended_by_ctrl_c_and_by_a_real_failure_at_once(works: Works) -> None:
    def begun() -> Any:
        drill = works.plant.nodes["gate"].popen(
            _command("drill", SAFETY, "--for", "30s"), environment=works.gate.environment(None), **_PIPES
        )
        works.gate.wait(lambda: _unattended(works) > 0, "the cut")
        return drill

    drill = begun()
    assert penstock(works, "drill", CLOSED).status == 2, "one at a time"
    os.kill(drill.pid, signal.SIGINT)
    printed, said = drill.communicate(timeout=20)
    assert drill.returncode == 130, said
    assert "why       stopped by uid" in printed
    assert _unattended(works) == 0
    works.gate.wait(lambda: shown(works, SAFETY)["intervals"][0]["ended_at"] is not None, "the interval to end")
    drill = begun()
    worker = works.gate.pid("worker-1")
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    printed, said = drill.communicate(timeout=20)
    assert drill.returncode == 1, said
    assert "inspection really died" in printed
    assert _unattended(works) == 0


def test_the_kernel_ends_a_drill_by_itself_when_control_dies_and_control_says_so_when_it_is_back(works: Works) -> None:
    drill = works.plant.nodes["gate"].popen(
        _command("drill", SAFETY, "--for", "3s"), environment=works.gate.environment(None), **_PIPES
    )
    works.gate.wait(lambda: _unattended(works) > 0, "the cut")
    control = works.gate.process
    assert control is not None
    stopped = [works.gate.pid(name) for name in ("control", "enforcer")]
    supervisor = control.pid
    os.kill(supervisor, signal.SIGSTOP)  # or it would start them again at once
    for pid in stopped:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 8
    while _unattended(works) > 0:
        assert time.monotonic() < deadline, "the kernel did not end it"
        time.sleep(0.1)
    os.kill(supervisor, signal.SIGCONT)
    drill.communicate(timeout=30)
    works.gate.wait(works.gate.is_ready, "the gate to be ready again", 30)
    (ended,) = works.gate.records("drill.ended")
    assert (ended["detail"]["result"], ended["detail"]["why"]) == ("aborted", "control was started anew meanwhile")
    works.gate.wait(lambda: shown(works, SAFETY)["intervals"][0]["ended_at"] is not None, "the interval to end", 20)


def test_what_failed_open_goes_on_until_it_is_restored_and_the_register_says_so(works: Works) -> None:
    wait_for_both(works)
    worker = works.gate.pid("worker-1")
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    works.gate.wait(lambda: works.gate.pid("worker-1") not in (None, worker) and works.gate.is_ready(), "a worker", 20)
    works.gate.wait(lambda: shown(works, SAFETY)["intervals"][0]["live_flows"] == 2, "both flows to be counted")
    (interval,) = shown(works, SAFETY)["intervals"]
    assert (interval["cause"], interval["ended_at"]) == ("worker_killed", None)
    assert interval["inspected_again_at"] is not None
    assert SAFETY in works.gate.status()["uninspected"]
    assert "OPEN since" in penstock(works, "failures").printed
    before = time.time()
    done = penstock(works, "failures", "restore", SAFETY)
    assert done.status == 0, done.said
    assert done.said.count("reset 1 flow of scada-1 to plc-") == 2
    works.gate.wait(lambda: bool(works.gate.records("conduit.inspected_again")), "the first inspected flow")
    assert 0 < works.gate.records("conduit.inspected_again")[0]["detail"]["after_us"] < 1_500_000
    (back,) = works.gate.records("conduit.stood_back")
    assert (back["detail"]["by"], back["detail"]["why"]) == (f"uid {os.getuid()}", "restored")
    works.gate.wait(lambda: shown(works, SAFETY)["intervals"][0]["ended_at"] is not None, "the interval to end")
    (interval,) = shown(works, SAFETY)["intervals"]
    assert (interval["flows"], interval["live_flows"]) == (2, 0)
    assert interval["packets"] > 10
    (ended,) = works.gate.records("failed_open.ended")
    assert (ended["detail"]["packets"], ended["detail"]["cause"]) == (interval["packets"], "worker_killed")
    assert works.gate.status()["uninspected"] == {}
    assert polls(works, "scada-1", before, time.time()).count(False) <= 2, "each flow is dialled anew once"
    assert penstock(works, "failures", "restore", SAFETY).status == 2, "there is nothing to restore any more"


def test_an_open_interval_is_told_truly_though_everything_was_killed_while_it_lasted(works: Works) -> None:
    wait_for_both(works)
    before = time.time()
    assert works.gate.process is not None
    works.gate.process.kill()
    works.gate.process.wait()
    works.gate.process = None
    deadline = time.monotonic() + 10
    while not all(polls(works, "scada-1", time.time() - 1, time.time()) or [False]):
        assert time.monotonic() < deadline, "the safety-critical flows do not go on"
        time.sleep(0.1)
    works.gate.start()
    works.gate.wait(lambda: len(shown(works, SAFETY)["intervals"]) == 1, "the interval to be found")
    works.gate.wait(lambda: shown(works, SAFETY)["intervals"][0]["live_flows"] == 2, "its flows to be counted")
    (interval,) = shown(works, SAFETY)["intervals"]
    assert interval["ended_at"] is None
    assert before - 1 <= interval["began_at_us"] / 1e6 <= before + 3, "it began when the gate died"
    assert interval["packets"] > 10
    assert [one for one in works.gate.records("flow.opened") if one["detail"].get("was_found")]


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "penstock", *words]


_PIPES: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


def _unattended(works: Works) -> int:
    """How many grants the kernel keeps out of inspection."""
    listed = json.loads(works.plant.nodes["gate"].run(["nft", "-j", "list", "set", "inet", "penstock", "unattended"]))
    return len(listed["nftables"][-1]["set"].get("elem", []))
