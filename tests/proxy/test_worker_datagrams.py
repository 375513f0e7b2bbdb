"""How a worker opens its door for datagrams, and what it does where there can be none."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest
from loopback import settings_of
from proxying import PlainJudge

from penstock.bus import Journal, RingWriter
from penstock.proxy import worker
from penstock.proxy.hall import Hall
from penstock.proxy.office import Clock, Office


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """The worker's attempt, where the system answers with this error."""

    def refuse(_place: object) -> None:
        raise OSError(error, "no")

    monkeypatch.setattr(worker, "open_transparent_datagrams", refuse)
    hall = Hall(Journal(RingWriter(folder / "worker-1.ring", 1 << 15), 0), PlainJudge.of_site)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            worker._serve_datagrams(group, Office(hall=hall, clock=Clock(), group=group), settings_of(folder))

    asyncio.run(main())


def test_a_kernel_that_tells_no_marks_has_no_door_for_datagrams_and_the_others_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(tmp_path, monkeypatch, errno.ENOPROTOOPT)
    assert "no datagrams can be inspected" in capsys.readouterr().err


def test_any_other_reason_ends_the_worker_so_that_the_failure_mode_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExceptionGroup) as ended:
        opened(tmp_path, monkeypatch, errno.EADDRINUSE)
    assert isinstance(ended.value.exceptions[0], OSError)
