"""I/O: this machine itself in the place of a `penstock.lab.netns.Node`: for a gate that needs no rights at all.

Programs run with every capability dropped and no way to gain one, also where the caller is root.  It must never listen
anywhere but on loopback.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection, socket
from typing import Any

_POWERLESS = (
    "setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all",
    "--",
)  # fmt: skip


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machine:
    """Looks like a `Node`, is no namespace."""

    name = "machine"

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[Any]] = []

    @contextmanager
    def entered(self) -> Iterator[None]:
        """There is nowhere else to be."""
        yield

    def run(self, arguments: Sequence[str], timeout_s: float = 30.0) -> str:
        """What the program prints.  Raises `subprocess.CalledProcessError` where it fails."""
        return subprocess.run(
            [*_powerless(), *arguments], check=True, capture_output=True, text=True, timeout=timeout_s
        ).stdout

    def popen(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a program without any right; `close` kills it."""
        child = subprocess.Popen([*_powerless(), *arguments], env=environment, **options)
        self._children.append(child)
        return child

    def connect(self, address: str, port: int, timeout_s: float = 2.0) -> socket:
        """A TCP connection.  Raises `OSError`."""
        return create_connection((address, port), timeout_s)

    def close(self) -> None:
        """End what was started here."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()


def _powerless() -> tuple[str, ...]:
    """Dropping from the bounding set is itself a right: where there is none, there is nothing to drop."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    effective = next(line for line in lines if line.startswith("CapEff"))
    return _POWERLESS if int(effective.split()[1], 16) else (*_POWERLESS[:4], "--")
