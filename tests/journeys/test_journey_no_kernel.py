"""A gate without the kernel: the main job on loopback, with no namespace and no right at all."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from penstock.lab.gate import LabFailure, LabGate, Person
from penstock.lab.layout import SITE_PATH
from penstock.lab.machine import Machine
from penstock.lab.modbus import Conversation, Refused

SITE = """
site: bench
domain: bench.ot
overlay: 100.64.0.0/16
zones:
  cell: {{networks: [127.0.0.0/8]}}
assets:
  plc-dosing: {{zone: cell, role: plc, address: 127.0.0.1, services: {{modbus: {port}}}}}
  plc-filter: {{zone: cell, role: plc, address: 127.0.0.2, services: {{modbus: {port}}}}}
conduits:
  Operators set the dosing rate:
    from: {{group: operators}}
    to: {{asset: plc-dosing}}
    allow:
      modbus:
        - read
        - write: {{holding_registers: 10-12, values: 0-550}}
"""
SET_POINT = 11
PASSWORD = "turbine hall seven"


class Bench:
    """A controller and a gate on this machine, and maria, who is signed in."""

    def __init__(self, folder: Path) -> None:
        self.machine, self.folder = Machine(), folder
        self.plc = self.machine.popen(
            [sys.executable, "-m", "penstock.lab.plc", "dosing", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self.plc.stdout is not None
        self.plc_port = json.loads(self.plc.stdout.readline())["port"]
        site = folder / "site.yaml"
        site.write_text(SITE.format(port=self.plc_port))
        self.gate = LabGate.on_loopback(self.machine, folder, site)

    def maria(self) -> Person:
        person = self.gate.enrol("maria", "operators", PASSWORD, self.machine)
        done = self.gate.login(person, self.machine)
        assert done.status == 0, done.said
        return person

    def connected(self, person: Person) -> tuple[subprocess.Popen[Any], int]:
        tunnel = self.gate.connect(person, "plc-dosing", self.machine)
        assert tunnel.stdout is not None
        return tunnel, int(tunnel.stdout.readline().rpartition(":")[2])

    def close(self) -> None:
        self.gate.stop()
        self.machine.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    try:
        made.gate.start()
        yield made
    finally:
        made.close()


def rights_of(pid: int) -> tuple[int, int]:
    """Effective and permitted capabilities of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = [re.search(rf"^{name}:\s*(\w+)$", text, re.MULTILINE) for name in ("CapEff", "CapPrm")]
    return tuple(int(each[1], 16) if each else -1 for each in found)  # type: ignore[return-value]


def test_the_whole_main_job_needs_no_right(bench: Bench) -> None:
    gate = bench.gate
    assert gate.pid("enforcer") is None
    assert gate.process is not None
    pids = [gate.process.pid, gate.pid("control"), gate.pid("worker-1")]
    assert [rights_of(pid or 0) for pid in pids] == [(0, 0)] * 3
    maria = bench.maria()
    tunnel, port = bench.connected(maria)
    with Conversation(bench.machine, "127.0.0.1", port) as talk:
        assert talk.read(SET_POINT) >= 0
        talk.write(SET_POINT, 300)
        with pytest.raises(Refused):
            talk.write(SET_POINT, 900)
        (number,) = [row["number"] for row in gate.admin("GET", "/admin/grants")["grants"]]
        assert gate.command("grant", "revoke", str(number), station=bench.machine).status == 0
        with pytest.raises(OSError):
            talk.read(SET_POINT)
    assert tunnel.wait(15) == 1, "penstock connect says that the grant was revoked"
    gate.wait(lambda: bool(bench.gate.records("grant.closed")), "the end of the grant on record")
    assert [one["reason"] for one in bench.gate.records("operation.refused")] == ["value_out_of_range"]
    gate.stop()
    key = gate.evidence / "evidence.pub"
    done = gate.command("evidence", "verify", str(gate.evidence), "--key", str(key), station=bench.machine)
    assert done.status == 0, done.printed + done.said


