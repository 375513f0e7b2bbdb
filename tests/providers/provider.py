"""What every identity provider of the journeys can do, and how its program is started and ended.

The host name is `localhost` and the gate's is `127.0.0.1`: two sites for a browser, as in a plant.  Everything listens
on loopback only, and is ended by its process number.
"""

from __future__ import annotations

import os
import secrets
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import httpx2
import pyotp
import pytest
from playwright.sync_api import Page
from trust import HOST, Trust

ROOT = Path(__file__).resolve().parents[2]
FETCHED = ROOT / ".providers"
PASSWORD = "heavy water valve nine"
TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
#: A slow machine may need this long for a Java server; each start waits for a condition, not for a time.
READY_WITHIN_S = 150.0


class Missing(Exception):
    """A provider is not on this machine; the text says which."""


def missing(what: str) -> NoReturn:
    """A provider could not be had: its journeys are skipped aloud; where CI is set they fail."""
    why = f"{what} is not here; scripts/test-providers fetches it (is its registry within reach?)"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


class Provider(Protocol):
    """One running provider; everybody there is an operator: ada has a password, tom a password and a code."""

    name: str
    title: str
    issuer: str
    secret: str

    def start(self, gate_url: str, gate_authority: Path) -> None:
        """Start it and wait until it answers."""
        ...

    def stop(self) -> None:
        """End it."""
        ...

    def plan(self) -> str:
        """Its table of the site document, as YAML below ``sources:``."""
        ...

    def pass_pages(self, page: Page, person: str, *, with_code: bool = False) -> None:
        """Fill in the provider's own pages as this person, from the first one up to the way back."""
        ...

    def put_in_groups(self, person: str, *groups: str) -> None:
        """From now on these groups, and no others."""
        ...

    def disable(self, person: str) -> None:
        """Not known any more."""
        ...


@dataclass(slots=True)
class Program:
    """A provider's process, with what it prints in a file."""

    log: Path
    process: subprocess.Popen[str] | None = None

    def start(self, words: Sequence[str], environment: dict[str, str] | None = None, **options: Any) -> None:
        """Start it; it dies with this process."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *words],
                stdin=options.pop("stdin", subprocess.DEVNULL),
                stdout=options.pop("stdout", log),
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
                **options,
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It keeps its connections, and answers nobody."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it by its number."""
        if self.process is None:
            return
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_for(self, address: str, trust: Trust) -> None:
        """Until it answers there with 200."""
        end = time.monotonic() + READY_WITHIN_S
        with web(trust) as http:
            while time.monotonic() < end:
                assert self.process is not None
                assert self.process.poll() is None, f"it ended:\n{self.tail()}"
                with suppress(httpx2.HTTPError):
                    if http.get(address).status_code == httpx2.codes.OK:
                        return
                time.sleep(0.1)
        raise AssertionError(f"no answer from {address}:\n{self.tail()}")

    def tail(self) -> str:
        """The last that it printed."""
        return "\n".join(self.log.read_text().splitlines()[-20:])


def web(trust: Trust, base: str = "") -> httpx2.Client:
    """A client that believes the plant's authority only."""
    return httpx2.Client(verify=ssl.create_default_context(cafile=str(trust.authority)), base_url=base, timeout=30)


def new_secret() -> str:
    """A client secret for this run."""
    return secrets.token_urlsafe(32)


def address(port: int) -> str:
    """Of a provider."""
    return f"https://{HOST}:{port}"


def indented(text: str, by: int) -> str:
    """For a block of YAML."""
    return "\n".join(" " * by + line for line in text.strip().splitlines())


@dataclass(slots=True)
class Codes:
    """The one-time codes of one secret, none of them twice (glewlwyd and Keycloak refuse a second use)."""

    secret: str = TOTP
    last_step: int = 0
    totp: pyotp.TOTP = field(init=False)

    def __post_init__(self) -> None:
        self.totp = pyotp.TOTP(self.secret)

    def next(self) -> str:
        """A fresh code; waits for the next half minute where the present one and the one after it are used up."""
        step = max(int(time.time()) // 30, self.last_step + 1)
        while int(time.time()) // 30 < step - 1:
            time.sleep(0.2)
        self.last_step = step
        return self.totp.at(step * 30)
