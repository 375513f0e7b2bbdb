"""A whole gate on loopback, with one Modbus asset that counts what reaches it, beside a real identity provider."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provider import Provider

from penstock.evidence import FolderSource, Search, format_time, search
from penstock.lab.gate import LabGate, Person
from penstock.lab.machine import Machine, free_port
from penstock.lab.modbus import Conversation
from penstock.model import RecordKind

SITE = """
site: bench
domain: bench.ot
overlay: 100.64.0.0/16
zones:
  cell: {{networks: [127.0.0.0/8]}}
assets:
  plc-dosing: {{zone: cell, role: plc, address: 127.0.0.1, services: {{modbus: {port}}}}}
  plc-filter: {{zone: cell, role: plc, address: 127.0.0.2, services: {{modbus: {port}}}}}
  plc-chlorine: {{zone: cell, role: plc, address: 127.0.0.3, services: {{modbus: {port}}}}}
conduits:
  Operators read the dosing:
    from: {{group: operators}}
    to: {{asset: plc-dosing}}
    allow: {{modbus: [read]}}
  Operators set the filters with two factors:
    from: {{group: operators}}
    to: {{asset: plc-filter}}
    require: {{factors: two}}
    allow: {{modbus: [read]}}
  Operators set the chlorine with a passkey:
    from: {{group: operators}}
    to: {{asset: plc-chlorine}}
    require: {{factors: phishing-resistant}}
    allow: {{modbus: [read]}}
identity:
  sources:
    local: {{kind: local}}
{sources}
"""
LOCAL_PASSWORD = "turbine hall seven"
#: What every provider's table of the site document says.
REFRESH_S = 5
SET_POINT = 11


class Bench:
    """The gate, its asset, and how to ask both what happened."""

    def __init__(self, folder: Path, providers: Sequence[Provider], absent: Mapping[str, str]) -> None:
        self.machine, self.folder, self.providers, self.absent = Machine(), folder, providers, absent
        plc = [sys.executable, "-m", "penstock.lab.plc", "dosing", "--port", "0"]
        self._plc = self.machine.popen(plc, stdout=subprocess.PIPE, text=True)
        assert self._plc.stdout is not None
        port = json.loads(self._plc.stdout.readline())["port"]
        site = folder / "site.yaml"
        site.write_text(SITE.format(port=port, sources="".join(each.plan() for each in providers)))
        self.gate = LabGate.on_loopback(self.machine, folder, site)

    def start(self) -> None:
        """The gate first: it must start while its providers are away, and they must know its authority."""
        keys = self.gate.state_dir / "keys" / "sources"
        keys.mkdir(parents=True)
        for folder in (keys, keys.parent, self.gate.state_dir):
            folder.chmod(0o700)
        for provider in self.providers:
            secret = keys / provider.name
            secret.touch(0o600)
            secret.write_text(provider.secret)
        self.gate.start()
        for provider in self.providers:
            provider.start(self.gate.url, self.gate.state_dir / "keys" / "ca.pem")

    def records(self, *kinds: str, since: int = 0) -> list[dict[str, Any]]:
        """The evidence of these kinds that is younger than the mark `since` (see `mark`)."""
        wanted = Search(kinds=frozenset(RecordKind(kind) for kind in kinds), since_us=since)
        found = (entry.record for entry in search(FolderSource(self.gate.evidence), wanted))
        return [
            {"time": format_time(one.at_us), "kind": one.kind.value, "subject": one.subject, "reason": one.reason}
            | {"grant": one.grant, "detail": one.detail}
            for one in found
        ]

    def mark(self) -> int:
        """Now, as records tell the time."""
        return time.time_ns() // 1000

    def wait_for(
        self, *kinds: str, since: int, fits: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """The first record of these kinds since then that fits."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [one for one in self.records(*kinds, since=since) if fits(one)]
            if not found:
                time.sleep(0.2)
            return bool(found)

        self.gate.wait(is_there, f"a record of {', '.join(kinds)}", 45.0)
        return found[0]

    def grants(self) -> list[dict[str, Any]]:
        """What is open."""
        return list(self.gate.admin("GET", "/admin/grants")["grants"])

    def person(self, name: str) -> Person:
        """A home folder for the client of somebody whom a provider knows."""
        return Person(name=name, password="", totp=None, home=self.folder / f"home-{name}")

    def local_person(self, name: str) -> Person:
        """Somebody new with an account of the gate itself; who signs in twice waits for a new code."""
        return self.gate.enrol(name, "operators", LOCAL_PASSWORD, self.machine)

    @contextmanager
    def connected(self, person: Person, asset: str) -> Iterator[Conversation]:
        """Modbus through ``penstock connect``, for a while."""
        tunnel = self.machine.popen(
            [sys.executable, "-m", "penstock", "connect", asset, "--port", str(free_port())],
            environment=self.gate.environment(person),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tunnel.stdout is not None
        assert tunnel.stderr is not None
        try:
            line = tunnel.stdout.readline()
            assert ":" in line, tunnel.stderr.read()
            with Conversation(self.machine, "127.0.0.1", int(line.rpartition(":")[2])) as talk:
                assert talk.read(SET_POINT) >= 0
                yield talk
        finally:
            tunnel.terminate()
            tunnel.wait(15)

    def refused(self, person: Person, asset: str) -> dict[str, Any]:
        """The record of the refusal that ``penstock connect`` gets."""
        since, words = self.mark(), ("connect", asset, "--port", str(free_port()))
        done = self.gate.command(*words, station=self.machine, person=person)
        assert done.status != 0, "it was let through"
        return self.wait_for("grant.refused", since=since)

    def close(self) -> None:
        """Everything that was started here."""
        for provider in self.providers:
            provider.stop()
        self.gate.stop()
        self.machine.close()


def at_us(record: dict[str, Any]) -> int:
    """When it was, in microseconds."""
    when = dt.datetime.fromisoformat(record["time"])
    return (when - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)
