"""What happens when a worker is too late for its dead-man switch and nobody kills it: seen from the plant."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from works import Works

STALL_S = 1.6
BACK_WITHIN_S = 10.0


KINDS = {"failed_open", "failed_closed", "inspection.restored", "process.ended"}


def records(works: Works) -> list[dict[str, Any]]:
    """The records of these kinds, the oldest first."""
    words = [word for kind in sorted(KINDS) for word in ("--kind", kind)]
    return works.gate.search(*words)


def assert_replaced(works: Works, worker: int, before: int) -> None:
    """A fresh worker answers the closed conduit, and the evidence says what happened."""
    historian, resumed = works.plant.polls("historian-1"), time.time()

    def is_back() -> bool:
        last = historian.lines()[-1]
        return bool(last["ok"]) and last["at"] > resumed and works.gate.pid("worker-1") not in (None, worker)

    works.gate.wait(is_back, "the closed conduit to be answered by a fresh worker", BACK_WITHIN_S)
    works.gate.wait(works.gate.is_ready, "inspection to be back", BACK_WITHIN_S)
    works.gate.wait(
        lambda: {one["kind"] for one in records(works)[before:]} == KINDS, "the records of it", BACK_WITHIN_S
    )


def test_after_a_moment_in_which_the_whole_machine_stood_still_inspection_comes_back(works: Works) -> None:
    """The supervisor stood still as well, so it has seen no silence; the kernel's dead-man switch has tripped."""
    worker, supervisor, before = works.gate.pid("worker-1"), works.gate.process, len(records(works))
    assert worker is not None
    assert supervisor is not None
    for pid in (supervisor.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    os.kill(worker, signal.SIGCONT)
    time.sleep(0.4)  # it beats before the supervisor looks
    os.kill(supervisor.pid, signal.SIGCONT)
    assert_replaced(works, worker, before)


def test_a_switch_that_trips_unseen_by_its_worker_ends_it_also_after_a_restart_of_the_enforcer(works: Works) -> None:
    """Its beats were lost: it has not stood still for its own clock, nor for the supervisor's."""
    enforcer = works.gate.pid("enforcer")
    for is_restarted in (False, True):
        worker = works.gate.pid("worker-1")
        assert worker is not None
        if is_restarted:
            assert enforcer is not None
            os.kill(enforcer, signal.SIGKILL)
            works.gate.wait(lambda: works.gate.pid("enforcer") not in (None, enforcer), "a fresh enforcer")
            works.gate.wait(works.gate.is_ready, "the fresh enforcer to be synchronised", BACK_WITHIN_S)
            assert works.gate.pid("worker-1") == worker, "a worker that beats goes on"
        before = len(records(works))
        works.plant.nodes["gate"].run(["nft", "flush", "set", "inet", "penstock", "alive"])
        assert_replaced(works, worker, before)
        assert "the dead-man switch tripped" in json.dumps(records(works)[before:])
