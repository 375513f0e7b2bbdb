"""Local listening sockets of `connect`: loopback only, and only for the programs of the same user."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from penstock.cli.profile import Listening
from penstock.model import Invalid, Problem

HOST = "127.0.0.1"
_BACKLOG = 64
_SOCKETS = Path("/proc/net/tcp")


def is_free(port: int) -> bool:
    """Whether nobody listens on this local port now."""
    with socket.socket() as probe:
        _share_with_nobody(probe)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listen(port: int) -> socket.socket | None:
    """A listening socket on loopback; ``None`` where somebody else has the port.  Port 0 takes any free one."""
    listening = socket.socket()
    try:
        _share_with_nobody(listening)
        listening.bind((HOST, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            return None
        if error.errno == errno.EACCES:
            why = f"this user may not listen on port {port}"
            raise Invalid(Problem(where="--port", why=why, hint="take one above 1023")) from error
        raise
    return listening


def _share_with_nobody(listening: socket.socket) -> None:
    """One listener for each port.  What means that on Linux and macOS lets others take the port over on Windows."""
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    option = socket.SO_REUSEADDR if exclusive is None else exclusive
    listening.setsockopt(socket.SOL_SOCKET, option, 1)


def knows_owners() -> bool:
    """Whether this system tells which user a connection comes from; Linux does."""
    return _SOCKETS.exists()


def in_use(port: int, holder: Listening | None) -> Invalid:
    """Says who has the port, and what to do."""
    if holder is None:
        why = f"another program listens on {HOST}:{port}"
    else:
        other = f"penstock connect {holder.asset} ({holder.service}, process {holder.pid})"
        why = f"{HOST}:{port} is in use by another {other}"
    return Invalid(Problem(where="local port", why=why, hint="use that one, or give this one its own with --port N"))


def owner_of(peer_port: int, own_port: int) -> int | None:
    """The user (uid) whose program connected from `peer_port` to `own_port` on loopback; ``None`` where unknown.

    The kernel's table of TCP sockets (proc(5), ``/proc/net/tcp``) lists addresses in hex and the owner of each socket.
    """
    try:
        rows = _SOCKETS.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    return owner_in(rows, peer_port, own_port)


def owner_in(rows: list[str], peer_port: int, own_port: int) -> int | None:
    """The owner, out of the rows of that table: local address, remote address and uid are fields 1, 2 and 7."""
    for row in rows:
        fields = row.split()
        if fields[1].endswith(f":{peer_port:04X}") and fields[2].endswith(f":{own_port:04X}"):
            return int(fields[7])
    return None
