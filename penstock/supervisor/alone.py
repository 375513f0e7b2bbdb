"""I/O: one gate at a time on a folder.

Held by the supervisor for its life.  A second one would take over sockets and heartbeats of the first, whose supervisor
would then kill its processes as hung: it must never get so far as to write anything.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from penstock.model import Invalid, Problem


def alone_on(folder: Path) -> int:
    """Hold this folder until the process ends; the descriptor that does.  Raises `Invalid` where another one holds it.

    The folder itself is locked (flock(2)): nothing is left behind, however the process ends.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        hint = "stop that one first, or give this one folders of its own"
        raise Invalid(Problem(where=str(folder), why="a gate is running on this folder", hint=hint)) from None
    return descriptor
