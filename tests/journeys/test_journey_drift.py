"""A flushed table and a control that is killed again and again: seen from the plant and in the evidence."""

from __future__ import annotations

import json
import os
import signal
import time
from itertools import pairwise

from works import Works

FILTER = "plc-filter-1"


def asked(works: Works, *words: str) -> tuple[int, str]:
    socket = str(works.gate.run_dir / "admin.sock")
    done = works.gate.command(*words, "--socket", socket, station=works.plant.nodes["gate"])
    return done.status, done.printed


def polls(works: Works, since: float) -> list[float]:
    lines = works.plant.polls("scada-1").lines()
    return [line["at"] for line in lines if line["ok"] and line["target"] == FILTER and line["at"] >= since]


def test_a_flushed_ruleset_is_back_before_anybody_misses_it(works: Works) -> None:
    """Verified equal, flushed, put right and recorded; polling goes on, inspected, by the same worker."""
    assert asked(works, "kernel", "verify")[0] == 0
    worker, before = works.gate.pid("worker-1"), time.time()
    works.plant.nodes["gate"].run(["nft", "flush", "ruleset"])
    works.gate.wait(lambda: bool(works.gate.records("kernel.corrected")), "the correction on record")
    drifted = works.gate.records("kernel.drifted")
    assert len(drifted) == 1
    assert "the table inet penstock is gone" in drifted[0]["detail"]["differences"]
    assert drifted[0]["detail"]["by"].startswith("nft (pid ")
    works.gate.wait(lambda: any(at > before + 3 for at in polls(works, before)), "three seconds of polling", 20)
    gap_s = max(later - sooner for sooner, later in pairwise([before, *polls(works, before)]))
    assert gap_s < 1.5, f"{gap_s:.3f} s without an answer"
    assert works.gate.pid("worker-1") == worker
    assert works.gate.records("failed_open") == []
    status, printed = asked(works, "kernel", "verify", "--json")
    assert (status, json.loads(printed)["differences"]) == (0, [])
    assert "as it was told" in asked(works, "status")[1]


def test_killing_control_again_and_again_leaves_no_operation_out_of_the_evidence(works: Works) -> None:
    """As many polls as the controller answered are on record, and the evidence is whole."""
    for _ in range(3):
        old = works.gate.pid("control")
        assert old is not None
        os.kill(old, signal.SIGKILL)
        works.gate.wait(lambda old=old: works.gate.pid("control") not in (None, old), "a new control", 20)
        works.gate.wait(works.gate.is_ready, "the gate to be ready", 20)
    ended = time.time()
    works.gate.wait(lambda: bool(polls(works, ended)), "a poll afterwards")
    answered = [at for at in polls(works, 0) if at <= ended]
    works.gate.stop()
    recorded = [
        said["detail"]["from_us"] + row[0]
        for said in works.gate.records("operations")
        if (said["subject"], said["asset"]) == ("scada-1", FILTER)
        for row in said["detail"]["rows"]
    ]
    assert len(answered) > 30
    under_way = len([at for at in recorded if at <= ended * 1e6]) - len(answered)
    assert 0 <= under_way <= 1, "asked before this moment and answered after it"
    key = works.gate.evidence / "evidence.pub"
    words = ("evidence", "verify", str(works.gate.evidence), "--key", str(key))
    verified = works.gate.command(*words, station=works.plant.nodes["gate"])
    assert verified.status == 0, verified.said
