"""The client on systems that this test does not run on: without what only Linux has, and without compiled extras.

A real Windows or macOS is not here.  What can be shown is that nothing of Linux, and nothing of the gate, is needed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fake_gate import REACH, FakeGate, FakeTunnel

from penstock.cli import station
from penstock.cli.tunnel import patience

#: Of the system and of the gate: none of it may be needed.
ABSENT = (
    "uvloop", "pwd", "grp", "resource", "termios", "sqlalchemy", "alembic", "starlette", "uvicorn", "yaml",
    "jinja2", "argon2", "pyotp", "dns", "webauthn", "joserfc", "sansldap", "keyring", "multipart",
)  # fmt: skip
ELSEWHERE = """
import asyncio, ctypes, getpass, http.server, json, os, signal, socket, ssl, subprocess, sys, tempfile, types
import sysconfig, webbrowser, zoneinfo
import cryptography.x509, httpx2, msgspec, segno
from cryptography.hazmat.primitives.asymmetric import ec

sysconfig.get_config_vars()
system, absent, words = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
for name in absent:
    sys.modules[name] = None
if system == "win32":
    sys.modules["fcntl"] = None
for name in ("memfd_create", "O_CLOEXEC") + (("geteuid", "getuid", "O_NOFOLLOW") if system == "win32" else ()):
    delattr(os, name)
if system == "win32":
    sys.modules["msvcrt"] = types.SimpleNamespace(locking=lambda *_: None, LK_LOCK=1)

    def kill(pid, number):
        raise AssertionError("os.kill(pid, 0) ends a process on Windows")

    def no_signals(*_):
        raise NotImplementedError

    os.kill = kill
    asyncio.SelectorEventLoop.add_signal_handler = no_signals
    socket.SO_EXCLUSIVEADDRUSE = socket.SO_REUSEADDR
sys.platform = system

