"""What differs between Linux, macOS and Windows: folders, privacy of files, locks, processes, event loops.

Stands below the verbs, so that none of them asks which system it runs on.  It must import on each of them with the
standard library alone, and never take a check for passed that a system cannot make: where mode bits mean nothing
(Windows), the folder lies in the person's own profile, which the system keeps from others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from penstock.model import Invalid, Problem

if sys.platform == "win32":  # pragma: no cover  each system has one of the two
    import ctypes
    import msvcrt
else:
    import fcntl

WINDOWS, MACOS = "win32", "darwin"
#: Text mode would change line ends, and only some systems have the others.
BINARY = getattr(os, "O_BINARY", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
#: OpenProcess (processthreadsapi.h): enough to wait for its end, and to ask whether that has come.
_SYNCHRONIZE, _WAIT_TIMEOUT = 0x0010_0000, 0x102


def state_folder(given: Mapping[str, str]) -> Path:
    """Where the profile is: ``$PENSTOCK_HOME``, else the system's own place for a program's state.

    ``%LOCALAPPDATA%`` on Windows: never the part of a profile that roams to other computers.  The XDG state folder (XDG
    Base Directory Specification 0.8) elsewhere, and on macOS ``~/Library/Application Support`` where none is named.
    """
    if home := given.get("PENSTOCK_HOME"):
        return Path(home)
    if sys.platform == WINDOWS and (local := given.get("LOCALAPPDATA")):
        return Path(local) / "penstock"
    if named := given.get("XDG_STATE_HOME"):
        return Path(named) / "penstock"
    if sys.platform == MACOS:
        return Path.home() / "Library" / "Application Support" / "penstock"
    return Path.home() / ".local" / "state" / "penstock"


def own_uid() -> int | None:
    """This user's number; ``None`` where users have none."""
    return None if sys.platform == WINDOWS else os.geteuid()


def require_private(path: Path, found: os.stat_result, mode: str) -> None:
    """Raise `Invalid` where others could read or write it."""
    uid = own_uid()
    if uid is None:
        return
    if found.st_uid != uid:
        raise Invalid(
            Problem(where=str(path), why="belongs to somebody else", hint="set PENSTOCK_HOME to a folder of your own")
        )
    if loose := stat.S_IMODE(found.st_mode) & 0o077:
        seen = f"{stat.S_IMODE(found.st_mode):04o}"
        why = f"others may {'write' if loose & 0o022 else 'read'} it (mode {seen}), so it is not used"
        raise Invalid(
            Problem(where=str(path), why=why, hint=f"chmod {mode} {path}, and sign in anew if others use this computer")
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the others wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | CLOSE_ON_EXEC | BINARY, 0o600)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":  # pragma: no cover

    def _lock(descriptor: int) -> None:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # tries for ten seconds, then raises
            except OSError:
                continue
            return

    def is_alive(pid: int) -> bool:
        """Whether this process runs.  Sending it a signal, as elsewhere, would end it."""
        handle = ctypes.windll.kernel32.OpenProcess(_SYNCHRONIZE, 0, pid)
        if not handle:
            return False
        try:
            return int(ctypes.windll.kernel32.WaitForSingleObject(handle, 0)) == _WAIT_TIMEOUT
        finally:
            ctypes.windll.kernel32.CloseHandle(handle)

else:

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def is_alive(pid: int) -> bool:
        """Whether this process runs."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


@contextlib.contextmanager
def private_file(content: bytes) -> Iterator[str]:
    """A path that holds a secret while the block runs, for what takes nothing but paths.

    In memory where the system can (memfd_create(2)); else in a folder of its own that nobody else may open.
    """
    if hasattr(os, "memfd_create") and sys.platform == "linux":
        with os.fdopen(os.memfd_create("penstock", os.MFD_CLOEXEC), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        path = Path(folder) / "secret"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600), "wb") as file:
            file.write(content)
        yield str(path)


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's where it is installed; ``None`` for the standard library's own."""
    try:
        import uvloop  # noqa: PLC0415  a compiled extra that the client does without
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def ending_signals() -> tuple[signal.Signals, ...]:
    """What ends a program besides Ctrl-C: SIGTERM, and where there is one the end of its terminal, but under nohup."""
    hung_up: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hung_up is None or signal.getsignal(hung_up) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, hung_up)


def on_signals(loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> None:
    """Call this within the loop at Ctrl-C and `ending_signals`; Windows' loop knows none: a handler wakes it."""
    for number in (signal.SIGINT, *ending_signals()):
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))


def has_display(given: Mapping[str, str]) -> bool:
    """Whether somebody sits before this session: a browser would be seen, and a key store can ask."""
    if sys.platform in {WINDOWS, MACOS}:
        return not given.get("SSH_CONNECTION")
    return bool(given.get("DISPLAY") or given.get("WAYLAND_DISPLAY"))
