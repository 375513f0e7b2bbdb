"""I/O: giving up every privilege that a process of the gate does not need, for itself and all that it starts.

Called first thing by each process.  Sources: capabilities(7), prctl(2), linux/capability.h.

It must never return with more left than was asked for: the kernel's own account in /proc/self/status is read back.
"""

from __future__ import annotations

import ctypes
import os
from enum import IntEnum
from pathlib import Path

from penstock.model import Unavailable

_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
_PR_CAP_AMBIENT, _AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 47, 2, 4
_VERSION_3 = 0x2008_0522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 capabilities each
_SETPCAP = 8
_WORD = (1 << 32) - 1

_libc = ctypes.CDLL(None, use_errno=True)


class Capability(IntEnum):
    """The capabilities that processes of a gate keep."""

    NET_BIND_SERVICE = 10
    NET_ADMIN = 12
    NET_RAW = 13


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Words(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def keep_only(*capabilities: Capability) -> None:
    """Drop every other capability for good; programs that this process starts get the same ones and never more.

    Affects the calling thread: call it while there is only one.  Raises `Unavailable` where one that is asked for is
    missing, or where the kernel does not confirm the result.
    """
    wanted = sum(1 << capability for capability in set(capabilities))
    held = _status()["CapPrm"]
    missing = [capability.name for capability in sorted(set(capabilities)) if not held >> capability & 1]
    if missing:
        raise Unavailable(f"this process lacks the capability CAP_{' and CAP_'.join(missing)}")
    if held >> _SETPCAP & 1:  # without it nothing can be dropped from the bound; NoNewPrivs holds in its place
        _drop_bound(wanted)
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    _set(wanted)
    for capability in set(capabilities):
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, capability)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    left = _status()
    exact = all(left[name] == wanted for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"))
    if not exact or left["NoNewPrivs"] != 1 or (held >> _SETPCAP & 1 and left["CapBnd"] & ~wanted):
        raise Unavailable("the kernel did not drop the privileges of this process")


def _drop_bound(wanted: int) -> None:
    number = 0
    while _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:  # EINVAL behind the last one that this kernel knows
        if not wanted >> number & 1:
            _prctl(_PR_CAPBSET_DROP, number)
        number += 1


def _set(wanted: int) -> None:
    header = _Header(_VERSION_3, 0)
    words = (_Words * 2)()
    for index, word in enumerate((wanted & _WORD, wanted >> 32)):
        words[index] = _Words(word, word, word)
    if _libc.capset(ctypes.byref(header), ctypes.byref(words)) == -1:
        raise Unavailable(f"cannot drop capabilities: {os.strerror(ctypes.get_errno())}")


def _prctl(option: int, first: int, second: int = 0) -> None:
    if _libc.prctl(option, first, second, 0, 0) == -1:
        raise Unavailable(f"prctl {option} failed: {os.strerror(ctypes.get_errno())}")


def _status() -> dict[str, int]:
    """The capability sets and the no-new-privileges flag of this thread, as the kernel sees them."""
    lines = Path("/proc/thread-self/status").read_text(encoding="ascii").splitlines()
    pairs = dict(line.split(":", 1) for line in lines)
    sets = {name: int(pairs[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return sets | {"NoNewPrivs": int(pairs["NoNewPrivs"])}