from penstock.cli import main
sys.exit(main(words))
"""


@pytest.fixture(params=["linux", "darwin", "win32"])
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(system: str, *words: str, typed: str = "", home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PENSTOCK_KEYS": ""}
    if home is not None:
        del environment["PENSTOCK_HOME"]
        environment |= {"HOME": str(home), "LOCALAPPDATA": str(home / "AppData" / "Local"), "XDG_STATE_HOME": ""}
    command = [sys.executable, "-c", textwrap.dedent(ELSEWHERE), system, json.dumps(ABSENT), json.dumps(words)]
    return subprocess.run(
        command, input=typed, capture_output=True, text=True, env=environment, timeout=60, check=False
    )


FOLDERS = {
    "linux": ".local/state/penstock",
    "darwin": "Library/Application Support/penstock",
    "win32": "AppData/Local/penstock",
}


def test_a_whole_shift_of_an_engineer(
    system: str, gate: FakeGate, tunnel: FakeTunnel, home: Path, tmp_path: Path
) -> None:
    assert home.name == "home"
    place = tmp_path / "person"
    first = ("login", "--gate", gate.url, "--fingerprint", gate.authority.fingerprint, "--as", "maria")
    done = run(system, *first, "--password-stdin", typed="correct horse\n123456\n", home=place)
    assert done.returncode == 0, done.stderr
    kept = place / FOLDERS[system]
    assert {path.name for path in kept.iterdir()} == {
        "ca.pem", "gate.json", "key.pem", "certificate.pem", "sign-in.json"
    }  # fmt: skip
    listed = run(system, "ls", home=place)
    assert "plc-dosing" in listed.stdout, listed.stderr
    code = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); s.sendall(b'hi'); "
    code += "sys.exit(0 if s.recv(2) == b'HI' else 9)"
    used = run(system, "connect", "plc-dosing", "--", sys.executable, "-c", code, "{host}", "{port}", home=place)
    assert used.returncode == 0, used.stderr
    assert tunnel.peers == ["maria"]
    assert run(system, "logout", home=place).returncode == 0
    assert not (kept / "key.pem").exists()
    assert list(tmp_path.glob("**/secret")) == []


def test_a_verb_of_the_gate_says_what_is_missing_and_the_help_shows_the_rest(system: str, home: Path) -> None:
    assert home.name == "home"
    done = run(system, "policy", "check", "site.yaml")
    assert done.returncode == 2
    assert "penstock policy: this verb needs yaml, which is not installed here" in done.stderr
    assert "pip install penstock[gate]" in done.stderr
    shown = run(system, "--help")
    assert shown.returncode == 0
    verbs = {line.split()[0] for line in shown.stdout.splitlines() if line.startswith("    ") and line[4] != " "}
    assert {"login", "ls", "connect", "logout"} <= verbs
    assert "policy" not in verbs


def test_the_profile_is_where_each_system_keeps_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/maria")
    windows = {"LOCALAPPDATA": "/users/maria/local", "XDG_STATE_HOME": "/state"}
    found = {}
    for system in FOLDERS:
        monkeypatch.setattr(sys, "platform", system)
        found[system] = station.state_folder(windows if system == "win32" else {})
        assert station.state_folder({"PENSTOCK_HOME": "/mine", **windows}) == Path("/mine")
    assert found == {
        "linux": Path("/home/maria/.local/state/penstock"),
        "darwin": Path("/home/maria/Library/Application Support/penstock"),
        "win32": Path("/users/maria/local/penstock"),
    }


def test_a_secret_that_must_be_a_file_is_private_and_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with station.private_file(b"secret") as path:
        assert path.startswith("/proc/self/fd/"), "in memory on Linux"
        assert Path(path).read_bytes() == b"secret"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with station.private_file(b"secret") as path:
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_session_over_ssh_has_nobody_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert station.has_display({"WAYLAND_DISPLAY": "wayland-0"})
    assert not station.has_display({})
    for system in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", system)
        assert station.has_display({})
        assert not station.has_display({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})


def test_a_terminal_that_is_closed_ends_a_program_but_not_one_under_nohup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert station.ending_signals() == (signal.SIGTERM, signal.SIGHUP)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    assert station.ending_signals() == (signal.SIGTERM,)
    monkeypatch.delattr(signal, "SIGHUP")
    assert station.ending_signals() == (signal.SIGTERM,)


@pytest.mark.parametrize(
    ("system", "known", "options"),
    [
        ("linux", {"TCP_USER_TIMEOUT": 18, "TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6},
         {18: 10_000, 4: 5, 5: 2, 6: 3}),
        ("darwin", {"TCP_KEEPALIVE": 0x10, "TCP_KEEPINTVL": 0x101, "TCP_KEEPCNT": 0x102},
         {0x10: 5, 0x101: 2, 0x102: 3, 0x80: 10}),
        ("win32", {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 17, "TCP_KEEPCNT": 16}, {3: 5, 17: 2, 16: 3, 5: 10}),
    ],
)  # fmt: skip
def test_each_system_is_told_in_its_own_words_when_to_give_an_end_up(
    system: str, known: dict[str, int], options: dict[int, int]
) -> None:
    assert dict(patience(system, known)) == options


def test_names_that_the_systems_own_character_set_lacks_are_shown_as_well_as_it_can(gate: FakeGate, home: Path) -> None:
    """Where stdout is a file or a pipe, Windows takes the character set of the country."""
    assert home.name == "home"
    words = ("login", "--gate", gate.url, "--fingerprint", gate.authority.fingerprint, "--as", "maria")
    assert run("linux", *words, "--password-stdin", typed="correct horse\n123456\n").returncode == 0
    gate.answers.routes["GET", "/api/reach"] = (
        200,
        {"reach": [{**REACH[0], "allows": ["żółw"]}], "gateway": "10.20.0.2"},
    )
    shown = subprocess.run(
        [sys.executable, "-m", "penstock", "ls"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert rb"\u017c" + b"\xf3" + rb"\u0142w" in shown.stdout
