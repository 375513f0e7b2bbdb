"""One gate at a time on a folder, however the one before it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.model import Invalid
from penstock.supervisor import alone_on

HOLD = "import sys; from pathlib import Path; from penstock.supervisor import alone_on\n"
HOLD += "held = alone_on(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_a_folder_is_held_by_one_process_until_it_is_killed_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(Invalid, match="a gate is running on this folder"):
            alone_on(tmp_path)
        first.kill()
        first.wait()
    os.close(alone_on(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_the_holder_starts_does_not_hold_the_folder_for_it(tmp_path: Path) -> None:
    held = alone_on(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.close(held)
        os.close(alone_on(tmp_path))
        child.kill()
