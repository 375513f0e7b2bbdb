"""A gate that boots: its table stands before any process of it runs, and safety-critical polling passes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest
from gate_plant import GATE, INSPECTED, MODBUS, PLAIN, SAFETY, Plant, eventually, exchange

from penstock.kernel.boot import TABLE_FILE
from penstock.model import ApplyRuleset, KernelFlowOpened

PACKAGING = Path(__file__).parents[2] / "packaging/systemd"


@dataclass
class Polling:
    """One open connection of the SCADA server that asks each 5 ms and wants every answer."""

    plant: Plant
    answered_s: list[float] = field(default_factory=list)
    why: str = ""
    _is_over: bool = False

    def __enter__(self) -> Self:
        self._client = self.plant.scada.connect(SAFETY, MODBUS)
        self._client.settimeout(5)
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        self._client.close()

    def _poll(self) -> None:
        try:
            while not self._is_over:
                request = f"read {len(self.answered_s)}".encode()
                assert exchange(self._client, request) == request
                self.answered_s.append(time.monotonic())
                time.sleep(0.005)
        except (OSError, AssertionError) as error:
            self.why = repr(error)

    @property
    def longest_gap_s(self) -> float:
        return max(later - sooner for sooner, later in pairwise(self.answered_s))

    def goes_on(self) -> bool:
        """Whether there are fifty more answers."""
        sooner = len(self.answered_s)
        eventually(lambda: len(self.answered_s) > sooner + 50 or self.why)
        return not self.why


@dataclass
class Machine:
    """The gate's machine as systemd sees it: what its units say is carried out with nft and ip, and nothing else."""

    plant: Plant
    folder: Path

    def install(self) -> None:
        words = {
            "out": self.folder / "lib",
            "state": self.folder,
            "run": self.folder / "run",
            "site": self.folder / "s",
        }
        options = [word for name, value in words.items() for word in (f"--{name}", str(value))]
        subprocess.run(
            [PACKAGING / "install", *options, "--interface", "eth0", "--address", GATE], check=True, capture_output=True
        )
        tools = self.folder / "tools"
        tools.mkdir()
        for name in ("nft", "ip"):
            found = shutil.which(name)
            assert found is not None
            (tools / name).symlink_to(found)

    def unit(self, name: str) -> dict[str, str]:
        lines = (self.folder / f"lib/units/{name}.service").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def start(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run what the unit runs, where there is no other program."""
        with self.plant.gate.entered():
            return subprocess.run(
                shlex.split(self.unit(name)["ExecStart"]),
                env={"PATH": str(self.folder / "tools")},
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

    def switch_off(self) -> None:
        """No process, no table, no routing, no connection, the kernel's own parameters."""
        self.plant.kill_enforcer()
        gate = self.plant.gate
        gate.run(["nft", "flush", "ruleset"])
        gate.ip("rule del priority 100", "route flush table 100")
        for name in ("ip_forward", "tcp_fwmark_accept"):
            gate.sysctl(f"net.ipv4.{name}", 0)
        with suppress(OSError):
            gate.sysctl("net.ipv4.conf.eth0.send_redirects", 1)


@pytest.fixture
def machine(plant: Plant, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(plant, tmp_path)
    made.install()
    plant.let_standing_begin()
    eventually((tmp_path / "boot" / TABLE_FILE).exists)
    return made


def is_refused(plant: Plant, address: str) -> bool:
    try:
        plant.user.connect(address, MODBUS, timeout_s=0.3).close()
    except OSError:
        return True
    return False


def test_safety_critical_polling_passes_from_boot_on_with_no_process_of_the_gate(
    plant: Plant, machine: Machine
) -> None:
    """Then the gate starts: the open connection loses nothing and is told, the next one is inspected."""
    plant.open(42)
    machine.switch_off()
    with pytest.raises(OSError):
        plant.scada.connect(SAFETY, MODBUS, timeout_s=0.3)
    for unit in ("penstock-boot", "penstock-leg"):
        done = machine.start(unit)
        assert done.returncode == 0, done.stderr
    assert plant.enforcer.poll() is not None
    with Polling(plant) as polling:
        assert polling.goes_on()
        assert is_refused(plant, PLAIN), "a grant does not outlive a boot"
        assert is_refused(plant, INSPECTED)
        with pytest.raises(OSError):
            plant.rogue.connect(SAFETY, MODBUS, timeout_s=0.3)
        plant.start_enforcer()
        plant.control.do(ApplyRuleset(ruleset=plant.ruleset))
        assert polling.goes_on()
        worker = plant.proxy()
        assert polling.goes_on()
        told = plant.control.event(KernelFlowOpened, overlay=SAFETY)
        assert told.has_failed_open
        assert worker.sessions == []
        client = plant.scada.connect(SAFETY, MODBUS)
        assert exchange(client, b"read") == b"read"
        eventually(lambda: worker.sessions)
        assert polling.goes_on()
    assert polling.why == ""


def test_parameters_and_routing_are_as_the_enforcer_sets_them(plant: Plant, machine: Machine) -> None:
    """What was kept for the boot and what the enforcer does must not drift apart."""

    def state() -> list[str]:
        words = (["ip", "-4", "rule"], ["ip", "-4", "route", "show", "table", "100"])
        names = ("ip_forward", "tcp_fwmark_accept", "conf.eth0.send_redirects", "conf.all.accept_redirects")
        listed = [plant.gate.run(each) for each in words]
        return listed + [plant.gate.run(["cat", f"/proc/sys/net/ipv4/{name.replace('.', '/')}"]) for name in names]

    before = state()
    machine.switch_off()
    assert state() != before
    for unit in ("penstock-boot", "penstock-leg"):
        assert machine.start(unit).returncode == 0
    assert state() == before
    assert machine.start("penstock-boot").returncode == 0, "starting the unit again changes nothing"
    assert state() == before


@pytest.mark.parametrize("fault", ["cut off", "empty", "garbled", "refused by nft"])
def test_a_broken_table_leaves_everything_closed_and_fails_the_unit(plant: Plant, machine: Machine, fault: str) -> None:
    """An empty file is a valid script that closes nothing: it must not count."""
    kept = machine.folder / "boot" / TABLE_FILE
    machine.switch_off()
    text = kept.read_text()
    broken = {
        "cut off": text[: len(text) // 2],
        "empty": "",
        "garbled": text.replace("chain forward", "chian forward"),
        "refused by nft": text.replace("policy drop", "policy fall"),
    }
    kept.write_text(broken[fault])
    done = machine.start("penstock-boot")
    assert done.returncode == 1
    assert "broken: everything is closed" in done.stderr
    plant.gate.sysctl("net.ipv4.ip_forward", 1)
    for client, address in ((plant.scada, SAFETY), (plant.user, PLAIN), (plant.user, GATE)):
        with pytest.raises(TimeoutError):
            client.connect(address, MODBUS, timeout_s=0.3)
    plant.start_enforcer()
    plant.control.do(ApplyRuleset(ruleset=plant.ruleset))
    plant.let_standing_begin()
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"


def test_what_a_process_of_the_gate_may_write_is_data_to_the_script(machine: Machine) -> None:
    """The boot runs as root with the machine's devices: a gate that was taken over must not choose what it runs."""
    boot, secret, run = machine.folder / "boot", machine.folder / "secret", machine.folder / "was-run"
    secret.write_text("of-another-user 42\n")
    machine.switch_off()
    table = (boot / TABLE_FILE).read_text()
    (boot / TABLE_FILE).write_text(f'include "{secret}"\n{table}')
    (boot / "parameters").write_text(f"../..{secret} overwritten\nkernel/core_pattern |{secret}\nof-another-user 42\n")
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    (boot / "rule").write_text(f"vrf exec default touch {run}\n")
    (boot / "route").write_text(f"route replace local default dev lo table 100\nvrf exec default touch {run}\n")
    done = machine.start("penstock-boot")
    assert done.returncode == 1
    assert "broken: everything is closed" in done.stderr
    assert "of-another-user" not in done.stderr
    assert "is no parameter of the gate's" in done.stderr
    assert "rule is not what the gate writes" in done.stderr
    assert secret.read_text() == "of-another-user 42\n"
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    assert not run.exists()


def test_before_the_first_ruleset_everything_is_closed_and_the_first_one_is_inspected_from_its_start(
    plant: Plant, machine: Machine
) -> None:
    machine.switch_off()
    shutil.rmtree(machine.folder / "boot")
    done = machine.start("penstock-boot")
    assert done.returncode == 0, done.stderr
    with pytest.raises(TimeoutError):
        plant.scada.connect(SAFETY, MODBUS, timeout_s=0.3)
    plant.start_enforcer()
    plant.control.do(ApplyRuleset(ruleset=plant.ruleset))
    with pytest.raises(TimeoutError):
        plant.scada.connect(SAFETY, MODBUS, timeout_s=0.3)
    worker = plant.proxy()
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    eventually(lambda: worker.sessions)


def test_the_kept_ruleset_follows_the_applied_one(plant: Plant, machine: Machine) -> None:
    """A standing flow that was taken out is not there after a boot either, and nobody else may read the files."""
    kept = machine.folder / "boot" / TABLE_FILE
    assert "192.168.10.12 . 100.64.0.60" in kept.read_text()
    plant.apply(standing=())
    eventually(lambda: "192.168.10.12 . 100.64.0.60" not in kept.read_text())
    modes = {path.name: path.stat().st_mode & 0o777 for path in kept.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    machine.switch_off()
    assert machine.start("penstock-boot").returncode == 0
    with pytest.raises(OSError):
        plant.scada.connect(SAFETY, MODBUS, timeout_s=0.3)


def test_the_units_say_what_matters(machine: Machine) -> None:
    """Order, what goes on without systemd's defaults, and that no stop takes the table away."""
    boot, leg, gate = (machine.unit(name) for name in ("penstock-boot", "penstock-leg", "penstock"))
    assert (boot["Type"], boot["DefaultDependencies"], boot["RemainAfterExit"]) == ("oneshot", "no", "yes")
    assert "network-pre.target" in boot["Before"].split()
    assert boot["Wants"] == "network-pre.target"
    assert "nftables.service" in boot["After"].split(), "its flush must not come later"
    assert boot["WantedBy"] == "sysinit.target"
    assert leg["BindsTo"] == leg["WantedBy"] == "sys-subsystem-net-devices-eth0.device"
    assert gate["Restart"] == "always"
    assert gate["CapabilityBoundingSet"].split() == [
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETPCAP",
    ]
    for name, value in (("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("KillMode", "mixed")):
        assert gate[name] == value
    for unit in (boot, leg, gate):
        assert not unit.keys() & {"ExecStop", "ExecStopPost"}
        assert "@" not in "".join(value for name, value in unit.items() if name != "SystemCallFilter")
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:  # on a distribution without systemd there is nobody to ask
        units = sorted((machine.folder / "lib/units").iterdir())
        done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
        complaints = [line for line in done.stderr.splitlines() if "penstock" in line and "not executable" not in line]
        assert complaints == []
