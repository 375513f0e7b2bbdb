"""I/O: a network device of this process's own that has overlay addresses, so that tools use them unchanged (Linux).

Stands behind ``penstock connect --tun``.  The device is not persistent: it ends with the process, however that ends,
and its addresses with it (Documentation/networking/tuntap.rst).  Nothing is ever read from it or written to it: what is
sent to an address of this computer itself is delivered here.  It must never take over an address that leads elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address

from penstock.model import Invalid, Problem, Unavailable

DEVICE = "/dev/net/tun"
#: linux/if_tun.h
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_REQUEST = struct.Struct("16sH22x")
_EVERYWHERE = frozenset({"default", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"})
_CAPABILITIES = "+net_admin,+net_bind_service"
#: How a person gets the two rights for one program, and stays who they are.
RIGHTS = (
    "sudo setpriv --reuid $(id -u) --regid $(id -g) --init-groups "
    f"--inh-caps {_CAPABILITIES} --ambient-caps {_CAPABILITIES} env HOME=$HOME penstock connect --tun …"
)


@contextlib.contextmanager
def addresses(wanted: frozenset[IPv4Address]) -> Iterator[None]:
    """These addresses are this computer's own until the block, or the process, ends.

    Raises `Invalid` where one of them leads elsewhere already, `Unavailable` where the device cannot be made.
    """
    _require_linux()
    for address in sorted(wanted):
        _require_free(address)
    descriptor, name = _make()
    try:
        _ip("link", "set", "dev", name, "up")
        for address in sorted(wanted):
            _ip("address", "add", f"{address}/32", "dev", name)
        yield
    finally:
        os.close(descriptor)


def conflict(routes: list[dict[str, str]], address: IPv4Address) -> str:
    """What leads to this address already, but for the way to everywhere; empty where nothing does.  Pure.

    In whichever table: private networks have tables of their own, and this computer's own addresses come before all.
    """
    for route in sorted(routes, key=lambda route: route.get("type") != "local"):
        target = route.get("dst", "")
        if target in _EVERYWHERE:
            continue
        if route.get("type") == "local":
            return f"this computer has {address} already, on {route.get('dev', 'some device')}"
        via = f" via {route['gateway']}" if "gateway" in route else ""
        return f"{address} is routed already: {target}{via} on {route.get('dev', 'some device')}"
    return ""


def _require_linux() -> None:
    if not sys.platform.startswith("linux"):
        why = "overlay addresses of this computer's own are made on Linux only"
        raise Invalid(Problem(where="--tun", why=why, hint="leave it out: each service then has a local port"))


def _require_free(address: IPv4Address) -> None:
    found = json.loads(_ip("-json", "-4", "route", "show", "table", "all", "match", f"{address}/32") or "[]")
    if why := conflict(found, address):
        hint = "that way leads to a gate by itself: use it, or remove the route (penstock routes --remove)"
        raise Invalid(Problem(where="--tun", why=why, hint=hint))


def _make() -> tuple[int, str]:
    """The device's descriptor and its name.  Raises `Unavailable` with what helps."""
    import fcntl  # noqa: PLC0415 - not on every system that this program runs on

    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _impossible(error, f"{DEVICE} cannot be opened: {error.strerror}") from error
    try:
        answer = fcntl.ioctl(descriptor, _TUNSETIFF, _REQUEST.pack(b"penstock%d", _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        os.close(descriptor)
        raise _impossible(error, f"a network device cannot be made: {error.strerror}") from error
    return descriptor, _REQUEST.unpack(answer)[0].rstrip(b"\0").decode()


def _impossible(error: OSError, why: str) -> Unavailable:
    cannot = Unavailable(f"--tun: {why}")
    if error.errno in {errno.EPERM, errno.EACCES}:
        cannot.add_note(f"it takes CAP_NET_ADMIN: run as root, or {RIGHTS}")
    else:
        cannot.add_note("sudo modprobe tun; in a container, its host has to give it the device")
    return cannot


def _ip(*words: str) -> str:
    """Run ``ip`` (iproute2).  Raises `Unavailable`."""
    program = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        raise Unavailable("--tun: there is no program `ip` (iproute2) on this computer")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=10)
    if done.returncode != 0:
        raise Unavailable(f"--tun: ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
