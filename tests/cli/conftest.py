from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_gate import FakeGate, FakeTunnel, TestAuthority, portal, tunnel_port

from penstock.cli import main

Cli = Callable[..., int]


@pytest.fixture(autouse=True)
def terminal() -> Iterator[None]:
    """A terminal whose end counts, also where the tests were started with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def authority() -> TestAuthority:
    return TestAuthority()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The profile of the person who runs the command line in this test."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cli(home: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs ``penstock WORDS…`` with `typed` on stdin, which is no terminal; returns the exit status."""
    assert os.environ["PENSTOCK_HOME"] == str(home)

    def run(*words: str, typed: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        return main(words)

    return run


@pytest.fixture
def tunnel() -> FakeTunnel:
    return FakeTunnel()


@pytest.fixture
def gate(authority: TestAuthority, tunnel: FakeTunnel, tmp_path: Path) -> Iterator[FakeGate]:
    with tunnel_port(authority, tmp_path, tunnel) as port, portal(FakeGate(authority, port), tmp_path) as running:
        yield running


@pytest.fixture
def signed_in(gate: FakeGate, cli: Cli, authority: TestAuthority, capsys: pytest.CaptureFixture[str]) -> FakeGate:
    """The gate, with maria signed in from this profile."""
    words = ("login", "--gate", gate.url, "--fingerprint", authority.fingerprint, "--as", "maria", "--password-stdin")
    assert cli(*words, typed="correct horse\n123456\n") == 0
    capsys.readouterr()
    gate.answers.asked.clear()
    return gate
