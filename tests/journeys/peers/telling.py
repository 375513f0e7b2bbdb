"""What a peer says: one JSON document a line, on standard output, so that a journey can wait for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

#: In /proc/net/tcp: an established connection (include/net/tcp_states.h).
_ESTABLISHED = "01"


def tell(**words: Any) -> None:
    """One line, at once."""
    print(json.dumps(words), flush=True)


def until_told() -> None:
    """Wait until whoever started this program closes its standard input."""
    sys.stdin.read()


def connections(port: int) -> list[int]:
    """The local ports of this process's own established TCP connections to `port`, in order."""
    own = {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
    found = []
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, state, *_, inode = line.split()[:10]
        if state == _ESTABLISHED and int(remote.split(":")[1], 16) == port and f"socket:[{inode}]" in own:
            found.append(int(local.split(":")[1], 16))
    return sorted(found)
