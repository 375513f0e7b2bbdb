"""The demo's story is what it says, for whoever runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_story_is_as_claimed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "demo", "--story", "--portal-port", "18443", "--tunnel-port", "18444"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT AS CLAIMED" not in done.stdout
    assert done.stdout.count("as claimed") > 20
    assert list(tmp_path.iterdir()) == [], "the demo's folder is gone"
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/environ")
        if os.access(path, os.R_OK) and f"TMPDIR={tmp_path}".encode() in _read(path)
    ]
    assert left == [], "no process of it is left"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
