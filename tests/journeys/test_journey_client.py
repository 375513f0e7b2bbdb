"""An engineer's client on loopback: signs in through a real browser, or by a code, and reaches a real sshd by ssh."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import launched
from playwright.sync_api import Browser, Page

from penstock.lab.gate import LabGate, Person
from penstock.lab.machine import Machine, free_port

SITE = """
site: bench
domain: bench.ot
overlay: 100.64.0.0/16
zones:
  cell: {{networks: [127.0.0.0/8]}}
assets:
  hmi-1: {{zone: cell, role: hmi, address: 127.0.0.1, services: {{ssh: {port}}}}}
conduits:
  Operators administer the panel:
    from: {{group: operators}}
    to: {{asset: hmi-1}}
    allow: {{{allow}: any}}
    require: {{factors: two}}
"""
PASSWORD = "turbine hall seven"
WAIT_S = 60


def key_at(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class Bench:
    """A gate and an sshd on this machine, and maria, who is enrolled."""

    def __init__(self, folder: Path, allow: str = "") -> None:
        self.folder, self.machine = folder, Machine()
        self.host_key, self.own_key = key_at(folder / "host_key"), key_at(folder / "own_key")
        self.ssh_port = free_port()
        self.sshd = self._start_sshd()
        site = folder / "site.yaml"
        site.write_text(SITE.format(port=self.ssh_port, allow=allow or f"tcp/{self.ssh_port}"))
        self.gate = LabGate.on_loopback(self.machine, folder, site)
        self.gate.start()
        self.maria = self.gate.enrol("maria", "operators", PASSWORD, self.machine)

    def _start_sshd(self) -> subprocess.Popen[bytes]:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # Debian's service makes it at its start
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.ssh_port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.own_key}.pub\nStrictModes no\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        )
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert sshd, "sshd is missing; scripts/system-packages test installs it"
        with (self.folder / "sshd.log").open("wb") as log:
            started = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log)
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.ssh_port)) == 0:
                    return started
            assert started.poll() is None, (self.folder / "sshd.log").read_text()
            time.sleep(0.02)
        raise AssertionError("sshd does not listen")

    def at_home(self, name: str) -> Person:
        """Maria at another computer: a profile of its own, which knows the gate's authority only."""
        return Person(name="maria", password=PASSWORD, totp=self.maria.totp, home=self.folder / name)

    def start(self, person: Person, *words: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "penstock", *words],
            env={**self.gate.environment(person), **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ssh(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``penstock ssh hmi-1`` with a command, as maria."""
        own = ("-i", str(self.own_key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-F", "none")
        with self.start(self.maria, "ssh", f"{getpass.getuser()}@hmi-1", "--", *own, *words) as program:
            out, said = program.communicate(timeout=WAIT_S)
        return subprocess.CompletedProcess(words, program.returncode, out, said)

    def contact(self) -> tuple[str, ...]:
        return ("--gate", self.gate.url, "--ca", str(self.gate.state_dir / "keys" / "ca.pem"))

    def close(self) -> None:
        self.gate.stop()
        self.machine.close()
        self.sshd.terminate()
        self.sshd.wait()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("client"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    """One browser for all: whoever has signed in there is, as at work."""
    context = chromium.new_context(ignore_https_errors=True)
    yield context.new_page()
    context.close()


def prove(page: Page, person: Person) -> None:
    page.get_by_label("Name").fill("maria")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code of your authenticator").fill(person.code())
    page.get_by_role("button", name="Sign in").click()


def line_with(program: subprocess.Popen[str], pattern: str) -> str:
    assert program.stderr is not None
    said = ""
    while line := program.stderr.readline():
        said += line
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError(f"the program ended: {said}")


def test_the_browser_confirms_and_the_terminal_is_signed_in(bench: Bench, page: Page) -> None:
    opener = bench.folder / "opener"
    opener.write_text('#!/bin/sh\necho "$1" > "$OPENED"\n')
    opener.chmod(0o755)
    opened = bench.folder / "opened"
    environment = {"BROWSER": f"{opener} %s", "OPENED": str(opened)}
    with bench.start(bench.maria, "login", *bench.contact(), **environment) as program:
        address = line_with(program, r"^  (https://\S+)$")
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        assert page.url.endswith("/sign-in"), "nobody is signed in in this browser yet"
        prove(page, bench.maria)
        page.wait_for_url("**/client?**")
        shown = page.inner_text("main")
        assert socket.gethostname()[:64] in shown
        assert "maria" in shown
        page.get_by_role("button", name="Yes, sign it in").click()
        page.wait_for_url("http://127.0.0.1:*/**")
        assert "The sign-in goes on in your terminal" in page.inner_text("body")
        assert program.wait(WAIT_S) == 0, program.stderr.read() if program.stderr else ""
        assert program.stderr is not None
        said = program.stderr.read()
    assert "signed in at 127.0.0.1 (bench) as maria until" in said
    assert opened.read_text().strip() == address, "the browser was opened there by itself"
    hosts = {re.sub(r"^(https?://[^/]+).*", r"\1", url) for url in requests}
    assert len(hosts) == 2, f"the gate and this computer, nothing else: {hosts}"
    listed = bench.gate.command("ls", station=bench.machine, person=bench.maria)
    assert "hmi-1" in listed.printed


def test_a_code_that_is_typed_in_a_browser_signs_another_computer_in(bench: Bench, page: Page) -> None:
    other = bench.at_home("other")
    page.goto(bench.gate.url + "/")
    if page.url.endswith("/sign-in"):
        prove(page, bench.maria)
        page.wait_for_url(bench.gate.url + "/")
    with bench.start(other, "login", "--device", *bench.contact()) as program:
        code = line_with(program, r"^  ([A-Z]{4}-[A-Z]{4})$")
        page.goto(bench.gate.url + "/device")
        page.keyboard.type(code.lower())  # the field has the focus
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Sign in the command line on that computer?").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "No", "a hasty Enter lets nobody in"
        page.get_by_role("button", name="Yes, sign it in").click()
        page.get_by_role("heading", name="is let in").wait_for()
        assert program.wait(WAIT_S) == 0, program.stderr.read() if program.stderr else ""
    assert "hmi-1" in bench.gate.command("ls", station=bench.machine, person=other).printed


def test_ssh_reaches_the_asset_with_its_exit_status_and_its_bytes(bench: Bench) -> None:
    first = bench.ssh("-o", "StrictHostKeyChecking=yes", "true")
    assert first.returncode == 255, "an unknown host key is not taken by itself"
    done = bench.ssh("-o", "StrictHostKeyChecking=accept-new", "echo to the panel; exit 3")
    assert (done.returncode, done.stdout) == (3, "to the panel\n"), done.stderr
    kept = (bench.maria.home / "known_hosts").read_text().split()
    public = bench.host_key.with_suffix(".pub").read_text().split()
    assert kept[:3] == ["hmi-1", *public[:2]]
    many = bench.ssh("-o", "StrictHostKeyChecking=yes", "head -c 8000000 /dev/zero | tr '\\0' x")
    assert (many.returncode, len(many.stdout), set(many.stdout)) == (0, 8_000_000, {"x"})
    assert bench.gate.admin("GET", "/admin/grants")["grants"] == [], "each grant was given back"


def test_another_host_key_under_the_assets_name_is_refused(bench: Bench) -> None:
    known = bench.maria.home / "known_hosts"
    former = known.read_text() if known.exists() else ""
    other = key_at(bench.folder / "impostor").with_suffix(".pub").read_text().split()
    known.write_text(f"hmi-1 {other[0]} {other[1]}\n")
    try:
        done = bench.ssh("-o", "StrictHostKeyChecking=accept-new", "echo reached")
    finally:
        known.write_text(former)
    assert (done.returncode, done.stdout) == (255, ""), done.stderr
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_a_revoked_grant_cuts_ssh_and_says_so(bench: Bench) -> None:
    own = ("-i", str(bench.own_key), "-o", "BatchMode=yes", "-F", "none", "-o", "StrictHostKeyChecking=accept-new")
    words = ("ssh", f"{getpass.getuser()}@hmi-1", "--", *own, "echo ready; sleep 300")
    with bench.start(bench.maria, *words) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        (number,) = [row["number"] for row in bench.gate.admin("GET", "/admin/grants")["grants"]]
        bench.gate.admin("DELETE", f"/admin/grants/{number}")
        _, said = program.communicate(timeout=WAIT_S)
    assert program.returncode == 255
    assert f"penstock: grant {number}: the grant was revoked" in said


def test_both_ways_in_are_on_record(bench: Bench) -> None:
    bench.gate.wait(lambda: len(bench.gate.records("client.confirmed")) == 2, "both confirmations on record")
    assert {one["detail"]["way"] for one in bench.gate.records("client.confirmed")} == {"browser", "device"}
