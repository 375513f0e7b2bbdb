"""Local sockets of `connect`: loopback, or overlay addresses of this computer's own, and only for the same user."""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path

from penstock.cli import station
from penstock.cli.profile import Listening
from penstock.model import Invalid, Problem

HOST = "127.0.0.1"
_BACKLOG = 64
#: An IPv6 socket reaches IPv4 addresses as well, and stands in a table of its own: Java makes no others.
_SOCKETS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_DATAGRAMS = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
#: A table that changes while it is read may lack a row.
_LOOKS = 3
_LOW_PORT = "take one above 1023 with --port; --tun needs root or CAP_NET_BIND_SERVICE for those below 1024"
#: The kernel knows of no such socket: it was closed already, or is of another network namespace or computer.
NOBODY = -1

Address = tuple[str, int]


def local_name(service: str, port: int, last_port: int | None) -> str:
    """What the local port of this one of a service's ports is kept under."""
    return service if last_port is None else f"{service}:{port}"


def is_free(port: int, kind: int = socket.SOCK_STREAM) -> bool:
    """Whether nobody has this local port now."""
    with socket.socket(type=kind) as probe:
        _share_with_nobody(probe, kind)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listen(port: int, host: str = HOST, kind: int = socket.SOCK_STREAM) -> socket.socket | None:
    """A listening socket, on loopback if nothing else is said, or one for datagrams (`kind`).

    ``None`` where somebody else has the port.  Port 0 takes any free one.  Raises `Invalid` where it may not be had.
    """
    listening = socket.socket(type=kind)
    try:
        _share_with_nobody(listening, kind)
        listening.bind((host, port))
        if kind == socket.SOCK_STREAM:
            listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            return None
        if error.errno == errno.EACCES:
            why = f"this user may not listen on port {port}"
            raise Invalid(Problem(where=f"{host}:{port}", why=why, hint=_LOW_PORT)) from error
        raise
    return listening


def _share_with_nobody(own: socket.socket, kind: int) -> None:
    """One program for each port.

    What means that for listeners on Linux and macOS lets others take the port over on Windows; for datagrams it would
    do so everywhere.
    """
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    if exclusive is not None:
        own.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    elif kind == socket.SOCK_STREAM:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def knows_owners() -> bool:
    """Whether this system tells which user a connection comes from; Linux does."""
    return _SOCKETS[0].exists()


def in_use(port: int, holder: Listening | None, host: str = HOST) -> Invalid:
    """Says who has the port, and what to do."""
    if holder is None:
        why = f"another program listens on {host}:{port}"
    else:
        other = f"penstock connect {holder.asset} ({holder.service}, process {holder.pid})"
        why = f"{host}:{port} is in use by another {other}"
    return Invalid(Problem(where="local port", why=why, hint="use that one, or give this one its own with --port N"))


def owner_of(peer: Address, own: Address) -> int | None:
    """The user (uid) whose program connected from `peer` to `own`; `NOBODY` where no program of this computer did.

    ``None`` where this system does not tell.  A connection can come from elsewhere: with ``--tun`` the addresses are
    this computer's own, and Linux answers for these on each of its networks.
    """
    for _ in range(_LOOKS):
        rows = _rows(_SOCKETS)
        if rows is None:
            return None
        if (owner := owner_in(rows, peer, own)) is not None:
            return owner
    return NOBODY


def owner_in(rows: list[list[str]], peer: Address, own: Address) -> int | None:
    """The owner, out of the kernel's rows: local address, remote address and uid are fields 1, 2 and 7."""
    wanted = set(zip(_in_hex(peer), _in_hex(own), strict=True))
    return next((int(row[7]) for row in rows if (row[1], row[2]) in wanted), None)


def owner_of_datagrams(peer: Address) -> int | None:
    """The user (uid) who has this local UDP port; `NOBODY` where no one has it, ``None`` where that cannot be known.

    Where several have it, on different addresses, it is somebody else's unless all of them are this user's.
    """
    rows = _rows(_DATAGRAMS)
    if rows is None:
        return None
    wanted = {*_in_hex(peer), *(f"{0:0{digits}X}:{peer[1]:04X}" for digits in (8, 32))}  # or on every address
    owners = {int(row[7]) for row in rows if row[1] in wanted}
    if not owners or not is_local(peer[0]):
        return NOBODY
    return next((uid for uid in owners if uid != station.own_uid()), station.own_uid())


def _rows(tables: tuple[Path, Path]) -> list[list[str]] | None:
    """The rows of the kernel's two tables of sockets (proc(5)); the second is missing where there is no IPv6."""
    found: list[list[str]] = []
    for table in tables:
        try:
            found += [row.split() for row in table.read_text(encoding="ascii").splitlines()[1:]]
        except OSError:
            if table is tables[0]:
                return None
    return found


def _in_hex(address: Address) -> tuple[str, str]:
    """An IPv4 address and port as the tables write them: an IPv4 socket's, and an IPv6 one's (``::ffff:127.0.0.1``)."""
    (word,) = struct.unpack("=I", socket.inet_aton(address[0]))
    (mapped,) = struct.unpack("=I", b"\0\0\xff\xff")
    return f"{word:08X}:{address[1]:04X}", f"{0:016X}{mapped:08X}{word:08X}:{address[1]:04X}"


def is_ours(owner: int | None) -> bool:
    """Whether a program of this owner may use what this user opened; where nobody can know, loopback is the border."""
    return owner is None or station.own_uid() in {None, owner}


def may_answer(owner: int | None) -> bool:
    """Whether it may be this user's browser: what brings it in from outside of a virtual machine runs as root."""
    return owner in {NOBODY, 0} or is_ours(owner)


def is_local(address: str) -> bool:
    """Whether this computer (still) has this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address.partition("%")[0], 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True
