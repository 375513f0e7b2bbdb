"""The portal in a real browser (Chromium), on the machine's own loopback, as a visitor of the demo uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import launched
from playwright.sync_api import Browser, Page

from penstock.lab.demo import PREFIX
from penstock.lab.gate import LabGate, Person
from penstock.lab.layout import SITE_PATH
from penstock.lab.machine import Machine

PORTAL_PORT, TUNNEL_PORT = 28443, 28444
URL = f"https://127.0.0.1:{PORTAL_PORT}"
PASSWORD = "turbine hall seven"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The demo's plant, without its story."""
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("demo"))}
    words = ["demo", "--no-story", "--portal-port", str(PORTAL_PORT), "--tunnel-port", str(TUNNEL_PORT)]
    command = [sys.executable, "-m", "penstock", *words]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        is_up = any("logs  " in line for line in process.stdout)
        assert is_up, f"the demo did not come up: exit status {process.wait()}"
        yield environment
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(20) in (0, 130)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(ignore_https_errors=True)
    yield context.new_page()
    context.close()


def marias_code(environment: dict[str, str]) -> str:
    """A code that the gate has not seen, as the demo tells it."""
    words = [sys.executable, "-m", "penstock", "demo", "--code"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def enrolled(environment: dict[str, str], name: str) -> Person:
    """A further engineer, whose codes are all unused: nobody has to wait for the next half minute."""
    (folder,) = Path(environment["TMPDIR"]).glob(f"{PREFIX}*")
    machine = Machine()
    gate = LabGate(node=machine, folder=folder, site=SITE_PATH, address="127.0.0.1", portal_port=PORTAL_PORT)
    return gate.enrol(name, "operators", PASSWORD, machine)


def sign_in(page: Page, password: str, code: str) -> None:
    page.goto(URL + "/")
    page.get_by_label("Name").fill("maria")
    page.get_by_label("Password").fill(password)
    page.get_by_label("Code of your authenticator").fill(code)
    page.get_by_role("button", name="Sign in").click()


def test_a_stranger_sees_only_the_sign_in_page(page: Page, demo: dict[str, str]) -> None:
    assert demo
    page.goto(URL + "/")
    assert page.url == URL + "/sign-in"
    assert "plc-dosing" not in page.content()


def test_a_wrong_code_lets_nobody_in_and_says_not_which_part_was_wrong(page: Page, demo: dict[str, str]) -> None:
    assert demo
    sign_in(page, PASSWORD, "000000")
    assert page.url.startswith(URL + "/sign-in")
    alert = page.get_by_role("alert").inner_text().lower()
    assert "code" not in alert or "password" in alert


def test_an_engineer_signs_in_sees_her_assets_and_sessions_and_signs_out(page: Page, demo: dict[str, str]) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    sign_in(page, PASSWORD, marias_code(demo))
    assert page.url == URL + "/"
    assert "penstock connect plc-dosing" in page.inner_text("main")
    assert "plc-filter-1" not in page.inner_text("main"), "what no conduit of hers names stays unseen"
    assert all(url.startswith(URL) for url in requests), "no page needs anything from elsewhere"
    page.get_by_role("button", name="Sign out").click()
    page.goto(URL + "/")
    assert page.url == URL + "/sign-in"


def test_the_pages_work_by_keyboard_alone(page: Page, demo: dict[str, str]) -> None:
    jonas = enrolled(demo, "jonas")
    page.goto(URL + "/sign-in")
    page.get_by_label("Name").focus()
    for text in (jonas.name, PASSWORD, jonas.code()):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(URL + "/")
    assert page.get_by_role("heading", level=1).count() == 1