def test_datagrams_and_ranges_need_no_kernel_and_end_with_their_grant(bench: Bench) -> None:
    gate, maria = bench.gate, bench.maria()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asset, socket.create_server(("127.0.0.1", 0)) as last:
        asset.bind(("127.0.0.1", 0))
        for each in (asset, last):
            each.settimeout(20)
        echo, end = asset.getsockname()[1], last.getsockname()[1]
        services = f"{{modbus: {bench.plc_port}, echo: {{port: {echo}, transport: udp}}, media: {end - 2}-{end}}}"
        text = SITE.format(port=bench.plc_port).replace(f"{{modbus: {bench.plc_port}}}", services, 1)
        text = text.replace("    allow:\n", f"    allow:\n      udp/{echo}: any\n      tcp/{end - 2}-{end}: any\n")
        wanted = bench.folder / "wanted.yaml"
        wanted.write_text(text)
        applied = gate.command("revision", "apply", str(wanted), station=bench.machine)
        assert applied.status == 0, applied.said
        tunnel = gate.connect(maria, "plc-dosing", bench.machine, "--service", "echo", "--service", "media")
        assert tunnel.stdout is not None
        ports = [int(tunnel.stdout.readline().rpartition(":")[2]) for _ in range(4)]
        with socket.create_connection(("127.0.0.1", ports[-1])) as client:
            client.sendall(b"to the last port")
            accepted, _ = last.accept()
            with accepted:
                assert accepted.recv(100) == b"to the last port"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tool:
            tool.settimeout(20)
            tool.connect(("127.0.0.1", ports[0]))
            for size in (0, 1, 1400, 60_000):
                tool.send(bytes(size))
                question, worker = asset.recvfrom(1 << 16)
                asset.sendto(question, worker)
                assert tool.recv(1 << 16) == bytes(size)
            (number,) = [
                row["number"] for row in gate.admin("GET", "/admin/grants")["grants"] if row["service"] == "echo"
            ]
            assert gate.command("grant", "revoke", str(number), station=bench.machine).status == 0
            asset.sendto(b"after the end", worker)
            tool.settimeout(0.5)
            with pytest.raises(OSError):
                tool.recv(100)
        tunnel.terminate()
        assert tunnel.wait(20) == 0
    gate.wait(
        lambda: bool(bench.gate.search("--kind", "flow.closed", "--reason", "grant_revoked")), "the end on record"
    )
    (closed,) = bench.gate.search("--kind", "flow.closed", "--reason", "grant_revoked")
    assert (closed["detail"]["datagrams_from_client"], closed["detail"]["datagrams_from_asset"]) == (4, 4)
    assert closed["detail"]["bytes_from_client"] == 61_401


def test_every_report_says_what_is_not_enforced(bench: Bench) -> None:
    gate, maria = bench.gate, bench.maria()
    (started,) = bench.gate.records("gate.started")
    missing = started["detail"]["not_enforced"]
    assert started["detail"]["has_kernel"] is False
    assert len(missing) >= 4
    listed = gate.command("ls", station=bench.machine, person=maria)
    status = gate.command("status", station=bench.machine)
    for sentence in missing:
        assert sentence in listed.said
        assert sentence in status.said
        assert sentence in gate.log_tail(40)
    assert gate.status()["not_enforced"] == missing
    gate.stop()
    verified = gate.command("evidence", "verify", str(gate.evidence), station=bench.machine)
    assert "without the kernel" in verified.printed + verified.said


def test_a_grant_for_an_address_is_refused_and_says_what_helps(bench: Bench) -> None:
    gate, maria = bench.gate, bench.maria()
    token = json.loads((maria.home / "sign-in.json").read_text())["token"]
    wish = {"asset": "plc-dosing", "binding": "address"}
    with pytest.raises(LabFailure, match="HTTP 403") as refused:
        gate.api(bench.machine, "POST", "/api/grants", wish, bearer=token)
    assert "kernel_absent" in str(refused.value)
    assert "penstock connect" in str(refused.value)
    gate.wait(lambda: bool(bench.gate.records("grant.refused")), "the refusal on record")
    assert [one["reason"] for one in bench.gate.records("grant.refused")] == ["kernel_absent"]
    assert bench.gate.records("grant.opened") == []


