"""Runs each test that has a plant in a process and a network namespace of its own, as root or as an ordinary user.

Each test is forked off, enters fresh user, network and mount namespaces, runs with its fixtures, and hands its reports
back; it is listed, timed and captured like any other.  Where namespaces are forbidden it fails with what to enable.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import time
import warnings
from pathlib import Path

import hypothesis
import pytest
from _pytest.runner import runtestprotocol
from xdist.scheduler import LoadFileScheduling

from penstock.lab.netns import die_with_parent, enter

# An example may take as long as it takes: on a busy machine a bound of 200 ms measures the machine.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

#: Fixtures that lay cables: a test that asks for one runs in namespaces of its own.
PLANTS = {"plant", "works"}
#: Tests that take ports of this machine which others of them take as well.
TOGETHER = "tests/cli/"
#: Such tests take seconds; a hanging one is killed then.
DEADLINE_S = 90.0


class Files(LoadFileScheduling):
    """Shares whole files out among the workers of a run; all of tests/cli goes to one worker.

    There, `connect` gives an asset the same local port of this machine every day, in whichever worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Files | None:
    """Use it where files are to be shared out."""
    return Files(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state database of a gate that has not run: made once for all forks, as making it takes as long as the rest.

    That a gate makes it by itself is seen in the journeys whose gates start without a plant.
    """
    path = tmp_path_factory.getbasetemp() / "empty-state.db"
    if not path.exists():
        made = path.with_suffix(".made")
        asyncio.run(_make_state(made))
        made.rename(path)
    return path


async def _make_state(path: Path) -> None:
    from penstock.control import Store  # noqa: PLC0415  a fork that finds it made loads no database

    store = Store(path)
    await store.open()
    await store.close()


def pytest_configure() -> None:
    """Programs under test are ended as from a terminal: a script's background job would have them ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Run the tests that have a plant, and no others, in a forked process."""
    if item.path.parent.name != "netns" and not PLANTS & set(getattr(item, "fixturenames", ())):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    # what the test before it left standing for it (it may share its module) is of no use in a fork
    item.session._setupstate.teardown_exact(None)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports(item: pytest.Item) -> list[pytest.TestReport]:
    item.session.config._tmp_path_factory.getbasetemp()  # made here once, not in every fork
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork with threads; the fork has one thread
        child = os.fork()
    if child == 0:
        os.close(reader)
        _run_forked(item, writer)
    os.close(writer)
    data, is_late = _everything(reader)
    if is_late:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if data and not is_late:
        return [
            item.config.hook.pytest_report_from_serializable(config=item.config, data=d) for d in pickle.loads(data)
        ]
    why = f"did not end in {DEADLINE_S:.0f} s" if is_late else f"its process ended with status {status}"
    return [_failure(item, why)]


def _run_forked(item: pytest.Item, writer: int) -> None:
    """Never returns: what the parent's pytest would do at its end is not this process's to do."""
    try:
        die_with_parent()
        try:
            enter()
            reports = runtestprotocol(item, log=False, nextitem=None)
        except Exception as error:  # noqa: BLE001 - a fork that raises would run the rest of the session twice
            reports = [_failure(item, str(error))]
        hook = item.config.hook
        data = [hook.pytest_report_to_serializable(config=item.config, report=report) for report in reports]
        with os.fdopen(writer, "wb") as out:
            out.write(pickle.dumps(data))
    finally:
        os._exit(0)


def _everything(reader: int) -> tuple[bytes, bool]:
    """All that the child wrote, and whether it was still at it when its time was up."""
    end, data = time.monotonic() + DEADLINE_S, b""
    try:
        while True:
            if not select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
                return data, True
            part = os.read(reader, 1 << 16)
            if not part:
                return data, False
            data += part
    finally:
        os.close(reader)


def _failure(item: pytest.Item, why: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=why,
        when="call",
    )