def test_a_hung_worker_passes_nothing_is_killed_and_replaced(bench: Bench) -> None:
    gate, maria = bench.gate, bench.maria()
    _, port = bench.connected(maria)
    with Conversation(bench.machine, "127.0.0.1", port, timeout_s=8.0) as talk:
        assert talk.read(SET_POINT) >= 0
        hung = gate.pid("worker-1")
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(OSError):
            talk.write(SET_POINT, 400)
    gate.wait(lambda: gate.pid("worker-1") not in (None, hung) and gate.is_ready(), "a fresh worker", 20)
    with Conversation(bench.machine, "127.0.0.1", port) as again:
        assert again.read(SET_POINT) != 400, "what the hung worker held never arrived"
    (ended,) = bench.gate.records("process.ended")
    assert ended["detail"]["name"] == "worker-1"
    closed = bench.gate.records("failed_closed")
    assert [one["detail"]["conduits"] for one in closed] == [["Operators set the dosing rate"]]


def test_a_site_that_needs_the_kernel_is_refused_with_every_reason(tmp_path: Path) -> None:
    machine = Machine()
    words = ["--state", str(tmp_path / "state"), "--run", str(tmp_path / "run"), "--site", str(SITE_PATH)]
    refused = machine.popen(
        [sys.executable, "-m", "penstock", "serve", "--no-kernel", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        _, said = refused.communicate(timeout=60)
    finally:
        machine.close()
    assert refused.returncode == 2
    assert "conduit 'SCADA polls the filters': machines are known by their address" in said
    assert "conduit 'SCADA polls the filters': `on_failure: open`" in said
    assert "conduit 'The historian archives the dosing': machines are known by their address" in said
    assert said.count("asset 'scada-1': `mac`") == 1
    assert "Operators" not in said, "what people do through the tunnel needs no kernel"


def test_a_revision_that_needs_the_kernel_is_refused_and_changes_nothing(bench: Bench) -> None:
    wanted = bench.folder / "wanted.yaml"
    wanted.write_text(
        SITE.format(port=bench.plc_port)
        + "  The plant polls:\n    from: {role: plc}\n    to: {asset: plc-filter}\n    allow: {modbus: [read]}\n"
    )
    done = bench.gate.command("revision", "apply", str(wanted), station=bench.machine)
    assert done.status == 2
    assert "machines are known by their address" in done.said
    assert bench.gate.status()["revision"] == 1
    assert [one["kind"] for one in bench.gate.records("revision.refused")] == ["revision.refused"]


def test_a_second_gate_on_the_same_folders_does_not_start_and_the_first_one_goes_on(bench: Bench) -> None:
    """It would take heartbeats and sockets away, and the first supervisor would kill its processes as hung."""
    names = ("control", "worker-1")
    before, settings = [bench.gate.pid(name) for name in names], bench.gate.run_dir / "settings.json"
    written = settings.read_bytes()
    assert None not in before
    words = ["--no-kernel", "--state", str(bench.gate.state_dir), "--run", str(bench.gate.run_dir)]
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "serve", *words, "--site", str(SITE_PATH)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "a gate is running on this folder" in done.stderr
    assert settings.read_bytes() == written
    assert bench.gate.is_ready()
    assert [bench.gate.pid(name) for name in names] == before


def test_without_a_leg_the_gate_says_which_option_is_missing(tmp_path: Path) -> None:
    words = ["--state", str(tmp_path / "state"), "--run", str(tmp_path / "run"), "--site", str(SITE_PATH)]
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "serve", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--interface" in done.stderr
    assert "--no-kernel" in done.stderr
    with suppress(FileNotFoundError):
        assert list((tmp_path / "state").iterdir()) == []
